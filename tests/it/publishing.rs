//! What follows a write, whatever else is the matter: its document lies in the folder, and an operator's orders in the log.

use crate::house::{House, sockets_alone};
use crate::stops::{ask, operator};
use http::{Method, StatusCode};
use mi_gateway::bod::{Filter, Mask};
use mi_gateway::config::Settings;
use mi_gateway::points::{self, Answers, FileSettings, Pattern, Target};
use mi_gateway::relay;
use serde_json::{Value, json};
use std::time::Duration;

/// A house that publishes into a folder, soon.
async fn publishing(change: impl FnOnce(&mut Settings)) -> House {
    House::with(|settings| {
        let (quiet, settle_after) = (Duration::from_millis(50), Duration::ZERO);
        settings.publish = relay::Settings { quiet, settle_after, ..relay::Settings::trial() };
        let pattern = Pattern::parse("{verb}{noun}_{document}_{variation}.xml").expect("a pattern");
        let file = FileSettings { folder: settings.state.join("bods"), pattern, keep: None };
        let (name, filter, most_bytes) = ("folder".to_owned(), Filter::default(), 1 << 20);
        let (answers, target) = (Answers::default(), Target::File(file));
        settings.points.push(points::Settings {
            name,
            filter,
            mask: Mask::default(),
            most_bytes,
            receiver: None,
            answers,
            target,
        });
        change(settings);
    })
    .await
}

fn documents(house: &House, of: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(house.state.path().join("bods")) else { return 0 };
    entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(of)).count()
}

async fn within<F: Future<Output = bool>>(seconds: u64, what: &str, look: impl Fn() -> F) {
    let wait = async {
        while !look().await {
            crate::house::a_moment().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(seconds), wait).await.unwrap_or_else(|_| panic!("{what}"));
}

async fn add(house: &House, item: &str) {
    let demo = house.demo().await;
    let added = demo.m3(&format!("MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO={item}&ITDS=Told")).await;
    assert_eq!(added.json()["nrOfSuccessfullTransactions"], 1, "{}", added.text());
}

/// A counter of the operations door, by the beginning of its line.
async fn counted(house: &House, line: &str) -> u64 {
    let metrics = house.operations("/metrics").await.text();
    let found = metrics.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_m3_is_away_no_document_is_given_up() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let house = publishing(|settings| settings.publish.tries = 2).await;
    add(&house, "FIRST").await;
    within(30, "its document", async || documents(&house, "SyncItemMaster_FIRST_") == 1).await;
    house.faults(r#"{"rules":[{"program":"MMS200MI","transaction":"Get","action":"drop_before"}]}"#);
    add(&house, "SECOND").await;
    let failed = "mi_gateway_documents_total{document=\"Sync.ItemMaster\",outcome=\"failed\"}";
    within(60, "more failures than it has tries", async || counted(&house, failed).await >= 3).await;
    house.faults(r#"{"rules":[]}"#);
    within(60, "it is told once M3 is back", async || documents(&house, "SyncItemMaster_SECOND_") == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_m3_keeps_waiting_holds_up_no_document() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let house = publishing(|settings| settings.gateway.exchange.write_wait = Duration::from_secs(5)).await;
    add(&house, "FIRST").await;
    within(30, "its document", async || documents(&house, "SyncItemMaster_FIRST_") == 1).await;
    let demo = house.demo().await;
    demo.m3("CRS610MI/ChgBasicData?CUNO=C00002&CUNM=Known").await;
    within(30, "its document", async || documents(&house, "SyncCustomerPartyMaster_C00002_") == 1).await;
    house.faults(
        r#"{"rules":[{"transaction":"ChgBasicData","times":1,"action":"drop_before"},
            {"program":"CRS610MI","transaction":"GetBasicData","latency_ms":25000}]}"#,
    );
    house.m3().clear_calls();
    let lost = demo.m3("CRS610MI/ChgBasicData?CUNO=C00001&CUNM=Lost").await;
    assert_eq!(lost.problem(), "outcome-unknown");
    within(30, "M3 is asked", async || house.asked().iter().any(|call| call.contains("GetBasicData"))).await;
    add(&house, "SECOND").await;
    within(15, "told meanwhile", async || documents(&house, "SyncItemMaster_SECOND_") == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_m3_keeps_waiting_holds_up_no_document_of_others() {
    let house = publishing(|_| {}).await;
    add(&house, "FIRST").await;
    within(30, "its document", async || documents(&house, "SyncItemMaster_FIRST_") == 1).await;
    house.faults(r#"{"rules":[{"program":"CRS610MI","transaction":"GetBasicData","latency_ms":25000}]}"#);
    house.m3().clear_calls();
    house.demo().await.m3("CRS610MI/ChgBasicData?CUNO=C00001&CUNM=Slow").await;
    within(30, "it is read", async || house.asked().iter().any(|call| call.contains("GetBasicData"))).await;
    add(&house, "SECOND").await;
    within(15, "told meanwhile", async || documents(&house, "SyncItemMaster_SECOND_") == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_orders_stands_in_the_audit_log() {
    let house = publishing(|_| {}).await;
    add(&house, "AGAIN").await;
    within(30, "its document", async || documents(&house, "SyncItemMaster_AGAIN_") == 1).await;
    let token = operator(&house);
    let listed = ask(&house, Method::POST, "/outbox/list", &json!({ "key": "AGAIN" }), &token).await.json();
    let id = listed["entries"][0]["id"].as_str().expect("a message").to_owned();
    let order = json!({ "id": id, "fresh": true, "by": "ann", "reason": "the receiver lost it" });
    let ordered = ask(&house, Method::POST, "/outbox/replay", &order, &token).await;
    assert_eq!(ordered.status, StatusCode::OK, "{}", ordered.text());
    let nothing = ask(&house, Method::POST, "/outbox/drop", &json!({ "point": "nowhere" }), &token).await;
    assert_ne!(nothing.status, StatusCode::OK, "{}", nothing.text());
    let line = || {
        let mut log = String::new();
        for file in std::fs::read_dir(house.state.path().join("audit")).expect("the audit log").flatten() {
            log.push_str(&std::fs::read_to_string(file.path()).unwrap_or_default());
        }
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["kind"] == "outbox-replay")
    };
    within(30, "its line", async || line().is_some()).await;
    let line = line().expect("a line");
    assert_eq!([&line["entry"], &line["by"], &line["reason"]], [&json!(id), &json!("ann"), &order["reason"]], "{line}");
    assert_eq!(line["fresh"], true);
}
