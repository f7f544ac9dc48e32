//! What an operator does stands in the audit log, with who did it: clients and keys, rules and limits.

use super::{Process, patiently, run, text};
use crate::house::{https, send};
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Lines of this kind, in their order.
fn noted(folder: &Path, kind: &str) -> Vec<Value> {
    let files = fs::read_dir(folder.join(".mi-gateway/audit")).into_iter().flatten().flatten();
    let mut files: Vec<_> = files.map(|file| file.path()).filter(|path| path.extension().is_some()).collect();
    files.sort();
    let lines: String = files.iter().map(|file| fs::read_to_string(file).unwrap_or_default()).collect();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["kind"] == kind).collect()
}

async fn last(folder: &Path, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
    patiently(async || noted(folder, kind).pop().filter(&fits)).await
}

/// Also of one that is not a first start.
fn up(line: &str) -> bool {
    line.starts_with("  operations")
}

async fn done(folder: &Path, words: &[&str]) {
    let ended = run(folder, words, &[]).await;
    assert!(ended.status.success(), "{words:?}: {}", text(&ended.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_line_does_to_clients_and_keys_stands_in_the_audit_log_with_who_did_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    done(at, &["client", "add", "early", "--group", "demo", "--out", "early.ionapi", "--by", "ben"]).await;
    let process = Process::up(at, &[], up).await;
    let early = last(at, "client-added", |line| line["name"] == "early").await;
    assert_eq!(early["by"], "ben", "one that was added before the start: {early}");

    let shop = ["client", "add", "shop", "--group", "demo", "--may-division", "AAA", "--may-division", "company"];
    done(at, &[&shop[..], &["--out", "shop.ionapi", "--by", "ann"]].concat()).await;
    let added = last(at, "client-added", |line| line["name"] == "shop").await;
    assert_eq!((&added["by"], &added["groups"]), (&"ann".into(), &serde_json::json!(["demo"])), "{added}");
    assert_eq!(added["may_division"], serde_json::json!(["AAA", "company"]), "{added}");
    done(at, &["client", "rotate", "shop", "--out", "again.ionapi", "--by", "ann"]).await;
    assert_eq!(last(at, "client-rotated", |_| true).await["client"], added["client"]);
    done(at, &["keys", "rotate"]).await;
    let rotated = last(at, "keys-rotated", |_| true).await;
    assert!(rotated["by"].as_str().is_some_and(|by| by.starts_with("uid ")), "{rotated}");
    done(at, &["client", "revoke", "shop", "--by", "ann"]).await;
    assert_eq!(last(at, "client-revoked", |_| true).await["by"], "ann");
    let secrets = fs::read_to_string(at.join("shop.ionapi")).expect("a file");
    let secrets: Value = serde_json::from_str(&secrets).expect("JSON");
    for secret in ["cs", "sask"] {
        let secret = secrets[secret].as_str().expect("a secret");
        assert!(!noted(at, "client-added").iter().any(|line| line.to_string().contains(secret)));
    }
    assert_eq!(noted(at, "client-revoked").len(), 1, "each once");
    drop(process);
}

const READS: &str =
    "@id(\"reads\") @owner(\"o\")\npermit (principal in Group::\"demo\", action in Action::\"read\", resource);\n";
const NOTHING: &str = "@id(\"nothing\") @owner(\"o\")\nforbid (principal, action, resource);\n";

fn write(rules: &Path, version: u32, more: &str, limits: &str) {
    // Each look of the gateway sees a set that is whole, or a faulty one that it leaves alone.
    fs::write(rules.join("manifest.toml"), "").expect("a file");
    fs::write(rules.join("b.cedar"), more).expect("a file");
    fs::write(rules.join("limits.toml"), limits).expect("a file");
    fs::write(rules.join("manifest.toml"), format!("name = \"acme\"\nversion = {version}\n")).expect("a file");
}

const GENEROUS: &str = "[default]\nrate = \"100/second\"\nburst = 200\n";

#[tokio::test(flavor = "multi_thread")]
async fn which_set_came_into_force_and_who_went_back_from_it_stands_in_the_audit_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let (at, rules) = (folder.path(), folder.path().join("rules"));
    fs::create_dir(&rules).expect("a folder");
    fs::write(rules.join("a.cedar"), READS).expect("a file");
    write(&rules, 1, "", GENEROUS);
    let dir = rules.display().to_string();
    let environment = [("MI_GATEWAY__POLICY__DIR", dir.as_str())];
    let process = Process::start(at, &environment).await;
    let first = last(at, "policy-in-force", |line| line["version"] == 1).await;
    assert_eq!(first["from"], Value::Null, "{first}");

    write(&rules, 2, NOTHING, GENEROUS);
    let second = last(at, "policy-in-force", |line| line["version"] == 2).await;
    assert_eq!((&second["from"]["set"], &second["rolled_back"]), (&first["set"], &false.into()), "{second}");
    assert_ne!(second["set"], first["set"]);
    fs::write(rules.join("limits.toml"), GENEROUS.replace("100", "150")).expect("a file");
    let limits = last(at, "policy-in-force", |line| line["files"] != second["files"]).await;
    assert_eq!(limits["set"], second["set"], "other limits under the same rules");

    let ordered = run(at, &["policy", "rollback", "--to", "1", "--by", "ann"], &environment).await;
    assert!(ordered.status.success(), "{}", text(&ordered.stderr));
    let order = last(at, "policy-rollback", |_| true).await;
    assert_eq!((&order["by"], &order["to"]), (&"ann".into(), &first["files"]), "{order}");
    last(at, "policy-in-force", |line| line["version"] == 1 && line["rolled_back"] == true).await;
    let ordered = run(at, &["policy", "resume", "--by", "ben"], &environment).await;
    assert!(ordered.status.success(), "{}", text(&ordered.stderr));
    assert_eq!(last(at, "policy-resume", |_| true).await["by"], "ben");
    last(at, "policy-in-force", |line| line["version"] == 2 && line["rolled_back"] == false).await;
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_whose_limits_are_faulty_is_told_by_readiness_and_keeps_no_restart_from_starting() {
    let folder = tempfile::tempdir().expect("a folder");
    let (at, rules) = (folder.path(), folder.path().join("rules"));
    fs::create_dir(&rules).expect("a folder");
    fs::write(rules.join("a.cedar"), READS).expect("a file");
    write(&rules, 7, "", GENEROUS);
    let dir = rules.display().to_string();
    let environment = [("MI_GATEWAY__POLICY__DIR", dir.as_str())];
    let process = Process::start(at, &environment).await;
    write(&rules, 8, NOTHING, "[default]\nrate = \"often\"\nburst = 1\n");
    let note = async |process: &Process| {
        let request = Request::get(format!("http://{}/readyz", process.word("operations"))).body(Full::default());
        let ready = send(&https(&at.join("certs/dev/ca.pem")), request.expect("a request")).await.json();
        ready["notes"]["policy"].as_str().unwrap_or_default().to_owned()
    };
    patiently(async || note(&process).await.contains("limits.toml:2:").then_some(())).await;
    assert!(note(&process).await.starts_with("acme version 7"));
    process.signal("TERM");
    assert_eq!(process.ended().await.0, Some(0));

    let again = Process::up(at, &environment, up).await;
    let note = note(&again).await;
    assert!(note.starts_with("acme version 7") && note.contains("limits.toml:2:"), "{note}");
    assert!(noted(at, "policy-in-force").iter().all(|line| line["version"] == 7));
}
