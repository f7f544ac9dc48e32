//! Requests of HTTP/1.1 whose end two parsers would see at different places: what hides behind one is never run.
//!
//! Every case is a write or a token request with a second request, a good one, behind it. Where the framing is in
//! doubt the door answers with a refusal at most, closes, and M3 hears of nothing.

use crate::house::{House, trusting};
use bytes::Bytes;
use http::{Method, StatusCode};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What is said between the request line and the blank line, and what comes behind it, before the hidden request.
struct Case {
    what: &'static str,
    version: &'static str,
    headers: &'static str,
    body: &'static str,
}

const fn case(what: &'static str, headers: &'static str, body: &'static str) -> Case {
    Case { what, version: "HTTP/1.1", headers, body }
}

const IN_DOUBT: &[Case] = &[
    case("a length, then chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    case("chunks, then a length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
    case("chunked in other case and a length", "transfer-encoding: CHUNKED\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
    case("an unknown coding last", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "0\r\n\r\n"),
    case("identity last", "Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
    case("identity alone", "Transfer-Encoding: identity\r\n", ""),
    case("a coding that only begins like chunked", "Transfer-Encoding: chunkedx\r\n", "0\r\n\r\n"),
    case("a coding with a control character", "Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
    case("a blank before the colon", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
    case("a tab before the colon", "Content-Length\t: 0\r\n", ""),
    case("a folded coding", "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
    case("a folded header", "X-A: b\r\n\tc\r\n", ""),
    case("a header that begins with a blank", " X-A: b\r\n", ""),
    case("two lengths that differ", "Content-Length: 0\r\nContent-Length: 9\r\n", ""),
    case("a list of lengths that differ", "Content-Length: 0, 9\r\n", ""),
    case("a length with a plus", "Content-Length: +0\r\n", ""),
    case("a length below nothing", "Content-Length: -1\r\n", ""),
    case("a length in hex", "Content-Length: 0x0\r\n", ""),
    case("an empty length", "Content-Length: \r\n", ""),
    case("a length beyond 64 bits", "Content-Length: 18446744073709551616\r\n", ""),
    case("a NUL in a value", "X-A: b\0c\r\n", ""),
    case("a NUL in a name", "X\0A: b\r\n", ""),
    case("a bare CR in a value", "X-A: b\rContent-Length: 9\r\n", ""),
    case("a header that a bare LF ends", "X-A: b\n", ""),
    case("a header behind a bare LF", "X-A: b\nContent-Length: 9\r\n", ""),
    case("a head that ends with two bare LFs", "X-A: b\n\n", ""),
    case("a head whose empty line is a bare LF", "X-A: b\r\n\n", ""),
    case("two hosts", "Host: y\r\n", ""),
    case("the same host twice", "Host: x\r\n", ""),
    case("a bare LF behind a chunked body, in a trailer", "Transfer-Encoding: chunked\r\n", "0\r\nA: b\nC: d\r\n\r\n"),
    case("a line without a colon", "X-A\r\n", ""),
    case("a header without a name", ": b\r\n", ""),
    case("a chunk size that is none", "Transfer-Encoding: chunked\r\n", "zz\r\n"),
    case("a chunk size below nothing", "Transfer-Encoding: chunked\r\n", "-1\r\n"),
    case("a chunk size with a prefix", "Transfer-Encoding: chunked\r\n", "0x0\r\n\r\n"),
    case("a chunk size beyond 64 bits", "Transfer-Encoding: chunked\r\n", "10000000000000000\r\n\r\n"),
    case("a chunk without its end", "Transfer-Encoding: chunked\r\n", "1\r\nabc0\r\n\r\n"),
    case("a chunk size that a bare LF ends", "Transfer-Encoding: chunked\r\n", "0\n\r\n"),
    case("a chunk extension with a bare LF", "Transfer-Encoding: chunked\r\n", "0;a=\nb\r\n\r\n"),
    Case {
        what: "chunks of HTTP/1.0",
        version: "HTTP/1.0",
        headers: "Transfer-Encoding: chunked\r\n",
        body: "0\r\n\r\n",
    },
    Case { what: "a request line that a bare LF ends", version: "HTTP/1.1\nX-A: b", headers: "", body: "" },
    Case { what: "a version that is none", version: "HTTP/1.9x", headers: "", body: "" },
];

/// Says these bytes over TLS and gives everything that comes back until the door closes; where it doesn't, that.
async fn closed_after(house: &House, what: &str, bytes: &[u8]) -> String {
    let stream = TcpStream::connect(house.running.addresses.public[0]).await.expect("the public door");
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(Arc::new(trusting(&house.running.authority)));
    let mut stream = connector.connect(name, stream).await.expect("a handshake");
    // The door may close while we still talk, and a reset counts as an end, too.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if read.is_ok() { answer } else { format!("{what}: the door was left open after {answer}") }
}

#[tokio::test]
async fn what_hides_behind_a_request_without_a_sure_end_is_never_run() {
    let house = House::start().await;
    let token = house.token(&house.ionapi("demo")).await;
    // Without `Connection: close`: it is the doubt that closes the door.
    let hidden = format!(
        "GET /m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let mut faults = Vec::new();
    for Case { what, version, headers, body } in IN_DOUBT {
        for target in ["/oauth2/token", "/m3api-rest/v2/execute"] {
            let head = format!("POST {target} {version}\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{headers}\r\n");
            let answer = closed_after(&house, what, format!("{head}{body}{hidden}").as_bytes()).await;
            let answers = answer.matches("HTTP/1.").count();
            let refused = ["HTTP/1.1 4", "HTTP/1.0 4", "HTTP/1.1 501"].iter().any(|start| answer.starts_with(start));
            let run = house.asked();
            if !(run.is_empty() && (answer.is_empty() || (answers == 1 && refused))) {
                faults.push(format!("{what} to {target}: M3 was asked {run:?}, the caller told {answer}"));
                house.m3().clear_calls();
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The hidden request is a good one: alone it is run.
    let alone = hidden.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
    let answer = closed_after(&house, "alone", alone.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let asked = house.asked();
    assert!(asked.iter().any(|call| call.starts_with("CRS610MI/GetBasicData")), "{asked:?}");
}

#[tokio::test]
async fn no_header_that_names_another_header_or_caller_changes_who_calls() {
    let house = House::start().await;
    let token = house.token(&house.ionapi("demo")).await;
    let target = "/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001";
    for (what, headers, granted) in [
        ("an alias with _", format!("Authorization_: Bearer {token}\r\n"), false),
        ("an alias with .", format!("X.Authorization: Bearer {token}\r\n"), false),
        ("a proxy's", format!("Proxy-Authorization: Bearer {token}\r\n"), false),
        ("a proxy's word", "X-Forwarded-User: demo\r\nX-Remote-User: demo\r\nX-Client-Id: demo\r\n".into(), false),
        ("a cookie", format!("Cookie: access_token={token}\r\n"), false),
        (
            "two, one of another scheme",
            format!("Authorization: Basic ZGVtbzp4\r\nAuthorization: Bearer {token}\r\n"),
            false,
        ),
        ("nominated", format!("Authorization: Bearer {token}\r\nConnection: close, Authorization\r\n"), true),
        (
            "an upgrade to HTTP/2",
            format!(
                "Authorization: Bearer {token}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
            ),
            true,
        ),
        (
            "the path of another",
            format!("X-Original-URL: /livez\r\nX-Rewrite-URL: /livez\r\nAuthorization: Bearer {token}\r\n"),
            true,
        ),
    ] {
        house.m3().clear_calls();
        let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n");
        let answer = closed_after(&house, what, head.as_bytes()).await;
        let status = if granted { "HTTP/1.1 200" } else { "HTTP/1.1 401" };
        assert!(answer.starts_with(status), "{what}: {answer}");
        assert_eq!(house.asked().len(), usize::from(granted), "{what}");
    }
}

#[tokio::test]
async fn a_body_that_is_compressed_is_refused_and_never_unpacked() {
    let house = House::start().await;
    let demo = house.demo().await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let json = [("content-type", "application/json")];
    for coding in ["gzip", "x-gzip", "deflate", "br", "zstd", "GZIP", "gzip, gzip", "identity, gzip", "compress", "?"] {
        for (path, kind) in [("/oauth2/token", form), ("/m3api-rest/v2/execute", json)] {
            let headers = [kind[0], ("content-encoding", coding)];
            let body = Bytes::from_static(b"\x1f\x8b\x08\0\0\0\0\0\0\x03");
            let reply = demo.send(Method::POST, path, &headers, body).await;
            assert_eq!(reply.problem(), "media-type-unsupported", "{coding} to {path}");
            assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{coding} to {path}");
            assert_eq!(reply.header("accept-encoding"), "identity", "{coding} to {path}");
        }
    }
    let call = r#"{"program":"CRS610MI","transactions":[{"transaction":"GetBasicData","record":{"CUNO":"C00001"}}]}"#;
    let headers = [json[0], ("content-encoding", "identity")];
    let plain = demo.send(Method::POST, "/m3api-rest/v2/execute", &headers, call.into()).await;
    assert_eq!(plain.status, StatusCode::OK, "{}", plain.text());
}

/// Of two, one server takes the first and another the last: neither is taken.
#[tokio::test]
async fn a_header_that_counts_once_is_refused_twice() {
    let house = House::start().await;
    let token = house.token(&house.ionapi("demo")).await;
    let call = r#"{"program":"CRS610MI","transactions":[{"transaction":"ChgBasicData","record":{"CUNO":"C00001","CUNM":"Twice"}}]}"#;
    let change = "GET /m3api-rest/v2/execute/CRS610MI/ChgBasicData?CUNO=C00001&CUNM=Twice";
    for (what, line, headers, answered) in [
        ("two keys", change, "Idempotency-Key: one\r\nIdempotency-Key: two\r\n", "400"),
        ("the same key twice", change, "Idempotency-Key: one\r\nIdempotency-Key: one\r\n", "400"),
        (
            "a coding behind none",
            "POST /m3api-rest/v2/execute",
            "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n",
            "415",
        ),
        (
            "none behind a coding",
            "POST /m3api-rest/v2/execute",
            "Content-Encoding: gzip\r\nContent-Encoding: identity\r\n",
            "415",
        ),
        ("two hosts", change, "Host: y\r\n", "400"),
    ] {
        let body = if line.starts_with("POST") { call } else { "" };
        let head = format!(
            "{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let answer = closed_after(&house, what, head.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {answered}")), "{what}: {answer}");
        assert_eq!(house.asked(), Vec::<String>::new(), "{what}");
    }
    let none = format!("{change} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    let answer = closed_after(&house, "no host", none.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("names its host once"), "{answer}");
    assert_eq!(house.asked(), Vec::<String>::new());
}

/// What is said behind a body, and in bodies, is as it was: only heads are looked through.
#[tokio::test]
async fn requests_that_come_in_one_breath_are_each_answered_whatever_their_bodies_hold() {
    let house = House::start().await;
    let token = house.token(&house.ionapi("demo")).await;
    let call = "{\n\n\"program\":\"CRS610MI\",\n\"transactions\":[{\"transaction\":\"GetBasicData\",\n\n\"record\":{\"CUNO\":\"C00001\"}}]\n\n}";
    let head = |more: &str| {
        format!(
            "POST /m3api-rest/v2/execute HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n{more}\r\n"
        )
    };
    let known = format!("{}{call}", head(&format!("Content-Length: {}\r\n", call.len())));
    let (one, two) = call.split_at(20);
    let chunked = format!(
        "{}{:x}\r\n{one}\r\n{:x};a=b\r\n{two}\r\n0\r\n\r\n",
        head("Transfer-Encoding: chunked\r\n"),
        one.len(),
        two.len()
    );
    let read = format!(
        "GET /m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    );
    let last = format!("{read}Connection: close\r\n\r\n");
    let all = format!("{known}{chunked}{read}\r\n{known}{last}");
    let answer = closed_after(&house, "five at once", all.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 5, "{answer}");
}
