//! Batch entries: no document of what M3 has not created, and none is lost of what it has.

use crate::house::{Caller, House};
use crate::publisher::{documents, done, listed, publishing, quiet, told, until};
use mi_gateway::outbox::{Ledger, Operator};
use serde_json::Value;

/// An order entered under a message, and not handed over yet: the message and the order.
async fn entered(caller: &Caller) -> (String, String) {
    let text = |reply: &crate::house::Reply, name: &str| reply.records()[0][name].as_str().expect(name).to_owned();
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
    let ledger = Ledger::open(&house.state.path().join("outbox")).await.expect("the outbox");
    let who = Operator { by: "tests".into(), reason: "mended in M3".into() };
    ledger.replay(entry["id"].as_str().expect("an id"), false, &who).await.expect("asked again");
    ledger.close().await;
    told(&house, &order, 1).await;
}

#[tokio::test]
async fn a_temporary_order_is_told_under_the_number_that_it_gets() {
    let (house, caller) = publishing(|_| {}).await;
    let text = |reply: &crate::house::Reply| reply.records()[0]["ORNO"].as_str().expect("a number").to_owned();
    let entered = text(&caller.m3("OIS100MI/AddBatchHead?CUNO=C00001&ORTP=A01&FACI=A01").await);
    done(&caller, &format!("OIS100MI/AddBatchLine?ORNO={entered}&ITNO=A00001&ORQT=3")).await;
    let real = text(&caller.m3(&format!("OIS100MI/Confirm?ORNO={entered}")).await);
    assert_ne!(entered, real);
    let document = told(&house, &real, 1).await.remove(0);
    assert!(document.contains("<SyncSalesOrder ") && document.contains("<SalesOrderLine>"), "{document}");
    quiet(&house).await;
    assert_eq!(documents(&house, &entered), [] as [String; 0]);
}
