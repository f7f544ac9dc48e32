//! Batch entries: no document of what M3 has not created, and none is lost of what it has.

use crate::house::{Caller, House, Reply};
use crate::publisher::{documents, done, listed, publishing, quiet, told, until};
use mi_gateway::outbox::{Ledger, Operator, Resolution, Settings};
use serde_json::Value;
use std::time::{Duration, Instant};

/// An order entered under a message, and not handed over yet: the message and the order.
async fn entered(caller: &Caller) -> (String, String) {
    let text = |reply: &Reply, name: &str| reply.records()[0][name].as_str().expect(name).to_owned();
    let message = text(&caller.m3("PPS370MI/StartEntry?BAOR=TESTS").await, "MSGN");
    let head = format!("PPS370MI/AddHead?MSGN={message}&FACI=A01&WHLO=001&SUNO=S00001&DWDT=20270301");
    let order = text(&caller.m3(&head).await, "PUNO");
    done(caller, &format!("PPS370MI/AddLine?MSGN={message}&PUNO={order}&ITNO=A00001&ORQA=5")).await;
    (message, order)
}

async fn watched(house: &House, state: &str) -> Value {
    until(&format!("an entry that is {state}"), async || {
        let of = |entry: &Value| entry["kind"] == "entry" && entry["state"] == state;
        listed(house).await.into_iter().find(of)
    })
    .await
}

