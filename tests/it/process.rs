//! The binary as a process: what a newcomer, an operator and a script see of it.

use crate::house::https;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};
use std::{path::Path, time::Duration};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use {http::Request, http_body_util::Full};
#[path = "process_bundles.rs"]
mod bundles;
#[path = "process_crash.rs"]
mod crash;
#[path = "process_keys.rs"]
mod keys;
#[path = "process_limits.rs"]
mod limits;
#[path = "process_log.rs"]
mod log;
#[path = "process_memory.rs"]
mod memory;
#[path = "process_operator.rs"]
mod operator;
#[path = "process_orders.rs"]
mod orders;
#[path = "process_outbox.rs"]
mod outbox;
#[path = "process_probe.rs"]
mod probe;
#[path = "process_pull.rs"]
mod pull;
#[path = "process_sealed.rs"]
mod sealed;
#[path = "process_secrets.rs"]
mod secrets;
#[path = "process_stops.rs"]
mod stops;
#[path = "process_told.rs"]
mod told;

/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn command(folder: &Path, words: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mi-gateway"));
    command.args(words).current_dir(folder).kill_on_drop(true).stdin(Stdio::null());
    command.env("MI_GATEWAY__EDGE__LISTEN", "127.0.0.1:0").env("MI_GATEWAY__OPERATIONS__LISTEN", "127.0.0.1:0");
    command.envs(environment.iter().copied());
    command
}

async fn run(folder: &Path, words: &[&str], environment: &[(&str, &str)]) -> Output {
    tokio::time::timeout(PATIENCE, command(folder, words, environment).output())
        .await
        .expect("it ends")
        .expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A gateway that runs in a folder of its own.
struct Process {
    child: Child,
    errors: Lines<BufReader<ChildStderr>>,
    output: Option<ChildStdout>,
    welcome: Vec<String>,
    addresses: Value,
}

impl Process {
    /// With what a newcomer is shown.
    async fn start(folder: &Path, environment: &[(&str, &str)]) -> Self {
        // The block ends with the line on the metrics.
        Self::up(folder, environment, |line| line.ends_with("/metrics")).await
    }

    async fn up(folder: &Path, environment: &[(&str, &str)], last: impl Fn(&str) -> bool) -> Self {
        let mut child =
            command(folder, &[], environment).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut errors = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let output = child.stdout.take();
        let mut welcome = Vec::new();
        while !welcome.last().is_some_and(|line: &String| last(line)) {
            let line =
                tokio::time::timeout(PATIENCE, errors.next_line()).await.expect("it is up in time").expect("a line");
            welcome.push(line.unwrap_or_else(|| panic!("it ended: {welcome:?}")));
        }
        let told = std::fs::read(folder.join(".mi-gateway/addresses.json")).expect("its addresses");
        let addresses = serde_json::from_slice(&told).expect("JSON");
        Self { child, errors, output, welcome, addresses }
    }

    fn word(&self, name: &str) -> String {
        self.addresses[name].as_str().unwrap_or_default().to_owned()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "a signal is sent");
    }

    async fn ended(mut self) -> (Option<i32>, String) {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("a status");
        let mut rest = String::new();
        while let Ok(Some(line)) = self.errors.next_line().await {
            rest.push_str(&line);
            rest.push('\n');
        }
        (status.code(), rest)
    }

    async fn operator(&self, folder: &Path, path: &str, body: &str) -> u16 {
        let token = std::fs::read_to_string(folder.join(".mi-gateway/operator.token")).expect("the operator's token");
        let request = Request::post(format!("http://{}{path}", self.word("operations")))
            .header("authorization", format!("Bearer {}", token.trim()))
            .header("content-type", "application/json")
            .body(Full::from(body.to_owned()))
            .expect("a request");
        let client = https(&folder.join("certs/dev/ca.pem"));
        client.request(request).await.expect("an answer").status().as_u16()
    }

    async fn status(&self, folder: &Path, token: &str, call: &str) -> u16 {
        let request = Request::get(format!("{}/m3api-rest/v2/execute/{call}", self.word("public_url")))
            .header("authorization", format!("Bearer {token}"))
            .body(Full::default())
            .expect("a request");
        https(&folder.join("certs/dev/ca.pem")).request(request).await.expect("an answer").status().as_u16()
    }
}

