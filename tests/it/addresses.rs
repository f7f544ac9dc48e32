//! There is one address of a caller, for rules, limits, audit and log: that of the connection, or what a balancer that
//! the settings name says before TLS. What headers say of addresses, paths and methods is nobody's business.

use crate::house::{Caller, House, trusting};
use http::{Method, StatusCode};
use mi_gateway::config::Settings;
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const READ: &str = "CRS610MI/GetBasicData?CUNO=C00001";
const PATH: &str = "/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001";
const OFFICE: &str = "192.0.2.7";

/// What proxies write, and what those who are no proxies write too.
const CLAIMS: &[&[(&str, &str)]] = &[
    &[("x-forwarded-for", OFFICE)],
    &[("x-forwarded-for", "192.0.2.7, 127.0.0.1"), ("x-forwarded-for", OFFICE)],
    &[("forwarded", "for=192.0.2.7;proto=https;by=127.0.0.1")],
    &[("x-real-ip", OFFICE), ("true-client-ip", OFFICE), ("cf-connecting-ip", OFFICE), ("x-client-ip", OFFICE)],
    &[("x-envoy-external-address", OFFICE), ("x-cluster-client-ip", OFFICE), ("via", "1.1 192.0.2.7")],
];

fn rules(settings: &mut Settings, folder: &Path, condition: &str) {
    let rules = folder.join("network");
    fs::create_dir_all(&rules).expect("a folder");
    let text = format!(
        "@id(\"by-network\")\n@owner(\"tests\")\npermit (principal in Group::\"demo\", action in [Action::\"read\"], resource)\nwhen {{ {condition} }};\n"
    );
    fs::write(rules.join("rules.cedar"), text).expect("a file");
    fs::write(rules.join("limits.toml"), "[default]\nrate = \"5000/second\"\nburst = 10000\n").expect("a file");
    settings.policies = rules;
}

/// A house where only the office may read.
async fn office_alone(change: impl FnOnce(&mut Settings)) -> House {
    let state = tempfile::tempdir().expect("a folder");
    let at = state.path().to_owned();
    House::again(state, |settings| {
        rules(settings, &at, "context.address.isInRange(ip(\"192.0.2.0/24\"))");
        change(settings);
    })
    .await
}

fn audited(state: &Path) -> Vec<Value> {
    let files = fs::read_dir(state.join("audit")).expect("the audit log");
    let texts = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
    let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter_map(|line| serde_json::from_str(&line).ok()).collect()
}

/// One request of HTTP/1.1 behind what a balancer says; status and body.
async fn behind(house: &House, announced: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(house.running.addresses.public[0]).await.expect("the public door");
    stream.write_all(announced.as_bytes()).await.expect("sent");
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(Arc::new(trusting(&house.running.authority)));
    let Ok(mut stream) = connector.connect(name, stream).await else { return (0, String::new()) };
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // A reset counts as an end, too.
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, text)
}

fn get(token: &str) -> String {
    format!("GET {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n")
}

fn logon(client: &str, secret: &str, more: &str) -> String {
    let form = format!("grant_type=client_credentials&client_id={client}&client_secret={secret}");
    format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n{form}",
        form.len()
    )
}

fn from(address: &str) -> String {
    format!("PROXY TCP4 {address} 127.0.0.1 40000 443\r\n")
}

#[tokio::test]
async fn no_header_brings_a_caller_into_the_network_of_a_rule() {
    let house = office_alone(|_| {}).await;
    let demo = house.demo().await;
    for claims in CLAIMS {
        let reply = demo.get_with(PATH, claims).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{claims:?}: {}", reply.text());
    }
    assert_eq!(house.asked(), Vec::<String>::new());
    let state = house.stop().await;
    let lines = audited(state.path());
    let decisions: Vec<&Value> = lines.iter().filter(|line| line["program"] == "CRS610MI").collect();
    assert_eq!(decisions.len(), CLAIMS.len(), "{lines:?}");
    assert!(decisions.iter().all(|line| line["address"] == "127.0.0.1"), "{decisions:?}");
    assert!(!format!("{lines:?}").contains(OFFICE));
}

#[tokio::test]
async fn no_header_makes_a_guesser_of_secrets_another_one() {
    let house = House::start().await;
    let guess = |at: usize| {
        let address = format!("198.51.100.{at}");
        let claim = move |name: &str| format!("{name}: {address}\r\n");
        ["X-Forwarded-For", "X-Real-IP", "True-Client-IP"].map(claim).concat() + "Forwarded: for=198.51.100.1\r\n"
    };
    let mut refused = 0;
    for at in 0..20 {
        let (status, text) = behind(&house, "", &logon("demo", "wrong", &guess(at))).await;
        assert!(matches!(status, 400 | 401 | 429), "{text}");
        refused += usize::from(status == 429);
    }
    assert!(refused >= 5, "{refused} of 20 guesses were held up");
}

