//! The vocabulary of the tests: a house of one's own on free ports, callers with tokens, and M3 to look at.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mi_gateway::app::{self, Running};
use mi_gateway::clock::unix_seconds;
use mi_gateway::config::{Backend, Settings};
use mi_gateway::issuer::{Clients, HashCost};
use mi_gateway::m3::RestSettings;
use mi_gateway::mock_m3::{Faults, Mock};
use mi_gateway::model::M3User;
use mi_gateway::store::Store;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) type Https = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Gateway and mock M3 in one process, every port 0, state in a folder that goes with it.
pub(crate) struct House {
    pub(crate) running: Running,
    pub(crate) base: String,
    pub(crate) operations: String,
    pub(crate) state: tempfile::TempDir,
    pub(crate) https: Https,
}

impl House {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A house whose settings differ in what the test is about.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::again(tempfile::tempdir().expect("a temporary folder"), change).await
    }

    /// A house with one client, `tester` of group `test`, who may do everything that no guardrail forbids, in every
    /// company, at this rate; M3 sees it as this user.
    pub(crate) async fn open_to_all(user: &str, limits: &str, change: impl FnOnce(&mut Settings)) -> (Self, Caller) {
        let state = tempfile::tempdir().expect("a temporary folder");
        let rules = state.path().join("rules");
        std::fs::create_dir_all(&rules).expect("a folder");
        let all = "@id(\"test-all\")\n@owner(\"tests\")\npermit (principal in Group::\"test\", action in [Action::\"read\", Action::\"write\"], resource);\n";
        std::fs::write(rules.join("rules.cedar"), all).expect("a file");
        std::fs::write(rules.join("limits.toml"), format!("[default]\n{limits}\n")).expect("a file");
        let user = M3User::parse(user).expect("a user of the mock");
        let house = Self::again(state, |settings| {
            settings.policies = rules;
            settings.group_users.insert("test".into(), user);
            change(settings);
        })
        .await;
        house.running.add_client("tester", &[], &["test"]).await.expect("a client");
        let caller = house.caller("tester").await;
        (house, caller)
    }

    /// A house over the state that another one left.
    pub(crate) async fn again(state: tempfile::TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::embedded(state.path());
        if let (true, Backend::Mock { mock, client }) = (over_rest(), &mut settings.backend) {
            mock.rest = Some(([127, 0, 0, 1], 0).into());
            client.rest = Some(RestSettings::new(String::new()));
        }
        change(&mut settings);
        let running = app::start(settings).await.expect("a house that starts");
        let base = format!("https://localhost:{}", running.addresses.public[0].port());
        let operations = format!("http://{}", running.addresses.operations);
        let https = https(&running.authority);
        Self { running, base, operations, state, https }
    }

    pub(crate) fn m3(&self) -> &Mock {
        self.running.mock.as_ref().expect("the tests' house has a mock")
    }

    /// What M3 was asked on behalf of callers, as `PROGRAM/Transaction`.
    pub(crate) fn asked(&self) -> Vec<String> {
        let calls = self.m3().calls();
        calls.iter().filter(|call| !call.technical && call.program != "MRS001MI").map(|call| call.to_string()).collect()
    }

    pub(crate) fn faults(&self, text: &str) {
        let faults: Faults = serde_json::from_str(text).expect("faults of the test");
        self.m3().set_faults(faults);
    }

    /// The client of the first start, with everything the demo policy gives.
    pub(crate) async fn demo(&self) -> Caller {
        self.caller("demo").await
    }

    pub(crate) async fn reader(&self) -> Caller {
        self.caller("reader").await
    }

    pub(crate) async fn caller(&self, name: &str) -> Caller {
        let ionapi = self.ionapi(name);
        let token = self.token(&ionapi).await;
        Caller { https: self.https.clone(), base: self.base.clone(), token: Some(token) }
    }

    pub(crate) fn stranger(&self) -> Caller {
        Caller { https: self.https.clone(), base: self.base.clone(), token: None }
    }

    pub(crate) fn ionapi(&self, name: &str) -> Value {
        let path = self.state.path().join("clients").join(format!("{name}.ionapi"));
        let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_slice(&text).expect("an .ionapi file is JSON")
    }

    pub(crate) async fn token(&self, ionapi: &Value) -> String {
        let reply = self.ask_token(ionapi, &[("grant_type", "client_credentials")]).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.json()["access_token"].as_str().expect("a token").to_owned()
    }

    pub(crate) async fn ask_token(&self, ionapi: &Value, form: &[(&str, &str)]) -> Reply {
        let mut form: Vec<(&str, &str)> = form.to_vec();
        form.push(("client_id", text(ionapi, "ci")));
        form.push(("client_secret", text(ionapi, "cs")));
        self.stranger().post_form("/oauth2/token", &form).await
    }

    /// Ends a client as the command line does, in a process of its own.
    pub(crate) async fn end_client(&self, name: &str) {
        let store = Store::open(self.state.path()).await.expect("the state");
        let clients = Clients::open(&store, HashCost::default()).await.expect("clients");
        clients.revoke(name, unix_seconds()).await.expect("revoked");
        store.close().await;
    }

    pub(crate) async fn operations(&self, path: &str) -> Reply {
        let request = Request::get(format!("{}{path}", self.operations)).body(Full::default()).expect("a request");
        send(&self.https, request).await
    }

    pub(crate) async fn stop(self) -> tempfile::TempDir {
        self.running.stop().await;
        self.state
    }
}