#[tokio::test]
async fn an_order_of_a_batch_entry_is_told_once_m3_has_created_it() {
    let (house, caller) = publishing(|_| {}).await;
    let (message, order) = entered(&caller).await;
    quiet(&house).await;
    assert_eq!(documents(&house, &order), [] as [String; 0], "it is entered, and no order yet");
    // The batch stops for a person.
    let waiting = format!(r#"{{"records":[{{"PUNO":"{order}","MSGN":"{message}","STAT":"20"}}]}}"#);
    house.faults(&format!(r#"{{"rules":[{{"transaction":"GetBatchHead","action":{{"answer":{waiting}}}}}]}}"#));
    done(&caller, &format!("PPS370MI/FinishEntry?MSGN={message}")).await;
    let entry = watched(&house, "watched").await;
    assert_eq!((&entry["batch"], &entry["key"][0]), (&Value::from(message.as_str()), &Value::from(order.as_str())));
    until("M3 was asked", async || house.asked().iter().any(|call| call.contains("GetBatchHead")).then_some(())).await;
    assert_eq!(documents(&house, &order), [] as [String; 0], "no document of an order that is not there");
    house.faults(r#"{"rules":[]}"#);
    let document = told(&house, &order, 1).await.remove(0);
    assert!(document.contains("<SyncPurchaseOrder ") && document.contains("<PurchaseOrderLine>"), "{document}");
    assert!(!listed(&house).await.iter().any(|entry| entry["kind"] == "entry"), "and nothing is watched any more");
}

#[tokio::test]
async fn what_m3_refuses_of_a_batch_entry_is_shown_with_its_reason_and_asked_again_by_hand() {
    let (house, caller) = publishing(|_| {}).await;
    let (message, order) = entered(&caller).await;
    let refused = format!(
        r#"{{"records":[{{"PUNO":"{order}","STAT":"20","MSID":"WSU0103","MSGD":"Supplier does not exist"}}]}}"#
    );
    house.faults(&format!(r#"{{"rules":[{{"transaction":"GetBatchHead","action":{{"answer":{refused}}}}}]}}"#));
    done(&caller, &format!("PPS370MI/FinishEntry?MSGN={message}")).await;
    let entry = watched(&house, "failed").await;
    assert_eq!(entry["reason"], "WSU0103 Supplier does not exist");
    // Somebody mended it in M3, and says so.
    house.faults(r#"{"rules":[]}"#);
    let ledger = Ledger::open(&Settings::under(house.state.path().join("outbox"))).await.expect("the outbox");
    let who = Operator { by: "tests".into(), reason: "mended in M3".into() };
    ledger.replay(entry["id"].as_str().expect("an id"), false, &who).await.expect("asked again");
    ledger.close().await;
    told(&house, &order, 1).await;
}

#[tokio::test]
async fn a_temporary_order_is_told_under_the_number_that_it_gets() {
    let (house, caller) = publishing(|_| {}).await;
    let text = |reply: &Reply| reply.records()[0]["ORNO"].as_str().expect("a number").to_owned();
    let entered = text(&caller.m3("OIS100MI/AddBatchHead?CUNO=C00001&ORTP=A01&FACI=A01").await);
    done(&caller, &format!("OIS100MI/AddBatchLine?ORNO={entered}&ITNO=A00001&ORQT=3")).await;
    let real = text(&caller.m3(&format!("OIS100MI/Confirm?ORNO={entered}")).await);
    assert_ne!(entered, real);
    let document = told(&house, &real, 1).await.remove(0);
    assert!(document.contains("<SyncSalesOrder ") && document.contains("<SalesOrderLine>"), "{document}");
    quiet(&house).await;
    assert_eq!(documents(&house, &entered), [] as [String; 0]);
}

fn text(reply: &Reply, name: &str) -> String {
    reply.records()[0][name].as_str().unwrap_or_else(|| panic!("{name}: {}", reply.text())).to_owned()
}

/// A message whose origin stops for a person.
async fn by_hand(caller: &Caller) -> String {
    text(&caller.m3("PPS370MI/StartEntry?BAOR=HAND").await, "MSGN")
}

/// M3 was asked of this so often that whatever it said has had its effect.
async fn asked(house: &House, call: &str) {
    let asked = || house.asked().iter().filter(|asked| asked.contains(call)).count();
    until(&format!("{call} was asked"), async || (asked() >= 2).then_some(())).await;
}

fn lines(document: &str) -> usize {
    document.matches("<PurchaseOrderLine>").count()
}

#[tokio::test]
async fn a_line_for_an_order_that_is_there_is_told_when_m3_has_it() {
    let (house, caller) = publishing(|_| {}).await;
    done(&caller, "PPS200MI/UpdHead?PUNO=2000002&YRE1=Before").await;
    let before = told(&house, "2000002", 1).await.remove(0);
    let message = by_hand(&caller).await;
    let line = format!("PPS370MI/AddLine?MSGN={message}&PUNO=2000002&ITNO=A00001&ORQA=5");
    assert_eq!(text(&caller.m3(&line).await, "PNLI"), "1");
    done(&caller, &format!("PPS370MI/FinishEntry?MSGN={message}")).await;
    asked(&house, "GetBatchLine").await;
    assert_eq!(documents(&house, "2000002").len(), 1, "M3 does not have it yet");
    house.m3().release();
    let after = told(&house, "2000002", 2).await.remove(1);
    assert_eq!(lines(&after), lines(&before) + 1, "{after}");
    quiet(&house).await;
    assert!(!listed(&house).await.iter().any(|entry| entry["kind"] == "entry"), "and nothing is watched any more");
}

#[tokio::test]
async fn what_an_earlier_batch_left_of_an_order_says_nothing_of_its_new_line() {
    let (house, caller) = publishing(|_| {}).await;
    let (message, order) = entered(&caller).await;
    done(&caller, &format!("PPS370MI/FinishEntry?MSGN={message}")).await;
    told(&house, &order, 1).await;
    let later = by_hand(&caller).await;
    done(&caller, &format!("PPS370MI/AddLine?MSGN={later}&PUNO={order}&ITNO=NOSUCH&ORQA=5")).await;
    done(&caller, &format!("PPS370MI/FinishEntry?MSGN={later}")).await;
    asked(&house, "GetBatchLine").await;
    assert_eq!(documents(&house, &order).len(), 1);
    // The line is refused, and that is shown with M3's words.
    house.m3().release();
    let ledger = Ledger::open(&Settings::under(house.state.path().join("outbox"))).await.expect("the outbox");
    let entry = watched(&house, "watched").await;
    let who = Operator { by: "tests".into(), reason: "asks at once".into() };
    ledger.replay(entry["id"].as_str().expect("an id"), false, &who).await.expect("asked again");
    ledger.close().await;
    let entry = watched(&house, "failed").await;
    assert_eq!(entry["reason"], "WIT0103 Item number NOSUCH does not exist");
    assert_eq!(documents(&house, &order).len(), 1);
}

#[tokio::test]
async fn a_batch_that_somebody_else_entered_is_told_once_an_operator_says_what_came_of_it() {
    let (house, caller) = publishing(|_| {}).await;
    let (message, order) = entered(&caller).await;
    let head = format!("PPS370MI/AddHead?MSGN={message}&FACI=A01&WHLO=001&SUNO=S00002&DWDT=20270301");
    let other = text(&caller.m3(&head).await, "PUNO");
    done(&caller, &format!("PPS370MI/AddLine?MSGN={message}&PUNO={other}&ITNO=A00001&ORQA=5")).await;
    let store = mi_gateway::store::Store::open(&house.state.path().join("outbox")).await.expect("the outbox");
    let mut write = store.write().await.expect("a transaction");
    sqlx::raw_sql("DELETE FROM entries").execute(&mut *write).await.expect("as if nothing had passed here");
    write.commit().await.expect("commits");
    store.close().await;
    done(&caller, &format!("PPS370MI/FinishEntry?MSGN={message}")).await;
    let id = watched(&house, "expired").await["id"].clone();
    quiet(&house).await;
    assert_eq!(documents(&house, &order), [] as [String; 0]);
    let ordered = async |path: &str, more: Value| {
        let mut body = serde_json::json!({ "id": id, "by": "ann", "reason": "looked in M3" });
        more.as_object().expect("members").iter().for_each(|(name, value)| body[name] = value.clone());
        crate::fabric::operate(&house, path, &body).await
    };
    let asked = ordered("/outbox/replay", serde_json::json!({})).await;
    assert!(asked.status.is_client_error() && asked.text().contains("committed --key"), "{}", asked.text());
    let said = serde_json::json!({ "outcome": "committed", "key": { "PUNO": [order, other] } });
    let resolved = ordered("/outbox/resolve", said).await;
    assert!(resolved.status.is_success(), "{}", resolved.text());
    for order in [&order, &other] {
        assert!(told(&house, order, 1).await[0].contains("<PurchaseOrderLine>"), "{order}");
    }
}

/// Entries that M3 is asked for from now on, as if so many had been handed over.
async fn handed_over(house: &House, many: u32) {
    let folder = house.state.path().join("outbox");
    let store = mi_gateway::store::Store::open(&folder).await.expect("the outbox");
    let mut write = store.write().await.expect("a transaction");
    let entries = "WITH RECURSIVE n (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM n WHERE at < ?1)
        INSERT INTO watches (noun, company, division, call, batch, record, asked, cause, since, state, next_try)
        SELECT 'PurchaseOrder', 100, '', 'PPS370MI/FinishEntry', '9', json_array('9' || at), json_array('9' || at), 'x',
            unixepoch() * 1000, 'watched', 0 FROM n";
    sqlx::query(entries).bind(many).execute(&mut *write).await.expect("handed over");
    write.commit().await.expect("commits");
    store.close().await;
}

fn asks(house: &House) -> usize {
    house.asked().iter().filter(|asked| asked.contains("GetBatchHead")).count()
}

#[tokio::test]
async fn an_m3_that_is_away_is_asked_for_entries_ever_less_often_however_many_wait() {
    let (house, _caller) = publishing(|_| {}).await;
    house.faults(r#"{"rules":[{"transaction":"GetBatchHead","action":"drop_before"}]}"#);
    handed_over(&house, 60).await;
    let store = mi_gateway::store::Store::open(&house.state.path().join("outbox")).await.expect("the outbox");
    let tries = async |least: i64| {
        let tries = "SELECT sum(tries) FROM watches";
        let (tries,): (i64,) = sqlx::query_as(tries).fetch_one(store.read()).await.expect("a row");
        (tries >= least).then_some(())
    };
    until("it is asked", async || tries(1).await).await;
    let begun = Instant::now();
    // Eight at a time, with a pause that is twice as long each time.
    until("it is asked again", async || tries(3 * 8 + 1).await).await;
    assert!(begun.elapsed() >= Duration::from_millis(1_500), "{:?}", begun.elapsed());
    store.close().await;
    let reason = "could not be asked, and why is shown";
    let why = |entry: &Value| entry["reason"].as_str().is_some_and(|why| why.contains("PPS370MI/GetBatchHead"));
    until(reason, async || listed(&house).await.iter().any(why).then_some(())).await;
}

#[tokio::test]
async fn an_entry_that_m3_never_answers_for_holds_up_no_question_and_no_other_entry() {
    let (house, caller) = publishing(|_| {}).await;
    house.faults(
        r#"{"rules":[{"transaction":"GetBatchHead","times":1,"action":"no_answer"},
            {"transaction":"UpdItmBasic","times":1,"action":"drop_after"}]}"#,
    );
    handed_over(&house, 1).await;
    until("M3 was asked", async || (asks(&house) > 0).then_some(())).await;
    let (message, order) = entered(&caller).await;
    done(&caller, &format!("PPS370MI/FinishEntry?MSGN={message}")).await;
    let lost = caller.m3("MMS200MI/UpdItmBasic?ITNO=A00008&ITDS=Lost").await;
    assert_eq!(lost.problem(), "outcome-unknown", "{}", lost.text());
    told(&house, &order, 1).await;
    let document = told(&house, "A00008", 1).await.remove(0);
    assert!(document.contains(">Lost<"), "{document}");
}

async fn temporary(caller: &Caller, kind: &str, item: &str) -> String {
    let entered = text(&caller.m3(&format!("OIS100MI/AddBatchHead?CUNO=C00001&ORTP={kind}&FACI=A01")).await, "ORNO");
    done(caller, &format!("OIS100MI/AddBatchLine?ORNO={entered}&ITNO={item}&ORQT=3")).await;
    entered
}

#[tokio::test]
async fn a_temporary_order_that_waits_is_told_once_somebody_says_its_number() {
    let (house, caller) = publishing(|_| {}).await;
    let entered = temporary(&caller, "H01", "A00001").await;
    let reply = caller.m3(&format!("OIS100MI/Confirm?ORNO={entered}")).await;
    assert_eq!(text(&reply, "ORNO"), entered, "M3 has no other number yet");
    let entry = watched(&house, "watched").await;
    assert_eq!((&entry["batch"], &entry["key"]), (&Value::from(entered.as_str()), &Value::Array(Vec::new())));
    house.m3().release();
    let entry = watched(&house, "failed").await;
    let reason = entry["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("outbox resolve"), "{entry}");
    let real = house.m3().record("OIS100MI", 100, &[("ORNO", "1500001")]).expect("the real order")["ORNO"].clone();
    let ledger = Ledger::open(&Settings::under(house.state.path().join("outbox"))).await.expect("the outbox");
    let who = Operator { by: "tests".into(), reason: "looked it up in M3".into() };
    let resolved = |key: &[(&str, &str)]| Resolution::Committed {
        key: key.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    let id = entry["id"].as_str().expect("an id");
    ledger.resolve(id, &resolved(&[]), &who).await.expect_err("it has no number");
    ledger.resolve(id, &resolved(&[("PUNO", "1")]), &who).await.expect_err("it is not called so");
    ledger.resolve(id, &resolved(&[("ORNO", &real)]), &who).await.expect("settled");
    ledger.close().await;
    let document = told(&house, &real, 1).await.remove(0);
    assert!(document.contains("<SyncSalesOrder ") && document.contains("<SalesOrderLine>"), "{document}");
    assert_eq!(documents(&house, &entered), [] as [String; 0]);
    assert!(!listed(&house).await.iter().any(|entry| entry["kind"] == "entry"));
}

#[tokio::test]
async fn a_temporary_order_that_is_refused_is_shown_with_its_status_and_told_when_it_was_mended() {
    let (house, caller) = publishing(|_| {}).await;
    let entered = temporary(&caller, "A01", "NOSUCH").await;
    let reply = caller.m3(&format!("OIS100MI/Confirm?ORNO={entered}")).await;
    assert_eq!(text(&reply, "STAT"), "15", "{}", reply.text());
    let entry = watched(&house, "failed").await;
    assert_eq!(entry["reason"], "M3 has not created it: its status is 15");
    done(&caller, &format!("OIS100MI/DelBatchLine?ORNO={entered}&PONR=1")).await;
    let real = text(&caller.m3(&format!("OIS100MI/Confirm?ORNO={entered}")).await, "ORNO");
    told(&house, &real, 1).await;
    assert!(!listed(&house).await.iter().any(|entry| entry["kind"] == "entry"), "nothing is left of the first time");
}
