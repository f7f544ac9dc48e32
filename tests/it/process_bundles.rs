//! A set that two people have to sign, from the making of their keys to the gateway that holds to it.

use super::{Process, READ, patiently, run, text, token};
use crate::house::{https, send};
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use std::path::Path;

const READS: &str = "@id(\"reads\") @owner(\"o\") permit (principal in Group::\"demo\", action in Action::\"read\", resource in Program::\"CRS610MI\");\n";
const NOTHING: &str = "@id(\"nothing\") @owner(\"o\") forbid (principal, action, resource);\n";

/// What a command says when it ends with this.
async fn said(folder: &Path, code: i32, words: &[&str]) -> String {
    let ended = run(folder, &[&["policy"], words].concat(), &[]).await;
    assert_eq!(ended.status.code(), Some(code), "{words:?}: {}{}", text(&ended.stdout), text(&ended.stderr));
    text(&ended.stdout) + &text(&ended.stderr)
}

/// The id of a new key.
async fn key(folder: &Path, name: &str) -> String {
    let file = format!("{name}.key");
    let ended = run(folder, &["policy", "keygen", "--out", &file], &[]).await;
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let id = text(&ended.stdout).trim().to_owned();
    assert!(id.len() == 16 && !text(&ended.stderr).contains("PRIVATE"), "{id}");
    id
}

fn write(folder: &Path, version: u32, rules: &str) {
    std::fs::create_dir_all(folder.join("rules")).expect("a folder");
    std::fs::write(folder.join("rules/a.cedar"), rules).expect("a file");
    let manifest = format!("name = \"acme\"\nversion = {version}\n");
    std::fs::write(folder.join("rules/manifest.toml"), manifest).expect("a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_signed_by_two_and_a_strangers_signature_counts_for_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let (anna, otto) = (key(at, "anna").await, key(at, "otto").await);
    key(at, "stranger").await;
    write(at, 7, READS);
    let made = said(at, 0, &["bundle", "rules", "--key", "anna.key", "--out", "set.bundle"]).await;
    assert!(made.contains("acme version 7") && made.contains(&format!("signed by {anna}")), "{made}");
    let two = ["verify", "set.bundle", "--key", "anna.key.pub", "--key", "otto.key.pub", "--signatures", "2"];
    let few = said(at, 1, &two).await;
    assert!(few.contains("1 of 2 signatures"), "{few}");
    said(at, 0, &["sign", "set.bundle", "--key", "anna.key"]).await;
    said(at, 1, &two).await;
    said(at, 0, &["sign", "set.bundle", "--key", "stranger.key"]).await;
    said(at, 1, &two).await;
    said(at, 0, &["sign", "set.bundle", "--key", "otto.key"]).await;
    let shown = said(at, 0, &[&two[..], &["--json"]].concat()).await;
    let shown: Value = serde_json::from_str(shown.lines().next().unwrap_or_default()).expect("JSON");
    let by = shown["signed_by"].as_array().cloned().unwrap_or_default();
    assert!(by.contains(&anna.as_str().into()) && by.contains(&otto.as_str().into()) && by.len() == 3, "{shown}");
    assert_eq!((&shown["version"], &shown["trusted"]), (&7.into(), &true.into()), "{shown}");
    said(at, 0, &["verify", "set.bundle", "--key", "stranger.key.pub"]).await;
    key(at, "other").await;
    said(at, 1, &["verify", "set.bundle", "--key", "other.key.pub"]).await;
    // A byte of what was signed is another.
    let mut changed = std::fs::read(at.join("set.bundle")).expect("a bundle");
    let place = changed.windows(5).position(|window| window == b"reads").expect("the rule");
    changed[place] = b'R';
    std::fs::write(at.join("changed.bundle"), changed).expect("a file");
    said(at, 1, &["verify", "changed.bundle", "--key", "anna.key.pub"]).await;
    // What has a fault is not given out.
    write(at, 8, "permit (");
    said(at, 1, &["bundle", "rules", "--key", "anna.key", "--out", "bad.bundle"]).await;
    assert!(!at.join("bad.bundle").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_takes_up_what_two_have_signed_and_keeps_it_when_the_next_set_has_one_signature() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let (anna, otto) = (key(at, "anna").await, key(at, "otto").await);
    write(at, 1, READS);
    said(at, 0, &["bundle", "rules", "--key", "anna.key", "--out", "set.bundle"]).await;
    let environment = [
        ("MI_GATEWAY__POLICY__BUNDLE", "set.bundle"),
        ("MI_GATEWAY__POLICY__TRUSTED_KEYS", "anna.key.pub,otto.key.pub"),
        ("MI_GATEWAY__POLICY__SIGNATURES", "2"),
    ];
    // By the settings' own keys, and nothing starts with one signature of two.
    let verified = run(at, &["policy", "verify", "set.bundle"], &environment).await;
    assert_eq!(verified.status.code(), Some(1), "{}", text(&verified.stdout));
    let elsewhere = [&environment[..], &[("MI_GATEWAY__STATE__DIR", "elsewhere")]].concat();
    let refused = run(at, &["serve"], &elsewhere).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("1 of 2 signatures"), "{}", text(&refused.stderr));

    said(at, 0, &["sign", "set.bundle", "--key", "otto.key"]).await;
    let process = Process::start(at, &environment).await;
    let client = https(&at.join("certs/dev/ca.pem"));
    let told = async |path: &str| {
        let request = Request::get(format!("http://{}{path}", process.word("operations")));
        send(&client, request.body(Full::default()).expect("a request")).await.text()
    };
    let ready = told("/readyz").await;
    for word in ["acme version 1", "signed by ", &anna, &otto] {
        assert!(ready.contains(word), "{word} in {ready}");
    }
    let token = token(at).await;
    assert_eq!(process.status(at, &token, READ).await, 200);

    write(at, 2, NOTHING);
    said(at, 0, &["bundle", "rules", "--key", "anna.key", "--out", "set.bundle"]).await;
    patiently(async || told("/metrics").await.contains("policy_trouble 1").then_some(())).await;
    patiently(async || told("/readyz").await.contains("1 of 2 signatures").then_some(())).await;
    let ready = told("/readyz").await;
    assert!(ready.contains("acme version 1") && ready.contains(&otto), "the last good one decides: {ready}");
    assert_eq!(process.status(at, &token, READ).await, 200);

    said(at, 0, &["sign", "set.bundle", "--key", "otto.key"]).await;
    patiently(async || (process.status(at, &token, READ).await == 403).then_some(())).await;
    patiently(async || told("/metrics").await.contains("policy_trouble 0").then_some(())).await;
    patiently(async || told("/readyz").await.contains("acme version 2").then_some(())).await;
}
