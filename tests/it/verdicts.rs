//! What becomes of writes whose outcome got lost: proven by reading back, told as they are, or left to somebody.

use crate::house::{Caller, House, Reply, sockets_alone};
use mi_gateway::bod::{Filter, Mapping, Source, shipped};
use mi_gateway::outbox::{Ledger, Operator, Resolution, Settings, Wanted};
use mi_gateway::points::{Answers, FileSettings, Pattern, Settings as Point, Target};
use mi_gateway::relay;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A house whose M3 loses the connection at the next such write, before it is done or after.
async fn losing(transaction: &str, when: &str) -> (House, Caller) {
    let (house, caller) = with_class(None).await;
    loses(&house, transaction, when);
    (house, caller)
}

fn loses(house: &House, transaction: &str, when: &str) {
    house.faults(&format!(r#"{{"rules":[{{"transaction":"{transaction}","times":1,"action":"{when}"}}]}}"#));
}

/// A house whose own mapping calls `UpdItmBasic` so.
async fn with_class(proof: Option<&str>) -> (House, Caller) {
    with(proof, relay::Settings::default().tries).await
}

/// And whose questions and documents have so many tries.
async fn with(proof: Option<&str>, tries: u32) -> (House, Caller) {
    let of_items = |proof| {
        format!(
            "ItemMaster\"\nextends = \"shipped\"\n[[write]]\ntransaction = \"MMS200MI/UpdItmBasic\"\nproof = \"{proof}\"\n"
        )
    };
    mapped(proof.map(of_items), tries).await
}

/// And with a mapping of its own: what follows after `noun = "`.
async fn mapped(own: Option<String>, tries: u32) -> (House, Caller) {
    House::open_to_all("MIDEMO", "rate = \"100000/second\"\nburst = 100000", |settings| {
        let (quiet, settle_after) = (Duration::from_millis(20), Duration::ZERO);
        settings.publish = relay::Settings { enabled: true, quiet, settle_after, tries, ..relay::Settings::default() };
        if let Some(own) = own {
            let text = format!("noun = \"{own}");
            let mut mappings = shipped().expect("shipped mappings");
            let own = Mapping::parse_over(&Source { name: "site.toml".into(), text }, &mappings).expect("no fault");
            mappings.retain(|known| known.noun() != own.noun());
            mappings.push(own);
            settings.publish.mappings = Arc::new(mappings);
        }
        let pattern = Pattern::parse("{document}_{variation}_{verb}.xml").expect("a pattern");
        let file = FileSettings { folder: settings.state.join("bods"), pattern, keep: None };
        let (name, filter, target) = ("bods".to_owned(), Filter::default(), Target::File(file));
        settings.points = vec![Point {
            name,
            filter,
            mask: mi_gateway::bod::Mask::default(),
            most_bytes: 1_000_000,
            receiver: None,
            answers: Answers::default(),
            target,
        }];
    })
    .await
}

async fn keyed(caller: &Caller, call: &str) -> Reply {
    caller.get_with(&format!("/DEMO_TST/M3/m3api-rest/v2/execute/{call}"), &[("idempotency-key", "k")]).await
}

/// Loses this call, and gives the name of its intent.
async fn lost(caller: &Caller, call: &str) -> String {
    let reply = keyed(caller, call).await;
    assert_eq!(reply.problem(), "outcome-unknown", "{}", reply.text());
    reply.json()["intent"].as_str().expect("its name").to_owned()
}

async fn write(house: &House, intent: &str) -> Value {
    let ledger = Ledger::open(&Settings::under(house.state.path().join("outbox"))).await.expect("the outbox");
    let shown = ledger.show(intent).await.expect("it is there");
    ledger.close().await;
    shown
}

async fn becomes(house: &House, intent: &str, state: &str) -> Value {
    let wait = async {
        loop {
            let shown = write(house, intent).await;
            if shown["state"] == state {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ended = tokio::time::timeout(PATIENCE, wait).await;
    match ended {
        Ok(shown) => shown,
        Err(_) => panic!("{intent} never was {state}: {}", write(house, intent).await),
    }
}

/// All documents of a record, once nothing waits any more.
async fn documents(house: &House, key: &str) -> Vec<String> {
    let ledger = Ledger::open(&Settings::under(house.state.path().join("outbox"))).await.expect("the outbox");
    let wait = async {
        loop {
            let listed = ledger.list(&Wanted { most: 1_000, ..Wanted::default() }).await.expect("a list");
            let waits = |entry: &Value| {
                ["unknown", "due", "pending", "replayed", "sent"].contains(&entry["state"].as_str().unwrap_or_default())
            };
            if !listed.iter().any(waits) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it ends");
    ledger.close().await;
    let Ok(entries) = std::fs::read_dir(house.state.path().join("bods")) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let of = |path: &std::path::PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(key));
    paths.filter(of).map(|path| std::fs::read_to_string(path).expect("a document")).collect()
}

#[tokio::test]
async fn a_change_that_is_there_was_done_and_who_asks_again_is_told_so() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let (house, caller) = losing("UpdItmBasic", "drop_after").await;
    let call = "MMS200MI/UpdItmBasic?ITNO=A00001&ITDS=Arrived";
    let intent = lost(&caller, call).await;
    becomes(&house, &intent, "committed").await;
    assert!(documents(&house, "A00001").await[0].contains(">Arrived</Description>"));
    let again = keyed(&caller, call).await;
    assert_eq!(again.json()["nrOfSuccessfullTransactions"], 1, "{}", again.text());
    assert_eq!(house.asked().iter().filter(|call| call.contains("UpdItmBasic")).count(), 1, "and not done twice");
}

#[tokio::test]
async fn a_question_that_m3_will_not_answer_is_parked_with_its_reason_and_one_that_it_can_t_is_not() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let (house, caller) = with(None, 3).await;
    let lose = r#"{"transaction":"UpdItmBasic","times":1,"action":"drop_after"}"#;
    let away = r#"{"program":"MMS200MI","transaction":"Get","action":"drop_before"}"#;
    house.faults(&format!(r#"{{"rules":[{lose},{away}]}}"#));
    let intent = lost(&caller, "MMS200MI/UpdItmBasic?ITNO=A00002&ITDS=Secret").await;
    let asked = || house.asked().iter().filter(|call| call.contains("MMS200MI/Get")).count();
    let patience = async {
        while asked() < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, patience).await.expect("more often than it has tries");
    assert_eq!(write(&house, &intent).await["state"], "unknown");
    let nok = r#"{"nok":{"id":"XAU0008","field":"","text":"No authority"}}"#;
    house.faults(&format!(r#"{{"rules":[{{"program":"MMS200MI","transaction":"Get","action":{nok}}}]}}"#));
    let parked = becomes(&house, &intent, "parked").await;
    assert!(parked["reason"].as_str().is_some_and(|why| why.contains("No authority")), "{parked}");
}

#[tokio::test]
async fn an_addition_that_is_not_there_was_not_done_and_nobody_is_told() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let (house, caller) = losing("AddItmViaItmTyp", "drop_before").await;
    let call = "MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=NEVER&ITDS=Never";
    let intent = lost(&caller, call).await;
    becomes(&house, &intent, "refused").await;
    assert_eq!(documents(&house, "NEVER").await, [] as [String; 0]);
    let again = keyed(&caller, call).await;
    assert_eq!(again.error().0, "ServerReturnedNOK", "{}", again.text());
}

#[tokio::test]
async fn a_change_that_is_not_there_proves_nothing_and_the_state_is_told() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let (house, caller) = losing("UpdItmBasic", "drop_before").await;
    let call = "MMS200MI/UpdItmBasic?ITNO=A00001&ITDS=Lost%20on%20the%20way";
    let intent = lost(&caller, call).await;
    let parked = becomes(&house, &intent, "parked").await;
    assert!(parked["reason"].as_str().is_some_and(|why| why.contains("other values")), "{parked}");
    let told = documents(&house, "A00001").await;
    assert!(told.len() == 1 && !told[0].contains("Lost on the way"), "the record as it is: {told:?}");
    assert_eq!(keyed(&caller, call).await.problem(), "outcome-unknown", "it stays unknown");
    // Somebody looked, and says that M3 did not do it.
    let ledger = Ledger::open(&Settings::under(house.state.path().join("outbox"))).await.expect("the outbox");
    let who = Operator { by: "tests".into(), reason: "M3 was looked at".into() };
    ledger.resolve(&intent, &Resolution::Refused, &who).await.expect("resolved");
    ledger.close().await;
    assert_eq!(keyed(&caller, call).await.error().0, "ServerReturnedNOK");
}

#[tokio::test]
async fn an_approval_is_told_as_a_state_and_not_as_a_request() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let (house, caller) = losing("ApprovePO", "drop_after").await;
    let intent = lost(&caller, "PPS200MI/ApprovePO?PUNO=2000003").await;
    becomes(&house, &intent, "parked").await;
    let told = documents(&house, "2000003").await;
    assert!(told.len() == 1 && told[0].contains("<SyncPurchaseOrder "), "{told:?}");
    // The operator knows that it was approved: the request follows.
    let reply = operator(&house, "resolve", json!({ "id": intent, "outcome": "committed" })).await;
    assert_eq!(reply["resolved"], intent.as_str(), "{reply}");
    let told = documents(&house, "2000003").await;
    assert!(told.iter().any(|document| document.contains("<ProcessPurchaseOrder ")), "{told:?}");
}

#[tokio::test]
async fn a_number_that_m3_gives_is_lost_with_its_answer() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let (house, caller) = losing("AddOrderHead", "drop_after").await;
    let intent = lost(&caller, "OIS100MI/AddOrderHead?CUNO=C00001&ORTP=A01&FACI=A01").await;
    let parked = becomes(&house, &intent, "parked").await;
    assert!(parked["reason"].as_str().is_some_and(|why| why.contains("number")), "{parked}");
    let listed = operator(&house, "list", json!({ "state": "parked" })).await;
    assert_eq!(listed["entries"][0]["id"], intent.as_str(), "{listed}");
    let settled = operator(&house, "resolve", json!({ "id": intent, "outcome": "refused" })).await;
    assert_eq!(settled["resolved"], intent.as_str(), "{settled}");
    assert_eq!(write(&house, &intent).await["state"], "refused");
}

#[tokio::test]
async fn a_deletion_whose_answer_was_lost_is_told_as_it_was() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let (house, caller) = losing("DltItm", "drop_after").await;
    let added = caller.m3("MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=LOST&ITDS=Before%20that").await;
    assert_eq!(added.json()["nrOfSuccessfullTransactions"], 1, "{}", added.text());
    documents(&house, "LOST").await;
    let intent = lost(&caller, "MMS200MI/DltItm?ITNO=LOST").await;
    becomes(&house, &intent, "committed").await;
    let told = documents(&house, "LOST").await;
    let deleted = told.iter().find(|document| document.contains("actionCode=\"Delete\"")).expect("a delete");
    assert!(deleted.contains(">Before that</Description>"), "{deleted}");
}

#[tokio::test]
async fn a_write_that_only_shows_a_state_is_told_as_one_and_never_counts_as_done() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let (house, caller) = with_class(Some("state-only")).await;
    loses(&house, "UpdItmBasic", "drop_after");
    let call = "MMS200MI/UpdItmBasic?ITNO=A00001&ITDS=Arrived";
    let intent = lost(&caller, call).await;
    let parked = becomes(&house, &intent, "parked").await;
    assert!(parked["reason"].as_str().is_some_and(|why| why.contains("doesn't prove")), "{parked}");
    let told = documents(&house, "A00001").await;
    assert!(told.len() == 1 && told[0].contains("actionCode=\"Replace\"") && told[0].contains(">Arrived<"), "{told:?}");
    assert_eq!(keyed(&caller, call).await.problem(), "outcome-unknown");
}

#[tokio::test]
async fn a_write_that_nothing_proves_is_parked_at_once_and_m3_is_not_asked() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let (house, caller) = with_class(Some("never")).await;
    loses(&house, "UpdItmBasic", "drop_after");
    let intent = lost(&caller, "MMS200MI/UpdItmBasic?ITNO=A00001&ITDS=Arrived").await;
    let parked = becomes(&house, &intent, "parked").await;
    assert!(parked["reason"].as_str().is_some_and(|why| why.contains("nothing proves it")), "{parked}");
    assert_eq!(documents(&house, "A00001").await, [] as [String; 0]);
    let reads = house.asked().into_iter().filter(|call| call.contains("MMS200MI") && !call.contains("UpdItmBasic"));
    assert_eq!(reads.collect::<Vec<_>>(), [] as [String; 0]);
}

#[tokio::test]
async fn a_change_that_m3_has_not_counted_was_not_done_and_one_that_it_has_was() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    for (when, state) in [("drop_before", "refused"), ("drop_after", "committed")] {
        let (house, caller) = with_class(None).await;
        // What its document was made of is how the record stood before the next write.
        let known = caller.m3("MMS200MI/UpdItmBasic?ITNO=A00001&ITDS=Known").await;
        assert_eq!(known.json()["nrOfSuccessfullTransactions"], 1, "{}", known.text());
        assert_eq!(documents(&house, "A00001").await.len(), 1);
        loses(&house, "UpdItmBasic", when);
        house.m3().clear_calls();
        // The very values that are there: equality alone would say that it was done.
        let call = "MMS200MI/UpdItmBasic?ITNO=A00001&ITDS=Known";
        let intent = lost(&caller, call).await;
        becomes(&house, &intent, state).await;
        let again = keyed(&caller, call).await.json();
        assert_eq!(again["nrOfSuccessfullTransactions"], i32::from(state == "committed"), "{again}");
        let calls = house.asked();
        let first = calls.iter().position(|call| call.contains("UpdItmBasic"));
        assert_eq!(first, Some(0), "no write waits for a read of its own: {calls:?}");
    }
}

