//! What becomes of a call when M3 or its caller goes away in the middle: a write is never repeated, an unknown outcome is
//! said to be unknown, and a session that is out of step is never used again.

use crate::house::{Caller, House, sockets_alone};
use http::StatusCode;
use mi_gateway::mock_m3::Kill;
use std::time::Duration;

const WRITE: &str = "CRS610MI/ChgBasicData?CUNO=C00001&CUNM=Changed";
const READ: &str = "CRS610MI/GetBasicData?CUNO=C00001";

async fn house() -> House {
    House::with(|settings| {
        settings.gateway.exchange.read_patience = Duration::from_millis(400);
        settings.gateway.exchange.write_wait = Duration::from_millis(400);
        settings.gateway.exchange.write_patience = Duration::from_secs(20);
    })
    .await
}

/// Layouts known and a session open, so that a fault meets the call and nothing before it.
async fn warm(house: &House) -> Caller {
    let demo = house.demo().await;
    assert_eq!(demo.m3(READ).await.status, StatusCode::OK);
    assert_eq!(demo.m3("CRS610MI/ChgBasicData?CUNO=C00002").await.status, StatusCode::OK);
    house.m3().clear_calls();
    demo
}

fn fault(transaction: &str, rest: &str) -> String {
    format!(r#"{{"rules":[{{"transaction":"{transaction}","times":1,{rest}}}]}}"#)
}

fn times(house: &House, transaction: &str) -> usize {
    house.asked().iter().filter(|call| call.contains(transaction)).count()
}

#[tokio::test]
async fn a_write_that_m3_may_have_seen_is_unknown_and_never_repeated() {
    for action in ["\"drop_after\"", "\"half_answer\"", "\"garbage\"", "\"drop_before\"", "\"no_answer\""] {
        let house = house().await;
        let demo = warm(&house).await;
        house.faults(&fault("ChgBasicData", &format!(r#""action":{action}"#)));
        let reply = demo.m3(WRITE).await;
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (StatusCode::GATEWAY_TIMEOUT, "outcome-unknown"),
            "{action}"
        );
        assert!(reply.json()["intent"].is_string(), "{action}");
        // The next call finds a session that is in step.
        let read = demo.m3(READ).await;
        assert_eq!((read.status, read.records().len()), (StatusCode::OK, 1), "{action}");
        assert!(times(&house, "ChgBasicData") <= 1, "{action}: {:?}", house.asked());
    }
}

#[tokio::test]
async fn a_caller_who_waits_too_long_is_told_so_while_the_write_goes_on() {
    let house = house().await;
    let demo = warm(&house).await;
    house.faults(&fault("ChgBasicData", r#""latency_ms":1200"#));
    let reply = demo.m3(WRITE).await;
    assert_eq!(reply.problem(), "outcome-unknown");
    let done = async {
        while house.m3().record("CRS610MI", 100, &[("CUNO", "C00001")]).is_none_or(|row| row["CUNM"] != "Changed") {
            crate::house::a_moment().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), done).await.expect("the write is done all the same");
    assert_eq!(times(&house, "ChgBasicData"), 1);
}

#[tokio::test]
async fn a_write_does_not_die_with_its_caller() {
    let house = house().await;
    let demo = warm(&house).await;
    house.faults(&fault("ChgBasicData", r#""latency_ms":600"#));
    // The caller goes away as soon as M3 has the call.
    let gone = async {
        while times(&house, "ChgBasicData") == 0 {
            crate::house::a_moment().await;
        }
    };
    tokio::select! {
        reply = demo.m3(WRITE) => panic!("answered before it was done: {}", reply.text()),
        () = gone => {}
    }
    let done = async {
        while house.m3().record("CRS610MI", 100, &[("CUNO", "C00001")]).is_none_or(|row| row["CUNM"] != "Changed") {
            crate::house::a_moment().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), done).await.expect("the write is done");
    for _ in 0..5 {
        assert_eq!(demo.m3(READ).await.records()[0]["CUNO"], "C00001", "nobody gets another one's answer");
    }
    assert_eq!(times(&house, "ChgBasicData"), 1);
}

#[tokio::test]
async fn a_read_that_m3_does_not_answer_fails_in_time_and_the_next_one_works() {
    for (action, problem) in
        [("\"no_answer\"", "m3-timeout"), ("\"drop_after\"", "m3-unreachable"), ("\"garbage\"", "m3-incomprehensible")]
    {
        let house = house().await;
        let demo = warm(&house).await;
        house.faults(&fault("GetBasicData", &format!(r#""action":{action}"#)));
        let reply = demo.m3(READ).await;
        assert_eq!(reply.problem(), problem, "{action}");
        assert_eq!(demo.m3(READ).await.status, StatusCode::OK, "{action}");
    }
}

#[tokio::test]
async fn sessions_that_died_in_their_sleep_never_make_a_write_unknown() {
    for kill in [Kill::Fin, Kill::Reset] {
        let house = house().await;
        let demo = warm(&house).await;
        house.m3().kill_sessions(kill);
        let reply = demo.m3(WRITE).await;
        assert_eq!(reply.json()["nrOfSuccessfullTransactions"], 1, "{kill:?}: {}", reply.text());
        assert_eq!(times(&house, "ChgBasicData"), 1);
    }
}

#[tokio::test]
async fn a_list_that_breaks_off_is_valid_and_says_so() {
    let house = house().await;
    let demo = warm(&house).await;
    let list = "CRS610MI/LstByNumber?maxrecs=50&format=UNFORMATTED";
    demo.m3(list).await;
    house.faults(&fault(
        "LstByNumber",
        r#""action":{"nok_after":{"records":3,"id":"XIM0002","field":"CUNO","text":"Enough"}}"#,
    ));
    let reply = demo.m3(list).await;
    assert_eq!((reply.status, reply.records().len()), (StatusCode::OK, 3));
    assert_eq!(reply.error(), ("ServerReturnedNOK".into(), "XIM0002".into(), "CUNO".into()));
    assert_eq!((&reply.json()["wasTerminated"], &reply.json()["nrOfFailedTransactions"]), (&false.into(), &1.into()));
    house.faults(&fault("LstByNumber", r#""action":{"silent_after":{"records":4}}"#));
    let reply = demo.m3(list).await;
    assert_eq!((reply.records().len(), &reply.json()["wasTerminated"]), (4, &true.into()), "{}", reply.text());
    house.faults(&fault(
        "LstByNumber",
        r#""action":{"nok_after":{"records":2,"id":"XIM0002","field":"","text":"Enough"}}"#,
    ));
    let v1 = demo.v1("CRS610MI/LstByNumber;returncols=CUNO").await.json();
    assert_eq!((v1["MIRecord"].as_array().map(Vec::len), &v1["ErrorMessage"]["@code"]), (Some(2), &"XIM0002".into()));
}

#[tokio::test]
async fn whoever_ends_the_waiting_for_a_write_says_that_its_outcome_is_unknown() {
    let house = House::with(|settings| settings.gateway.wait = Duration::from_secs(2)).await;
    let demo = warm(&house).await;
    house.faults(&fault("ChgBasicData", r#""latency_ms":8000"#));
    let write = demo.m3("CRS610MI/ChgBasicData?CUNO=C00001&CUNM=Slow").await;
    assert_eq!((write.status, write.problem().as_str()), (StatusCode::GATEWAY_TIMEOUT, "outcome-unknown"));
    assert!(write.json()["intent"].is_string(), "{}", write.text());
    house.faults(&fault("GetBasicData", r#""latency_ms":8000"#));
    let read = demo.m3(READ).await;
    assert_eq!((read.status, read.problem().as_str()), (StatusCode::GATEWAY_TIMEOUT, "request-timeout"));
}

#[tokio::test]
async fn a_second_release_never_puts_a_value_into_another_field() {
    let house = house().await;
    let demo = warm(&house).await;
    house.m3().widen("CRS610MI", "ChgBasicData", "CUNM", 4);
    house.m3().widen("CRS610MI", "GetBasicData", "CUNM", 4);
    // M3 was upgraded: its sessions are gone, the catalog is not.
    house.m3().kill_sessions(Kill::Fin);
    let reply = demo.m3("CRS610MI/ChgBasicData?CUNO=C00001&CUNM=New%20name&CUA1=New%20street").await;
    assert_eq!(reply.json()["nrOfSuccessfullTransactions"], 1, "{}", reply.text());
    let row = house.m3().record("CRS610MI", 100, &[("CUNO", "C00001")]).expect("the customer");
    assert_eq!((row["CUNM"].as_str(), row["CUA1"].as_str()), ("New name", "New street"));
    let read = demo.m3(READ).await.records();
    assert_eq!((&read[0]["CUNM"], &read[0]["CUA1"]), (&"New name".into(), &"New street".into()));
    assert_eq!(times(&house, "ChgBasicData"), 1);
}

#[tokio::test]
async fn one_fetch_serves_many_askers_and_a_wrong_name_is_asked_for_once() {
    let house = house().await;
    let demo = house.demo().await;
    let asks = (0..32).map(|_| demo.m3(READ));
    for reply in futures_util::future::join_all(asks).await {
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
    let fetched = |house: &House| house.m3().calls().iter().filter(|call| call.transaction == "LstFields").count();
    assert_eq!(fetched(&house), 2, "input and output, once each");
    for _ in 0..5 {
        assert_eq!(demo.m3("CRS610MI/GetNothing").await.error().0, "TransactionNotFound");
    }
    let listed = house.m3().calls().iter().filter(|call| call.transaction == "LstTransactions").count();
    assert_eq!((fetched(&house), listed), (2, 1));
}

#[tokio::test]
async fn a_restart_needs_no_m3_to_refuse_what_is_wrong() {
    let house = house().await;
    let demo = warm(&house).await;
    drop(demo);
    let state = house.stop().await;
    let house = House::again(state, |_| {}).await;
    house.m3().change_password("MIGATE", "another");
    house.m3().clear_calls();
    let demo = house.demo().await;
    let wrong = demo.m3("CRS610MI/GetBasicData?CUNO=1&NOPE=1").await;
    assert_eq!((wrong.status, wrong.error().0.as_str()), (StatusCode::BAD_REQUEST, "InputFieldNotFound"));
    assert_eq!(demo.m3(READ).await.status, StatusCode::OK, "the session itself confirms the saved layout");
}

#[tokio::test]
async fn one_wrong_password_is_tried_once_however_many_wait() {
    let house = house().await;
    house.m3().change_password("MIDEMO", "another");
    let demo = house.demo().await;
    let before = house.m3().refused();
    for reply in futures_util::future::join_all((0..16).map(|_| demo.m3(READ))).await {
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "m3-logon-refused"));
    }
    assert_eq!(house.m3().refused() - before, 1, "the user is not locked");
}

#[tokio::test]
async fn no_caller_changes_the_session_of_another() {
    let house = house().await;
    let (demo, reader) = (house.demo().await, house.reader().await);
    let list = "CRS610MI/LstByNumber?maxrecs=5&returncols=CUNO";
    let expected = reader.m3(list).await.records();
    for word in [
        "SetLstMaxRec?MRCD=1",
        "ZipTransOn",
        "setblob",
        "getblob",
        "CLOSE",
        "LOOPBACK",
        "FpwVersion",
        "GetInLayout",
        "close",
        "SETLSTMAXREC",
    ] {
        let reply = demo.m3(&format!("CRS610MI/{word}")).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{word}");
        demo.m3("CRS610MI/LstByNumber?maxrecs=2").await;
        assert_eq!(reader.m3(list).await.records(), expected, "{word}");
    }
    assert!(demo.m3("CRS610MI/GetServerTime").await.records()[0]["DATE"].is_string(), "what only reads is allowed");
}

#[tokio::test]
async fn a_caller_who_leaves_during_a_logon_does_not_take_its_refusal_with_him() {
    if sockets_alone("there is no logon apart from the first question") {
        return;
    }
    let house = house().await;
    house.m3().change_password("MIDEMO", "another");
    let demo = house.demo().await;
    house.faults(r#"{"rules":[{"program":"CRS610MI","transaction":"LOGON","latency_ms":500}]}"#);
    let before = house.m3().refused();
    let left = tokio::time::timeout(Duration::from_millis(150), demo.m3(READ)).await;
    assert!(left.is_err(), "the logon takes longer than this caller stays");
    let reply = demo.m3(READ).await;
    assert_eq!(reply.problem(), "m3-logon-refused");
    assert_eq!(house.m3().refused() - before, 1, "one wrong password, one try");
}
