//! What an operator orders with the command line while the gateway runs holds there, and what is not there is refused
//! with a hint.

use super::outbox::{Live, until};
use super::{Process, run, text};
use serde_json::Value;
use std::path::Path;

const PUBLIC: (&str, &str) = ("MI_GATEWAY__PUBLIC_URL", "https://gateway.test");
const SETTLE: &str = "MI_GATEWAY__PUBLISH__SETTLE_AFTER_SECONDS";
const ADD: &str = "OIS100MI/AddOrderHead?CUNO=C00001&ORTP=A01&FACI=A01";

/// M3 is asked about a lost write after so many seconds.
async fn live(folder: &Path, settle: &str) -> Live {
    let process = Process::start(folder, &[PUBLIC, (SETTLE, settle)]).await;
    Live::of(process, folder, ".mi-gateway/clients/demo.ionapi").await
}

/// Exit code and what was said.
async fn ordered(folder: &Path, words: &[&str]) -> (Option<i32>, String) {
    let ended = run(folder, &[&["outbox"], words].concat(), &[]).await;
    (ended.status.code(), text(&ended.stderr))
}

async fn shown(folder: &Path, id: &str) -> Value {
    let ended = run(folder, &["outbox", "show", id, "--json"], &[]).await;
    serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("{}", text(&ended.stderr)))
}

async fn messages(folder: &Path, key: &str) -> Vec<Value> {
    let ended = run(folder, &["outbox", "list", "--json", "--key", key], &[]).await;
    let listed = text(&ended.stdout);
    let all = listed.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    all.filter(|entry| entry["kind"] == "message").collect()
}

/// The write is done, and M3's answer to it is lost.
async fn lost(live: &Live, folder: &Path, call: &str) -> String {
    let name = call.split(['/', '?']).nth(1).unwrap_or_default();
    let rule = format!(r#"{{"rules":[{{"transaction":"{name}","times":1,"action":"drop_after"}}]}}"#);
    assert_eq!(live.process.operator(folder, "/mock/faults", &rule).await, 200);
    let reply = live.call(call).await;
    assert_eq!(reply.problem(), "outcome-unknown", "{}", reply.text());
    reply.json()["intent"].as_str().expect("its name").to_owned()
}

async fn in_the_audit_log(folder: &Path, kind: &str, id: &str, reason: &str) {
    until(&format!("{kind} in the audit log"), || async {
        let Ok(files) = std::fs::read_dir(folder.join(".mi-gateway/audit")) else { return false };
        let lines: String =
            files.flatten().map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect();
        lines.lines().any(|line| [kind, id, reason, "ann"].iter().all(|part| line.contains(part)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_an_operator_parks_is_asked_for_no_more_and_one_that_he_settles_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    // M3 would be asked in an hour: whatever becomes of it is the operator's word.
    let live = live(at, "3600").await;
    let intent = lost(&live, at, ADD).await;
    assert_eq!(shown(at, &intent).await["state"], "unknown");
    let order = ["park", &intent, "--reason", "M3 is upgraded", "--by", "ann"];
    let (code, said) = ordered(at, &order).await;
    assert!(code == Some(0) && said.contains("Parked"), "{said}");
    let parked = shown(at, &intent).await;
    assert_eq!((&parked["state"], &parked["reason"]), (&"parked".into(), &"M3 is upgraded".into()), "{parked}");
    in_the_audit_log(at, "outbox-park", &intent, "M3 is upgraded").await;
    let (code, said) = ordered(at, &order).await;
    let is = format!("{intent} is a write (OIS100MI/AddOrderHead) that is parked");
    assert!(code == Some(2) && said.contains(&is) && said.contains("`resolve`"), "it is parked already: {said}");

    let settle = ["resolve", &intent, "committed", "--by", "ann", "--reason", "looked it up"];
    let (code, said) = ordered(at, &settle).await;
    assert!(code == Some(2) && said.contains("look up ORNO in M3") && said.contains("--key"), "{said}");
    let (code, said) = ordered(at, &[&settle[..], &["--key", "PUNO=1"]].concat()).await;
    assert!(code == Some(2) && said.contains("PUNO"), "{said}");
    assert_eq!(shown(at, &intent).await["state"], "parked", "a wrong order changes nothing");
    // The newest of the customer's orders is the one whose number nobody heard.
    let orders = live.call("OIS100MI/LstHead?CUNO=C00001&maxrecs=0").await.records();
    let newest = orders.iter().filter_map(|order| order["ORNO"].as_str()).max().expect("an order").to_owned();
    let (code, said) = ordered(at, &[&settle[..], &["--key", &format!("ORNO={newest}")]].concat()).await;
    assert!(code == Some(0) && said.contains("Settled"), "{said}");
    assert_eq!(shown(at, &intent).await["state"], "committed");
    until("its document", || async { messages(at, &newest).await.len() == 1 }).await;
    in_the_audit_log(at, "outbox-resolve", &intent, "looked it up").await;

    let refused = lost(&live, at, ADD).await;
    let (code, said) = ordered(at, &["resolve", &refused, "refused"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(shown(at, &refused).await["state"], "refused");
    let (code, said) = ordered(at, &["resolve", &refused, "committed"]).await;
    assert!(code == Some(2) && said.contains("that is refused"), "it is settled: {said}");
    for words in [&["resolve", "nothing", "refused"][..], &["park", "nothing"]] {
        let (code, said) = ordered(at, words).await;
        let hint = format!("nothing in the outbox is called {}; see `mi-gateway outbox list`", words[1]);
        assert!(code == Some(2) && said.contains(&hint), "{words:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_an_operator_parks_waits_until_he_sends_it_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (at, bods) = (folder.path(), folder.path().join(".mi-gateway/bods"));
    let live = live(at, "0").await;
    // Nothing can be written where a file stands in the folder's place.
    let _ = std::fs::remove_dir_all(&bods);
    std::fs::write(&bods, "in the way").expect("a file");
    let added = live.call("MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=ASIDE&ITDS=Aside").await;
    assert_eq!(added.json()["nrOfSuccessfullTransactions"], 1, "{}", added.text());
    let tried = |message: &Value| message["tries"].as_i64().is_some_and(|tries| tries > 0);
    until("it was tried", || async { messages(at, "ASIDE").await.first().is_some_and(tried) }).await;
    let id = messages(at, "ASIDE").await[0]["id"].as_str().expect("an id").to_owned();
    let (code, said) = ordered(at, &["park", &id, "--reason", "the folder is mended"]).await;
    assert_eq!(code, Some(0), "{said}");
    std::fs::remove_file(&bods).expect("out of the way");
    let added = live.call("MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=BEHIND&ITDS=Behind").await;
    assert_eq!(added.json()["nrOfSuccessfullTransactions"], 1, "{}", added.text());
    let is = |messages: &[Value], state: &str| messages.first().is_some_and(|message| message["state"] == state);
    until("another one arrives", || async { is(&messages(at, "BEHIND").await, "delivered") }).await;
    assert!(is(&messages(at, "ASIDE").await, "parked"), "{:?}", messages(at, "ASIDE").await);
    let (code, said) = ordered(at, &["replay", &id]).await;
    assert_eq!(code, Some(0), "{said}");
    until("it arrives", || async { is(&messages(at, "ASIDE").await, "delivered") }).await;
}
