//! A write says one division and names a site of another: what M3 believes is what is decided.

use crate::withheld::{OF_AAA, house};
use bytes::Bytes;
use http::{Method, StatusCode};
use mi_gateway::model::{Company, Division, Standing};
use serde_json::json;
use std::fs;

/// The warehouse 001 is of the division AAA, 003 of BBB.
fn moved(warehouse: &str) -> String {
    format!("MMS200MI/UpdItmWhs;cono=100;divi=AAA?WHLO={warehouse}&ITNO=A00001&STAT=20")
}

#[tokio::test]
async fn nobody_writes_to_a_site_of_a_division_that_he_would_be_refused_in() {
    let (house, branch, office) = house(OF_AAA, |_| {}).await;
    let standing = Standing {
        companies: vec![Company::new(100).expect("a company")],
        divisions: vec![Division::parse("AAA").expect("a division")],
        ..Standing::default()
    };
    house.running.add_client_with("bound", &[], &["office"], standing).await.expect("a client");
    let bound = house.caller("bound").await;
    let written = || house.asked().iter().filter(|call| call.contains("UpdItmWhs")).count();
    for (who, what) in [(&branch, "a rule over the division"), (&bound, "a bound of the client")] {
        for warehouse in ["003", "XYZ"] {
            let reply = who.m3(&moved(warehouse)).await;
            assert_eq!(
                (reply.status, reply.problem().as_str()),
                (StatusCode::FORBIDDEN, "policy-denied"),
                "{what}: {warehouse}"
            );
        }
        assert_eq!(written(), 0, "{what}: M3 was asked to write");
        let own = who.m3(&moved("001")).await;
        assert_eq!(own.json()["nrOfSuccessfullTransactions"], 1, "{what}: {}", own.text());
        house.m3().clear_calls();
    }
    let body = json!({ "program": "MMS200MI", "cono": 100, "divi": "AAA", "transactions": [
        { "transaction": "UpdItmWhs", "record": { "WHLO": "003", "ITNO": "A00001", "STAT": "20" } },
        { "transaction": "UpdItmWhs", "record": { "WHLO": "001", "ITNO": "A00001", "STAT": "20" } },
    ] });
    let headers = [("content-type", "application/json")];
    let bulk =
        branch.send(Method::POST, "/m3api-rest/v2/execute", &headers, Bytes::from(body.to_string())).await.json();
    assert_eq!(bulk["results"][0]["errorType"], "PolicyDenied", "{bulk}");
    assert_eq!(bulk["nrOfSuccessfullTransactions"], 1, "each is decided by itself: {bulk}");
    let all = office.m3(&moved("003")).await;
    assert_eq!(
        all.json()["nrOfSuccessfullTransactions"],
        1,
        "who is let write everywhere is not asked: {}",
        all.text()
    );
    let lines: String = fs::read_dir(house.state.path().join("audit"))
        .expect("the log")
        .flatten()
        .filter_map(|file| fs::read_to_string(file.path()).ok())
        .collect();
    assert!(lines.contains("\"site-elsewhere\""), "the log says why");
}

#[tokio::test]
async fn where_m3_does_not_say_whose_a_site_is_nothing_is_written_there() {
    let (house, branch, _) = house(OF_AAA, |_| {}).await;
    house.faults(
        r#"{"rules":[{"program":"MMS005MI","transaction":"GetWarehouse","action":{"nok":{"id":"X","field":"","text":"No"}}}]}"#,
    );
    let reply = branch.m3(&moved("001")).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"));
    assert!(!house.asked().iter().any(|call| call.contains("UpdItmWhs")), "{:?}", house.asked());
}
