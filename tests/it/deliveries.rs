//! Documents on their way to receivers that are away, slow, broken or choosy: each arrives, in the order of its record,
//! and nobody waits for another.

use crate::fabric::{Fabric, ITEM, operate, until};
use crate::house::text;
use crate::receiver::{Got, Receiver, Says, ion};
use http::StatusCode;
use mi_gateway::points::{Answers, Target};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

const GOOD: Says = Says::Status(202, None, "");

/// A house whose items go to a receiver that says this of messages; what else it is asked is answered well.
async fn to(says: impl Fn(&Got, &Value) -> Says + Send + Sync + 'static, tries: u32) -> (Fabric, Receiver) {
    let receiver = Receiver::start(move |got| match (ion(got), got.message()) {
        (Some(usual), _) => usual,
        (None, Some((head, _))) => says(got, &head),
        (None, None) => GOOD,
    })
    .await;
    let url = receiver.url.clone();
    let fabric = Fabric::with(Answers::default(), move |settings| {
        settings.publish.tries = tries;
        let Target::Ims(ims) = &mut settings.points[0].target else { panic!("the first is ION's") };
        ims.url = format!("{url}/service");
    })
    .await;
    (fabric, receiver)
}

async fn write(fabric: &Fabric, call: &str) {
    let done = fabric.demo.m3(call).await;
    assert_eq!(done.json()["nrOfSuccessfullTransactions"], 1, "{}", done.text());
}

/// All of an item's messages that were answered well, by variation, in the order in which they came.
fn variations(receiver: &Receiver, item: &str) -> Vec<u64> {
    let of = receiver.named("Sync.ItemMaster").into_iter().filter(|(head, _)| head["documentId"] == item);
    of.map(|(head, _)| head["variationId"].as_u64().expect("a number")).collect()
}

async fn entries(fabric: &Fabric, wanted: &Value) -> Vec<Value> {
    let reply = operate(&fabric.house, "/outbox/list", wanted).await.json();
    let entries = reply["entries"].as_array().expect("entries").iter();
    entries.filter(|entry| entry["kind"] == "message" && entry["point"] == "wms").cloned().collect()
}

/// Whether the audit log has this order of hers.
fn noted(fabric: &Fabric, kind: &str, entry: &Value) -> bool {
    let files = std::fs::read_dir(fabric.house.state.path().join("audit")).expect("the audit log").flatten();
    let log: Vec<String> = files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect();
    let mut lines =
        log.iter().flat_map(|text| text.lines()).filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.any(|line| line["kind"] == kind && line["entry"] == *entry && line["by"] == "ann")
}

/// Of the items of the receiver `wms`.
fn metric(metrics: &str, name: &str, label: &str) -> Option<f64> {
    let begin = format!("mi_gateway_{name}{{");
    let of = |line: &&str| {
        line.starts_with(&begin) && line.contains("Sync.ItemMaster") && line.contains("\"wms\"") && line.contains(label)
    };
    metrics.lines().find(of)?.rsplit(' ').next()?.parse().ok()
}

