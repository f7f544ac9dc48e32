//! The bulk call: many transactions in one body, each with its own result, whatever happens to the others.

use crate::house::{Caller, House, Reply};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use mi_gateway::mock_m3::Kill;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;

const PATH: &str = "/DEMO_TST/M3/m3api-rest/v2/execute";

async fn post(caller: &Caller, path: &str, body: &Value) -> Reply {
    caller.send(Method::POST, path, &[("content-type", "application/json")], body.to_string().into()).await
}

fn read(customer: &str) -> Value {
    json!({ "transaction": "GetBasicData", "record": { "CUNO": customer }, "selectedColumns": ["CUNO", "CUNM"] })
}

fn change(customer: &str, name: &str) -> Value {
    json!({ "transaction": "ChgBasicData", "record": { "CUNO": customer, "CUNM": name } })
}

fn bulk(transactions: &[Value]) -> Value {
    json!({ "program": "CRS610MI", "cono": 100, "transactions": transactions })
}

/// Successful, failed, not processed, and why the run ended early.
fn ended(json: &Value) -> (i64, i64, i64, &str) {
    let count = |name: &str| json[name].as_i64().unwrap_or(-1);
    assert_eq!(json["wasTerminated"], json.get("terminationErrorType").is_some(), "{json}");
    (
        count("nrOfSuccessfullTransactions"),
        count("nrOfFailedTransactions"),
        count("nrOfNotProcessedTransactions"),
        json["terminationErrorType"].as_str().unwrap_or(""),
    )
}

#[tokio::test]
async fn each_transaction_has_its_result_in_the_order_of_the_call() {
    let house = House::start().await;
    let demo = house.demo().await;
    let transactions = [
        read("C00001"),
        change("C00002", "Changed in bulk"),
        read("C00002"),
        read("NOBODY"),
        json!({ "transaction": "GetNothing", "record": {} }),
        json!({ "transaction": "GetBasicData", "record": { "CUNO": "12345678901" } }),
        json!({ "transaction": "LstByNumber", "record": { "CUNO": "C00003" }, "selectedColumns": ["CUNO"] }),
    ];
    let reply = post(&demo, &format!("{PATH}?maxrecs=2"), &bulk(&transactions)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header("content-type"), "application/json; charset=UTF-8");
    let json = reply.json();
    assert_eq!(ended(&json), (4, 3, 0, ""), "{json}");
    let results = json["results"].as_array().expect("results");
    let names: Vec<_> = results.iter().map(|result| result["transaction"].as_str().unwrap_or("")).collect();
    assert_eq!(names, transactions.iter().map(|one| one["transaction"].as_str().unwrap_or("")).collect::<Vec<_>>());
    assert_eq!(results[0]["records"], json!([{ "CUNO": "C00001", "CUNM": results[0]["records"][0]["CUNM"] }]));
    assert_eq!(results[2]["records"][0]["CUNM"], "Changed in bulk", "a read does not overtake the write before it");
    let errors: Vec<_> = results.iter().map(|result| result["errorType"].as_str().unwrap_or("")).collect();
    assert_eq!(errors, ["", "", "", "ServerReturnedNOK", "TransactionNotFound", "InputFieldTooLong", ""]);
    assert!(results.iter().all(|result| result["records"].is_array()), "clients read it before they look for an error");
    assert_eq!(results[6]["records"].as_array().map(Vec::len), Some(2), "the option of the query holds for all");
}

#[tokio::test]
async fn the_policy_speaks_of_each_transaction_by_itself() {
    let house = House::start().await;
    let reader = house.reader().await;
    let transactions = [read("C00001"), change("C00001", "Refused"), read("C00002")];
    let json = post(&reader, PATH, &bulk(&transactions)).await.json();
    assert_eq!(ended(&json), (2, 1, 0, ""), "{json}");
    assert_eq!(json["results"][1]["errorType"], "PolicyDenied");
    assert!(house.asked().iter().all(|call| !call.contains("Chg")), "{:?}", house.asked());
    let other = json!({ "transactions": [read("C00001")], "program": "CRS610MI", "cono": 200 });
    let json = post(&house.demo().await, PATH, &other).await.json();
    assert_eq!(
        json["results"][0]["errorType"], "PolicyDenied",
        "a company behind the transactions is decided on: {json}"
    );
}

