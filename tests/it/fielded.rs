//! A rule over the fields of a call is put to every transaction of a bulk call by itself.

use crate::house::House;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

const RULES: &str = r#"@id("all") @owner("tests")
permit (principal in Group::"demo", action in [Action::"read", Action::"write"], resource);
@id("no-such-name") @owner("tests")
forbid (principal, action == Action::"CRS610MI/ChgBasicData", resource)
when { context.fields has CUNM && context.fields.CUNM == "Refused" };
@id("no-such-customer") @owner("tests")
forbid (principal, action == Action::"CRS610MI/GetBasicData", resource)
when { context.fields has CUNO && context.fields.CUNO == "C00003" };
"#;

#[tokio::test]
async fn what_a_rule_says_of_a_field_refuses_one_transaction_and_its_neighbours_run() {
    let rules = tempfile::tempdir().expect("a folder");
    fs::write(rules.path().join("rules.cedar"), RULES).expect("a file");
    fs::write(rules.path().join("limits.toml"), "[default]\nrate = \"1000/second\"\nburst = 1000\n").expect("a file");
    let dir = rules.path().to_owned();
    let house = House::with(move |settings| settings.policies = dir).await;
    let demo = house.demo().await;
    // Rules over a field are checked once the layouts are known.
    let known = async {
        for call in ["ChgBasicData;cono=100?CUNO=C00009&CUNM=Known", "GetBasicData;cono=100?CUNO=C00009"] {
            while demo.m3(&format!("CRS610MI/{call}")).await.status != StatusCode::OK {}
        }
    };
    tokio::time::timeout(Duration::from_secs(30), known).await.expect("they are learnt");
    let change = |customer: &str, name: &str| json!({ "transaction": "ChgBasicData", "record": { "CUNO": customer, "CUNM": name } });
    let read = |customer: &str| json!({ "transaction": "GetBasicData", "record": { "CUNO": customer } });
    let transactions = [
        change("C00001", "First"),
        change("C00002", "Refused"),
        read("C00003"),
        change("C00003", "Third"),
        read("C00001"),
    ];
    let body = json!({ "program": "CRS610MI", "cono": 100, "transactions": transactions });
    let headers = [("content-type", "application/json")];
    let path = "/DEMO_TST/M3/m3api-rest/v2/execute";
    let reply = demo.send(Method::POST, path, &headers, body.to_string().into()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let told = reply.json();
    let errors = |told: &Value| -> Vec<String> {
        let results = told["results"].as_array().expect("results").iter();
        results.map(|one| one["errorType"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(errors(&told), ["", "PolicyDenied", "PolicyDenied", "", ""], "{told}");
    assert_eq!(told["results"][4]["records"][0]["CUNM"], "First");
    let asked = house.asked();
    assert!(
        asked.iter().any(|call| call.contains("First")) && asked.iter().any(|call| call.contains("Third")),
        "{asked:?}"
    );
    assert!(!asked.iter().any(|call| call.contains("Refused")), "{asked:?}");
}
