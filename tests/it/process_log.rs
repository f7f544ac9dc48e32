//! What the process writes: a line for everybody, values and secrets for nobody.

use super::{Process, token};
use crate::house::{https, send};
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_no_values_no_secrets_and_no_bare_control_characters() {
    use tokio::io::AsyncReadExt;
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = Process::start(folder.path(), &[]).await;
    let token = token(folder.path()).await;
    let request = Request::get(format!(
        "{}/m3api-rest/v2/execute/CRS610MI/GetBasicData;divi=AAA?CUNO=HUSHHUSH",
        process.word("public_url")
    ))
    .header("authorization", format!("Bearer {token}"))
    .header("user-agent", b"evil\tagent \x85".as_slice())
    .header("x-forwarded-for", "6.6.6.6")
    .body(Full::default())
    .expect("a request");
    send(&https(&folder.path().join("certs/dev/ca.pem")), request).await;
    process.signal("TERM");
    let mut log = String::new();
    process.output.take().expect("a pipe").read_to_string(&mut log).await.expect("text");
    let ionapi: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join(".mi-gateway/clients/demo.ionapi")).expect("a file"))
            .expect("JSON");
    for secret in ["HUSHHUSH", token.as_str(), ionapi["cs"].as_str().unwrap_or_default(), "6.6.6.6", "midemo-dev"] {
        assert!(!secret.is_empty() && !log.contains(secret), "{secret} in {log}");
    }
    let line: Value = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .find(|line: &Value| line["program"] == "CRS610MI")
        .expect("a line of the call");
    assert_eq!(
        (&line["transaction"], &line["company"], &line["outcome"]),
        (&"GetBasicData".into(), &"100".into(), &"nok".into())
    );
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "JSON lines and nothing else: {log}");
    assert!(log.contains("evil\\tagent"), "control characters are escaped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_before_his_answer_has_a_line_all_the_same() {
    use tokio::io::AsyncReadExt;
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let mut process = Process::start(at, &[]).await;
    let token = token(at).await;
    const WRITE: &str = "CRS610MI/ChgBasicData?CUNO=C00001&CUNM=X";
    assert_eq!(process.status(at, &token, WRITE).await, 200);
    let slow = r#"{"rules":[{"transaction":"ChgBasicData","latency_ms":1500}]}"#;
    assert_eq!(process.operator(at, "/mock/faults", slow).await, 200);
    let asked = process.status(at, &token, WRITE);
    assert!(tokio::time::timeout(Duration::from_millis(500), asked).await.is_err(), "he does not wait for it");
    process.signal("TERM");
    let mut log = String::new();
    process.output.take().expect("a pipe").read_to_string(&mut log).await.expect("text");
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let left = lines.iter().find(|line| line["status"] == 499).unwrap_or_else(|| panic!("no such line in {log}"));
    assert_eq!(
        (&left["transaction"], &left["outcome"], &left["m3_user"]),
        (&"ChgBasicData".into(), &"abandoned".into(), &"MIDEMO".into())
    );
    let write = log.lines().find(|line| line.contains("caller had gone")).expect("the write is told of");
    assert!(write.contains("DEMO_TST~") && write.contains("MIDEMO"), "{write}");
}
