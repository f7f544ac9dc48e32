use super::*;
use crate::model::{FieldKind, FieldLayout, FieldName, Layout, TransactionName};

const ADDRESS: &str = "https://gateway.example.com";

fn contract(issues: bool) -> Value {
    serde_json::from_slice(&OpenApi::new(ADDRESS, issues).contract()).expect("a document")
}

/// Every `$ref` of a document, from anywhere in it.
fn references(of: &Value, found: &mut Vec<String>) {
    match of {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn whole(document: &Value) {
    let mut found = Vec::new();
    references(document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for way in found {
        let place = way.strip_prefix('#').expect("a place in the document itself");
        assert!(document.pointer(place).is_some(), "{way} leads nowhere");
    }
}

#[test]
fn the_contract_names_nothing_that_it_does_not_have() {
    let told = contract(true);
    whole(&told);
    assert_eq!(told["servers"][0]["url"], ADDRESS);
    assert_eq!(told["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(!told.to_string().contains(PROBLEMS), "what is ours is not told");
}

#[test]
fn every_problem_is_in_the_contract_under_its_status() {
    let told = contract(true).to_string();
    for kind in Kind::ALL {
        assert!(told.contains(&format!("\"{}\"", kind.slug())), "{}", kind.slug());
    }
}

#[test]
fn a_gateway_without_an_issuer_promises_no_tokens() {
    let told = contract(false);
    whole(&told);
    assert!(!told.to_string().contains("oauth2"), "{told}");
}

#[test]
fn a_transaction_is_a_path_with_the_fields_that_m3_told() {
    let field = |name: &str, kind, mandatory| FieldLayout {
        name: FieldName::parse(name).expect("a field"),
        kind,
        from: 16,
        length: 10,
        mandatory,
        description: "words of M3".into(),
    };
    let layout = TransactionLayout {
        program: ProgramName::parse("CRS610MI").expect("a program"),
        name: TransactionName::parse("ChgBasicData").expect("a transaction"),
        description: "Change basic data".into(),
        multi: false,
        input: Layout::new(vec![field("CUNO", FieldKind::Alphanumeric, true), field("CRLM", FieldKind::Number, false)]),
        output: Layout::new(vec![field("CUNM", FieldKind::Alphanumeric, false)]),
    };
    let told = OpenApi::new(ADDRESS, true).of_program(layout.program, &[Arc::new(layout)]);
    whole(&told);
    let path = &told["paths"]["/M3/m3api-rest/v2/execute/CRS610MI/ChgBasicData"]["get"];
    assert_eq!((&path["parameters"][0]["name"], &path["parameters"][0]["required"]), (&"CUNO".into(), &true.into()));
    assert_eq!(path["x-mi-effect"], "write");
    let parameters = path["parameters"].to_string();
    assert!(parameters.contains("idempotencyKey") && !parameters.contains("maxrecs"), "{parameters}");
    assert!(path["responses"]["200"].to_string().contains("CUNM"));
}
