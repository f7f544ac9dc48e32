//! What the process writes: a line for everybody, values and secrets for nobody.

use super::{Process, run, text, token};
use crate::house::{https, send, trusting};
use http::Request;
use http_body_util::Full;
use mi_gateway::mock_m3::{Mock, Settings};
use mi_gateway::tasks::Tasks;
use serde_json::Value;
use std::path::Path;
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

/// Its standard output is a pipe that takes no more after some kilobytes: of the access log, and of events.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_nobody_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let process = Process::start(at, &[("MI_GATEWAY__LOG__LEVEL", "trace")]).await;
    let token = token(at).await;
    for _ in 0..100 {
        let answer = process.status(at, &token, "CRS610MI/GetBasicData?CUNO=C00001");
        assert_eq!(tokio::time::timeout(super::PATIENCE, answer).await.expect("it is answered"), 200);
    }
    let client = https(&at.join("certs/dev/ca.pem"));
    let metrics = Request::get(format!("http://{}/metrics", process.word("operations")));
    let told = send(&client, metrics.body(Full::default()).expect("a request")).await.text();
    let dropped = told.lines().find_map(|line| line.strip_prefix("mi_gateway_event_lines_dropped_total "));
    assert!(dropped.is_some_and(|count| count != "0"), "and what was lost is counted: {dropped:?}");
}

/// Whatever stands in the files of a folder.
fn written(folder: &Path) -> String {
    let Ok(files) = std::fs::read_dir(folder) else { return String::new() };
    files.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok()).collect()
}

const OPERATOR: &str = "MARK-operator-0123456789-0123456789";

