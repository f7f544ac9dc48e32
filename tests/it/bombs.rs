//! Servers that the gateway asks, and that answer with what unpacks to more than anybody can hold, or without end.

use crate::house::{Caller, House};
use crate::rest::{READ, WRITE, before, mock};
use crate::signer::{Signer, coded};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use futures_util::StreamExt;
use http::StatusCode;
use mi_gateway::config::{Foreign, ForeignIntrospection};
use mi_gateway::mock_m3::Profile;
use mi_gateway::tasks::Tasks;
use secrecy::SecretString;
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(30);

fn zipped(content: &[u8], coding: &str) -> Vec<u8> {
    let fast = Compression::fast();
    if coding == "plain" {
        return content.to_vec();
    }
    let done = match coding {
        "gzip" => {
            let mut packed = GzEncoder::new(Vec::new(), fast);
            packed.write_all(content).and_then(|()| packed.finish())
        }
        "deflate" => {
            let mut packed = ZlibEncoder::new(Vec::new(), fast);
            packed.write_all(content).and_then(|()| packed.finish())
        }
        _ => {
            let mut packed = DeflateEncoder::new(Vec::new(), fast);
            packed.write_all(content).and_then(|()| packed.finish())
        }
    };
    done.expect("packed in memory")
}

/// Answers, head and all: what they unpack to is good in the first rows, and 16 MiB of nothing in the next, many times
/// what is read of any answer.
fn packed(good: &str) -> Vec<(String, Vec<u8>)> {
    let mut rows = Vec::new();
    let bomb = vec![b' '; 16 << 20];
    for (what, content) in [("what is good", good.as_bytes()), ("a bomb", &bomb)] {
        for (coding, header) in [
            ("gzip", "content-encoding: gzip"),
            ("gzip", "content-encoding: x-gzip"),
            ("gzip", "Content-Encoding: GZIP, identity"),
            ("gzip", "content-encoding: identity\r\ncontent-encoding: gzip"),
            ("deflate", "content-encoding: deflate"),
            ("raw", "content-encoding: deflate"),
            // Not packed at all; whoever believes the head would unpack it.
            ("plain", "content-encoding: br"),
            ("gzip", "transfer-encoding: gzip"),
        ] {
            // One bomb of each coding is enough.
            let usual = !["raw", "plain"].contains(&coding) && header.len() <= "transfer-encoding: gzip".len();
            if what == "a bomb" && !usual {
                continue;
            }
            let body = zipped(content, coding);
            let length = if header.starts_with("transfer") {
                String::new()
            } else {
                format!("\r\ncontent-length: {}", body.len())
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{header}{length}\r\nconnection: close\r\n\r\n"
            );
            rows.push((format!("{what} under {header:?}"), [head.into_bytes(), body].concat()));
        }
    }
    rows
}

/// What is said again and again behind a beginning, for as long as anybody listens.
const ENDLESS: &[(&str, &str, &str)] = &[
    ("interim answers", "", "HTTP/1.1 100 Continue\r\n\r\n"),
    ("early hints", "", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
    ("headers", "HTTP/1.1 200 OK\r\n", "x-more: and more and more and more\r\n"),
    ("one header", "HTTP/1.1 200 OK\r\nx-more: ", "and more and more and more"),
    ("a status line", "HTTP/1.1 200 ", "very very very "),
    ("blanks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "8\r\n        \r\n"),
    ("brackets", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "8\r\n[[[[[[[[\r\n"),
    (
        "a chunk's extensions",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2",
        ";more=more;more=more;more=more",
    ),
    ("trailers", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "x-more: and more and more\r\n"),
    ("a body without length", "HTTP/1.1 200 OK\r\n\r\n", "                                "),
];

/// A server that says these bytes to every request of one path, and then more of the same where it is told; how much of
/// that was taken is counted.
#[derive(Clone, Default)]
struct Hostile {
    begins: Vec<u8>,
    again: Vec<u8>,
    paths: &'static [&'static str],
    taken: Arc<AtomicU64>,
}

impl Hostile {
    /// Whatever else is asked, `good` answers, or somebody at that address.
    async fn serve(
        &self,
        tasks: &Tasks,
        good: impl Fn(&str) -> String + Send + Sync + 'static,
        m3: Option<SocketAddr>,
    ) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let (hostile, serving, good) = (self.clone(), tasks.clone(), Arc::new(good));
        tasks.spawn_until_stop(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (hostile, good) = (hostile.clone(), Arc::clone(&good));
                serving.spawn_until_stop(async move {
                    let mut request = vec![0; 16 * 1024];
                    let length = stream.read(&mut request).await.unwrap_or(0);
                    let head = String::from_utf8_lossy(&request[..length]).into_owned();
                    if head.lines().next().is_some_and(|line| hostile.paths.iter().any(|path| line.contains(path))) {
                        if stream.write_all(&hostile.begins).await.is_err() || hostile.again.is_empty() {
                            return;
                        }
                        let piece = hostile.again.repeat(1 + 16 * 1024 / hostile.again.len());
                        while stream.write_all(&piece).await.is_ok() {
                            hostile.taken.fetch_add(piece.len() as u64, Ordering::Relaxed);
                        }
                    } else if let Some(m3) = m3 {
                        let mut on = tokio::net::TcpStream::connect(m3).await.expect("the mock");
                        let once = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
                        on.write_all(once.as_bytes()).await.expect("it listens");
                        let _ = tokio::io::copy(&mut on, &mut stream).await;
                    } else {
                        let body = good(head.split(' ').nth(1).unwrap_or_default());
                        let length = body.len();
                        let told =
                            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                        let _ = stream.write_all(told.as_bytes()).await;
                    }
                });
            }
        });
        base
    }
}

