//! Decisions over a record of M3, afterwards and beforehand: in the audit log, made again, and on the workbench.

use crate::audit::{audit, lines};
use crate::facts::{FACTS, RULES, firm, write};
use http::StatusCode;
use mi_gateway::audit::Fields;
use mi_gateway::config::Settings;
use serde_json::json;
use std::path::Path;
use std::process::{Command, Output};

/// The command over this state and these rules.
fn policy(state: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mi-gateway"))
        .current_dir(state)
        .env("MI_GATEWAY__STATE__DIR", state)
        .env("MI_GATEWAY__POLICY__DIR", state.join("rules"))
        .env("MI_GATEWAY__POLICY__GUARD_USER", "MIREAD")
        .arg("policy")
        .args(words)
        .output()
        .expect("the command can be started")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_decision_over_a_record_is_in_the_log_with_it_and_can_be_made_again() {
    let hashes = |settings: &mut Settings| {
        settings.audit.fields = Fields::All;
        settings.audit.hashed.insert("BUYE".into());
    };
    let firm = firm("MIREAD", hashes).await;
    let (small, large) = (firm.order(true).await, firm.order(false).await);
    assert_eq!(firm.approve(&small).await.status, StatusCode::OK);
    assert_eq!(firm.approve(&large).await.status, StatusCode::FORBIDDEN);
    let unknown = firm.approve("9999999").await;
    let refused = firm.chief.m3(&format!("PPS200MI/ApprovePO;cono=100?PUNO={large}")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let state = firm.house.stop().await;
    let found =
        lines(&audit(state.path(), &["find", "--call", "PPS200MI/ApprovePO", "--key", &format!("PUNO={small}")]));
    let line = &found[0];
    assert_eq!(
        (&line["record"]["DIVI"], &line["record_by"]),
        (&"AAA".into(), &"PPS200MI/GetHead PUNO=PUNO".into()),
        "{line}"
    );
    assert!(line["record"]["NTAM"].as_str().is_some_and(|amount| amount.parse::<f64>().is_ok()), "{line}");
    assert_eq!(line["untold_record"], json!(["BUYE"]));
    assert!(line["record"]["BUYE"].as_str().is_some_and(|value| value.len() > 20), "a hash: {line}");
    let found = lines(&audit(state.path(), &["find", "--decision", unknown.header("mi-decision")]));
    assert_eq!((&found[0]["record"], &found[0]["reason"]), (&"no-record".into(), &"fact-missing".into()), "{found:?}");

    let shown = text(&policy(state.path(), &["explain", "--decision", refused.header("mi-decision")]));
    assert!(shown.contains("a rule looks at BUYE of the record, and the log has its hash alone"), "{shown}");
    let again = policy(state.path(), &["replay", &state.path().join("rules").display().to_string()]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    // Three of this test, and those of its beginning.
    assert!(text(&again).contains(" 0 otherwise"), "{}", text(&again));
    let candidate = state.path().join("candidate");
    write(&candidate);
    std::fs::write(candidate.join("rules.cedar"), RULES.replace("10000.0", "900000.0")).expect("a file");
    let words = ["replay", &*candidate.display().to_string(), "--json"];
    let told = text(&policy(state.path(), &words));
    assert!(told.contains("\"other\":1,"), "the large one would be allowed: {told}");
    std::fs::write(candidate.join("facts.toml"), FACTS.replace("PUNO = \"PUNO\"", "PUNO = \"AUTD\"")).expect("a file");
    let told = text(&policy(state.path(), &words));
    assert!(told.contains("\"other\":0,") && told.contains("looks at another record of M3"), "{told}");
}

#[tokio::test]
async fn a_log_that_tells_keys_alone_tells_no_amount_of_a_record_either() {
    let firm = firm("MIREAD", |_| {}).await;
    let large = firm.order(false).await;
    let refused = firm.approve(&large).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let state = firm.house.stop().await;
    let id = refused.header("mi-decision");
    let line = &lines(&audit(state.path(), &["find", "--decision", id]))[0];
    assert_eq!(
        (&line["record"]["DIVI"], &line["record"]["NTAM"], &line["untold_record"]),
        (&"AAA".into(), &json!(null), &json!(["NTAM"])),
        "{line}"
    );
    let shown = text(&policy(state.path(), &["explain", "--decision", id]));
    assert!(shown.contains("a rule looks at NTAM of the record, and the log has"), "{shown}");
}

#[test]
fn the_workbench_knows_of_records() {
    let state = tempfile::tempdir().expect("a folder");
    write(&state.path().join("rules"));
    let ended = policy(state.path(), &["check"]);
    let told = text(&ended);
    assert!(ended.status.success() && !told.contains("unverified") && !told.contains("no-guard-user"), "{told}");
    let ended = policy(state.path(), &["test"]);
    assert!(text(&ended).contains("3 of 3 cases as expected"), "{}", text(&ended));
    let call = "PPS200MI/ApprovePO;cono=100?PUNO=1";
    let explain = |more: &[&str]| {
        text(&policy(state.path(), &[&["explain", "--client", "x", "--group", "buyers", call], more].concat()))
    };
    let without = explain(&[]);
    assert!(without.contains("none was read") && without.contains("approve-small"), "{without}");
    assert!(without.contains("M3 is asked before: PPS200MI/GetHead PUNO=PUNO for BUYE, DIVI, NTAM"), "{without}");
    let large = explain(&["--record", "DIVI=AAA", "--record", "NTAM=12000", "--record", "BUYE="]);
    assert!(large.contains("REFUSED") && large.contains("context.record.NTAM"), "{large}");
    let small = explain(&["--record", "DIVI=AAA", "--record", "NTAM=12", "--record", "BUYE="]);
    assert!(small.contains("ALLOWED"), "{small}");
    assert!(explain(&["--record", "SUNO=1"]).contains("the fact has no field SUNO"));
    let table = text(&policy(state.path(), &["who-can", "PPS200MI/ApprovePO", "--place", "100"]));
    assert!(table.contains("(group buyers),PPS200MI,ApprovePO,write,100,,sometimes,approve-small,\n"), "{table}");
    std::fs::write(state.path().join("rules/facts.toml"), FACTS.replace("\"NTAM\"", "\"NTAMX\"")).expect("a file");
    let ended = policy(state.path(), &["check", "--json"]);
    let told = text(&ended);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("\"code\":\"unknown-field\"") && told.contains("\"file\":\"facts.toml\""), "{told}");
}
