//! Writes that are sent again are not done again.

use crate::house::{Caller, House, Reply, sockets_alone};
use http::{Method, StatusCode};
use mi_gateway::model::{M3User, Standing};
use std::time::Duration;

async fn keyed(caller: &Caller, key: &str, call: &str) -> Reply {
    caller.get_with(&format!("/DEMO_TST/M3/m3api-rest/v2/execute/{call}"), &[("idempotency-key", key)]).await
}

fn times(house: &House, transaction: &str) -> usize {
    house.asked().iter().filter(|call| call.contains(transaction)).count()
}

const ADD: &str = "MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=ONCE&ITDS=Once";
const CHANGE: &str = "CRS610MI/ChgBasicData?CUNO=C00001&CUNM=Changed";

#[tokio::test]
async fn the_same_request_with_the_same_key_is_done_once_and_answered_as_before() {
    let house = House::start().await;
    let demo = house.demo().await;
    let first = keyed(&demo, "one", ADD).await;
    let again = keyed(&demo, "\"one\"", ADD).await;
    assert_eq!((first.status, first.text()), (again.status, again.text()));
    assert_eq!(first.json()["nrOfSuccessfullTransactions"], 1, "{}", first.text());
    let path = format!("/DEMO_TST/M3/m3api-rest/execute/{ADD}");
    let v1 = demo.get_with(&path, &[("idempotency-key", "one"), ("accept", "application/json")]).await;
    assert_eq!(v1.status, StatusCode::OK, "in the other dialect: {}", v1.text());
    assert_eq!(times(&house, "AddItmViaItmTyp"), 1);
    // M3's refusal is an outcome as well.
    let refused = keyed(&demo, "two", ADD).await;
    let repeated = keyed(&demo, "two", ADD).await;
    assert_eq!((refused.error(), refused.status), (repeated.error(), repeated.status));
    assert_eq!(refused.error().0, "ServerReturnedNOK", "{}", refused.text());
    assert_eq!(times(&house, "AddItmViaItmTyp"), 2);
}

#[tokio::test]
async fn a_key_is_over_a_restart_what_it_was() {
    let house = House::start().await;
    let demo = house.demo().await;
    let first = keyed(&demo, "kept", ADD).await;
    let url = house.running.addresses.public_url.clone();
    let state = house.stop().await;
    let house = House::again(state, |settings| settings.public_url = Some(url)).await;
    let again = keyed(&house.demo().await, "kept", ADD).await;
    assert_eq!((first.status, first.text()), (again.status, again.text()));
    assert_eq!(times(&house, "AddItmViaItmTyp"), 0);
}