async fn token(folder: &Path) -> String {
    let got = run(folder, &["token"], &[]).await;
    assert!(got.status.success(), "{}", text(&got.stderr));
    text(&got.stdout).trim().to_owned()
}

const READ: &str = "CRS610MI/GetBasicData?CUNO=C00001";

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_the_first_start_work_when_pasted_as_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let process = Process::start(folder.path(), &[]).await;
    let from = process.welcome.iter().position(|line| line.starts_with("Try it")).expect("a block to try");
    let script = format!("set -e\n{}", process.welcome[from + 1..].join("\n"));
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(script.replace("curl ", "curl -sS ")).current_dir(folder.path());
    let pasted = tokio::time::timeout(PATIENCE, bash.output()).await.expect("it ends").expect("bash runs");
    let shown = text(&pasted.stdout);
    assert!(pasted.status.success(), "{}", text(&pasted.stderr));
    assert!(shown.contains("\"CUNO\" : \"C00001\""), "{shown}");
    assert!(shown.contains("\"ITNO\" : \"TRY"), "{shown}");
    assert!(shown.contains("<SyncItemMaster") && shown.contains(">First item</Description>"), "{shown}");
    assert!(shown.contains("mi_gateway_m3_calls_total"), "{shown}");
    process.signal("TERM");
    assert_eq!(process.ended().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_leaves_on_disk_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let process = Process::start(folder.path(), &[]).await;
    let mode = |path: &str| std::fs::metadata(folder.path().join(path)).expect(path).permissions().mode() & 0o777;
    assert_eq!(mode(".mi-gateway"), 0o700);
    for path in [
        ".mi-gateway/gateway.db",
        ".mi-gateway/operator.token",
        ".mi-gateway/clients/demo.ionapi",
        "certs/dev/ca.key",
        "certs/dev/server.key",
    ] {
        assert_eq!(mode(path), 0o600, "{path}");
    }
    let ionapi: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join(".mi-gateway/clients/demo.ionapi")).expect("a file"))
            .expect("JSON");
    let url = process.word("public_url");
    assert_eq!((&ionapi["ti"], &ionapi["iu"]), (&"DEMO_TST".into(), &url.clone().into()));
    assert_eq!(ionapi["pu"], format!("{url}/DEMO_TST/as/"));
    for key in ["ti", "cn", "dt", "ci", "cs", "iu", "pu", "oa", "ot", "or", "ev", "v", "saak", "sask"] {
        assert!(ionapi[key].as_str().is_some_and(|value| !value.is_empty()), "{key}");
    }
    assert!(ionapi["ci"].as_str().is_some_and(|id| id.starts_with("DEMO_TST~")));
    assert!(ionapi["saak"].as_str().is_some_and(|id| id.starts_with("DEMO_TST#")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_is_in_flight_and_ends_with_0() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().expect("a folder");
        let process = Process::start(folder.path(), &[]).await;
        let token = token(folder.path()).await;
        assert_eq!(process.status(folder.path(), &token, READ).await, 200);
        let slow = r#"{"rules":[{"transaction":"GetBasicData","times":1,"latency_ms":1500}]}"#;
        assert_eq!(process.operator(folder.path(), "/mock/faults", slow).await, 200);
        let answer = async { process.status(folder.path(), &token, READ).await };
        let drain = async {
            // The call has reached M3 when the fault is used up.
            let token = std::fs::read_to_string(folder.path().join(".mi-gateway/operator.token")).expect("a token");
            let client = https(&folder.path().join("certs/dev/ca.pem"));
            loop {
                let request = Request::get(format!("http://{}/metrics", process.word("operations")))
                    .body(Full::default())
                    .expect("a request");
                let reply = crate::house::send(&client, request).await;
                if reply.text().contains("mi_gateway_http_requests_in_flight 1") {
                    break;
                }
            }
            drop(token);
            process.signal(signal);
        };
        let (status, ()) = tokio::join!(answer, drain);
        assert_eq!(status, 200, "what was in flight is finished");
        let (code, said) = process.ended().await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("Draining"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_and_a_restart_keep_clients_keys_live_tokens_and_what_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let fixed = [("MI_GATEWAY__PUBLIC_URL", "https://gateway.test")];
    let mut process = Process::start(folder.path(), &fixed).await;
    let url = format!(
        "https://localhost:{}",
        process.addresses["public"][0].as_str().and_then(|a| a.rsplit(':').next()).unwrap_or_default()
    );
    let client = https(&folder.path().join("certs/dev/ca.pem"));
    let ionapi: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join(".mi-gateway/clients/demo.ionapi")).expect("a file"))
            .expect("JSON");
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", ionapi["ci"].as_str().unwrap_or_default())
        .append_pair("client_secret", ionapi["cs"].as_str().unwrap_or_default())
        .finish();
    let ask = |url: &str| {
        Request::post(format!("{url}/oauth2/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::from(form.clone()))
            .expect("a request")
    };
    let reply = crate::house::send(&client, ask(&url)).await;
    let token = reply.json()["access_token"].as_str().expect("a token").to_owned();
    let call = |url: &str, call: &str| {
        Request::get(format!("{url}/m3api-rest/v2/execute/{call}"))
            .header("authorization", format!("Bearer {token}"))
            .body(Full::default())
            .expect("a request")
    };
    let add = call(&url, "MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=KEPT&ITDS=Over%20a%20kill");
    let added = crate::house::send(&client, add).await;
    assert_eq!(added.json()["nrOfSuccessfullTransactions"], 1, "{}", added.text());
    process.child.kill().await.expect("killed");
    let process = Process::start(folder.path(), &fixed).await;
    let url = format!(
        "https://localhost:{}",
        process.addresses["public"][0].as_str().and_then(|a| a.rsplit(':').next()).unwrap_or_default()
    );
    assert_eq!(crate::house::send(&client, ask(&url)).await.status, 200, "the client is still known");
    assert_eq!(crate::house::send(&client, call(&url, READ)).await.status, 200, "its old token is still good");
    let read = crate::house::send(&client, call(&url, "MMS200MI/GetItmBasic?ITNO=KEPT")).await;
    assert_eq!(read.records()[0]["ITDS"], "Over a kill", "{}", read.text());
    let found = run(folder.path(), &["audit", "find", "--key", "ITNO=KEPT"], &[]).await;
    assert!(text(&found.stdout).contains("AddItmViaItmTyp"), "its decision is kept: {}", text(&found.stderr));
    assert_eq!(run(folder.path(), &["audit", "verify"], &[]).await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_at_the_start_is_one_clear_line_and_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    write("unknown.toml", "[edge]\nlisten_on = [\"127.0.0.1:0\"]\n");
    write("bad.toml", "[gateway]\nbody_limit = \"much\"\n");
    write("broken.toml", "[gateway\n");
    write("pem.toml", "[edge]\ncertificate = \"none.pem\"\nkey = \"none.key\"\n");
    std::fs::create_dir(folder.path().join("rules")).expect("a folder");
    write("rules/one.cedar", "permit (principal, action, resource) when { context. };\n");
    let password = folder.path().join("password");
    std::fs::write(&password, "x\n").expect("a file");
    write(
        "m3.toml",
        "[m3]\nbackend = \"socket\"\naddress = \"127.0.0.1:1\"\nuser = \"MVX\"\npassword_file = \"password\"\n",
    );
    for (words, environment, expected) in [
        (&["serve", "--config", "m3.toml"][..], &[("MI_GATEWAY__POLICY__DIR", "nowhere")][..], "policy.dir"),
        (&["serve"][..], &[("MI_GATEWAY__EDGE__LISTEN", taken.as_str())][..], taken.as_str()),
        (&["serve", "--config", "nowhere.toml"], &[], "nowhere.toml"),
        (&["serve", "--config", "unknown.toml"], &[], "unknown.toml:2:13: edge.listen_on is no key of the settings"),
        (&["serve", "--config", "bad.toml"], &[], "bad.toml:2:14: gateway.body_limit"),
        (&["serve", "--config", "broken.toml"], &[], "broken.toml:1:"),
        (&["serve", "--config", "pem.toml"], &[], "none.pem"),
        (&["serve"], &[("MI_GATEWAY__POLICY__DIR", "rules")], "one.cedar:1:"),
        (&["serve"], &[("MI_GATEWAY__EDGE__LISTEN", "0.0.0.0:0")], "--development"),
        (&["token", "nobody.ionapi"], &[], "nobody.ionapi"),
        (&["client", "add", "x", "--out", "no/such/folder/x.ionapi"], &[], "no/such/folder"),
    ] {
        let ended = run(folder.path(), words, environment).await;
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(expected), "{words:?}: {said}");
        assert!(!said.contains("panicked") && said.trim().lines().count() == 1, "{words:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_every_fault_and_starts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = run(folder.path(), &["check"], &[]).await;
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    assert!(text(&good.stdout).contains("rules of the shipped set"), "{}", text(&good.stdout));
    std::fs::write(folder.path().join("bad.toml"), "[edge]\nidle_seconds = 0\nlistn = 1\n[m3]\nbackend = \"socket\"\n")
        .expect("a file");
    let bad = run(folder.path(), &["check", "--config", "bad.toml", "--json"], &[]).await;
    assert_eq!(bad.status.code(), Some(2));
    let faults: Vec<Value> =
        text(&bad.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    assert_eq!(faults.len(), 5, "{faults:?}");
    assert!(faults.iter().all(|fault| !fault["hint"].as_str().unwrap_or_default().is_empty()));
    assert!(!folder.path().join(".mi-gateway").exists() && !folder.path().join("certs").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_line_changes_holds_in_the_running_gateway() {
    let folder = tempfile::tempdir().expect("a folder");
    let process = Process::start(folder.path(), &[]).await;
    let at = folder.path();
    let added =
        run(at, &["client", "add", "shop", "--group", "demo", "--scope", "orders", "--out", "shop.ionapi"], &[]).await;
    assert!(added.status.success(), "{}", text(&added.stderr));
    // Within a second the running gateway knows it; `token` fails until then.
    let token = patiently(async || {
        let got = run(at, &["token", "shop.ionapi"], &[]).await;
        got.status.success().then(|| text(&got.stdout).trim().to_owned())
    })
    .await;
    assert_eq!(process.status(at, &token, READ).await, 200, "the group's M3 user serves it");
    let rotated = run(at, &["client", "rotate", "shop", "--out", "shop2.ionapi"], &[]).await;
    assert!(rotated.status.success(), "{}", text(&rotated.stderr));
    assert_eq!(process.status(at, &token, READ).await, 200, "live tokens outlive a rotation");
    let before = run(at, &["keys", "list", "--json"], &[]).await;
    assert!(run(at, &["keys", "rotate"], &[]).await.status.success());
    let after = run(at, &["keys", "list", "--json"], &[]).await;
    assert_eq!(text(&after.stdout).lines().count(), text(&before.stdout).lines().count() + 1);
    assert_eq!(process.status(at, &token, READ).await, 200, "live tokens outlive a new key");
    let listed = run(at, &["client", "list", "--json"], &[]).await;
    assert!(text(&listed.stdout).lines().any(|line| line.contains("\"shop\"")));
    assert!(run(at, &["client", "revoke", "shop"], &[]).await.status.success());
    patiently(async || (process.status(at, &token, READ).await == 401).then_some(())).await;
}

/// Asks another process again until it says yes.
async fn patiently<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("it comes true")
}
