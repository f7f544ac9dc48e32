//! The gateway as a process of its own, with M3 in another one, so that its memory is its own alone.

use super::policies;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mi-gateway");
const MIB: f64 = 1024.0 * 1024.0;

pub(crate) type Https = Client<HttpsConnector<HttpConnector>, Full<bytes::Bytes>>;

pub(crate) struct Gateway {
    mock: Child,
    child: Child,
    pub(crate) public: SocketAddr,
    pub(crate) state: tempfile::TempDir,
}

impl Gateway {
    /// `mock`: words of its command line; `settings`: keys of the gateway's, as in the environment. Where the mock serves
    /// m3api-rest, that is the way to it.
    pub(crate) async fn start(mock: &[&str], settings: &[(&str, &str)]) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let at = |name: &str| state.path().join(name).display().to_string();
        policies(&state.path().join("policies"));
        let mut mock = Command::new(PROGRAM)
            .args(["mock", "--listen", "127.0.0.1:0"])
            .args(mock)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the mock can be started");
        let (m3, rest) = said(mock.stderr.take().expect("stderr was asked for"));
        for user in ["migate", "midemo"] {
            std::fs::write(state.path().join(user), format!("{user}-dev\n")).expect("a password file");
        }
        let own = [
            ("EDGE__LISTEN", "127.0.0.1:0".to_owned()),
            ("EDGE__DEVELOPMENT_CERTS", at("certs")),
            ("OPERATIONS__LISTEN", "127.0.0.1:0".to_owned()),
            ("STATE__DIR", at("state")),
            ("POLICY__DIR", at("policies")),
            ("LOG__LEVEL", "error".to_owned()),
            ("M3__USER", "MIGATE".to_owned()),
            ("M3__PASSWORD_FILE", at("migate")),
            ("M3__USERS__MIDEMO", at("midemo")),
            ("M3__GROUP_USERS__DEMO", "MIDEMO".to_owned()),
        ];
        let way = match rest {
            Some(base) => vec![("M3__BACKEND", "rest".to_owned()), ("M3__URL", base)],
            None => vec![("M3__BACKEND", "socket".to_owned()), ("M3__ADDRESS", m3.to_string())],
        };
        let given = settings.iter().map(|(key, value)| (*key, (*value).to_owned()));
        let environment: Vec<(String, String)> =
            own.into_iter().chain(way).chain(given).map(|(key, value)| (format!("MI_GATEWAY__{key}"), value)).collect();
        let command = || {
            let mut command = Command::new(PROGRAM);
            command.current_dir(state.path()).envs(environment.clone()).stdout(Stdio::null());
            command
        };
        let added =
            command().args(["client", "add", "bench", "--group", "demo", "--out", &at("bench.ionapi")]).status();
        assert!(added.expect("the command can be started").success(), "a client was added");
        let child = command().stderr(Stdio::null()).arg("serve").spawn().expect("the gateway can be started");
        let public = told(&state.path().join("state/addresses.json")).await;
        Self { mock, child, public, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.public.port())
    }

    /// Trusts the development authority; every handshake is a whole one.
    pub(crate) fn tls(&self) -> ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        let authority = self.state.path().join("certs").join("ca.pem");
        for certificate in CertificateDer::pem_file_iter(&authority).expect("the authority's file") {
            roots.add(certificate.expect("a certificate")).expect("an authority");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        config
    }

    pub(crate) fn https(&self) -> Https {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(self.tls())
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(connector);
        Client::builder(TokioExecutor::new()).build(connector)
    }

    pub(crate) async fn token(&self, https: &Https) -> String {
        let file = std::fs::read(self.state.path().join("bench.ionapi")).expect("the client's file");
        let ionapi: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url("/oauth2/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::from(super::credentials(&ionapi)))
            .expect("a request");
        let response = https.request(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "a token");
        let mut whole = Vec::new();
        read(response.into_body(), async |bytes| whole.extend_from_slice(bytes)).await;
        let answer: serde_json::Value = serde_json::from_slice(&whole).expect("a token answer");
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// Resident memory of the gateway in MiB.
    pub(crate) fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the gateway lives");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells it");
        let kib: f64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number of KiB");
        kib * 1024.0 / MIB
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for child in [&mut self.child, &mut self.mock] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Reads a body to its end and says how long it was.
pub(crate) async fn read(mut body: Incoming, mut take: impl AsyncFnMut(&[u8])) -> usize {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.expect("a whole body").into_data() {
            bytes += data.len();
            take(&data).await;
        }
    }
    bytes
}

/// The mock says its address in its first line, as the fourth word, and where it serves m3api-rest as the seventh.
fn said(mut errors: ChildStderr) -> (SocketAddr, Option<String>) {
    let mut line = String::new();
    BufReader::new(&mut errors).read_line(&mut line).expect("the mock says its address");
    let word = line.split_whitespace().nth(3).map(|word| word.trim_end_matches(','));
    let rest = line.split_whitespace().find(|word| word.starts_with("http://"));
    let address = word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("an address in {line:?}"));
    (address, rest.map(|base| base.trim_end_matches(',').to_owned()))
}

async fn told(addresses: &Path) -> SocketAddr {
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Ok(text) = std::fs::read(addresses) else { continue };
        let Ok(said) = serde_json::from_slice::<serde_json::Value>(&text) else { continue };
        let address = said["public"][0].as_str().expect("an address");
        return address.parse().expect("an address");
    }
    panic!("the gateway did not start within half a minute");
}
