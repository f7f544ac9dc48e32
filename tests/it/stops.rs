//! What operators take back or block: at once, for tokens of every issuer, whatever the rules say.

use crate::house::{Caller, House, Reply, send, text};
use crate::idp::Idp;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use std::time::Duration;

const READ: &str = "CRS610MI/GetBasicData?CUNO=C00001";
const BULK: &str = "/DEMO_TST/M3/m3api-rest/v2/execute";

pub(crate) async fn ask(house: &House, method: Method, path: &str, body: &Value, token: &str) -> Reply {
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", house.operations))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json");
    send(&house.https, request.body(Full::from(body.to_string())).expect("a request")).await
}

pub(crate) fn operator(house: &House) -> String {
    let path = house.state.path().join("operator.token");
    std::fs::read_to_string(path).expect("the operator's token").trim().to_owned()
}

pub(crate) async fn order(house: &House, method: Method, path: &str, body: Value) -> Value {
    let reply = ask(house, method, path, &body, &operator(house)).await;
    assert_eq!(reply.status, StatusCode::OK, "{body}: {}", reply.text());
    reply.json()
}

/// The status of a read, and the code where there is a problem.
async fn reads(caller: &Caller) -> (u16, String) {
    let reply = caller.m3(READ).await;
    let code = if reply.status == StatusCode::OK { String::new() } else { reply.problem() };
    (reply.status.as_u16(), code)
}

/// What readiness tells of blocks, once the change was told everywhere; it keeps nobody out.
async fn noted(house: &House, words: Option<&str>) {
    let told = async {
        loop {
            let ready = house.operations("/readyz").await;
            assert_eq!(ready.status, StatusCode::OK);
            if ready.json()["notes"]["blocks"].as_str() == words {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), told).await.expect("it is told");
}

fn good() -> (u16, String) {
    (200, String::new())
}

fn revoked() -> (u16, String) {
    (401, "token-invalid".to_owned())
}

fn blocked() -> (u16, String) {
    (403, "blocked".to_owned())
}

#[tokio::test]
async fn a_token_that_an_operator_takes_back_ends_at_once_though_it_was_validated() {
    let house = House::start().await;
    let ionapi = house.ionapi("demo");
    let granted = house.ask_token(&ionapi, &[("grant_type", "client_credentials")]).await.json();
    let (token, refresh) = (text(&granted, "access_token"), text(&granted, "refresh_token"));
    let (caller, other) = (house.stranger().with_token(token), house.demo().await);
    assert_eq!((reads(&caller).await, reads(&other).await), (good(), good()));
    let made = order(&house, Method::POST, "/revocations", json!({ "token": token, "reason": "lost laptop" })).await;
    assert_eq!((reads(&caller).await, reads(&other).await), (revoked(), good()));
    let again = house.ask_token(&ionapi, &[("grant_type", "refresh_token"), ("refresh_token", refresh)]).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["error"]),
        (400, &"invalid_grant".into()),
        "its grant ended with it"
    );
    let listed = order(&house, Method::GET, "/revocations", Value::Null).await;
    assert_eq!(listed, made);
    assert_eq!((&listed[0]["reason"], &listed[0]["by"]), (&"lost laptop".into(), &"operator".into()));
    for entry in listed.as_array().expect("a list") {
        order(&house, Method::DELETE, "/revocations", json!({ "entry": entry["entry"], "by": "anna" })).await;
    }
    assert_eq!(reads(&caller).await, good(), "it was a mistake");
    let metrics = house.operations("/metrics").await.text();
    assert!(metrics.contains("mi_gateway_revocations_active 0"), "{metrics}");
}

#[tokio::test]
async fn all_tokens_of_a_client_end_and_neither_its_new_ones_nor_those_of_others() {
    let house = House::start().await;
    let (demo, reader) = (house.demo().await, house.reader().await);
    assert_eq!((reads(&demo).await, reads(&reader).await), (good(), good()));
    let ended = json!({ "client": "demo", "before": "2020-01-01T00:00:00Z" });
    order(&house, Method::POST, "/revocations", ended).await;
    assert_eq!(reads(&demo).await, good(), "it was issued later");
    order(&house, Method::POST, "/revocations", json!({ "client": "demo" })).await;
    assert_eq!((reads(&demo).await, reads(&reader).await), (revoked(), good()));
    order(&house, Method::POST, "/revocations", json!({ "issuer": house.base, "before": "now" })).await;
    assert_eq!(reads(&reader).await, revoked());
}