async fn state(fabric: &Fabric, item: &str) -> String {
    let found = entries(fabric, &json!({ "noun": "ItemMaster", "key": item })).await;
    found.first().map(|entry| text(entry, "state").to_owned()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_in_every_way_gets_each_document_in_the_order_of_its_record() {
    let count = Arc::new(AtomicUsize::new(0));
    let (fabric, receiver) = to(
        move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
            0 => Says::HangUp,
            1 => Says::Status(500, None, "oops"),
            2 => Says::Half,
            3 => Says::Status(503, Some(("retry-after", "1")), ""),
            _ => GOOD,
        },
        20,
    )
    .await;
    write(&fabric, &format!("{ITEM}=FIRST")).await;
    until("its document is on its way", async || !receiver.named("Sync.ItemMaster").is_empty()).await;
    // Behind the first, which has not arrived.
    for name in ["Second", "Third"] {
        let before = entries(&fabric, &json!({ "key": "FIRST" })).await.len();
        write(&fabric, &format!("MMS200MI/UpdItmBasic?ITNO=FIRST&ITDS={name}")).await;
        until("it is made", async || entries(&fabric, &json!({ "key": "FIRST" })).await.len() > before).await;
    }
    let all = json!({ "key": "FIRST", "state": "delivered" });
    until("all are there", async || entries(&fabric, &all).await.len() == 3).await;
    let came = variations(&receiver, "FIRST");
    assert!(came.is_sorted() && came.len() >= 7, "each again until it is there, none before its time: {came:?}");
    let shown =
        operate(&fabric.house, "/outbox/show", &json!({ "id": entries(&fabric, &all).await[2]["id"] })).await.json();
    let way = shown["points"].as_array().expect("points").iter().find(|way| way["point"] == "wms").expect("the point");
    let words: Vec<&str> = way["attempts"].as_array().expect("attempts").iter().map(|one| text(one, "words")).collect();
    assert_eq!(words.len(), 5, "{words:?}");
    assert!(words[1].contains("500") && words[3].contains("503") && words[4].starts_with("202"), "{words:?}");
    let metrics = fabric.metrics().await;
    assert_eq!(metric(&metrics, "deliveries_total", "outcome=\"retry\""), Some(4.0), "{metrics}");
    assert_eq!(metric(&metrics, "deliveries_total", "outcome=\"delivered\""), Some(3.0), "{metrics}");
    assert_eq!(metric(&metrics, "delivery_seconds_count", ""), Some(3.0), "{metrics}");
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_nobody_takes_is_parked_and_holds_up_no_other() {
    let poisoned = Arc::new(AtomicBool::new(true));
    let still = poisoned.clone();
    let says = move |_: &Got, head: &Value| match head["documentId"] == "POISON" && still.load(Ordering::SeqCst) {
        true => Says::Status(500, None, "I can't read this"),
        false => GOOD,
    };
    let (fabric, receiver) = to(says, 3).await;
    write(&fabric, &format!("{ITEM}=POISON")).await;
    until("it is tried", async || !receiver.named("Sync.ItemMaster").is_empty()).await;
    for at in 0..5 {
        write(&fabric, &format!("{ITEM}=HEALTHY{at}")).await;
    }
    for at in 0..5 {
        until("others go on", async || state(&fabric, &format!("HEALTHY{at}")).await == "delivered").await;
    }
    until("it is parked", async || state(&fabric, "POISON").await == "parked").await;
    assert_eq!(variations(&receiver, "POISON").len(), 3, "so often and no more");
    let alert = "mi_gateway_deliveries_parked{document=\"Sync.ItemMaster\",point=\"wms\"} 1";
    until("the alert", async || fabric.metrics().await.contains(alert)).await;
    // Newer ones of the same record go on without it.
    poisoned.store(false, Ordering::SeqCst);
    write(&fabric, "MMS200MI/UpdItmBasic?ITNO=POISON&ITDS=Mended").await;
    until("the newer one", async || state(&fabric, "POISON").await == "delivered").await;
    let again = operate(&fabric.house, "/outbox/replay", &json!({ "state": "parked", "key": "POISON" })).await;
    assert_eq!(again.json()["replayed"], 1, "{}", again.text());
    let all = json!({ "key": "POISON", "state": "delivered" });
    until("both are there", async || entries(&fabric, &all).await.len() == 2).await;
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_of_document_that_a_receiver_never_takes_holds_up_no_other_kind_and_is_parked() {
    let says = |_: &Got, head: &Value| match head["documentName"] == "Sync.ItemMaster" {
        true => Says::Status(500, None, "no such document here"),
        false => GOOD,
    };
    let (fabric, receiver) = to(says, 2).await;
    for at in 0..20 {
        write(&fabric, &format!("{ITEM}=NEVER{at:02}")).await;
    }
    until("it is tried", async || receiver.named("Sync.ItemMaster").len() >= 5).await;
    let parked = json!({ "key": "NEVER", "state": "parked" });
    let mut orders = 0;
    until("some are parked, and orders go on all the while", async || {
        orders += 1;
        write(&fabric, &format!("PPS200MI/UpdHead?PUNO=2000001&YRE1=Go{orders}")).await;
        let of_orders = json!({ "noun": "PurchaseOrder", "state": "delivered" });
        until("the order", async || !entries(&fabric, &of_orders).await.is_empty()).await;
        orders >= 3 && entries(&fabric, &parked).await.len() >= 2
    })
    .await;
    let tried = receiver.named("Sync.ItemMaster").len();
    assert!(tried < 20 * 2, "what waits behind is not tried one by one: {tried}");
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_wants_to_be_left_alone_is() {
    let first = AtomicBool::new(true);
    let says = move |_: &Got, _: &Value| match first.swap(false, Ordering::SeqCst) {
        true => Says::Status(503, Some(("retry-after", "3")), "closed"),
        false => GOOD,
    };
    let (fabric, receiver) = to(says, 20).await;
    write(&fabric, &format!("{ITEM}=PATIENT")).await;
    until("it is there", async || state(&fabric, "PATIENT").await == "delivered").await;
    let tries: Vec<Got> = receiver.got().into_iter().filter(|got| got.message().is_some()).collect();
    let between = tries[1].at - tries[0].at;
    assert!(tries.len() == 2 && between >= Duration::from_millis(2_900), "{between:?}");
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_somebody_has_to_mend_waits_for_that() {
    let (fabric, _receiver) = to(|_, _| Says::Status(412, None, "inactive"), 20).await;
    write(&fabric, &format!("{ITEM}=WAITING")).await;
    until("it is told", async || {
        let found = entries(&fabric, &json!({ "key": "WAITING", "state": "pending" })).await;
        found
            .iter()
            .any(|entry| entry["reason"].as_str().is_some_and(|why| why.contains("412") && why.contains("inactive")))
    })
    .await;
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_receiver_that_is_away_is_asked_by_one_message_at_a_time_and_no_other_receiver_waits() {
    let away = Arc::new(AtomicBool::new(true));
    let still = away.clone();
    let says = move |_: &Got, _: &Value| if still.load(Ordering::SeqCst) { Says::HangUp } else { GOOD };
    let (fabric, receiver) = to(says, 1_000).await;
    for at in 0..20 {
        write(&fabric, &format!("{ITEM}=AWAY{at:02}")).await;
    }
    for at in 0..3 {
        write(&fabric, &format!("CRS610MI/ChgBasicData?CUNO=C00001&CUNM=Changed{at}")).await;
        until("the other receiver", async || fabric.at_crm.named("Sync.CustomerPartyMaster").len() > at).await;
    }
    until("all are made", async || entries(&fabric, &json!({ "key": "AWAY" })).await.len() == 20).await;
    let tries = || receiver.got().into_iter().filter(|got| got.message().is_some()).collect::<Vec<Got>>();
    until("it is seen to be away", async || tries().len() > 5).await;
    let before = tries().len();
    until("it is asked whether it is back", async || tries().len() >= before + 4).await;
    // Twenty could go, and one is sent to ask.
    let asked = &tries()[before..];
    assert!(asked.iter().all(|got| got.beside == 1));
    let between = asked[3].at - asked[1].at;
    assert!(between >= Duration::from_millis(500), "by one after the other, with growing waits: {between:?}");
    let metrics = fabric.metrics().await;
    assert_eq!(metric(&metrics, "deliveries_pending", ""), Some(20.0), "{metrics}");
    assert!(metric(&metrics, "deliveries_oldest_seconds", "") >= Some(1.0), "{metrics}");
    // Nor do they wait for what an operator takes out meanwhile.
    for (item, order, state_then) in [("AWAY18", "park", "parked"), ("AWAY19", "drop", "dropped")] {
        let id = entries(&fabric, &json!({ "key": item })).await[0]["id"].clone();
        let said = json!({ "id": id, "by": "ann", "reason": "it was a trial" });
        let done = operate(&fabric.house, &format!("/outbox/{order}"), &said).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.text());
        assert_eq!(state(&fabric, item).await, state_then);
        until("its line in the audit log", async || noted(&fabric, &format!("outbox-{order}"), &id)).await;
    }
    away.store(false, Ordering::SeqCst);
    let all = json!({ "key": "AWAY", "state": "delivered" });
    until("all others are there", async || entries(&fabric, &all).await.len() == 18).await;
    assert_eq!(["AWAY18", "AWAY19"].map(|item| variations(&receiver, item).len()), [0, 0], "nobody was given these");
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_holds_up_its_own_record_alone() {
    let allowed = Arc::new(Semaphore::new(0));
    let gate = allowed.clone();
    let says = move |_: &Got, head: &Value| if head["documentId"] == "SLOW" { Says::Late(gate.clone()) } else { GOOD };
    let (fabric, receiver) = to(says, 20).await;
    write(&fabric, &format!("{ITEM}=SLOW")).await;
    until("it is given away", async || state(&fabric, "SLOW").await == "sent").await;
    let made = json!({ "key": "SLOW" });
    write(&fabric, "MMS200MI/UpdItmBasic?ITNO=SLOW&ITDS=Newer").await;
    write(&fabric, &format!("{ITEM}=QUICK")).await;
    until("the quick one", async || state(&fabric, "QUICK").await == "delivered").await;
    until("the newer one waits", async || entries(&fabric, &made).await.len() == 2).await;
    assert_eq!(variations(&receiver, "SLOW").len(), 1, "the newer one waits for the older");
    allowed.add_permits(2);
    let all = json!({ "key": "SLOW", "state": "delivered" });
    until("both are there", async || entries(&fabric, &all).await.len() == 2).await;
    assert!(variations(&receiver, "SLOW").is_sorted());
    fabric.house.stop().await;
}
