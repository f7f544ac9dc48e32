//! What limits.toml says is what callers meet: each kind of limit, the headers that tell of it, and what nobody can do to
//! get more.

use crate::house::{Caller, House, Reply, text};
use crate::stops::{ask, operator};
use bytes::Bytes;
use http::{Method, StatusCode};
use mi_gateway::model::M3User;
use mi_gateway::tasks::Tasks;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const READ: &str = "CRS610MI/GetBasicData?CUNO=C00001";
const LIST: &str = "CRS610MI/LstByName";
pub(crate) const OTHER: &str = "MMS200MI/GetItmBasic?ITNO=A00001";
pub(crate) const WRITE: &str = "CRS610MI/ChgBasicData?CUNO=C00001&CUNM=New";
const BULK: &str = "/DEMO_TST/M3/m3api-rest/v2/execute";

/// A rate that no test reaches, and these tables.
pub(crate) fn wide(tables: &str) -> String {
    format!("[default]\nrate = \"1000/second\"\nburst = 1000\n{tables}")
}

/// A house with the client `tester`, who may do everything, under these limits; its name stays the same over restarts.
pub(crate) async fn over(state: TempDir, limits: &str) -> House {
    let rules = state.path().join("rules");
    std::fs::create_dir_all(&rules).expect("a folder");
    let all = "@id(\"test-all\")\n@owner(\"tests\")\npermit (principal in Group::\"test\", action in [Action::\"read\", Action::\"write\"], resource);\n";
    std::fs::write(rules.join("rules.cedar"), all).expect("a file");
    std::fs::write(rules.join("limits.toml"), limits).expect("a file");
    let house = House::again(state, |settings| {
        settings.policies = rules;
        settings.public_url = Some("https://gateway.example.com".into());
        settings.group_users.insert("test".into(), M3User::parse("MIDEMO").expect("a user of the mock"));
    })
    .await;
    if !house.state.path().join("clients/tester.ionapi").exists() {
        house.running.add_client("tester", &[], &["test"]).await.expect("a client");
    }
    house
}

pub(crate) async fn limited(limits: &str) -> (House, Caller) {
    let house = over(tempfile::tempdir().expect("a folder"), limits).await;
    let caller = house.caller("tester").await;
    (house, caller)
}

/// What `RateLimit` tells: whose it is, what is left, and in how many seconds it is whole again.
pub(crate) fn left(reply: &Reply) -> (String, u64, Option<u64>) {
    let told = reply.header("ratelimit");
    let mut parts = told.split(';');
    let name = parts.next().unwrap_or_default().trim_matches('"').to_owned();
    let number = |wanted: &str| {
        let part = parts.clone().find_map(|part| part.strip_prefix(wanted));
        part.map(|digits| digits.parse().unwrap_or_else(|_| panic!("{told}")))
    };
    let (rest, whole) = (number("r="), number("t="));
    (name, rest.unwrap_or_else(|| panic!("no RateLimit in {:?}", reply.headers)), whole)
}

/// Calls until it is refused: how often it was not, what the first answer said was left, and the refusal.
pub(crate) async fn until_refused(caller: &Caller, call: &str) -> (u64, (String, u64, Option<u64>), Reply) {
    let first = caller.m3(call).await;
    assert_eq!(first.status, StatusCode::OK, "{call}: {}", first.text());
    let told = left(&first);
    for times in 1..100 {
        let reply = caller.m3(call).await;
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            return (times, told, reply);
        }
        assert_eq!(reply.status, StatusCode::OK, "{call}: {}", reply.text());
    }
    panic!("{call} is never refused");
}

pub(crate) async fn usage(house: &House, client: Option<&str>) -> Vec<Value> {
    let reply = ask(house, Method::POST, "/limits/usage", &json!({ "client": client }), &operator(house)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()["limits"].as_array().expect("lines").clone()
}

/// The line of this limit, `name` or `name on`.
pub(crate) fn line<'a>(lines: &'a [Value], limit: &str) -> &'a Value {
    let named = |line: &&Value| match line["on"].as_str() {
        Some(on) => format!("{} {on}", text(line, "limit")) == limit,
        None => line["limit"] == limit,
    };
    lines.iter().find(named).unwrap_or_else(|| panic!("no {limit} in {lines:?}"))
}