#[tokio::test]
async fn only_the_operator_stops_anything_and_only_what_there_is() {
    let house = House::start().await;
    let demo = house.demo().await;
    let block = json!({ "client": "demo" });
    for (path, body) in [("/blocks", &block), ("/revocations", &block)] {
        for method in [Method::POST, Method::GET, Method::DELETE] {
            let reply = ask(&house, method, path, body, "somebody-elses-token-of-some-length").await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
        }
        for wrong in [
            json!({}),
            json!({ "client": "nobody" }),
            json!({ "client": "demo", "issuer": "https://nobody.example" }),
            json!({ "client": "demo", "reason": "two\nlines" }),
            json!({ "client": "demo", "unknown": 1 }),
            json!({ "program": "mms200mi" }),
            json!({ "program": "MMS200MI", "client": "demo" }),
            json!({ "token": "a token" }),
        ] {
            let reply = ask(&house, Method::POST, path, &wrong, &operator(&house)).await;
            assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {wrong}: {}", reply.text());
        }
    }
    assert_eq!(reads(&demo).await, good());
}

#[tokio::test]
async fn a_blocked_client_is_refused_with_a_decision_that_names_the_block_until_it_is_lifted() {
    let house = House::start().await;
    let (demo, reader) = (house.demo().await, house.reader().await);
    let made = order(&house, Method::POST, "/blocks", json!({ "client": "demo", "reason": "under attack" })).await;
    assert_eq!((reads(&demo).await, reads(&reader).await), (blocked(), good()));
    assert_eq!(reads(&house.demo().await).await, blocked(), "a new token does not help");
    let reply = demo.m3(READ).await;
    let id = text(&reply.json(), "decision_id").to_owned();
    assert!(!id.is_empty() && !reply.text().contains("under attack"), "{}", reply.text());
    assert!(demo.get("/DEMO_TST/M3/m3api-rest/metadata").await.status == StatusCode::FORBIDDEN);
    noted(&house, Some("1 in force")).await;
    assert!(house.operations("/metrics").await.text().contains("mi_gateway_blocks_active 1"));
    let entry = text(&made[0], "entry").to_owned();
    order(&house, Method::DELETE, "/blocks", json!({ "entry": entry, "by": "otto" })).await;
    assert_eq!(reads(&demo).await, good());
    noted(&house, None).await;
    let state = house.stop().await;
    let mut log = String::new();
    for file in std::fs::read_dir(state.path().join("audit")).expect("the audit log") {
        log.push_str(&std::fs::read_to_string(file.expect("a file").path()).unwrap_or_default());
    }
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let line = lines.iter().find(|line| line["id"] == *id).unwrap_or_else(|| panic!("no line of {id} in {log}"));
    assert_eq!((&line["reason"], &line["rules"]), (&"blocked".into(), &json!([entry])));
    let told = |kind: &str| lines.iter().find(|line| line["kind"] == kind && line["entry"] == *entry).cloned();
    assert_eq!(told("blocked").map(|line| line["by"].clone()), Some("operator".into()), "{log}");
    assert_eq!(told("unblocked").map(|line| line["ended_by"].clone()), Some("otto".into()), "{log}");
}

