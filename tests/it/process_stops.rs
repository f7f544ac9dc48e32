//! What the command line takes back or blocks holds in a running gateway within a second, and over a restart.

use super::{Process, READ, patiently, run, text, token};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

async fn said(folder: &Path, words: &[&str]) -> String {
    let ended = run(folder, words, &[]).await;
    assert!(ended.status.success(), "{words:?}: {}", text(&ended.stderr));
    text(&ended.stdout)
}

/// Within the promised second, whatever this machine makes of it besides.
async fn soon(process: &Process, folder: &Path, token: &str, status: u16) {
    let begun = Instant::now();
    patiently(async || (process.status(folder, token, READ).await == status).then_some(())).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{status} after {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_revoked_on_the_command_line_ends_in_the_running_gateway_and_stays_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let mut process = Process::start(at, &[]).await;
    let (lost, other) = (token(at).await, token(at).await);
    assert_eq!((process.status(at, &lost, READ).await, process.status(at, &other, READ).await), (200, 200));
    std::fs::write(at.join("lost.token"), format!("{lost}\n")).expect("a file");
    let shown = said(at, &["token", "revoke", "lost.token", "--reason", "lost laptop", "--by", "anna"]).await;
    assert!(shown.contains("anna") && shown.contains("lost laptop") && !shown.contains(&lost), "{shown}");
    soon(&process, at, &lost, 401).await;
    assert_eq!(process.status(at, &other, READ).await, 200);
    process.child.kill().await.expect("killed");
    let door = process.addresses["public"][0].as_str().unwrap_or_default().to_owned();
    let mut process = Process::start(at, &[("MI_GATEWAY__EDGE__LISTEN", &door)]).await;
    assert_eq!(process.status(at, &lost, READ).await, 401, "it stays so before anybody is let in");
    assert_eq!(process.status(at, &other, READ).await, 200);
    process.child.kill().await.expect("killed");
    let listed = said(at, &["token", "revoked", "--json"]).await;
    let entries: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    assert!(entries.iter().all(|entry| entry["by"] == "anna") && entries.len() == 2, "{listed}");
    let unknown = run(at, &["token", "restore", "r-000000000000"], &[]).await;
    assert_eq!(unknown.status.code(), Some(2), "{}", text(&unknown.stderr));
    for entry in entries {
        said(at, &["token", "restore", entry["entry"].as_str().unwrap_or_default()]).await;
    }
    assert_eq!(said(at, &["token", "revoked"]).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_set_on_the_command_line_holds_over_a_restart_until_it_is_lifted() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let mut process = Process::start(at, &[]).await;
    let before = token(at).await;
    assert_eq!(process.status(at, &before, READ).await, 200);
    said(at, &["block", "client", "demo", "--reason", "under attack"]).await;
    soon(&process, at, &before, 403).await;
    process.child.kill().await.expect("killed");
    // The name of the embedded issuer is that of its door: it opens where it was.
    let door = process.addresses["public"][0].as_str().unwrap_or_default().to_owned();
    let process = Process::start(at, &[("MI_GATEWAY__EDGE__LISTEN", &door)]).await;
    let after = token(at).await;
    assert_eq!(process.status(at, &after, READ).await, 403, "it is in force before anybody is let in");
    let listed: Value = serde_json::from_str(said(at, &["block", "list", "--json"]).await.trim()).expect("one line");
    assert_eq!((&listed["kind"], &listed["reason"]), (&"blocked-client".into(), &"under attack".into()));
    said(at, &["block", "lift", listed["entry"].as_str().unwrap_or_default()]).await;
    soon(&process, at, &after, 200).await;
    said(at, &["block", "program", "CRS610MI", "--until", "2999-01-01T00:00:00Z"]).await;
    soon(&process, at, &after, 403).await;
    let nobody = run(at, &["block", "client", "nobody"], &[]).await;
    assert_eq!(nobody.status.code(), Some(2), "{}", text(&nobody.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tokens_of_a_client_or_of_an_issuer_stay_ended_over_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let mut process = Process::start(at, &[]).await;
    let door = process.addresses["public"][0].as_str().unwrap_or_default().to_owned();
    let reader = run(at, &["token", ".mi-gateway/clients/reader.ionapi"], &[]).await;
    let (demo, reader) = (token(at).await, text(&reader.stdout).trim().to_owned());
    assert_eq!((process.status(at, &demo, READ).await, process.status(at, &reader, READ).await), (200, 200));
    said(at, &["token", "revoke", "--client", "demo"]).await;
    process.child.kill().await.expect("killed");
    let mut process = Process::start(at, &[("MI_GATEWAY__EDGE__LISTEN", &door)]).await;
    assert_eq!((process.status(at, &demo, READ).await, process.status(at, &reader, READ).await), (401, 200));
    said(at, &["token", "revoke", "--before", "now"]).await;
    process.child.kill().await.expect("killed");
    let process = Process::start(at, &[("MI_GATEWAY__EDGE__LISTEN", &door)]).await;
    assert_eq!((process.status(at, &demo, READ).await, process.status(at, &reader, READ).await), (401, 401));
}
