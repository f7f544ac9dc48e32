//! Memory: a list of 100,000 records through the gateway, and 10,000 idle connections, each against its bound.
//!
//! Gateway and mock are processes of their own, so that nothing but the gateway is counted. Prints figures; the two
//! bounds are promises and do fail. `cargo bench --bench memory`

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const RECORDS: usize = 100_000;
const CONNECTIONS: usize = 10_000;
const MIB: u64 = 1024 * 1024;

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts the binary, and waits for a line of its stderr with these words.
    fn start(folder: &Path, words: &[&str], environment: &[(&str, &str)], until: &str) -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mi-gateway"));
        command.args(words).current_dir(folder).envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let errors = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut lines = errors.lines();
        let found = lines.by_ref().map_while(Result::ok).find(|line| line.contains(until)).expect("it is up");
        // Read on, so that it never waits for somebody to read.
        std::thread::spawn(move || lines.for_each(drop));
        (Self(child), found)
    }

    /// Resident memory.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("a process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line on memory");
        let kilobytes: u64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
        kilobytes * 1024
    }
}

fn tell(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[tokio::main]
async fn main() {
    mi_gateway::auth::install_crypto();
    mi_gateway::edge::raise_open_files();
    let folder = tempfile::tempdir().expect("a folder");
    let (_mock, line) = Process::start(
        folder.path(),
        &["mock", "--listen", "127.0.0.1:0", "--big-list", &RECORDS.to_string()],
        &[],
        "Mock M3 on",
    );
    let m3 = line.split_whitespace().nth(3).expect("an address").trim_end_matches(',').to_owned();
    let gateway = gateway(folder.path(), &m3);
    list(&gateway, folder.path()).await;
    idle(&gateway, folder.path()).await;
}

const BASE: &[(&str, &str)] = &[
    ("MI_GATEWAY__EDGE__LISTEN", "127.0.0.1:0"),
    ("MI_GATEWAY__OPERATIONS__LISTEN", "127.0.0.1:0"),
    ("MI_GATEWAY__PUBLIC_URL", "https://bench.test"),
    ("MI_GATEWAY__EDGE__IDLE_SECONDS", "600"),
    ("MI_GATEWAY__EDGE__FIRST_BYTE_SECONDS", "300"),
];

/// A first start with the mock inside makes the demo client; then the gateway as it runs before a real M3.
fn gateway(folder: &Path, m3: &str) -> Process {
    drop(Process::start(folder, &[], BASE, "/metrics"));
    for user in ["MIGATE", "MIDEMO"] {
        std::fs::write(folder.join(user), format!("{}-dev\n", user.to_lowercase())).expect("a file");
    }
    let mut environment = BASE.to_vec();
    environment.extend([
        ("MI_GATEWAY__M3__BACKEND", "socket"),
        ("MI_GATEWAY__M3__ADDRESS", m3),
        ("MI_GATEWAY__M3__USER", "MIGATE"),
        ("MI_GATEWAY__M3__PASSWORD_FILE", "MIGATE"),
        ("MI_GATEWAY__M3__USERS__MIDEMO", "MIDEMO"),
    ]);
    Process::start(folder, &[], &environment, "operations").0
}

fn port(folder: &Path) -> u16 {
    let told = std::fs::read(folder.join(".mi-gateway/addresses.json")).expect("its addresses");
    let told: serde_json::Value = serde_json::from_slice(&told).expect("JSON");
    told["public"][0].as_str().and_then(|address| address.rsplit(':').next()?.parse().ok()).expect("a port")
}

fn tls(folder: &Path) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(folder.join("certs/dev/ca.pem")).expect("the authority"))
        .expect("an authority");
    rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

async fn list(gateway: &Process, folder: &Path) {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls(folder))
        .https_only()
        .enable_http2()
        .wrap_connector(connector);
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build::<_, Full<Bytes>>(connector);
    let base = format!("https://localhost:{}", port(folder));
    let ionapi = std::fs::read(folder.join(".mi-gateway/clients/demo.ionapi")).expect("the demo client");
    let ionapi: serde_json::Value = serde_json::from_slice(&ionapi).expect("JSON");
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", ionapi["ci"].as_str().expect("an id"))
        .append_pair("client_secret", ionapi["cs"].as_str().expect("a secret"))
        .finish();
    let request =
        Request::post(format!("{base}/oauth2/token")).header("content-type", "application/x-www-form-urlencoded");
    let (_, text) = read(&client, request.body(Full::from(form)).expect("a request"), gateway).await;
    let answer: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let token = answer["access_token"].as_str().expect("a token").to_owned();
    let call = |records: usize| {
        let path =
            format!("{base}/m3api-rest/v2/execute/MMS060MI/LstBalID?WHLO=001&format=UNFORMATTED&maxrecs={records}");
        Request::get(path).header("authorization", format!("Bearer {token}")).body(Full::default()).expect("a request")
    };
    read(&client, call(2_000), gateway).await;
    let before = gateway.memory();
    let begun = std::time::Instant::now();
    let (highest, text) = read(&client, call(0), gateway).await;
    let waited = begun.elapsed();
    let found = text.windows(7).filter(|window| window == b"\"ITNO\":").count();
    assert_eq!(found, RECORDS, "every record came");
    let grown = highest.saturating_sub(before);
    tell(&format!(
        "{RECORDS} records, {:.1} MiB over TLS in {:.2} s ({:.0} records a second): {:.1} MiB more at the most (bound: 16)",
        text.len() as f64 / MIB as f64,
        waited.as_secs_f64(),
        RECORDS as f64 / waited.as_secs_f64(),
        grown as f64 / MIB as f64
    ));
    assert!(grown < 16 * MIB, "a list must not be held");
}

/// The body, and the highest memory of the gateway that was seen while it came.
async fn read(
    client: &Client<hyper_rustls::HttpsConnector<HttpConnector>, Full<Bytes>>,
    request: Request<Full<Bytes>>,
    gateway: &Process,
) -> (u64, Vec<u8>) {
    let response = client.request(request).await.expect("an answer");
    assert!(response.status().is_success(), "{}", response.status());
    let mut body = response.into_body();
    let (mut text, mut highest, mut frames) = (Vec::new(), 0, 0_u32);
    while let Some(frame) = body.frame().await {
        text.extend_from_slice(frame.expect("a frame").data_ref().map_or(&[], |data| data));
        frames += 1;
        if frames % 64 == 0 {
            highest = highest.max(gateway.memory());
        }
    }
    (highest.max(gateway.memory()), text)
}

/// Each connection has made one request, and then waits.
async fn idle(gateway: &Process, folder: &Path) {
    let mut config = tls(folder);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").expect("a name");
    let address = format!("127.0.0.1:{}", port(folder));
    let before = gateway.memory();
    let mut held = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(&address).await.expect("a connection");
        let mut stream = connector.connect(name.clone(), stream).await.expect("a handshake");
        stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
        let mut head = [0; 1024];
        let count = stream.read(&mut head).await.expect("an answer");
        assert!(head[..count].starts_with(b"HTTP/1.1 401"));
        held.push(stream);
    }
    let after = gateway.memory();
    tell(&format!(
        "{CONNECTIONS} idle TLS connections: {:.0} MiB in all, {:.1} KiB each (bound: 400 MiB)",
        after as f64 / MIB as f64,
        (after - before) as f64 / CONNECTIONS as f64 / 1024.0
    ));
    assert!(after < 400 * MIB, "idle connections must stay small");
}