#[tokio::test]
async fn a_callers_reference_finds_the_number_that_m3_gave() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let (house, caller) = losing("AddOrderHead", "drop_after").await;
    let call = "OIS100MI/AddOrderHead?CUNO=C00001&ORTP=A01&FACI=A01&CUOR=SHOP-1";
    let intent = lost(&caller, call).await;
    becomes(&house, &intent, "committed").await;
    let again = keyed(&caller, call).await;
    let number = again.records()[0]["ORNO"].as_str().expect("its number").to_owned();
    let order = house.m3().record("OIS100MI", 100, &[("ORNO", &number)]).expect("the order");
    assert_eq!(order["CUOR"], "SHOP-1");
    assert!(documents(&house, &number).await[0].contains(">SHOP-1<"), "its document follows");
    assert_eq!(house.asked().iter().filter(|call| call.contains("AddOrderHead")).count(), 1, "and not done twice");
    // A temporary order has no document, and its number is found all the same.
    let (house, caller) = losing("AddBatchHead", "drop_after").await;
    let call = "OIS100MI/AddBatchHead?CUNO=C00001&ORTP=A01&FACI=A01&CUOR=SHOP-2";
    let intent = lost(&caller, call).await;
    becomes(&house, &intent, "committed").await;
    let again = keyed(&caller, call).await;
    assert!(again.records()[0]["ORNO"].as_str().is_some_and(|number| !number.is_empty()), "{}", again.text());
}

