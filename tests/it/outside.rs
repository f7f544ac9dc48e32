//! The gateway as tools of other people see it: the published documents, what they promise, TLS, and callers who dawdle.
//! `tests/run outside` installs the tools.

use crate::house::{House, sockets_alone};
use http::StatusCode;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;
use tokio::process::Command;

/// Longer than any of the tools takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// One of the Python tools.
#[expect(clippy::disallowed_methods, reason = "`tests/run` says where it has put the tools")]
fn tool(name: &str) -> Command {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let place = std::env::var_os("MI_OUTSIDE").map_or_else(|| root.join("target/tools/outside"), PathBuf::from);
    let tool = place.join("bin").join(name);
    assert!(tool.is_file(), "{} is not there: `tests/run outside` installs it", tool.display());
    let mut command = Command::new(tool);
    command.kill_on_drop(true).env("COLUMNS", "200");
    command
}

async fn ended(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } =
        tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").expect("it can be started");
    (status.success(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

/// The contract, and the programs of the demo client, as files.
async fn documents(house: &House, programs: &[&str]) -> Vec<PathBuf> {
    let mut written = Vec::new();
    let demo = house.demo().await;
    for (name, path) in [("contract".to_owned(), "/openapi.json".to_owned())]
        .into_iter()
        .chain(programs.iter().map(|program| ((*program).to_owned(), format!("/M3/m3api-rest/openapi/{program}"))))
    {
        let reply = demo.get(&path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
        let file = house.state.path().join(format!("{name}.json"));
        std::fs::write(&file, &reply.body).expect("a file");
        written.push(file);
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_documents_are_openapi() {
    if sockets_alone("the documents are the same") {
        return;
    }
    let house = House::start().await;
    let files = documents(&house, &["CRS610MI", "MMS200MI", "OIS100MI"]).await;
    let (good, said) = ended(tool("openapi-spec-validator").args(&files)).await;
    assert!(good, "{said}");
    assert_eq!(said.matches(": OK").count(), files.len(), "{said}");
}

async fn schemathesis(house: &House, document: &Path, examples: &str, only: Option<&str>) {
    let token = house.demo().await.token.expect("a token");
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside/schemathesis.toml");
    let mut command = tool("schemathesis");
    command.arg("--config-file").arg(settings).arg("run").arg(document);
    command.args(["--url", &house.base, "--header", &format!("Authorization: Bearer {token}")]);
    command.arg("--tls-verify").arg(&house.running.authority);
    // One worker: the tool's own caches are not made for two.
    command.args(["--max-examples", examples, "--workers", "1", "--phases", "coverage,fuzzing", "--seed", "1"]);
    command.args(["--no-color", "--continue-on-failure"]);
    if let Some(only) = only {
        command.args(["--include-path-regex", only]);
    }
    let (good, said) = ended(command.current_dir(house.state.path())).await;
    assert!(good, "{said}");
    assert!(said.contains("passed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_answer_that_the_contract_does_not_promise() {
    if sockets_alone("the contract is the same") {
        return;
    }
    let house = House::start().await;
    let files = documents(&house, &["CRS610MI"]).await;
    schemathesis(&house, &files[0], "20", None).await;
    schemathesis(&house, &files[1], "10", Some("/(GetBasicData|LstByNumber|ChgBasicData|GetFinancial)$")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sslyze_finds_tls_as_mozilla_wants_it() {
    if sockets_alone("TLS is the same") {
        return;
    }
    let house = House::start().await;
    let mut command = tool("sslyze");
    command.arg("--certinfo_ca_file").arg(&house.running.authority).arg("--mozilla_config=intermediate");
    command.arg(house.base.trim_start_matches("https://"));
    let (good, said) = ended(&mut command).await;
    assert!(good && said.contains("OK - Compliant"), "{said}");
    for told in [
        "Supplied CA file CA Store (N/A):   OK",
        "OK - Not vulnerable to Heartbleed",
        "OK - Compression disabled",
        "Client Renegotiation DoS Attack:   OK - Not vulnerable",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

/// Two hundred callers who dawdle: none holds its connection for long, and another caller is served all the while.
async fn dawdled(words: &[&str]) {
    if sockets_alone("nothing of it reaches M3") {
        return;
    }
    let house = House::with(|settings| {
        let limits = &mut settings.edge.limits;
        (limits.header_read, limits.first_byte) = (Duration::from_secs(2), Duration::from_secs(2));
        (limits.write_stall, limits.idle) = (Duration::from_secs(2), Duration::from_secs(2));
    })
    .await;
    let mut command = Command::new("slowhttptest");
    command.args(["-c", "200", "-r", "200", "-i", "1", "-l", "40", "-p", "5"]).args(words);
    let target = format!("{}{}", house.base, if words.contains(&"-B") { "/oauth2/token" } else { "/openapi.json" });
    command.arg("-u").arg(target).kill_on_drop(true).current_dir(house.state.path());
    let (_, said) = ended(&mut command).await;
    let told = said.lines().filter(|line| line.contains("service available")).collect::<Vec<_>>();
    assert!(!told.is_empty() && told.iter().all(|line| line.contains("YES")), "{said}");
    assert!(said.contains("No open connections left"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_hold_no_connection() {
    dawdled(&["-H"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_hold_no_connection() {
    dawdled(&["-B", "-s", "30000", "-x", "20"]).await;
}

/// What the kernel still holds for them is not the gateway's: whether it let them go is told by its own metric.
#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_hold_no_connection() {
    if sockets_alone("nothing of it reaches M3") {
        return;
    }
    let house = House::with(|settings| {
        let limits = &mut settings.edge.limits;
        (limits.write_stall, limits.idle) = (Duration::from_secs(2), Duration::from_secs(2));
    })
    .await;
    let mut command = Command::new("slowhttptest");
    command.args(["-X", "-c", "100", "-r", "100", "-l", "15", "-p", "5", "-k", "10"]);
    command.args(["-w", "1", "-y", "64", "-z", "5", "-n", "1", "-u", &format!("{}/openapi.json", house.base)]);
    command.kill_on_drop(true).current_dir(house.state.path());
    let (_, said) = ended(&mut command).await;
    let told = said.lines().filter(|line| line.contains("service available")).collect::<Vec<_>>();
    assert!(!told.is_empty() && told.iter().all(|line| line.contains("YES")), "{said}");
    let metrics = house.operations("/metrics").await.text().to_owned();
    let count = |line: &str| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
    let ends = metrics.lines().filter(|line| line.contains("connections_ended_total{") && line.contains("public"));
    let ends: Vec<&str> = ends.collect();
    assert!(ends.iter().map(|line| count(line)).sum::<u64>() >= 100, "{ends:?}: {said}");
}