/// Settings of a real M3, with marked secrets from everywhere, and a log that tells everything.
fn marked(m3: &str) -> [(&'static str, &str); 8] {
    [
        ("MI_GATEWAY__LOG__LEVEL", "trace"),
        ("MI_GATEWAY__M3__BACKEND", "socket"),
        ("MI_GATEWAY__M3__ADDRESS", m3),
        ("MI_GATEWAY__M3__USER", "MIGATE"),
        // One that is right, one that M3 refuses, one of a file.
        ("MI_GATEWAY__M3__PASSWORD", "migate-dev"),
        ("MI_GATEWAY__M3__PASSWORDS__MIDEMO", "MARK-m3"),
        ("MI_GATEWAY__M3__USERS__MIREAD", "user"),
        ("MI_GATEWAY__OPERATIONS__TOKEN", OPERATOR),
    ]
}

/// A request of each kind, good ones and bad ones, and everything that was answered.
async fn driven(at: &Path, told: &Value, ionapi: &Value, token: &str) -> String {
    let of = |name: &str| ionapi[name].as_str().unwrap_or_default();
    let (public, operations) = (crate::house::text(told, "public_url"), crate::house::text(told, "operations"));
    let (tokens, door) = (format!("{public}/oauth2/token"), format!("http://{operations}"));
    let call = format!("{public}/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001");
    let form = |pairs: &[(&str, &str)]| form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let id = ("client_id", of("ci"));
    let wrong = form(&[("grant_type", "client_credentials"), id, ("client_secret", "MARK-client")]);
    let (right, user) = (("client_secret", of("cs")), ("username", of("saak")));
    let account = form(&[("grant_type", "password"), id, right, user, ("password", "MARK-sask")]);
    let (operator, bearer) = (format!("Bearer {OPERATOR}"), format!("Bearer {token}"));
    let client = https(&at.join("certs/dev/ca.pem"));
    let mut answers = String::new();
    for (method, url, authorization, body) in [
        ("POST", &tokens, "", wrong.as_str()),
        ("POST", &tokens, "", &account),
        ("POST", &tokens, "Basic TUFSSy1iYXNpYzpNQVJLLWJhc2lj", "grant_type=MARK-grant"),
        ("GET", &call, &bearer, ""),
        ("GET", &call, "Bearer MARK-bearer.MARK-bearer.MARK-bearer", ""),
        ("POST", &format!("{door}/revocations"), &operator, "{\"token\":\"MARK token\"}"),
        ("POST", &format!("{door}/revocations"), "Bearer MARK-wrong-operator", "{}"),
        ("POST", &format!("{door}/blocks"), &operator, "{\"MARK-key\":1}"),
        ("GET", &format!("{door}/metrics"), "", ""),
        ("GET", &format!("{door}/readyz"), "", ""),
    ] {
        let kind = if url == &tokens { "application/x-www-form-urlencoded" } else { "application/json" };
        let mut request = Request::builder().method(method).uri(url).header("content-type", kind);
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let reply = send(&client, request.body(Full::from(body.to_owned())).expect("a request")).await;
        answers.push_str(&format!("{url} {} {:?} {}\n", reply.status, reply.headers, reply.text()));
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_written_anywhere_whatever_goes_wrong_and_however_much_is_logged() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let mock = Settings { listen: ([127, 0, 0, 1], 0).into(), ..Settings::default() };
    let mock = Mock::start(mock, &Tasks::new()).await.expect("a mock M3");
    std::fs::create_dir(at.join("policies")).expect("a folder");
    let rule = "@id(\"all\")\n@owner(\"tests\")\npermit (principal, action in [Action::\"read\"], resource);\n";
    for (name, text) in [
        ("policies/rules.cedar", rule),
        ("policies/limits.toml", "[default]\nrate = \"100/second\"\nburst = 100\n"),
        ("user", "MARK-of-file\n"),
        ("bad.toml", "[m3]\npassword = \"MARK-literal\"\nuser = \"MARK literal\"\n"),
    ] {
        std::fs::write(at.join(name), text).expect("a file");
    }
    let m3 = mock.address().to_string();
    let environment = marked(&m3);
    let [stdout, stderr] = ["out.log", "err.log"].map(|name| std::fs::File::create(at.join(name)).expect("a file"));
    let mut child = super::command(at, &[], &environment).stdout(stdout).stderr(stderr).spawn().expect("it starts");
    let told: Value = super::patiently(async || {
        crate::house::a_moment().await;
        serde_json::from_slice(&std::fs::read(at.join(".mi-gateway/addresses.json")).ok()?).ok()
    })
    .await;
    let words = ["client", "add", "shop", "--group", "shop", "--m3-user", "MIDEMO", "--out", "shop.ionapi"];
    let mut said = vec![run(at, &words, &environment).await];
    let ionapi: Value = serde_json::from_slice(&std::fs::read(at.join("shop.ionapi")).expect("a file")).expect("JSON");
    let token = super::patiently(async || {
        let got = run(at, &["token", "shop.ionapi"], &environment).await;
        got.status.success().then(|| text(&got.stdout).trim().to_owned())
    })
    .await;
    let mut everything = driven(at, &told, &ionapi, &token).await;
    assert!(everything.contains("m3-logon-refused") && everything.contains("invalid_client"), "{everything}");
    for words in [&["check", "--config", "bad.toml"][..], &["check", "--probe"], &["--help"]] {
        said.push(run(at, words, &environment).await);
    }
    child.kill().await.expect("it is ended");
    for ended in &said {
        everything.push_str(&text(&ended.stdout));
        everything.push_str(&text(&ended.stderr));
    }
    for file in ["out.log", "err.log", ".mi-gateway/addresses.json"] {
        everything.push_str(&std::fs::read_to_string(at.join(file)).unwrap_or_default());
    }
    everything.push_str(&written(&at.join(".mi-gateway/audit")));
    assert!(everything.contains("TRACE"), "it was logged as much as can be");
    let (secret, key) = (crate::house::text(&ionapi, "cs"), crate::house::text(&ionapi, "sask"));
    for secret in ["MARK", "migate-dev", &token, secret, key] {
        let found: Vec<&str> = everything.lines().filter(|line| line.contains(secret)).take(5).collect();
        assert!(found.is_empty(), "{secret}: {found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_leads_from_the_call_through_m3_to_its_document_and_its_delivery() {
    use tokio::io::AsyncReadExt;
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let mut process = Process::start(at, &[("MI_GATEWAY__LOG__LEVEL", "mi_gateway=debug")]).await;
    let token = token(at).await;
    let call = "MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=TRACED&ITDS=Traced";
    let request = Request::get(format!("{}/m3api-rest/v2/execute/{call}", process.word("public_url")))
        .header("authorization", format!("Bearer {token}"))
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .body(Full::default())
        .expect("a request");
    let reply = send(&https(&at.join("certs/dev/ca.pem")), request).await;
    assert_eq!(reply.json()["nrOfSuccessfullTransactions"], 1, "{}", reply.text());
    let id = reply.header("x-request-id").to_owned();
    let delivered = async {
        loop {
            let listed = run(at, &["outbox", "list", "--json", "--key", "TRACED", "--state", "delivered"], &[]).await;
            if !listed.stdout.is_empty() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), delivered).await.expect("it is delivered");
    process.signal("TERM");
    let mut log = String::new();
    process.output.take().expect("a pipe").read_to_string(&mut log).await.expect("text");
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let find = |what: &dyn Fn(&Value) -> bool| lines.iter().find(|line| what(line)).unwrap_or_else(|| panic!("{log}"));
    let access = find(&|line| line["request_id"] == id.as_str());
    assert_eq!((&access["transaction"], &access["trace_id"]), (&"AddItmViaItmTyp".into(), &TRACE.into()));
    let made = find(&|line| line["message"] == "a document was made");
    let gone = find(&|line| line["message"] == "a document was delivered");
    assert_eq!((&made["cause"], &gone["cause"]), (&id.as_str().into(), &id.as_str().into()));
    assert_eq!(made["bod_id"], gone["bod_id"]);
    // Each step on the way is a span that has ended, under the one correlation.
    let span = |name: &str| {
        let ended = |line: &&Value| line["message"] == "close" && line["span"]["name"] == name;
        let mut all = lines.iter().filter(ended).map(|line| &line["span"]);
        all.find(|span| span["correlation"] == id.as_str()).unwrap_or_else(|| panic!("{name}: {log}"))
    };
    assert_eq!(span("m3.call")["transaction"], "AddItmViaItmTyp");
    let (make, deliver) = (span("relay.make"), span("relay.deliver"));
    assert_eq!(
        (&make["noun"], &make["outcome"], &make["bod_id"]),
        (&"ItemMaster".into(), &"made".into(), &made["bod_id"])
    );
    assert_eq!((&deliver["outcome"], &deliver["bod_id"]), (&"delivered".into(), &made["bod_id"]));
    assert_eq!(deliver["point"], gone["point"]);
    let document = written(&at.join(".mi-gateway/bods"));
    for word in [&id, made["bod_id"].as_str().expect("an id")] {
        assert!(document.contains(word), "{word} in {document}");
    }
    let audit = written(&at.join(".mi-gateway/audit"));
    let of_call = audit.lines().find(|line| line.contains(&id)).expect("the decision on the call");
    assert!(of_call.contains("AddItmViaItmTyp"), "{of_call}");
    // By the decision's id, which the caller was told as well, the log tells what M3 made of it.
    let outcome = audit.lines().find(|line| line.contains(reply.header("mi-decision")) && line.contains("outcome"));
    assert!(outcome.is_some(), "{audit}");
}

/// The one address of a caller, where a balancer is trusted to name it.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_the_client_that_a_balancer_names_and_never_what_a_header_says() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = tempfile::tempdir().expect("a folder");
    let trusted = [("MI_GATEWAY__EDGE__PROXY_PROTOCOL_FROM", "127.0.0.0/8")];
    let mut process = Process::start(folder.path(), &trusted).await;
    let port = process.word("public_url").rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).expect("a port");
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("the public door");
    let mut stream = stream;
    stream.write_all(b"PROXY TCP4 203.0.113.9 127.0.0.1 40000 443\r\n").await.expect("sent");
    let config = trusting(&folder.path().join("certs/dev/ca.pem"));
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let mut stream = connector.connect(name, stream).await.expect("a handshake");
    let request = "GET /oauth2/jwks HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", text(&answer));
    process.signal("TERM");
    let mut log = String::new();
    process.output.take().expect("a pipe").read_to_string(&mut log).await.expect("text");
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let line = lines.iter().find(|line| line["route"] == "/oauth2/jwks").unwrap_or_else(|| panic!("no line in {log}"));
    assert_eq!(line["peer"], "203.0.113.9");
    assert!(!log.contains("6.6.6.6"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_shadow_set_decides_otherwise_is_a_line_with_both_answers() {
    use tokio::io::AsyncReadExt;
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let rules = |name: &str, text: &str| {
        std::fs::create_dir(at.join(name)).expect("a folder");
        std::fs::write(at.join(name).join("rules.cedar"), text).expect("a file");
    };
    rules(
        "active",
        "@id(\"reads\") @owner(\"o\") permit (principal in Group::\"demo\", action in Action::\"read\", resource);\n",
    );
    rules(
        "shadow",
        "@id(\"all\") @owner(\"o\") permit (principal, action in Action::\"read\", resource);\n@id(\"closed\") @owner(\"o\") forbid (principal, action, resource in Program::\"CRS610MI\");\n",
    );
    let environment = [("MI_GATEWAY__POLICY__DIR", "active"), ("MI_GATEWAY__POLICY__SHADOW", "shadow")];
    let mut process = Process::start(at, &environment).await;
    let token = token(at).await;
    let client = https(&at.join("certs/dev/ca.pem"));
    let call = format!("{}/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001", process.word("public_url"));
    let request = Request::get(call).header("authorization", format!("Bearer {token}"));
    let reply = send(&client, request.body(Full::default()).expect("a request")).await;
    assert_eq!(reply.status, 200, "the shadow decides nothing: {}", reply.text());
    let id = reply.header("mi-decision").to_owned();
    super::patiently(async || {
        let metrics = Request::get(format!("http://{}/metrics", process.word("operations")));
        let told = send(&client, metrics.body(Full::default()).expect("a request")).await.text();
        told.contains("policy_shadow_decisions_total{result=\"allow-deny\",step=\"values\"}").then_some(())
    })
    .await;
    process.signal("TERM");
    let mut log = String::new();
    process.output.take().expect("a pipe").read_to_string(&mut log).await.expect("text");
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let line = lines.iter().find(|line| line["decision"] == *id).unwrap_or_else(|| panic!("no line of {id} in {log}"));
    assert_eq!(line["message"], "the shadow set decides otherwise", "{line}");
    assert_eq!((&line["was"], &line["would_be"]), (&"allow".into(), &"deny".into()), "{line}");
    assert_eq!((&line["was_reason"], &line["would_be_reason"]), (&"allowed".into(), &"forbidden".into()), "{line}");
    assert_eq!((&line["rule"], &line["call"]), (&"closed".into(), &"CRS610MI/GetBasicData".into()), "{line}");
    let by = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    assert!(by("was_by").contains("reads") && by("would_be_by").contains("closed"), "{line}");
    assert!(by("client").contains("DEMO_TST~") && !line["shadow"].as_str().unwrap_or_default().is_empty(), "{line}");
}