#[tokio::test]
async fn no_header_changes_the_path_or_the_method() {
    let house = House::start().await;
    let reader = house.reader().await;
    const WRITE: &str = "/m3api-rest/v2/execute/CRS610MI/ChgBasicData?CUNO=C00001&CUNM=Moved";
    for name in ["x-original-url", "x-rewrite-url", "x-forwarded-prefix", "x-forwarded-path", "x-forwarded-uri"] {
        let reply = reader.get_with(PATH, &[(name, WRITE)]).await;
        assert_eq!(reply.status, StatusCode::OK, "{name}: {}", reply.text());
        let reply = house.stranger().get_with(PATH, &[(name, "/oauth2/jwks")]).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{name}: no way round the token");
    }
    assert!(house.asked().iter().all(|call| call.contains("GetBasicData")), "{:?}", house.asked());
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        house.m3().clear_calls();
        let headers = [(name, "GET"), ("content-type", "application/json")];
        let reply = reader.send(Method::HEAD, PATH, &headers, bytes::Bytes::new()).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{name}");
        let reply = reader.send(Method::DELETE, PATH, &headers, bytes::Bytes::new()).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{name}");
        assert_eq!(house.asked(), Vec::<String>::new(), "{name}");
    }
}

#[tokio::test]
async fn the_client_that_a_balancer_names_is_who_the_rules_and_the_audit_log_see() {
    let house = office_alone(|settings| settings.edge.proxies = vec!["127.0.0.0/8".parse().expect("a network")]).await;
    let ionapi = house.ionapi("demo");
    let secret = ionapi["cs"].as_str().expect("a secret").to_owned();
    let client = ionapi["ci"].as_str().expect("an id").to_owned();
    let (status, text) = behind(&house, &from("203.0.113.9"), &logon(&client, &secret, "")).await;
    assert_eq!(status, 200, "{text}");
    let token = text.split("\"access_token\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    assert_eq!(behind(&house, &from(OFFICE), &get(token)).await.0, 200);
    assert_eq!(behind(&house, &from("203.0.113.9"), &get(token)).await.0, 403);
    let mapped = "PROXY TCP6 ::ffff:192.0.2.9 ::1 40000 443\r\n";
    assert_eq!(behind(&house, mapped, &get(token)).await.0, 200, "IPv4 inside IPv6 is IPv4 to a rule");
    let claimed = get(token).replace("Connection", "X-Forwarded-For: 192.0.2.7\r\nConnection");
    assert_eq!(behind(&house, &from("203.0.113.9"), &claimed).await.0, 403, "nor does a balancer's header count");
    assert_eq!(behind(&house, "", &get(token)).await.0, 0, "who says nothing is not served");
    let state = house.stop().await;
    let lines = audited(state.path());
    let told = |verdict: &str| -> Vec<&str> {
        let of_it = lines.iter().filter(|line| line["program"] == "CRS610MI" && line["verdict"] == verdict);
        of_it.filter_map(|line| line["address"].as_str()).collect()
    };
    assert_eq!(
        (told("allow"), told("deny")),
        (vec![OFFICE, "192.0.2.9"], vec!["203.0.113.9", "203.0.113.9"]),
        "{lines:?}"
    );
}

#[tokio::test]
async fn guesses_are_counted_by_the_client_that_a_balancer_names() {
    let change = |settings: &mut Settings| settings.edge.proxies = vec!["127.0.0.1".parse().expect("a network")];
    let house = House::with(change).await;
    let ionapi = house.ionapi("demo");
    let (client, secret) = (ionapi["ci"].as_str().expect("an id"), ionapi["cs"].as_str().expect("a secret"));
    let mut held_up = 0;
    for _ in 0..20 {
        held_up += usize::from(behind(&house, &from("203.0.113.9"), &logon(client, "wrong", "")).await.0 == 429);
    }
    assert!(held_up >= 5, "{held_up} of 20 guesses were held up");
    let (status, text) = behind(&house, &from(OFFICE), &logon(client, &secret.replace('+', "%2B"), "")).await;
    assert_eq!(status, 200, "the owner at another address is not: {text}");
}

/// The stack's own callers can't be behind a balancer: they say nothing before TLS.
#[tokio::test]
async fn who_is_no_balancer_is_served_as_ever() {
    let change = |settings: &mut Settings| settings.edge.proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    let house = House::with(change).await;
    let demo: Caller = house.demo().await;
    assert_eq!(demo.m3(READ).await.status, StatusCode::OK);
    assert_eq!(behind(&house, &from(OFFICE), &get(demo.token.as_deref().unwrap_or_default())).await.0, 0);
}
