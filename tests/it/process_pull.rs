//! `catalog pull`: what M3 has is known before anybody calls it.

use super::{Process, run, text};
use mi_gateway::mock_m3::{self, Mock};
use mi_gateway::tasks::Tasks;
use std::path::Path;

fn known(folder: &Path) -> String {
    std::fs::read_to_string(folder.join(".mi-gateway/catalog.json")).unwrap_or_default()
}

/// A rule over a field can be checked once its transaction's layout is known.
async fn unverified(folder: &Path, environment: &[(&str, &str)]) -> String {
    let rules = folder.join("rules");
    std::fs::create_dir_all(&rules).expect("a folder");
    let rule = "@id(\"one\") @owner(\"o\") permit (principal == Client::\"shop\", action == Action::\"CRS620MI/GetBasicData\", resource)\n\
        when { context.fields has SUNO && context.fields.SUNO == \"S1\" };\n";
    std::fs::write(rules.join("a.cedar"), rule).expect("a file");
    text(&run(folder, &["policy", "check", "rules"], environment).await.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_m3_is_asked_and_rules_can_be_checked_before_anybody_calls() {
    let (folder, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
    let mock = Mock::start(mock_m3::Settings::default(), &tasks).await.expect("an M3");
    let m3 = mock.address().to_string();
    let environment = [
        ("MI_GATEWAY__M3__BACKEND", "socket"),
        ("MI_GATEWAY__M3__ADDRESS", m3.as_str()),
        ("MI_GATEWAY__M3__USER", "MIGATE"),
        ("MI_GATEWAY__M3__PASSWORD", "migate-dev"),
    ];
    let at = folder.path();
    let before = unverified(at, &environment).await;
    assert!(before.contains("[unverified]") && before.contains("mi-gateway catalog pull CRS620MI"), "{before}");
    let pulled = run(at, &["catalog", "pull", "CRS620MI", "CRS621MI"], &environment).await;
    let said = text(&pulled.stderr);
    assert!(pulled.status.success() && said.contains("1/2 CRS620MI: ") && said.contains("spelt as M3"), "{said}");
    assert!(known(at).contains("CRS620MI"), "it is kept");
    let after = unverified(at, &environment).await;
    assert!(!after.contains("[unverified]"), "{after}");
    // What M3 does not describe is told, and is no success.
    let nok = r#"{"rules":[{"program":"MRS001MI","transaction":"LstFields","action":{"nok":{"id":"X","field":"","text":"No"}}}]}"#;
    mock.set_faults(serde_json::from_str(nok).expect("faults"));
    let pulled = run(at, &["catalog", "pull", "CRS630MI", "--json"], &environment).await;
    assert_eq!(pulled.status.code(), Some(1), "{}", text(&pulled.stderr));
    let told: serde_json::Value = serde_json::from_slice(&pulled.stdout).expect("JSON");
    assert!(told["failed"].as_array().is_some_and(|failed| !failed.is_empty()), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gateway_learns_it_itself_and_keeps_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let refused = run(at, &["catalog", "pull"], &[]).await;
    assert!(text(&refused.stderr).contains("start that first"), "{}", text(&refused.stderr));
    let process = Process::start(at, &[]).await;
    assert!(!known(at).contains("CRS630MI"));
    let pulled = run(at, &["catalog", "pull", "CRS630MI"], &[]).await;
    assert!(pulled.status.success(), "{}", text(&pulled.stderr));
    assert!(known(at).contains("CRS630MI"), "on the disk once it is told");
    process.signal("TERM");
    assert_eq!(process.ended().await.0, Some(0));
    assert!(known(at).contains("CRS630MI"), "and after its end");
}
