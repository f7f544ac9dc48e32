//! Rules over what a query over any table asks for.

use super::*;

const QUERIES: &str = r#"@id("guard") forbid (principal, action, resource in Program::"EXPORTMI");
@id("customers") @owner("maria") @expires("2027-01-31") @lifts("guard")
permit (principal == Client::"demo", action == Action::"EXPORTMI/Select", resource)
when { context.query.table == "OCUSMA" && ["OKCUNO", "OKCUNM", "OKCONO"].containsAll(context.query.columns) };"#;

fn asked(query: &str) -> Decision {
    caller().call("EXPORTMI/Select").with("QERY", query).of(&set(QUERIES))
}

#[test]
fn a_query_is_decided_by_its_table_and_by_every_column_it_looks_at() {
    assert!(asked("OKCUNO, OKCUNM from OCUSMA where OKCONO = 100").allowed);
    for other in [
        "OKCUNO, OKCUNM from OCUSMA where OKCRLM > 0",
        "OKCUNO, OKPWMT from OCUSMA",
        "OKCUNO from CIDMAS",
        "OKCUNO from OCUSMA where OKCUNM = OKPWMT",
    ] {
        assert_eq!(asked(other).reason, Reason::Forbidden, "{other}");
    }
}

#[test]
fn a_query_that_is_not_understood_is_permitted_by_no_rule_over_queries() {
    let field = FieldName::parse("QERY").expect("a field");
    for strange in ["* from OCUSMA", "OKCUNO from OCUSMA union OKPWMT from CIDMAS", "?"] {
        assert_eq!(asked(strange).reason, Reason::ValueNotComparable(field), "{strange}");
    }
    let none = caller().call("EXPORTMI/Select").of(&set(QUERIES));
    assert_eq!(none.reason, Reason::ValueNotComparable(field));
}

#[test]
fn another_transaction_has_no_query_to_look_at() {
    refused(
        r#"@id("p") permit (principal, action == Action::"CRS610MI/ChgFinancial", resource)
        when { context.query.table == "OCUSMA" };"#,
        "query",
    );
    refused(
        r#"@id("p") permit (principal, action in Action::"read", resource) when { context.query.table == "OCUSMA" };"#,
        "its head doesn't say of which transaction",
    );
}
