//! What others say stands in logs and on terminals as what it is: a text, on one line, that commands nothing.

use super::{Process, run, text, token};
use crate::house::{https, send};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use std::path::Path;
use tokio::io::AsyncReadExt;

/// A line of its own, a quote, a terminal's commands in both forms, a text turned about, and two ends of a line that
/// aren't of ASCII.
const EVIL: &str = "x\r\n{\"level\":\"INFO\",\"forged\":1}\"\\\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{7f}\u{202e}txt\u{2066}\u{2028}\u{2029}\u{85}\u{feff}end";

/// What an operator says.
const REASON: &str = "because\u{1b}[2J \u{202e}\u{2028}\u{9b}2J";

fn commands(text: &str) -> Vec<char> {
    let hidden = |c: &char| (c.is_control() && *c != '\n') || "\u{202e}\u{2066}\u{2028}\u{2029}\u{feff}".contains(*c);
    text.chars().filter(hidden).collect()
}

fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Method, path, authorization and body of everything that a caller can put a text into, with a token and without.
fn requests(public: &str, token: &str) -> Vec<(Method, String, String, String)> {
    let coded = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    };
    let evil = escaped(EVIL);
    let mut paths = vec![format!("/{evil}"), format!("/{evil}/M3/m3api-rest/v2/execute/CRS610MI/GetBasicData")];
    for version in ["", "v2/"] {
        for tail in [
            format!("execute/{evil}/GetBasicData?CUNO=1"),
            format!("execute/CRS610MI/{evil}?CUNO=1"),
            format!("execute/CRS610MI/GetBasicData;{evil}={evil}?CUNO=1"),
            format!("execute/CRS610MI/GetBasicData;divi={evil}?CUNO=1"),
            format!("execute/CRS610MI/GetBasicData?{evil}={evil}"),
            format!("execute/CRS610MI/GetBasicData?CUNO={evil}"),
            format!("execute/CRS610MI/GetBasicData?CUNO=C00001&m3user={evil}"),
            "execute/CRS610MI/ChgBasicData?CUNO=C00001&CUNM=%E2%80%AEdesrever".to_owned(),
            format!("metadata/{evil}"),
        ] {
            paths.push(format!("/m3api-rest/{version}{tail}"));
        }
    }
    let kid = json!({ "alg": "ES256", "typ": "at+jwt", "kid": EVIL }).to_string();
    let forged = |header: &str, claims: &str| format!("{}.{}.AAAA", coded(header), coded(claims));
    let good = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k" }).to_string();
    let tokens = [
        token.to_owned(),
        forged(&kid, "{}"),
        forged(&good, &json!({ "iss": EVIL, "client_id": EVIL }).to_string()),
        forged(&good, &json!({ "iss": public, "client_id": EVIL }).to_string()),
    ];
    let mut asked = Vec::new();
    for (n, path) in paths.iter().enumerate() {
        asked.push((
            Method::GET,
            path.clone(),
            format!("Bearer {}", tokens[if n % 4 == 3 { n % tokens.len() } else { 0 }]),
            String::new(),
        ));
    }
    for token in &tokens[1..] {
        asked.push((Method::GET, "/m3api-rest/csrf".into(), format!("Bearer {token}"), String::new()));
    }
    for form in [
        format!("grant_type={evil}"),
        format!("grant_type=client_credentials&client_id={evil}&client_secret={evil}"),
        format!(
            "grant_type=client_credentials&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={}",
            tokens[2]
        ),
        format!("grant_type=refresh_token&refresh_token={evil}&client_id=demo&client_secret=x"),
    ] {
        asked.push((Method::POST, "/oauth2/token".into(), String::new(), form));
    }
    let bulk = json!({ "program": "CRS610MI", "transactions": [
        { "transaction": EVIL, "record": {} }, { "transaction": "GetBasicData", "record": { "CUNO": EVIL } },
        { "transaction": "GetBasicData", "record": { EVIL: "1" } } ], EVIL: 1 });
    asked.push((Method::POST, "/m3api-rest/v2/execute".into(), format!("Bearer {token}"), bulk.to_string()));
    asked
}

