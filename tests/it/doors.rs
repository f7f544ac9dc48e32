//! Both doors from outside: protocols, sizes, smuggling, and what the operations door keeps for the operator.

use crate::house::{House, Reply, send, text};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bytes as they are over TLS to the public door, and everything that comes back until the door closes.
async fn raw(house: &House, bytes: &[u8]) -> String {
    let mut roots = rustls::RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(&house.running.authority).expect("the authority");
    roots.add(authority).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(house.running.addresses.public[0]).await.expect("the public door");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    // A reset counts as an end, too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn requests_that_two_parsers_would_read_differently_are_refused() {
    let house = House::start().await;
    let token = house.token(&house.ionapi("demo")).await;
    let path = "/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001";
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let hidden = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{bearer}Connection: close\r\n\r\n");
    for (what, head) in [
        (
            "both lengths",
            "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_owned(),
        ),
        (
            "two lengths",
            "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
        ("a folded header", format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n{bearer}\r\n")),
        (
            "a blank before the colon",
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n{bearer}\r\n"),
        ),
        (
            "a chunk size that is none",
            "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        ),
        (
            "an unknown coding",
            "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n".to_owned(),
        ),
    ] {
        let answer = raw(&house, format!("{head}{hidden}").as_bytes()).await;
        let first = answer.lines().next().unwrap_or_default().to_owned();
        assert!(
            first.is_empty() || first.starts_with("HTTP/1.1 4") || first.starts_with("HTTP/1.1 501"),
            "{what}: {answer}"
        );
        assert_eq!(house.asked(), Vec::<String>::new(), "{what}: what was hidden behind it was run");
    }
}

#[tokio::test]
async fn two_authorizations_are_none() {
    let house = House::start().await;
    let token = house.token(&house.ionapi("demo")).await;
    let head = format!(
        "GET /m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    let answer = raw(&house, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(house.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn any_host_and_http_1_1_are_served_as_http_2_is() {
    let house = House::start().await;
    let token = house.token(&house.ionapi("demo")).await;
    let head = format!(
        "GET /m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001 HTTP/1.1\r\nHost: some-cloud.example.com\r\nAuthorization: bearer {token}\r\nConnection: close\r\n\r\n"
    );
    let answer = raw(&house, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("C00001"), "{answer}");
    let demo = house.demo().await;
    assert_eq!(demo.m3("CRS610MI/GetBasicData?CUNO=C00001").await.status, StatusCode::OK);
}

#[tokio::test]
async fn sizes_have_bounds_and_say_so() {
    let house = House::with(|settings| settings.gateway.body_limit = 2_000).await;
    let demo = house.demo().await;
    let long = demo.m3(&format!("CRS610MI/GetBasicData?CUNO=1&_x={}", "a".repeat(9_000))).await;
    assert_eq!((long.status, long.problem().as_str()), (StatusCode::URI_TOO_LONG, "uri-too-long"));
    let headers = demo.get_with("/x", &[("x-long", &"a".repeat(40_000))]).await;
    assert_eq!(headers.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    // Without a length the same bound cuts while it is read.
    let chunk = format!("{:x}\r\n{}\r\n", 1_500, "a".repeat(1_500));
    let head = "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let answer = raw(&house, format!("{head}{chunk}{chunk}0\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn every_route_refuses_a_caller_without_a_token() {
    let house = House::start().await;
    let stranger = house.stranger();
    for path in [
        "/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001",
        "/m3api-rest/execute/CRS610MI/GetBasicData",
        "/M3/m3api-rest/execute/A/B",
        "/DEMO_TST/M3/m3api-rest/v2/execute/A/B",
        "/DEMO_TST/M3/m3api-rest/v2/execute",
        "/",
        "/metrics",
        "/livez",
        "/m3api-rest/csrf",
        "/DEMO_TST/M3/m3api-rest/metadata",
        "/nothing",
        "/..%2f",
        "//",
        "/oauth2",
        "/catalog/clear",
    ] {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
            let reply = stranger.send(method.clone(), path, &[], Bytes::new()).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        }
    }
    // With one, what is not there is not there.
    let demo = house.demo().await;
    for path in ["/nothing", "/metrics", "/m3api-rest/csrfx", "/DEMO_TST/M3/m3api-rest/v2/execut"] {
        let reply = demo.get(path).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::NOT_FOUND, "route-unknown"), "{path}");
    }
    assert_eq!(house.asked(), Vec::<String>::new());
}

async fn operate(house: &House, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut request = Request::builder().method(method).uri(format!("{}{path}", house.operations));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(&house.https, request.body(Full::from(body.to_owned())).expect("a request")).await
}

#[tokio::test]
async fn the_operations_door_keeps_its_actions_for_the_operator() {
    let house = House::start().await;
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(house.operations(path).await.status, StatusCode::OK, "{path}");
    }
    let json = ("content-type", "application/json");
    let outside = operate(&house, Method::POST, "/catalog/clear", &[json], "{}").await;
    assert_eq!(outside.status, StatusCode::UNAUTHORIZED);
    let token = std::fs::read_to_string(house.state.path().join("operator.token")).expect("the operator's token");
    let bearer = format!("Bearer {}", token.trim());
    let operator = ("authorization", bearer.as_str());
    let rebound =
        operate(&house, Method::POST, "/catalog/clear", &[json, operator, ("host", "evil.example.com")], "{}").await;
    assert_eq!(rebound.status, StatusCode::MISDIRECTED_REQUEST);
    let posted =
        operate(&house, Method::POST, "/catalog/clear", &[operator, ("content-type", "text/plain")], "{}").await;
    assert_eq!(posted.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let done = operate(&house, Method::POST, "/catalog/clear", &[json, operator], "{}").await;
    assert_eq!((done.status, text(&done.json(), "cleared")), (StatusCode::OK, "everything"));
    let wrong = operate(&house, Method::POST, "/catalog/clear", &[json, operator], r#"{"program":"not a name"}"#).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let faults =
        operate(&house, Method::POST, "/mock/faults", &[json, operator], r#"{"rules":[{"latency_ms":1}]}"#).await;
    assert_eq!(faults.status, StatusCode::OK);
    let unknown = operate(&house, Method::POST, "/mock/faults", &[json, operator], r#"{"rule":1}"#).await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn what_happened_is_in_the_metrics() {
    let house = House::start().await;
    let demo = house.demo().await;
    demo.m3("CRS610MI/GetBasicData?CUNO=C00001").await;
    demo.m3("CRS610MI/GetBasicData?CUNO=C00002").await;
    demo.m3("EXPORTMI/Select").await;
    house.stranger().m3("CRS610MI/GetBasicData").await;
    let metrics = house.operations("/metrics").await.text();
    for line in [
        "mi_gateway_http_requests_total{route=\"/m3api-rest/v2/execute\",status=\"200\"} 2",
        "mi_gateway_http_requests_total{route=\"/m3api-rest/v2/execute\",status=\"403\"} 1",
        "mi_gateway_http_requests_total{route=\"/m3api-rest/v2/execute\",status=\"401\"} 1",
        "mi_gateway_verdicts_total{layer=\"authn\",verdict=\"refused\"} 1",
        "mi_gateway_verdicts_total{layer=\"quota\",verdict=\"allowed\"} 3",
        "mi_gateway_verdicts_total{layer=\"authz\",verdict=\"allowed\"}",
        "mi_gateway_policy_decisions_total{step=\"name\",verdict=\"denied\"} 1",
        "mi_gateway_policy_decisions_total{step=\"values\",verdict=\"allowed\"} 2",
        "mi_gateway_m3_calls_total{effect=\"read\",outcome=\"ok\",program=\"CRS610MI\"} 2",
        "mi_gateway_m3_records_total{program=\"CRS610MI\"} 2",
        "mi_gateway_m3_sessions{state=\"idle\"}",
        "mi_gateway_catalog_total{result=\"miss\"} 1",
        "mi_gateway_catalog_total{result=\"hit\"} 1",
        "mi_gateway_token_cache_total{result=\"hit\"}",
        "mi_gateway_tokens_total{grant=\"client_credentials\",outcome=\"ok\"} 1",
        "mi_gateway_policy_rules",
        "mi_gateway_ready 1",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn readiness_says_why_not() {
    let house = House::start().await;
    assert_eq!(house.operations("/readyz").await.status, StatusCode::OK);
    house.m3().change_password("MIGATE", "another");
    house.m3().kill_sessions(mi_gateway::mock_m3::Kill::Fin);
    let told = async {
        loop {
            let reply = house.operations("/readyz").await;
            if reply.status == StatusCode::SERVICE_UNAVAILABLE {
                return reply.text();
            }
        }
    };
    let told = tokio::time::timeout(std::time::Duration::from_secs(30), told).await.expect("it is noticed");
    assert!(told.contains("\"m3\"") && told.contains("MIGATE"), "{told}");
    assert_eq!(house.operations("/livez").await.status, StatusCode::OK, "alive all the same");
}

#[tokio::test]
async fn at_a_stop_readiness_goes_first_and_callers_are_let_in_until_balancers_have_noticed() {
    let house = House::with(|settings| settings.edge.limits.drain_wait = Duration::from_secs(3)).await;
    let demo = house.demo().await;
    let (base, https) = (house.operations.clone(), house.https.clone());
    let ready = async || {
        let request = Request::get(format!("{base}/readyz")).body(Full::default()).expect("a request");
        send(&https, request).await.status
    };
    assert_eq!(ready().await, StatusCode::OK);
    let meanwhile = async {
        while ready().await == StatusCode::OK {
            crate::house::a_moment().await;
        }
        demo.m3("CRS610MI/GetBasicData?CUNO=C00001").await.status
    };
    let (_, status) = tokio::join!(house.stop(), meanwhile);
    assert_eq!(status, StatusCode::OK, "not ready any more, and still served");
}

#[test]
fn every_metric_that_the_alerts_ask_for_is_one_of_ours() {
    let read = |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect("a file");
    let (alerts, metrics) = (read("deploy/alerts.yml"), read("src/telemetry/metrics.rs"));
    let asked = alerts.split("mi_gateway_").skip(1).map(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_').unwrap_or(rest.len());
        rest[..end].trim_end_matches("_bucket")
    });
    let asked: std::collections::BTreeSet<&str> = asked.collect();
    assert!(asked.len() > 10, "{asked:?}");
    for name in asked {
        assert!(metrics.contains(&format!("\"{name}\"")), "{name}");
    }
}
