//! The MI socket protocol as others wrote it: a client and a server in Python that share no line, with us or each other.

use mi_gateway::m3;
use mi_gateway::mock_m3::{self, Mock, Profile, ReplyMode};
use mi_gateway::model::{
    Call, ClientId, Company, Division, Effect, FieldKind, FieldLayout, FieldName, Input, Layout, M3User, Place,
    ProgramName, TransactionLayout, TransactionName, Value as M3Value,
};
use mi_gateway::tasks::Tasks;
use mi_gateway::telemetry::Metrics;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

fn script(name: &str) -> Command {
    let mut python = Command::new("python3");
    python.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wire").join(name));
    python
}

/// The Python server, on a port of its own choice; it ends with the value.
struct PythonServer {
    process: Child,
    port: u16,
}

impl PythonServer {
    /// Modes: `reroute`, `ngconok`, `ucs2`, `win`, `plain`.
    fn start(mode: &str) -> Self {
        let mut process = script("mi_server.py")
            .arg(mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 can be started; `tests/run` installs it");
        let mut line = String::new();
        let output = process.stdout.take().expect("stdout was asked for");
        BufReader::new(output).read_line(&mut line).expect("the server says its port");
        let said: Value = serde_json::from_str(&line).expect("the server says its port as JSON");
        let port = said["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port is a number");
        Self { process, port }
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the Python client prints, line by line, and its exit code.
fn python_client(address: &str, user: &str, password: &str, program: &str, requests: &[&str]) -> (Vec<Value>, i32) {
    let ended = script("mi_client.py")
        .args([address, user, password, program])
        .args(requests)
        .output()
        .expect("python3 can be started; `tests/run` installs it");
    let printed = String::from_utf8(ended.stdout).expect("the client prints UTF-8");
    let lines = printed.lines().map(|line| serde_json::from_str(line).expect("the client prints JSON")).collect();
    (lines, ended.status.code().expect("the client ends by itself"))
}

#[test]
fn the_two_scripts_understand_each_other_in_every_dialect() {
    for mode in ["reroute", "ngconok", "ucs2", "win", "plain"] {
        let server = PythonServer::start(mode);
        let requests =
            ["GetInLayout    GetBasicData", "SetLstMaxRec   2", "LstByNumber    100C0002", "GetBasicData   100NOBODY"];
        let address = format!("127.0.0.1:{}", server.port);
        let (said, code) = python_client(&address, "WIRE", "secret-7", "CRS610MI", &requests);
        assert_eq!(code, 1, "{mode}: one NOK was due: {said:?}");
        let row = |number, name| format!("100{number:<10}{name:<36}20260105");
        let replies = [
            json!({"request": "GetInLayout", "status": "OK", "text": ";CONO,16,3;CUNO,19,10"}),
            json!({"request": "SetLstMaxRec", "status": "OK", "text": ""}),
            json!({"request": "LstByNumber", "status": "REP", "text": row("C0002", "Müller GmbH")}),
            json!({"request": "LstByNumber", "status": "REP", "text": row("C0003", "Smith; Sons, Ltd")}),
            json!({"request": "LstByNumber", "status": "OK", "text": ""}),
            json!({"request": "GetBasicData", "status": "NOK", "text": "Customer number NOBODY does not exist",
                   "id": "WCU0203", "field": "CUNO"}),
        ];
        assert_eq!(said[1..], replies, "{mode}");
    }
}

#[test]
fn the_python_server_refuses_a_wrong_password() {
    let server = PythonServer::start("plain");
    let (said, code) = python_client(&format!("127.0.0.1:{}", server.port), "WIRE", "secret-8", "CRS610MI", &["X"]);
    assert_eq!(code, 2);
    assert_eq!(said[0], json!({"logon": "NOK            Wrong user or password"}));
}

async fn mock(reply_mode: ReplyMode) -> (Mock, Tasks) {
    let tasks = Tasks::new();
    let settings = mock_m3::Settings { profile: Profile { reply_mode, ..Profile::default() }, ..Default::default() };
    (Mock::start(settings, &tasks).await.expect("a free port"), tasks)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mock_speaks_as_the_python_client_understands() {
    for mode in [ReplyMode::Reroute, ReplyMode::NgConOk, ReplyMode::Ucs2, ReplyMode::Win, ReplyMode::Plain] {
        let (mock, _tasks) = mock(mode).await;
        let requests = [
            "GetInLayout    GetBasicData",
            "GetBasicData   100C00001",
            "SetLstMaxRec   3",
            "LstByNumber    100C00002",
            "GetBasicData   100NOBODY",
        ];
        let (said, code) = python_client(&mock.address().to_string(), "MIDEMO", "midemo-dev", "CRS610MI", &requests);
        assert_eq!(code, 1, "{mode:?}: one NOK was due: {said:?}");
        let statuses: Vec<&str> = said[1..].iter().map(|line| line["status"].as_str().unwrap_or_default()).collect();
        assert_eq!(statuses, ["OK", "OK", "OK", "REP", "REP", "REP", "OK", "NOK"], "{mode:?}");
        assert_eq!(said[1]["text"], ";CONO,16,3;CUNO,19,10");
        let texts: Vec<&str> = said[1..].iter().map(|line| line["text"].as_str().unwrap_or_default()).collect();
        assert!(texts[1].starts_with("100") && texts[1].contains("C00001"), "{mode:?}: {}", texts[1]);
        for (text, number) in texts[3..6].iter().zip(["C00002", "C00003", "C00004"]) {
            assert!(text.contains(number), "{mode:?}: {text}");
        }
        assert_eq!((&said[8]["id"], &said[8]["field"]), (&json!("WCU0203"), &json!("CUNO")), "{mode:?}");
        let asked: Vec<String> = mock.calls().iter().filter(|c| !c.technical).map(ToString::to_string).collect();
        let expected = [
            "GetBasicData CONO=100 CUNO=C00001",
            "LstByNumber CONO=100 CUNO=C00002",
            "GetBasicData CONO=100 CUNO=NOBODY",
        ];
        assert_eq!(asked, expected.map(|call| format!("CRS610MI/{call}")), "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mock_refuses_a_wrong_password() {
    let (mock, _tasks) = mock(ReplyMode::Reroute).await;
    let (said, code) = python_client(&mock.address().to_string(), "MIDEMO", "midemo-prod", "CRS610MI", &["X"]);
    assert_eq!(code, 2, "{said:?}");
    assert!(said[0]["logon"].as_str().is_some_and(|reply| reply.starts_with("NOK ")), "{said:?}");
    assert_eq!((mock.logons(), mock.sessions()), (0, 0));
}

/// Our client as the user of the Python server.
fn client(port: u16, password: &str) -> m3::Client {
    let user = M3User::parse("WIRE").expect("the server's user");
    let mut settings = m3::Settings::new(format!("127.0.0.1:{port}"), user.clone());
    settings.users = HashMap::from([(user, SecretString::from(password))]);
    m3::Client::new(settings, Arc::new(Metrics::new()), Tasks::new()).expect("a client")
}

fn fields(fields: &[(&str, FieldKind, u16, u16)]) -> Layout {
    let field = |(name, kind, from, length): &(&str, FieldKind, u16, u16)| FieldLayout {
        name: FieldName::parse(name).expect("a field of the test"),
        kind: *kind,
        from: *from,
        length: *length,
        mandatory: false,
        description: "".into(),
    };
    Layout::new(fields.iter().map(field).collect())
}

/// A call by the layouts that stand in the Python server, with values for its first fields.
fn call(transaction: &str, most: u32, values: &[&str]) -> Call {
    use FieldKind::{Alphanumeric, Date, Number};
    let key = [("CONO", Number, 16, 3), ("CUNO", Alphanumeric, 19, 10)];
    let name = ("CUNM", Alphanumeric, 29, 36);
    let input = match transaction {
        "GetBasicData" => fields(&key),
        "LstByNumber" => fields(&[key[0], key[1], ("LMTS", Number, 29, 18)]),
        _ => fields(&[key[0], key[1], name]),
    };
    let writes = transaction == "ChgBasicData";
    let output = if writes { Layout::default() } else { fields(&[key[0], key[1], name, ("LMDT", Date, 65, 10)]) };
    let of = |(at, text): (usize, &&str)| {
        let value = M3Value::parse(&input.fields()[at], text, Default::default()).expect("a value that fits");
        value.map(|value| Input { at: at as u16, value })
    };
    let inputs = values.iter().enumerate().filter_map(of).collect();
    let place =
        Place { company: Company::new(100).expect("a company"), division: Division::parse("AAA").expect("a division") };
    Call {
        client: ClientId { issuer: "test".into(), id: "wire".into() },
        user: M3User::parse("WIRE").expect("a user"),
        place,
        layout: Arc::new(TransactionLayout {
            program: ProgramName::parse("CRS610MI").expect("a program"),
            name: TransactionName::parse(transaction).expect("a transaction"),
            description: "".into(),
            multi: transaction.starts_with("Lst"),
            input,
            output,
        }),
        effect: if writes { Effect::Write } else { Effect::Read },
        inputs,
        language: None,
        max_records: most,
        patience: Duration::from_secs(20),
    }
}

/// Customer number, name and date of every record.
async fn rows(client: &m3::Client, call: &Call) -> Result<Vec<[String; 3]>, m3::Error> {
    let mut reply = client.call(call).await?;
    let mut rows = Vec::new();
    while let Some(record) = reply.next().await? {
        let of = |at: usize| record.value(&call.layout.output.fields()[at]).into_owned();
        assert_eq!(of(0), "100");
        rows.push([of(1), of(2), of(3)]);
    }
    Ok(rows)
}

#[tokio::test]
async fn our_client_understands_the_python_server_in_every_dialect() {
    for mode in ["reroute", "ngconok", "ucs2", "win", "plain"] {
        let server = PythonServer::start(mode);
        let client = client(server.port, "secret-7");
        let row = |number: &str, name: &str| [number.to_owned(), name.to_owned(), "20260105".to_owned()];
        let all = [row("C0001", "Åkerström & Söner"), row("C0002", "Müller GmbH"), row("C0003", "Smith; Sons, Ltd")];
        let asked = async |transaction, most, values: &[&str]| rows(&client, &call(transaction, most, values)).await;
        let read = asked("GetBasicData", 0, &["100", "C0001"]).await.expect("a record");
        assert_eq!(read, all[..1], "{mode}");
        assert_eq!(asked("LstByNumber", 2, &["100"]).await.expect("two records"), all[..2], "{mode}");
        // The same session: a limit that was set before must not stay.
        assert_eq!(asked("LstByNumber", 0, &["100"]).await.expect("all records"), all, "{mode}");
        match asked("GetBasicData", 0, &["100", "NOBODY"]).await {
            Err(m3::Error::Refused(refusal)) => {
                assert_eq!(refusal.to_string(), "Customer number NOBODY does not exist", "{mode}");
                let field = refusal.field.map(|field| field.to_string());
                assert_eq!((refusal.id.as_str(), field.as_deref()), ("WCU0203", Some("CUNO")), "{mode}");
            }
            other => panic!("{mode}: no refusal: {other:?}"),
        }
        assert_eq!(
            asked("ChgBasicData", 0, &["100", "C0002", "Zoë & Søn"]).await.expect("a change"),
            [] as [[String; 3]; 0]
        );
        let read = asked("GetBasicData", 0, &["100", "C0002"]).await.expect("the changed record");
        assert_eq!(read, [row("C0002", "Zoë & Søn")], "{mode}");
        let identity = client.probe().await.expect("an identity");
        assert_eq!((identity.place.company.number(), identity.place.division.as_str()), (100, "AAA"), "{mode}");
    }
}

#[tokio::test]
async fn our_client_says_that_the_python_server_refused_it() {
    let server = PythonServer::start("reroute");
    let client = client(server.port, "secret-8");
    let ended = client.call(&call("GetBasicData", 0, &["100", "C0001"])).await;
    let Err(m3::Error::LogonRefused { message, .. }) = ended else { panic!("let in: {ended:?}") };
    assert_eq!(message, "Wrong user or password");
    // The next try would bring the user nearer to being locked.
    let ended = client.call(&call("GetBasicData", 0, &["100", "C0001"])).await;
    assert!(matches!(ended, Err(m3::Error::LogonHeld { .. })), "{ended:?}");
}
