//! The MI socket protocol as others wrote it: a client and a server in Python that share no line, with us or each other.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

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