#[tokio::test]
async fn a_key_stands_for_one_request_of_one_client() {
    let house = House::start().await;
    let demo = house.demo().await;
    keyed(&demo, "mine", CHANGE).await;
    let other = keyed(&demo, "mine", &CHANGE.replace("Changed", "Otherwise")).await;
    assert_eq!((other.status, other.problem().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused"));
    house.running.add_client("second", &[], &["demo"]).await.expect("a client");
    let second = house.caller("second").await;
    let theirs = keyed(&second, "mine", &CHANGE.replace("Changed", "Theirs")).await;
    assert_ne!(theirs.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", theirs.text());
    for bad in ["", "\"open", &"x".repeat(256)] {
        assert_eq!(keyed(&demo, bad, CHANGE).await.problem(), "request-unreadable", "{bad:?}");
    }
    // A read has no use for a key.
    let read = "CRS610MI/GetBasicData?CUNO=C00001";
    assert_eq!(keyed(&demo, "mine", read).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_a_balancer_repeats_is_done_once_where_the_rid_is_the_key() {
    let house = House::start().await;
    let standing = Standing { user: M3User::parse("MIDEMO").ok(), rid_is_key: true, ..Standing::default() };
    house.running.add_client_with("by-rid", &[], &["demo"], standing).await.expect("a client");
    let (by_rid, demo) = (house.caller("by-rid").await, house.demo().await);
    let call = format!("{ADD}&_rid=r1");
    let (first, again) = (by_rid.m3(&call).await, by_rid.m3(&call).await);
    assert_eq!((first.status, first.text()), (again.status, again.text()));
    assert_eq!(first.json()["nrOfSuccessfullTransactions"], 1, "{}", first.text());
    assert_eq!(times(&house, "AddItmViaItmTyp"), 1);
    // Another call with it, or the same with another: requests of their own.
    let other = by_rid.m3(&call.replace("ONCE", "TWICE")).await;
    assert_eq!(other.json()["nrOfSuccessfullTransactions"], 1, "{}", other.text());
    assert_eq!(by_rid.m3(&call.replace("r1", "r2")).await.error().0, "ServerReturnedNOK", "it is there already");
    // Whoever is not set so has it ignored.
    assert_eq!(demo.m3(&call).await.error().0, "ServerReturnedNOK");
    assert_eq!(times(&house, "AddItmViaItmTyp"), 4);
}

#[tokio::test]
async fn who_may_no_longer_write_gets_no_stored_answer() {
    let house = House::start().await;
    let demo = house.demo().await;
    keyed(&demo, "mine", CHANGE).await;
    let reader = house.reader().await;
    assert_eq!(keyed(&reader, "mine", CHANGE).await.problem(), "policy-denied");
}

#[tokio::test]
async fn a_request_in_flight_is_not_begun_twice() {
    let house = House::start().await;
    let demo = house.demo().await;
    keyed(&demo, "warm", "CRS610MI/ChgBasicData?CUNO=C00002").await;
    house.m3().clear_calls();
    house.faults(r#"{"rules":[{"transaction":"ChgBasicData","times":1,"latency_ms":800}]}"#);
    let second = async {
        while times(&house, "ChgBasicData") == 0 {
            crate::house::a_moment().await;
        }
        keyed(&demo, "slow", CHANGE).await
    };
    let (first, second) = tokio::join!(keyed(&demo, "slow", CHANGE), second);
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!((second.status, second.problem().as_str()), (StatusCode::CONFLICT, "request-in-flight"));
    assert!(second.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0));
    assert_eq!(times(&house, "ChgBasicData"), 1);
}

#[tokio::test]
async fn an_unknown_outcome_stays_unknown_and_is_never_a_second_write() {
    if sockets_alone("the faults are of the socket") {
        return;
    }
    let house = House::with(|settings| settings.gateway.exchange.write_wait = Duration::from_secs(5)).await;
    let demo = house.demo().await;
    keyed(&demo, "warm", "CRS610MI/ChgBasicData?CUNO=C00002").await;
    house.m3().clear_calls();
    house.faults(r#"{"rules":[{"transaction":"ChgBasicData","times":1,"action":"drop_before"}]}"#);
    let first = keyed(&demo, "lost", CHANGE).await;
    assert_eq!(first.problem(), "outcome-unknown");
    let again = keyed(&demo, "lost", CHANGE).await;
    assert_eq!(again.problem(), "outcome-unknown", "{}", again.text());
    assert_eq!(first.json()["intent"], again.json()["intent"]);
    assert_eq!(times(&house, "ChgBasicData"), 1, "{:?}", house.asked());
}

#[tokio::test]
async fn a_bulk_that_is_sent_again_is_done_once_transaction_by_transaction() {
    let house = House::start().await;
    let demo = house.demo().await;
    let body = r#"{"program":"MMS200MI","transactions":[
        {"transaction":"AddItmViaItmTyp","record":{"ITTY":"001","ITNO":"B1","ITDS":"One"}},
        {"transaction":"AddItmViaItmTyp","record":{"ITTY":"001","ITNO":"B2","ITDS":"Two"}}]}"#;
    let path = "/DEMO_TST/M3/m3api-rest/v2/execute";
    let headers = [("content-type", "application/json"), ("idempotency-key", "bulk")];
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(demo.send(Method::POST, path, &headers, body.into()).await.json());
    }
    assert_eq!(answers[0]["nrOfSuccessfullTransactions"], 2, "{}", answers[0]);
    assert_eq!(answers[0]["results"], answers[1]["results"]);
    assert_eq!(times(&house, "AddItmViaItmTyp"), 2);
}

#[tokio::test]
async fn nothing_runs_of_a_bulk_with_a_key_whose_body_breaks_off() {
    let house = House::start().await;
    let demo = house.demo().await;
    let first = r#"{"program":"MMS200MI","transactions":[
        {"transaction":"AddItmViaItmTyp","record":{"ITTY":"001","ITNO":"K1","ITDS":"One"}},"#;
    let (path, json) = ("/DEMO_TST/M3/m3api-rest/v2/execute", ("content-type", "application/json"));
    let cut = demo.send(Method::POST, path, &[json, ("idempotency-key", "cut")], first.into()).await;
    assert_eq!((cut.status, cut.problem().as_str()), (StatusCode::BAD_REQUEST, "request-unreadable"), "{}", cut.text());
    assert_eq!(times(&house, "AddItmViaItmTyp"), 0, "{:?}", house.asked());
    let whole = format!("{}]}}", first.trim_end_matches(','));
    let mended = demo.send(Method::POST, path, &[json, ("idempotency-key", "cut")], whole.into()).await;
    assert_eq!(mended.json()["nrOfSuccessfullTransactions"], 1, "{}", mended.text());
    // Without a key it had run while the rest was awaited.
    let open = demo.send(Method::POST, path, &[json], first.replace("K1", "K2").into()).await;
    assert_eq!(open.json()["nrOfSuccessfullTransactions"], 1, "{}", open.text());
}