#[tokio::test]
async fn a_blocked_program_is_refused_item_by_item_and_its_metadata_too() {
    let house = House::start().await;
    let demo = house.demo().await;
    let item = "MMS200MI/GetItmBasic?ITNO=A1";
    order(&house, Method::POST, "/blocks", json!({ "program": "CRS610MI/ChgBasicData" })).await;
    order(&house, Method::POST, "/blocks", json!({ "program": "MMS200MI" })).await;
    assert_eq!(reads(&demo).await, good());
    assert_eq!(demo.m3(item).await.problem(), "blocked");
    let read = json!({ "transaction": "GetBasicData", "record": { "CUNO": "C00001" } });
    let change = json!({ "transaction": "ChgBasicData", "record": { "CUNO": "C00001", "CUNM": "Blocked" } });
    let body = json!({ "program": "CRS610MI", "cono": 100, "transactions": [read, change, read] });
    let headers = [("content-type", "application/json")];
    let json = demo.send(Method::POST, BULK, &headers, body.to_string().into()).await.json();
    let kinds: Vec<&str> = json["results"]
        .as_array()
        .expect("results")
        .iter()
        .map(|one| one["errorType"].as_str().unwrap_or(""))
        .collect();
    assert_eq!((kinds, &json["wasTerminated"]), (vec!["", "Blocked", ""], &false.into()), "{json}");
    let metadata = demo.get("/DEMO_TST/M3/m3api-rest/metadata").await.text();
    assert!(metadata.contains("CRS610MI") && !metadata.contains("MMS200MI"), "{metadata}");
    assert_eq!(demo.get("/DEMO_TST/M3/m3api-rest/metadata/MMS200MI").await.problem(), "blocked");
    let customers = demo.get("/DEMO_TST/M3/m3api-rest/metadata/CRS610MI").await.text();
    assert!(customers.contains("GetBasicData") && !customers.contains("ChgBasicData"));
    assert!(
        house.asked().iter().all(|call| !call.contains("Chg") && !call.contains("MMS200MI")),
        "{:?}",
        house.asked()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_bulk_of_a_blocked_client_stops_at_its_next_transaction() {
    let house = House::start().await;
    let demo = house.demo().await;
    assert_eq!(reads(&demo).await, good());
    house.faults(r#"{"rules":[{"transaction":"ChgBasicData","latency_ms":1000}]}"#);
    let change =
        |at: u32| json!({ "transaction": "ChgBasicData", "record": { "CUNO": "C00001", "CUNM": format!("N{at}") } });
    let body = json!({ "program": "CRS610MI", "cono": 100, "transactions": (0..4).map(change).collect::<Vec<_>>() });
    let headers = [("content-type", "application/json")];
    let run = demo.send(Method::POST, BULK, &headers, body.to_string().into());
    let block = async {
        while !house.asked().iter().any(|call| call.contains("ChgBasicData")) {
            crate::house::a_moment().await;
        }
        order(&house, Method::POST, "/blocks", json!({ "client": "demo" })).await;
    };
    let (reply, ()) = tokio::join!(run, block);
    let json = reply.json();
    assert_eq!((&json["wasTerminated"], &json["terminationErrorType"]), (&true.into(), &"Blocked".into()), "{json}");
    let changes = house.asked().iter().filter(|call| call.contains("ChgBasicData")).count();
    assert_eq!(
        (changes, &json["nrOfSuccessfullTransactions"], &json["nrOfNotProcessedTransactions"]),
        (1, &1.into(), &3.into())
    );
}

/// Until the first change is at M3.
async fn begun(house: &House) {
    while !house.asked().iter().any(|call| call.contains("ChgBasicData")) {
        crate::house::a_moment().await;
    }
}

fn changes(many: u32) -> String {
    let change =
        |at: u32| json!({ "transaction": "ChgBasicData", "record": { "CUNO": "C00001", "CUNM": format!("N{at}") } });
    let all: Vec<_> = (0..many).map(change).collect();
    json!({ "program": "CRS610MI", "cono": 100, "transactions": all }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_bulk_whose_token_is_taken_back_stops_at_its_next_transaction() {
    for how in ["by the operator", "with its client", "by its client"] {
        let house = House::start().await;
        let ionapi = house.ionapi("demo");
        let token = house.token(&ionapi).await;
        let demo = house.stranger().with_token(&token);
        house.faults(r#"{"rules":[{"transaction":"ChgBasicData","latency_ms":2500}]}"#);
        let run = demo.send(Method::POST, BULK, &[("content-type", "application/json")], changes(4).into());
        let taken_back = async {
            begun(&house).await;
            match how {
                "by the operator" => {
                    order(&house, Method::POST, "/revocations", json!({ "client": "demo" })).await;
                }
                "with its client" => house.end_client("demo").await,
                _ => {
                    let own = [
                        ("token", token.as_str()),
                        ("client_id", text(&ionapi, "ci")),
                        ("client_secret", text(&ionapi, "cs")),
                    ];
                    assert_eq!(house.stranger().post_form("/oauth2/revoke", &own).await.status, StatusCode::OK);
                }
            }
        };
        let (reply, ()) = tokio::join!(run, taken_back);
        let json = reply.json();
        assert_eq!(json["terminationErrorType"], "TokenInvalid", "{how}: {json}");
        let done = house.asked().iter().filter(|call| call.contains("ChgBasicData")).count();
        let told = (&json["nrOfSuccessfullTransactions"], &json["nrOfNotProcessedTransactions"]);
        assert_eq!((done, told), (1, (&1.into(), &3.into())), "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_waits_for_its_turn_is_asked_again_before_it_runs() {
    let limits = "rate = \"100/second\"\nburst = 100\n[[effect]]\neffect = \"write\"\nrate = \"1/second\"\nburst = 1";
    let (house, caller) = House::open_to_all("MIDEMO", limits, |_| {}).await;
    let run = caller.send(Method::POST, BULK, &[("content-type", "application/json")], changes(2).into());
    let taken_back = async {
        // The first has its answer at once; the second is held back for a second.
        begun(&house).await;
        crate::house::a_moment().await;
        order(&house, Method::POST, "/revocations", json!({ "issuer": house.base, "before": "now" })).await;
    };
    let (reply, ()) = tokio::join!(run, taken_back);
    let json = reply.json();
    assert_eq!(json["terminationErrorType"], "TokenInvalid", "{json}");
    assert_eq!(house.asked().iter().filter(|call| call.contains("ChgBasicData")).count(), 1, "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_another_issuer_end_by_id_by_client_and_by_issuer() {
    let idp = Idp::start().await;
    let (house, caller) = idp.house(|_| {}).await;
    let issuer = idp.issuer.clone();
    for how in ["token", "client", "issuer"] {
        let token = idp.token("jwt").await;
        let caller = caller.clone().with_token(&token);
        assert_eq!(reads(&caller).await, good(), "{how}");
        let body = match how {
            "token" => json!({ "token": token }),
            "client" => json!({ "client": "jwt", "issuer": issuer, "before": "now" }),
            _ => json!({ "issuer": issuer, "before": "now" }),
        };
        let made = order(&house, Method::POST, "/revocations", body).await;
        assert_eq!(reads(&caller).await, revoked(), "{how}");
        for entry in made.as_array().expect("a list") {
            order(&house, Method::DELETE, "/revocations", json!({ "entry": entry["entry"] })).await;
        }
        assert_eq!(reads(&caller).await, good(), "{how}");
    }
    order(&house, Method::POST, "/blocks", json!({ "client": "jwt", "issuer": issuer })).await;
    let caller = caller.with_token(&idp.token("jwt").await);
    assert_eq!(reads(&caller).await, blocked());
}

/// It says neither its id nor its client: its text names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_only_its_issuer_can_read_ends_by_its_text_at_once() {
    let idp = Idp::start().await;
    let asked = |settings: &mut mi_gateway::config::Settings| {
        settings.issuers.iter_mut().for_each(|issuer| issuer.introspection = Some(Idp::introspection()));
    };
    let (house, caller) = idp.house(asked).await;
    let (lost, other) = (idp.token("opaque").await, idp.token("opaque").await);
    assert!(!lost.contains('.'), "{lost}");
    let (caller, other) = (caller.clone().with_token(&lost), caller.with_token(&other));
    assert_eq!((reads(&caller).await, reads(&other).await), (good(), good()));
    let made = order(&house, Method::POST, "/revocations", json!({ "token": lost })).await;
    assert!(!made.to_string().contains(&lost), "{made}");
    // Its issuer still calls it good, and what it said is remembered.
    assert_eq!((reads(&caller).await, reads(&other).await), (revoked(), good()));
    for entry in made.as_array().expect("a list") {
        order(&house, Method::DELETE, "/revocations", json!({ "entry": entry["entry"] })).await;
    }
    assert_eq!(reads(&caller).await, good(), "it was a mistake");
}