async fn driven(at: &Path, process: &Process, token: &str) {
    let public = process.word("public_url");
    let client = https(&at.join("certs/dev/ca.pem"));
    let header =
        HeaderValue::from_bytes("evil\tagent \u{202e}\u{9b}2J\u{2028} \"}".as_bytes()).expect("a header of bytes");
    for (method, path, authorization, body) in requests(&public, token) {
        let kind = if path.ends_with("token") { "application/x-www-form-urlencoded" } else { "application/json" };
        let mut request = Request::builder().method(method).uri(format!("{public}{path}")).header("content-type", kind);
        for name in
            ["user-agent", "traceparent", "tracestate", "x-request-id", "x-forwarded-for", "referer", "idempotency-key"]
        {
            // A key that is none would be refused before anything else; only writes look at it.
            if name != "idempotency-key" || path.contains("Chg") {
                request = request.header(name, header.clone());
            }
        }
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let reply = send(&client, request.body(Full::from(body)).expect("a request")).await;
        let told: String =
            reply.headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        assert!(commands(&told).is_empty(), "{path}: {told}");
    }
}

/// All of it, and what operators who look at it are shown.
async fn happens(at: &Path, process: Process) -> Vec<(&'static [&'static str], String)> {
    let token = token(at).await;
    let nok = json!({ "rules": [{ "transaction": "ChgFinancial", "action": { "nok": {
        "id": "X\u{1b}[2J", "field": "CUNO", "text": "No \u{9b}2J\u{1b}[31m such thing \u{85}" } } }] });
    assert_eq!(process.operator(at, "/mock/faults", &nok.to_string()).await, 200);
    for call in ["CRS610MI/ChgFinancial?CUNO=C00001", "CRS610MI/ChgFinancial?CUNO=C00001&CRLM=1"] {
        assert_eq!(process.status(at, &token, call).await, 200);
    }
    driven(at, &process, &token).await;
    // What operators say is foreign to the next one who reads it.
    let mut shown = Vec::new();
    for words in [
        &["block", "client", "reader", "--reason", REASON, "--by", REASON][..],
        &["block", "program", "MMS200MI", "--reason", REASON],
        &["block", "list"],
        &["block", "list", "--json"],
        &["token", "revoke", "--client", "reader", "--reason", REASON],
        &["token", "revoked"],
        &["token", "revoked", "--json"],
        &["audit", "find"],
        &["audit", "find", "--client", REASON],
        &["audit", "find", "--call", REASON],
        &["audit", "verify"],
        &["outbox", "list"],
        &["outbox", "list", "--json"],
        &["outbox", "show", REASON],
        &["client", "list"],
        &["policy", "explain", "--client", REASON, "CRS610MI/GetBasicData"],
        &["policy", "explain", "--client", "demo", REASON],
        &["policy", "explain", "--decision", REASON],
        &["policy", "who-can", REASON],
        &["policy", "check", REASON],
        &["bod", "validate", REASON],
        &["check", "--config", REASON],
    ] {
        let ended = run(at, words, &[]).await;
        shown.push((words, text(&ended.stdout)));
        shown.push((words, text(&ended.stderr)));
    }
    process.signal("TERM");
    assert_eq!(process.ended().await.0, Some(0));
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_said_is_one_line_in_every_log_and_commands_no_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    // As much as can be logged, so that whoever prints a foreign text is heard.
    let mut process = Process::start(at, &[("MI_GATEWAY__LOG__LEVEL", "trace")]).await;
    let mut output = process.output.take().expect("a pipe");
    let listens = async {
        let mut log = String::new();
        output.read_to_string(&mut log).await.expect("text");
        log
    };
    let (log, shown) = tokio::join!(listens, happens(at, process));
    let mut files = vec![("the log".to_owned(), log)];
    let audit = std::fs::read_dir(at.join(".mi-gateway/audit")).expect("the audit log").flatten();
    for file in audit.filter(|file| file.path().extension().is_some_and(|end| end == "jsonl")) {
        files.push((file.path().display().to_string(), std::fs::read_to_string(file.path()).expect("text")));
    }
    assert!(files.len() > 1 && files[0].1.lines().count() > 50, "{}", files[0].1);
    for (name, text) in &files {
        assert!(text.ends_with('\n'), "{name}");
        for line in text.lines() {
            assert!(commands(line).is_empty(), "{name}: {line}");
            let read: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
            assert!(read["forged"].is_null(), "{name}: {line}");
        }
    }
    assert!(files[0].1.contains("evil\\tagent \\u202e"), "it was told: {}", files[0].1);
    let told: String = shown.iter().map(|(_, text)| text.as_str()).collect();
    assert!(told.contains("because\\u001b[2J \\u202e\\u2028\\u009b2J"), "{told}");
    for (words, text) in shown {
        assert!(commands(&text).is_empty(), "{words:?}: {text}");
        if words.contains(&"--json") || words[..2.min(words.len())] == ["audit", "find"] {
            let lines = text.lines().filter(|line| line.starts_with('{'));
            lines.for_each(|line| assert!(serde_json::from_str::<Value>(line).is_ok(), "{words:?}: {line}"));
        }
    }
}