#[tokio::test]
async fn reads_run_beside_each_other_and_a_write_runs_alone() {
    let house = House::start().await;
    let demo = house.demo().await;
    let reads: Vec<_> = (1..=8).map(|at| read(&format!("C0000{at}"))).collect();
    assert_eq!(
        ended(&post(&demo, PATH, &bulk(&reads)).await.json()),
        (8, 0, 0, ""),
        "sessions are open, layouts known"
    );
    house.faults(r#"{"rules":[{"transaction":"GetBasicData","latency_ms":200},{"transaction":"ChgBasicData","latency_ms":200}]}"#);
    let begun = std::time::Instant::now();
    let json = post(&demo, PATH, &bulk(&reads)).await.json();
    let beside = begun.elapsed();
    assert_eq!(ended(&json), (8, 0, 0, ""));
    // Eight one after the other take 1.6 s, four beside each other 0.4.
    assert!(beside < Duration::from_millis(1_200), "{beside:?}");
    let numbers: Vec<_> = (0..8).map(|at| json["results"][at]["records"][0]["CUNO"].clone()).collect();
    assert_eq!(numbers, (1..=8).map(|at| json!(format!("C0000{at}"))).collect::<Vec<_>>());
    house.m3().clear_calls();
    let writes: Vec<_> = (0..4).map(|at| change("C00001", &format!("Write {at}"))).collect();
    assert_eq!(ended(&post(&demo, PATH, &bulk(&writes)).await.json()), (4, 0, 0, ""));
    let asked = house.asked();
    let in_order = (0..4).all(|at| asked.get(at).is_some_and(|call| call.contains(&format!("Write {at}"))));
    assert!(in_order, "{asked:?}");
}

/// A bulk call whose body is sent piece by piece, and what is heard of the answer meanwhile.
struct Slow {
    sender: Option<mpsc::Sender<Result<Frame<Bytes>, Infallible>>>,
    body: hyper::body::Incoming,
    text: String,
}

impl Slow {
    /// The head comes before the body has ended.
    async fn begin(house: &House, caller: &Caller, text: String) -> Self {
        let (sender, bytes) = mpsc::channel(1);
        let bytes = futures_util::stream::unfold(bytes, async |mut bytes: mpsc::Receiver<_>| {
            Some((bytes.recv().await?, bytes))
        });
        let request = Request::post(format!("{}{PATH}", house.base))
            .header("authorization", format!("Bearer {}", caller.token.as_deref().unwrap_or_default()))
            .header("content-type", "application/json")
            .body(StreamBody::new(Box::pin(bytes)))
            .expect("a request");
        let mut connector = hyper_util::client::legacy::connect::HttpConnector::new();
        connector.enforce_http(false);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(crate::house::trusting(&house.running.authority))
            .https_only()
            .enable_http2()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        sender.send(Ok(Frame::data(text.into()))).await.expect("it is being read");
        let response = client.request(request).await.expect("the head comes before the body has ended");
        assert_eq!(response.status(), StatusCode::OK);
        Self { sender: Some(sender), body: response.into_body(), text: String::new() }
    }

    async fn send(&self, text: String) {
        let sender = self.sender.as_ref().expect("not at its end");
        sender.send(Ok(Frame::data(text.into()))).await.expect("it is being read");
    }

    async fn until(&mut self, heard: &str) {
        while !self.text.contains(heard) {
            assert!(self.more().await, "the answer ended without {heard}: {}", self.text);
        }
    }

    async fn more(&mut self) -> bool {
        let Some(frame) = self.body.frame().await else { return false };
        self.text.push_str(&String::from_utf8_lossy(frame.expect("a frame").data_ref().map_or(&[][..], |data| data)));
        true
    }

    async fn end(mut self) -> Value {
        self.sender = None;
        while self.more().await {}
        serde_json::from_str(&self.text).expect("one document")
    }
}

#[tokio::test]
async fn the_first_transaction_runs_before_the_last_byte_has_come() {
    let house = House::start().await;
    let demo = house.demo().await;
    let begin = format!(r#"{{"program":"CRS610MI","transactions":[{},"#, read("C00001"));
    let mut slow = Slow::begin(&house, &demo, begin).await;
    slow.until("C00001").await;
    slow.send(format!("{}]}}", read("C00002"))).await;
    assert_eq!(ended(&slow.end().await), (2, 0, 0, ""));
}

#[tokio::test]
async fn what_stands_behind_a_body_belongs_to_it_however_late_it_comes() {
    let house = House::start().await;
    let demo = house.demo().await;
    let whole = format!(r#"{{"program":"CRS610MI","transactions":[{}]}}"#, read("C00001"));
    let mut slow = Slow::begin(&house, &demo, whole).await;
    slow.until("C00001").await;
    slow.send("and more".to_owned()).await;
    assert_eq!(ended(&slow.end().await), (1, 0, 0, "MalformedRequest"));
}

#[tokio::test]
async fn of_far_too_many_transactions_some_are_named_and_the_rest_is_not_read() {
    let house = House::with(|settings| settings.gateway.bulk.transactions = 3).await;
    let demo = house.demo().await;
    let many = vec![json!({ "transaction": "GetNothing" }); 20_000];
    let json = post(&demo, PATH, &bulk(&many)).await.json();
    assert_eq!(ended(&json), (0, 3, 1_000, "TooManyTransactions"));
    // Where the program stands behind them none can run before all are read, and so many are not.
    let held = format!(r#"{{"transactions":{},"program":"CRS610MI"}}"#, json!(many));
    let reply = demo.send(Method::POST, PATH, &[("content-type", "application/json")], held.into()).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"));
    assert!(reply.text().contains("3 transactions"), "{}", reply.text());
}

#[tokio::test]
async fn a_write_whose_outcome_is_unknown_ends_the_run_and_is_not_repeated() {
    let house = House::with(|settings| {
        settings.gateway.exchange.write_wait = Duration::from_millis(500);
        settings.gateway.exchange.read_patience = Duration::from_millis(500);
    })
    .await;
    let demo = house.demo().await;
    for action in ["drop_after", "half_answer", "no_answer", "garbage"] {
        let rule = format!(r#"{{"rules":[{{"transaction":"ChgBasicData","times":1,"action":"{action}"}}]}}"#);
        assert_eq!(ended(&post(&demo, PATH, &bulk(&[read("C00001"), change("C00009", "Warm")])).await.json()).0, 2);
        house.m3().clear_calls();
        house.faults(&rule);
        let transactions = [read("C00001"), change("C00002", "Once"), read("C00003"), change("C00004", "Never")];
        let json = post(&demo, PATH, &bulk(&transactions)).await.json();
        assert_eq!(ended(&json), (1, 1, 2, "OutcomeUnknown"), "{action}: {json}");
        assert_eq!(json["results"][1]["errorType"], "OutcomeUnknown");
        assert!(json["results"][1]["errorMessage"].as_str().is_some_and(|text| text.contains("intent")), "{json}");
        assert_eq!(
            (&json["results"][2]["notProcessed"], &json["results"][3]["notProcessed"]),
            (&json!(true), &json!(true))
        );
        let writes: Vec<_> = house.asked().into_iter().filter(|call| call.contains("Chg")).collect();
        assert_eq!(writes.len(), 1, "{action}: {writes:?}");
    }
}

#[tokio::test]
async fn a_lost_m3_ends_the_run_with_the_rest_not_processed() {
    let house = House::start().await;
    let demo = house.demo().await;
    assert_eq!(ended(&post(&demo, PATH, &bulk(&[read("C00001")])).await.json()), (1, 0, 0, ""));
    house.m3().kill_sessions(Kill::Reset);
    house.m3().change_password("MIDEMO", "another");
    let json = post(&demo, PATH, &bulk(&[read("C00001"), change("C00001", "X"), change("C00002", "Y")])).await.json();
    assert_eq!(ended(&json), (0, 1, 2, "M3LogonRefused"), "{json}");
}

#[tokio::test]
async fn a_body_that_goes_wrong_before_anything_ran_is_refused_and_later_the_run_is_cut_short() {
    let house = House::start().await;
    let demo = house.demo().await;
    let send = async |text: &str| {
        demo.send(Method::POST, PATH, &[("content-type", "application/json")], Bytes::copy_from_slice(text.as_bytes()))
            .await
    };
    for text in
        ["", "{", "[]", r#"{"transactions":[]}"#, r#"{"program":"CRS610MI","program":"MMS200MI","transactions":[]}"#]
    {
        let reply = send(text).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::BAD_REQUEST, "request-unreadable"), "{text}");
    }
    assert_eq!(house.asked(), Vec::<String>::new());
    let cut = format!(r#"{{"program":"CRS610MI","transactions":[{},{},"#, read("C00001"), read("C00002"));
    assert_eq!(ended(&send(&cut).await.json()), (2, 0, 0, "MalformedRequest"));
    let late = format!(r#"{{"program":"CRS610MI","transactions":[{}],"cono":100}}"#, read("C00001"));
    assert_eq!(ended(&send(&late).await.json()), (1, 0, 0, "PropertyAfterTransactions"));
    let twice = format!(
        r#"{{"program":"CRS610MI","transactions":[{},{{"transaction":"GetBasicData","record":{{"CUNO":"1","CUNO":"2"}}}},{}]}}"#,
        read("C00001"),
        read("C00002")
    );
    assert_eq!(ended(&send(&twice).await.json()), (1, 0, 2, "MalformedRequest"));
    let empty = send(r#"{"program":"CRS610MI","transactions":[]}"#).await;
    assert_eq!((empty.status, ended(&empty.json())), (StatusCode::OK, (0, 0, 0, "")));
    let form = demo.post_form(PATH, &[("program", "CRS610MI")]).await;
    assert_eq!((form.status, form.problem().as_str()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type-unsupported"));
    let get = demo.get(PATH).await;
    assert_eq!((get.status, get.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
}

#[tokio::test]
async fn bounds_are_named_when_they_are_met() {
    let house = House::with(|settings| {
        settings.gateway.bulk.body = 2_000;
        settings.gateway.bulk.transactions = 3;
        settings.gateway.bulk.time = Duration::from_millis(800);
    })
    .await;
    let demo = house.demo().await;
    let many: Vec<_> = (0..5).map(|_| read("C00001")).collect();
    let json = post(&demo, PATH, &bulk(&many)).await.json();
    assert_eq!(ended(&json), (3, 0, 2, "TooManyTransactions"), "{json}");
    assert!(json["terminationReason"].as_str().is_some_and(|text| text.contains('3')), "{json}");
    let long: Vec<_> = (0..50).map(|_| read("C00001")).collect();
    let reply = post(&demo, PATH, &bulk(&long)).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"));
    assert!(reply.text().contains("2000"), "{}", reply.text());
    house.faults(r#"{"rules":[{"transaction":"ChgBasicData","latency_ms":600}]}"#);
    let slow = [change("C00001", "1"), change("C00001", "2"), change("C00001", "3")];
    let json = post(&demo, PATH, &bulk(&slow)).await.json();
    assert_eq!(ended(&json), (2, 0, 1, "TimeLimit"), "{json}");
}

#[tokio::test]
async fn each_transaction_costs_its_rate_and_a_spent_one_ends_the_run() {
    let (house, caller) = House::open_to_all("MIDEMO", "rate = \"1/minute\"\nburst = 3", |_| {}).await;
    let many: Vec<_> = (0..5).map(|_| read("C00001")).collect();
    let json = post(&caller, PATH, &bulk(&many)).await.json();
    assert_eq!(ended(&json), (3, 0, 2, "RateLimited"), "{json}");
    assert_eq!(house.asked().len(), 3);
    let next = post(&caller, PATH, &bulk(&many)).await;
    assert_eq!((next.status, next.problem().as_str()), (StatusCode::TOO_MANY_REQUESTS, "rate-limited"));
}

#[tokio::test]
async fn a_caller_who_goes_away_ends_his_run() {
    let house = House::start().await;
    let demo = house.demo().await;
    assert_eq!(ended(&post(&demo, PATH, &bulk(&[read("C00001"), change("C00001", "Warm")])).await.json()).0, 2);
    house.m3().clear_calls();
    house.faults(r#"{"rules":[{"transaction":"ChgBasicData","latency_ms":300}]}"#);
    let writes: Vec<_> = (0..50).map(|at| change("C00001", &at.to_string())).collect();
    let body = bulk(&writes);
    let begun = async {
        while house.asked().is_empty() {
            crate::house::a_moment().await;
        }
    };
    tokio::select! {
        reply = post(&demo, PATH, &body) => panic!("answered before it was done: {}", reply.text()),
        () = begun => {}
    }
    // What was begun is done; then no other begins.
    let asked = || house.asked().iter().filter(|call| call.contains("Chg")).count();
    let quiet = async {
        loop {
            let before = asked();
            tokio::time::sleep(Duration::from_millis(900)).await;
            if asked() == before {
                return before;
            }
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(10), quiet).await.expect("it ends");
    assert!((1..=3).contains(&done), "{done} writes were begun");
}

#[tokio::test]
async fn m3_may_stop_in_the_middle_of_a_list_and_the_document_is_whole_all_the_same() {
    let house = House::with(|settings| settings.gateway.exchange.read_patience = Duration::from_millis(500)).await;
    let demo = house.demo().await;
    let list = json!({ "transaction": "LstByNumber", "record": {}, "selectedColumns": ["CUNO"] });
    let transactions = [read("C00001"), list.clone(), read("C00002"), change("C00001", "Never")];
    assert_eq!(ended(&post(&demo, PATH, &bulk(&transactions[..2])).await.json()).0, 2);
    let nok = r#"{"nok_after":{"records":2,"id":"XX00001","field":"CUNO","text":"Broken"}}"#;
    for (action, expected, records) in [
        (nok, (3, 1, 0, ""), 2),
        (r#"{"silent_after":{"records":2}}"#, (2, 1, 1, "ConnectionLost"), 2),
        (r#""half_answer""#, (2, 1, 1, "ConnectionLost"), 1),
    ] {
        house.faults(&format!(r#"{{"rules":[{{"transaction":"LstByNumber","times":1,"action":{action}}}]}}"#));
        house.m3().clear_calls();
        let json = post(&demo, PATH, &bulk(&transactions)).await.json();
        let (successful, failed, left_out, why) = ended(&json);
        assert_eq!((failed, why), (expected.1, expected.3), "{action}: {json}");
        assert_eq!(successful + failed + left_out, 4, "{action}");
        assert_eq!(json["results"][1]["records"].as_array().map(Vec::len), Some(records), "{action}: {json}");
        assert!(json["results"][1]["errorMessage"].is_string(), "{action}");
        let writes = house.asked().iter().filter(|call| call.contains("Chg")).count();
        assert_eq!(writes, usize::from(why.is_empty()), "{action}: nothing is begun after M3 was lost");
    }
}

#[tokio::test]
async fn what_m3_never_answers_is_not_said_to_have_worked() {
    let (_house, caller) = House::open_to_all("MIDEMO", "rate = \"1000/second\"\nburst = 2000", |_| {}).await;
    let send = json!({ "transaction": "SndItmDesc", "record": { "LMDT": "20260101" } });
    let get = json!({ "transaction": "GetItmBasic", "record": { "ITNO": "A00001" } });
    let body = json!({ "program": "MMS200MI", "transactions": [send, get] });
    let json = post(&caller, PATH, &body).await.json();
    assert_eq!(ended(&json), (2, 0, 0, ""), "{json}");
    assert_eq!((&json["results"][0]["outcome"], json["results"][1].get("outcome")), (&json!("not-reported"), None));
}
