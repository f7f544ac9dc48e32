//! The vocabulary of the tests that publish: a house with a folder, and what arrives there.

use crate::house::{Caller, House};
use mi_gateway::bod::Filter;
use mi_gateway::config::Settings;
use mi_gateway::model::M3User;
use mi_gateway::outbox::{self, Ledger, Wanted};
use mi_gateway::points::{Answers, FileSettings, Pattern, Settings as Point, Target};
use mi_gateway::relay;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A house that publishes into a folder, and somebody who may do everything.
pub(crate) async fn publishing(change: impl FnOnce(&mut Settings)) -> (House, Caller) {
    House::open_to_all("MIDEMO", "rate = \"100000/second\"\nburst = 100000", |settings| {
        publishes(settings);
        change(settings);
    })
    .await
}

/// One that goes on with the state that such a one left.
pub(crate) async fn publishing_again(state: tempfile::TempDir, change: impl FnOnce(&mut Settings)) -> (House, Caller) {
    let house = House::again(state, |settings| {
        settings.policies = settings.state.join("rules");
        settings.group_users.insert("test".into(), M3User::parse("MIDEMO").expect("a user of the mock"));
        publishes(settings);
        change(settings);
    })
    .await;
    let caller = house.caller("tester").await;
    (house, caller)
}

fn publishes(settings: &mut Settings) {
    let (quiet, settle_after) = (Duration::from_millis(50), Duration::ZERO);
    settings.publish = relay::Settings { enabled: true, quiet, settle_after, ..relay::Settings::default() };
    settings.points = vec![folder("bods", &settings.state, Filter::default())];
}

pub(crate) fn folder(name: &str, state: &Path, filter: Filter) -> Point {
    let pattern = Pattern::parse("{document}_{variation}_{verb}.xml").expect("a pattern");
    let file = FileSettings { folder: state.join(name), pattern, keep: None };
    Point {
        name: name.to_owned(),
        filter,
        mask: mi_gateway::bod::Mask::default(),
        most_bytes: 1_000_000,
        receiver: None,
        answers: Answers::default(),
        target: Target::File(file),
    }
}

/// The documents of a record in their order.
pub(crate) fn documents(house: &House, key: &str) -> Vec<String> {
    documents_at(house, "bods", key)
}

/// Those of another folder.
pub(crate) fn documents_at(house: &House, name: &str, key: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(house.state.path().join(name)) else { return Vec::new() };
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort();
    let of = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(&format!("{key}_")) && name.ends_with(".xml")
    };
    found.iter().filter(|path| of(path)).map(|path| std::fs::read_to_string(path).expect("a document")).collect()
}

pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}"))
}

/// The first so many documents of a record.
pub(crate) async fn told(house: &House, key: &str, many: usize) -> Vec<String> {
    until(&format!("{many} documents of {key}"), async || {
        Some(documents(house, key)).filter(|found| found.len() >= many)
    })
    .await
}

pub(crate) async fn listed(house: &House) -> Vec<Value> {
    let ledger = Ledger::open(&outbox::Settings::under(house.state.path().join("outbox"))).await.expect("the outbox");
    let listed = ledger.list(&Wanted { most: 1_000, ..Wanted::default() }).await.expect("a list");
    ledger.close().await;
    listed
}

/// Nothing waits any more: what is not told now is never told.
pub(crate) async fn quiet(house: &House) {
    let waits = |entry: &Value| {
        ["open", "unknown", "due", "pending", "replayed", "sent"].contains(&entry["state"].as_str().unwrap_or_default())
    };
    until("nothing waits", async || (!listed(house).await.iter().any(waits)).then_some(())).await;
}

pub(crate) async fn done(caller: &Caller, call: &str) {
    let reply = caller.m3(call).await;
    assert_eq!(reply.json()["nrOfSuccessfullTransactions"], 1, "{call}: {}", reply.text());
}