#[tokio::test]
async fn a_number_that_an_answer_calls_otherwise_than_the_record_does_is_found_and_told() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let own = "SalesOrder\"\nextends = \"shipped\"\n[[write]]\ntransaction = \"OIS100MI/AddOrderHead\"\nproof = \"provable\"\n\
        key = { ORNO = \"XXNO\" }\n";
    let (house, caller) = mapped(Some(own.to_owned()), relay::Settings::default().tries).await;
    loses(&house, "AddOrderHead", "drop_after");
    let intent = lost(&caller, "OIS100MI/AddOrderHead?CUNO=C00001&ORTP=A01&FACI=A01&CUOR=RENAMED").await;
    becomes(&house, &intent, "committed").await;
    let orders = caller.m3("OIS100MI/LstHead?CUNO=C00001&maxrecs=0").await.records();
    let order = orders.iter().find(|order| order["CUOR"] == "RENAMED").expect("the order");
    let number = order["ORNO"].as_str().expect("its number");
    assert!(documents(&house, number).await[0].contains(">RENAMED<"), "its document follows");
}

#[tokio::test]
async fn a_reference_that_another_order_may_have_finds_nothing() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let add = "OIS100MI/AddOrderHead?CUNO=C00001&ORTP=A01&FACI=A01&CUOR=TWICE";
    let done = async |caller: &Caller, call: &str| {
        let reply = caller.m3(call).await;
        assert_eq!(reply.json()["nrOfSuccessfullTransactions"], 1, "{}", reply.text());
    };
    // Before the lost one another was made, and its answer was heard; afterwards nothing came of the lost one, or something.
    for (when, why) in [("drop_before", "another write's"), ("drop_after", "2 records have")] {
        let (house, caller) = with_class(None).await;
        done(&caller, add).await;
        loses(&house, "AddOrderHead", when);
        let intent = lost(&caller, add).await;
        let parked = becomes(&house, &intent, "parked").await;
        assert!(parked["reason"].as_str().is_some_and(|reason| reason.contains(why)), "{when}: {parked}");
    }
    // Nothing has it, or it has not all that was sent.
    let (house, caller) = losing("AddOrderHead", "drop_before").await;
    let intent = lost(&caller, add).await;
    let parked = becomes(&house, &intent, "parked").await;
    assert!(parked["reason"].as_str().is_some_and(|reason| reason.contains("0 records have")), "{parked}");
    let (house, caller) = losing("AddOrderHead", "drop_after").await;
    let intent = lost(&caller, &format!("{add}&CHL1=X")).await;
    let parked = becomes(&house, &intent, "parked").await;
    assert!(parked["reason"].as_str().is_some_and(|reason| reason.contains("not all that was sent")), "{parked}");
}

async fn operator(house: &House, what: &str, order: Value) -> Value {
    let token = std::fs::read_to_string(house.state.path().join("operator.token")).expect("the operator's token");
    let request = http::Request::post(format!("{}/outbox/{what}", house.operations))
        .header("authorization", format!("Bearer {}", token.trim()))
        .header("content-type", "application/json")
        .body(http_body_util::Full::from(order.to_string()))
        .expect("a request");
    crate::house::send(&house.https, request).await.json()
}