/// A house that trusts one issuer, of which one document is hostile, and what it says of a caller with one of its tokens.
async fn told_of(hostile: &Hostile, signer: &Signer, token: &str) -> (String, House, Tasks) {
    let tasks = Tasks::new();
    let keys = json!({ "keys": [signer.jwk()] }).to_string();
    let issuer = signer.issuer.clone();
    let base = hostile
        .serve(
            &tasks,
            move |path| match path {
                "/jwks" => keys.clone(),
                _ => json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks") }).to_string(),
            },
            None,
        )
        .await;
    let (house, caller) = House::open_to_all("MIDEMO", "rate = \"10000/second\"\nburst = 10000", |settings| {
        let mut foreign = Foreign::new(&signer.issuer, vec![crate::signer::AUDIENCE.to_owned()]);
        foreign.allow_private = true;
        foreign.jwks = Some(format!("{base}/jwks"));
        foreign.introspection = Some(ForeignIntrospection {
            client_id: "gateway".into(),
            secret: SecretString::from("secret"),
            endpoint: Some(format!("{base}/introspect")),
            cap: Duration::from_secs(60),
            negative: Duration::from_secs(1),
        });
        settings.issuers.push(foreign);
        signer.client(settings, "shop", "DEMO_TST", "test", ("MIDEMO", 100));
    })
    .await;
    let asked = caller.clone().with_token(token);
    let reply = tokio::time::timeout(PATIENCE, asked.m3(READ)).await.expect("an answer in time");
    let said = if reply.status == StatusCode::OK { "ok".to_owned() } else { reply.problem() };
    assert_eq!(caller.m3(READ).await.status, StatusCode::OK, "others are served");
    (said, house, tasks)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_issuer_sends_is_never_unpacked() {
    let tasks = Tasks::new();
    let signer = Signer::start(&tasks).await;
    let keys = json!({ "keys": [signer.jwk()] }).to_string();
    let active = {
        let mut claims = signer.claims("shop");
        claims["active"] = true.into();
        claims["token_type"] = "Bearer".into();
        claims.to_string()
    };
    // As they are, both are good.
    let nothing = Hostile::default();
    assert_eq!(told_of(&nothing, &signer, &signer.token("shop")).await.0, "ok");
    for (paths, good, token, refused) in [
        (&["/jwks"][..], &keys, signer.token("shop"), "keys-unavailable"),
        (&["/introspect"], &active, coded("opaque"), "issuer-unavailable"),
    ] {
        for (what, begins) in packed(good) {
            let hostile = Hostile { begins, paths, ..Hostile::default() };
            let (said, house, _tasks) = told_of(&hostile, &signer, &token).await;
            assert_eq!(said, refused, "{what} from {paths:?}");
            house.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_never_ends_is_given_up() {
    let tasks = Tasks::new();
    let signer = Signer::start(&tasks).await;
    let rows = ENDLESS.iter().flat_map(|row| {
        [(&["/jwks"], signer.token("shop")), (&["/introspect"], coded("opaque"))].map(|way| (row, way))
    });
    // At the same time: each may take as long as the gateway waits for an issuer.
    let all = rows.map(|((what, begins, again), (paths, token))| {
        let signer = &signer;
        async move {
            let hostile = Hostile {
                begins: begins.as_bytes().into(),
                again: again.as_bytes().into(),
                paths,
                ..Hostile::default()
            };
            let (said, house, _tasks) = told_of(&hostile, signer, &token).await;
            let refused = if *paths == ["/jwks"] { "keys-unavailable" } else { "issuer-unavailable" };
            assert_eq!(said, refused, "{what} from {paths:?}");
            house.stop().await;
        }
    });
    futures_util::stream::iter(all).buffer_unordered(5).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_m3_behind_rest_sends_is_never_unpacked() {
    let record = r#"{"results":[{"transaction":"GetBasicData","records":[{"CUNO":"C00001","CUNM":"x"}]}],"nrOfSuccessfullTransactions":1}"#;
    let way = async |begins: Vec<u8>| -> (String, String) {
        let tasks = Tasks::new();
        let (_, good) = mock(&tasks, Profile::default()).await;
        let good = good.trim_start_matches("http://").parse().expect("an address");
        let hostile = Hostile { begins, paths: &["/GetBasicData", "/ChgBasicData"], ..Hostile::default() };
        let base = hostile.serve(&tasks, |_| String::new(), Some(good)).await;
        let (house, caller) = before(&base, |_| {}).await;
        let said = async |caller: &Caller, call: &str| {
            let reply = tokio::time::timeout(PATIENCE, caller.m3(call)).await.expect("an answer in time");
            if reply.status == StatusCode::OK { "ok".to_owned() } else { reply.problem() }
        };
        let told = (said(&caller, READ).await, said(&caller, WRITE).await);
        assert_eq!(house.operations("/livez").await.status, StatusCode::OK);
        house.stop().await;
        told
    };
    let plain = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{record}", record.len());
    assert_eq!(way(plain.into_bytes()).await.0, "ok", "as it is, it is good");
    for (what, begins) in packed(record) {
        let (read, write) = way(begins).await;
        assert!(["m3-incomprehensible", "m3-unreachable"].contains(&read.as_str()), "{what}: {read}");
        assert_eq!(write, "outcome-unknown", "{what}");
    }
}