/// The command over a house that runs, or ran.
pub(crate) async fn command(state: &Path, words: &[&str]) -> Output {
    tokio::process::Command::new(env!("CARGO_BIN_EXE_mi-gateway"))
        .args(words)
        .current_dir(state)
        .env("MI_GATEWAY__STATE__DIR", state)
        .env("MI_GATEWAY__POLICY__DIR", state.join("rules"))
        .env("MI_GATEWAY__PUBLIC_URL", "https://gateway.example.com")
        .output()
        .await
        .expect("the command runs")
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const KINDS: &str = r#"
[[program]]
program = "CRS610MI"
rate = "1/hour"
burst = 9
[[transaction]]
program = "CRS610MI"
transaction = "LstByName"
group = "test"
rate = "1/hour"
burst = 3
[[effect]]
effect = "write"
rate = "1/hour"
burst = 4
[[cost]]
program = "CRS610MI"
transaction = "ChgBasicData"
units = 2
"#;

#[tokio::test]
async fn each_kind_of_limit_lets_through_exactly_what_the_headers_said_was_left() {
    let (house, caller) = limited(&wide(KINDS)).await;
    // A transaction: three, whatever else is left.
    let (times, (name, rest, _), refused) = until_refused(&caller, LIST).await;
    assert_eq!((times, name.as_str(), rest), (3, "transaction", 2));
    assert_eq!((refused.problem().as_str(), left(&refused).0.as_str()), ("rate-limited", "transaction"));
    assert_eq!(refused.header("ratelimit-policy"), "\"transaction\";q=3;w=10800");
    // Writes, each of which costs two of four; the refusals of the list took nothing of the program's nine.
    let (times, (name, rest, _), refused) = until_refused(&caller, WRITE).await;
    assert_eq!((times, name.as_str(), rest), (2, "effect", 2), "two units are one more call");
    assert_eq!(left(&refused).0, "effect");
    // The program: nine less three lists and two writes of two.
    let (times, (name, rest, _), refused) = until_refused(&caller, READ).await;
    assert_eq!((times, name.as_str(), rest), (2, "program", 1));
    assert_eq!(left(&refused).1, 0);
    // Another program has nothing to do with it.
    assert_eq!(caller.m3(OTHER).await.status, StatusCode::OK);
    assert_eq!(house.asked().iter().filter(|call| call.starts_with("CRS610MI")).count(), 7, "M3 saw no refused call");
    let lines = usage(&house, Some("tester")).await;
    let stands = |limit: &str| (line(&lines, limit)["used"].as_u64(), line(&lines, limit)["left"].as_u64());
    assert_eq!(stands("program CRS610MI"), (Some(9), Some(0)));
    assert_eq!(stands("transaction CRS610MI/LstByName"), (Some(3), Some(0)));
    assert_eq!(stands("effect write"), (Some(4), Some(0)));
    assert_eq!(line(&lines, "program CRS610MI")["place"], "limits.toml:6");
    assert_eq!(line(&lines, "effect write")["allows"], "1/hour, at most 4 at once");
    let mine = |line: &Value| line["client"] == house.ionapi("tester")["ci"];
    let used = usage(&house, None).await;
    assert!(used.iter().filter(|line| mine(line)).all(|line| line["used"].as_u64() > Some(0)), "{used:?}");
    house.stop().await;
}

#[tokio::test]
async fn a_clients_own_rate_is_its_own_and_neither_a_new_token_nor_a_new_key_makes_it_full_again() {
    let state = over(tempfile::tempdir().expect("a folder"), &wide("")).await.stop().await;
    let ionapi: Value = serde_json::from_slice(
        &std::fs::read(state.path().join("clients/tester.ionapi")).expect("the file of the client"),
    )
    .expect("JSON");
    let own = format!("[client.\"{}\"]\nrate = \"1/hour\"\nburst = 4\n", text(&ionapi, "ci"));
    let house = over(state, &wide(&own)).await;
    house.running.add_client("other", &[], &["test"]).await.expect("a client");
    let at = house.state.path().to_owned();
    for left_over in [3, 2] {
        let reply = house.caller("tester").await.m3(READ).await;
        assert_eq!((reply.status, left(&reply).1), (StatusCode::OK, left_over), "a token of its own each time");
    }
    let rotated = command(&at, &["keys", "rotate"]).await;
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    let file = at.join("clients/rotated.ionapi");
    let rotated = command(&at, &["client", "rotate", "tester", "--out", &file.display().to_string()]).await;
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    let fresh = house.ionapi("rotated");
    let began = Instant::now();
    let token = loop {
        let reply = house.ask_token(&fresh, &[("grant_type", "client_credentials")]).await;
        if reply.status == StatusCode::OK {
            break text(&reply.json(), "access_token").to_owned();
        }
        assert!(began.elapsed() < Duration::from_secs(30), "the new secret never counts: {}", reply.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let renewed = house.stranger().with_token(&token);
    let reply = renewed.m3(READ).await;
    assert_eq!((reply.status, left(&reply).1), (StatusCode::OK, 1));
    assert_eq!(renewed.m3(READ).await.status, StatusCode::OK);
    let refused = renewed.m3(READ).await;
    assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::TOO_MANY_REQUESTS, "rate-limited"));
    assert_eq!(house.caller("other").await.m3(READ).await.status, StatusCode::OK, "others are not held up");
    house.stop().await;
}

#[tokio::test]
async fn who_waits_as_he_was_told_is_served_and_the_bucket_is_full_when_it_was_said_to_be() {
    let (house, caller) = limited("[default]\nrate = \"1/second\"\nburst = 2\n").await;
    let (_, _, refused) = until_refused(&caller, READ).await;
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert_eq!(wait, 1, "a bucket that gains one each second has one after a second");
    tokio::time::sleep(Duration::from_secs(wait)).await;
    let served = caller.m3(READ).await;
    assert_eq!(served.status, StatusCode::OK, "{}", served.text());
    let whole = left(&served).2.expect("a rate knows when it is full");
    assert!((1..=2).contains(&whole), "{whole}");
    tokio::time::sleep(Duration::from_secs(whole)).await;
    assert_eq!(left(&caller.m3(READ).await).1, 1, "full again, and one taken");
    house.stop().await;
}

fn ended(reply: &Reply) -> (usize, usize, String) {
    let json = reply.json();
    let results = json["results"].as_array().expect("results");
    let not = results.iter().filter(|one| one["notProcessed"] == true).count();
    (results.len() - not, not, json["terminationErrorType"].as_str().unwrap_or_default().to_owned())
}

async fn bulk(caller: &Caller, many: usize) -> Reply {
    let one = json!({ "transaction": "GetBasicData", "record": { "CUNO": "C00001" } });
    let body = json!({ "program": "CRS610MI", "transactions": vec![one; many] });
    caller.send(Method::POST, BULK, &[("content-type", "application/json")], Bytes::from(body.to_string())).await
}

#[tokio::test]
async fn each_transaction_of_a_bulk_call_counts_against_every_limit() {
    let tables =
        "[[quota]]\nper = \"day\"\nunits = 7\n[[program]]\nprogram = \"CRS610MI\"\nrate = \"1/hour\"\nburst = 5\n";
    let (house, caller) = limited(&wide(tables)).await;
    let reply = bulk(&caller, 3).await;
    assert_eq!(ended(&reply), (3, 0, String::new()), "{}", reply.text());
    let reply = bulk(&caller, 4).await;
    assert_eq!(ended(&reply), (2, 2, "RateLimited".into()), "{}", reply.text());
    let lines = usage(&house, Some("tester")).await;
    assert_eq!((&line(&lines, "daily")["used"], &line(&lines, "program CRS610MI")["used"]), (&5.into(), &5.into()));
    assert_eq!(caller.m3(OTHER).await.status, StatusCode::OK);
    assert_eq!(caller.m3(OTHER).await.status, StatusCode::OK);
    let refused = bulk(&caller, 1).await;
    assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::TOO_MANY_REQUESTS, "quota-spent"));
    assert_eq!(house.asked().len(), 7);
    house.stop().await;
}

