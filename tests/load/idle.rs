//! Ten thousand TLS connections that have asked once and then do nothing: what they cost in memory.
//!
//! The gateway is a process of its own. That it stays below 400 MiB is held for HTTP/1.1 and HTTP/2 alike.

#![expect(clippy::print_stdout, reason = "a bench is there to print figures")]

mod common;

use bytes::Bytes;
use common::process::{Gateway, read};
use futures_util::StreamExt;
use futures_util::stream::iter;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mi_gateway::edge::raise_open_files;
use mi_gateway::tasks::Tasks;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const CONNECTIONS: usize = 10_000;
/// MiB.
const MOST: f64 = 400.0;
const AT_ONCE: usize = 32;

/// What keeps a connection open.
#[allow(dead_code, reason = "held, not used")]
enum Held {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

async fn open(gateway: &Gateway, tls: &TlsConnector, http2: bool, tasks: &Tasks) -> Held {
    let socket = TcpStream::connect(gateway.public).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TokioIo::new(tls.connect(name, socket).await.expect("a handshake"));
    let get =
        |uri: String| Request::get(uri).header("host", "localhost").body(Full::<Bytes>::default()).expect("a request");
    let (held, response) = if http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
        tasks.spawn(async move {
            let _ = connection.await;
        });
        let response = sender.send_request(get(gateway.url("/oauth2/jwks"))).await;
        (Held::Http2(sender), response)
    } else {
        let (mut sender, connection) = http1::handshake(stream).await.expect("HTTP/1.1");
        tasks.spawn(async move {
            let _ = connection.await;
        });
        let response = sender.send_request(get("/oauth2/jwks".to_owned())).await;
        (Held::Http1(sender), response)
    };
    let response = response.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    read(response.into_body(), async |_: &[u8]| {}).await;
    held
}

async fn measure(name: &str, http2: bool) {
    let patient = [("EDGE__IDLE_SECONDS", "3600"), ("EDGE__FIRST_BYTE_SECONDS", "300")];
    let gateway = Gateway::start(&[], &patient).await;
    let mut config = gateway.tls();
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    let tls = TlsConnector::from(Arc::new(config));
    let tasks = Tasks::new();
    // The first ones make what all share.
    for _ in 0..16 {
        drop(open(&gateway, &tls, http2, &tasks).await);
    }
    let (before, clock) = (gateway.memory(), Instant::now());
    let opening = (0..CONNECTIONS).map(|_| open(&gateway, &tls, http2, &tasks));
    let held: Vec<Held> = iter(opening).buffer_unordered(AT_ONCE).collect().await;
    let took = clock.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = gateway.memory();
    println!("{} idle connections, TLS 1.3, {name}:", held.len());
    println!("  {before:.1} MiB before, {after:.1} with them: {:.1} KiB each", (after - before) * 1024.0 / 1e4);
    println!("  opened in {took:.1} s: {:.0} handshakes with a first request a second", 1e4 / took);
    println!("  {} of {MOST} MiB", if after < MOST { "within the bound" } else { "ABOVE THE BOUND" });
    assert!(after < MOST, "{CONNECTIONS} idle connections take {after:.1} MiB");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let files = raise_open_files();
    assert!(files.now.is_none_or(|now| now > CONNECTIONS as u64 + 100), "raise the limit of open files: {files:?}");
    measure("HTTP/1.1", false).await;
    measure("HTTP/2", true).await;
}