/// Between two looks at something that is waited for: whoever looks without a pause takes the processor from what he waits
/// for.
pub(crate) async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(3)).await;
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"))
}

/// The contract's tests run a second time with M3 behind m3api-rest.
#[expect(clippy::disallowed_methods, reason = "the tests' own setting, which no configuration of the product has")]
pub(crate) fn over_rest() -> bool {
    std::env::var_os("MI_GATEWAY_TESTS_OVER").is_some_and(|way| way == "rest")
}

/// For what m3api-rest has no part in: `why` says so to whoever reads the run.
pub(crate) fn sockets_alone(why: &str) -> bool {
    if over_rest() {
        eprintln!("not over m3api-rest: {why}");
    }
    over_rest()
}

/// A client that trusts the development authority and nothing else, over HTTP/2 or 1.1 as agreed.
pub(crate) fn https(authority: &Path) -> Https {
    over(trusting(authority))
}

/// The same, which shows this certificate on its connections; both PEM.
pub(crate) fn https_showing(authority: &Path, (certificate, key): &(String, String)) -> Https {
    let mut config = trusting(authority);
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let own = rustls::sign::CertifiedKey::from_der(chain, key, config.crypto_provider()).expect("a pair");
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(own));
    over(config)
}

fn over(tls: rustls::ClientConfig) -> Https {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(connector);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// TLS that trusts this authority alone.
pub(crate) fn trusting(authority: &Path) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).expect("the authority's file") {
        roots.add(certificate.expect("a certificate")).expect("an authority");
    }
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Somebody who calls, with a token or without.
#[derive(Clone)]
pub(crate) struct Caller {
    https: Https,
    base: String,
    pub(crate) token: Option<String>,
}

impl Caller {
    /// The same caller on other connections.
    pub(crate) fn over(mut self, https: &Https) -> Self {
        self.https = https.clone();
        self
    }

    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(Method::GET, path, headers, Bytes::new()).await
    }

    /// v2, with the tenant in front.
    pub(crate) async fn m3(&self, call: &str) -> Reply {
        self.get(&format!("/DEMO_TST/M3/m3api-rest/v2/execute/{call}")).await
    }

    /// v1 as Infor's SDK asks for it.
    pub(crate) async fn v1(&self, call: &str) -> Reply {
        let headers = [("accept", "application/json")];
        self.get_with(&format!("/DEMO_TST/M3/m3api-rest/execute/{call}"), &headers).await
    }

    pub(crate) async fn post_form(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        self.send(Method::POST, path, &headers, body.into()).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Reply {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(&self.https, request.body(Full::new(body)).expect("a request")).await
    }
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

#[expect(clippy::disallowed_methods, reason = "a test reads its own gateway's answers whole")]
pub(crate) async fn send(https: &Https, request: Request<Full<Bytes>>) -> Reply {
    let response = https.request(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body");
    let trailers = body.trailers().cloned().unwrap_or_default();
    Reply { status: parts.status, headers: parts.headers, body: body.to_bytes(), trailers }
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Of a header that may be there more than once.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    pub(crate) fn trailer(&self, name: &str) -> &str {
        self.trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The code of a problem on the gateway's own account.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The records of a v2 answer.
    pub(crate) fn records(&self) -> Vec<Value> {
        let json = self.json();
        json["results"][0]["records"].as_array().unwrap_or_else(|| panic!("no records in {json}")).clone()
    }

    /// The error of a v2 answer: type, code, field.
    pub(crate) fn error(&self) -> (String, String, String) {
        let result = &self.json()["results"][0];
        let of = |name: &str| result[name].as_str().unwrap_or("(absent)").to_owned();
        (of("errorType"), of("errorCode"), of("errorField"))
    }
}