/// Asks again until it is not refused any more.
async fn until_free(caller: &Caller, call: &str) {
    let began = Instant::now();
    loop {
        let reply = caller.m3(call).await;
        if reply.status == StatusCode::OK {
            return;
        }
        assert_eq!(reply.problem(), "too-many-in-flight", "{}", reply.text());
        assert_eq!(reply.header("retry-after"), "", "when a call ends nobody knows");
        assert!(began.elapsed() < Duration::from_secs(30), "its slot never came free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A call that M3 is at, and that goes on for a while.
async fn hanging(house: &House, caller: &Caller, call: &str) -> tokio::task::JoinHandle<Reply> {
    let name = call.split('?').next().unwrap_or_default().to_owned();
    let before = house.asked().iter().filter(|asked| asked.starts_with(&name)).count();
    let (caller, call) = (caller.clone(), call.to_owned());
    let hangs = Tasks::new().spawn(async move { caller.m3(&call).await });
    let began = Instant::now();
    while house.asked().iter().filter(|asked| asked.starts_with(&name)).count() == before {
        if hangs.is_finished() {
            panic!("it does not hang: {}", hangs.await.expect("an answer").text());
        }
        assert!(began.elapsed() < Duration::from_secs(30), "M3 never saw it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    hangs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_is_free_again_when_its_caller_leaves_or_runs_out_of_time_and_a_write_keeps_it_until_it_is_done() {
    let state = tempfile::tempdir().expect("a folder");
    let (house, caller) = {
        let house = over(state, &wide("[[concurrent]]\ncalls = 1\n")).await;
        let caller = house.caller("tester").await;
        (house, caller)
    };
    for call in [READ, OTHER, WRITE] {
        assert_eq!(caller.m3(call).await.status, StatusCode::OK, "layouts are learnt");
    }
    house.faults(r#"{"rules":[{"transaction":"GetBasicData","latency_ms":120000},{"transaction":"ChgBasicData","latency_ms":2500}]}"#);
    // He leaves: M3 is still at it, and his slot is free.
    let hangs = hanging(&house, &caller, READ).await;
    let refused = caller.m3(OTHER).await;
    assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::TOO_MANY_REQUESTS, "too-many-in-flight"));
    assert_eq!(line(&usage(&house, Some("tester")).await, "concurrent")["used"], 1);
    hangs.abort();
    until_free(&caller, OTHER).await;
    // A write whose caller left goes on, and so does what it holds.
    let hangs = hanging(&house, &caller, WRITE).await;
    let began = Instant::now();
    hangs.abort();
    until_free(&caller, OTHER).await;
    assert!(began.elapsed() > Duration::from_secs(1), "its slot was free while M3 was at it");
    assert_eq!(line(&usage(&house, Some("tester")).await, "concurrent")["used"], 0);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_m3_never_answers_gives_its_slot_back_with_its_time_out() {
    let (house, caller) =
        House::open_to_all("MIDEMO", "rate = \"1000/second\"\nburst = 1000\n[[concurrent]]\ncalls = 1", |settings| {
            settings.gateway.exchange.read_patience = Duration::from_secs(1);
        })
        .await;
    for call in [READ, OTHER] {
        assert_eq!(caller.m3(call).await.status, StatusCode::OK, "layouts are learnt");
    }
    house.faults(r#"{"rules":[{"transaction":"GetBasicData","action":"no_answer"}]}"#);
    let late = caller.m3(READ).await;
    assert_eq!((late.status, late.problem().as_str()), (StatusCode::GATEWAY_TIMEOUT, "m3-timeout"));
    until_free(&caller, OTHER).await;
    house.stop().await;
}

#[tokio::test]
async fn what_a_limit_refused_is_nowhere_told_as_allowed() {
    let (house, caller) = limited(&wide("[[program]]\nprogram = \"CRS610MI\"\nrate = \"2/hour\"\nburst = 2\n")).await;
    for call in [READ, WRITE, READ, WRITE, READ, WRITE] {
        caller.m3(call).await;
    }
    assert_eq!(house.asked().len(), 2, "a read and a write");
    let state = house.stop().await;
    let found = out(&command(state.path(), &["audit", "find", "--verdict", "allow"]).await);
    let lines: Vec<Value> = found.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let count = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
    assert_eq!((count("decision"), count("outcome")), (2, 1), "{found}");
}

#[tokio::test]
async fn the_head_of_a_bulk_call_tells_the_tightest_limit_and_the_first_decision() {
    let (house, caller) = limited(&wide("[[program]]\nprogram = \"CRS610MI\"\nrate = \"3/hour\"\nburst = 3\n")).await;
    let read = json!({ "transaction": "GetBasicData", "record": { "CUNO": "C00001" } });
    let body =
        |many: usize| Bytes::from(json!({ "program": "CRS610MI", "transactions": vec![&read; many] }).to_string());
    let send = |many| caller.send(Method::POST, BULK, &[("content-type", "application/json")], body(many));
    let reply = send(1).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!((left(&reply).0.as_str(), left(&reply).1), ("program", 2));
    assert!(reply.header("ratelimit-policy").contains("\"program\";q=3"), "{:?}", reply.headers);
    let first = reply.header("mi-decision").to_owned();
    assert_eq!(send(2).await.status, StatusCode::OK);
    // Nothing is left for the first of them: the call is refused as a whole.
    let refused = send(2).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.text());
    assert_eq!((left(&refused).0.as_str(), left(&refused).1), ("program", 0));
    assert_ne!(refused.header("mi-decision"), "");
    let state = house.stop().await;
    let found = out(&command(state.path(), &["audit", "find", "--decision", &first]).await);
    assert!(found.contains("\"verdict\":\"allow\""), "{found}");
}
