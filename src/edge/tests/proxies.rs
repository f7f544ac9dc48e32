//! Who a balancer speaks for is the peer, whoever is not named as one is not believed.

use super::{BOTH, House, answer, client, last_words, rest, soon, until};
use crate::edge::settings::Limits;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

const SHORT: Duration = Duration::from_millis(40);
const PEER: &str = "GET /peer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

async fn behind(limits: Limits, tls: bool) -> House {
    House::open(limits, tls, None, &["127.0.0.0/8"]).await
}

fn from(address: &str) -> String {
    format!("PROXY TCP4 {address} 10.0.0.1 40000 8443\r\n")
}

/// What the service learns of its peer behind these first bytes.
async fn told(house: &House, header: &[u8]) -> String {
    let mut caller = house.dial().await;
    caller.write_all(header).await.unwrap();
    let words = last_words(&mut caller, PEER).await;
    words.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_client_that_a_balancer_names_is_the_peer() {
    let house = behind(Limits::default(), false).await;
    assert_eq!(told(&house, from("192.0.2.7").as_bytes()).await, "192.0.2.7");
    assert_eq!(told(&house, b"PROXY TCP6 2001:db8::7 ::1 40000 8443\r\n").await, "2001:db8::7");
    assert_eq!(told(&house, b"PROXY TCP6 ::ffff:192.0.2.8 ::1 40000 8443\r\n").await, "192.0.2.8");
    let v2 = [V2, &[0x21, 0x11, 0, 12, 192, 0, 2, 9, 10, 0, 0, 1, 0, 1, 0, 2]].concat();
    assert_eq!(told(&house, &v2).await, "192.0.2.9");
    // A balancer that looks whether we are there is itself.
    assert_eq!(told(&house, &[V2, &[0x20, 0, 0, 0]].concat()).await, "127.0.0.1");
    assert_eq!(told(&house, b"PROXY UNKNOWN\r\n").await, "127.0.0.1");
}

#[tokio::test]
async fn tls_begins_right_behind_the_header() {
    let house = behind(Limits::default(), true).await;
    for header in
        [from("192.0.2.7").into_bytes(), [V2, &[0x21, 0x11, 0, 12, 192, 0, 2, 7, 1, 1, 1, 1, 0, 1, 0, 2]].concat()]
    {
        let mut stream = house.dial().await;
        stream.write_all(&header).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(client(&house.files.ca, &["http/1.1"], BOTH)));
        let mut stream = soon(connector.connect(name, stream)).await.unwrap();
        stream.write_all(PEER.as_bytes()).await.unwrap();
        let mut words = String::new();
        let _ = soon(stream.read_to_string(&mut words)).await;
        assert!(words.ends_with("192.0.2.7"), "{words}");
    }
}

#[tokio::test]
async fn a_balancer_that_names_nobody_is_not_served() {
    let house = behind(Limits::default(), false).await;
    let long = format!("PROXY {}", "x".repeat(200));
    let words = [PEER, "PROXY TCP4 192.0.2.7\r\n", "PROXY TCP4 a b 1 2\r\n", long.as_str()];
    for (at, words) in words.into_iter().enumerate() {
        assert_eq!(last_words(&mut house.dial().await, words).await, "", "{words}");
        until(|| house.ended("proxy_protocol") == at as u64 + 1).await;
    }
    let house = behind(Limits::default(), true).await;
    assert!(soon(house.dial_tls(client(&house.files.ca, &["h2"], BOTH))).await.is_err());
    assert_eq!(house.ended("proxy_protocol"), 1);
}

#[tokio::test]
async fn a_header_from_anybody_else_is_garbage() {
    for proxies in [&[][..], &["10.0.0.0/8", "::1"]] {
        let house = House::open(Limits::default(), true, None, proxies).await;
        let mut caller = house.dial().await;
        caller.write_all(from("192.0.2.7").as_bytes()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(client(&house.files.ca, &["h2"], BOTH)));
        assert!(soon(connector.connect(name, caller)).await.is_err());
        until(|| house.ended("tls_handshake") == 1).await;
        let house = House::open(Limits::default(), false, None, proxies).await;
        let words = last_words(&mut house.dial().await, &format!("{}{PEER}", from("192.0.2.7"))).await;
        assert!(words.starts_with("HTTP/1.1 400") && !words.contains("192.0.2.7"), "{words}");
    }
}

#[tokio::test]
async fn a_header_that_never_ends_is_not_waited_for_and_one_that_never_begins_is_nobodys_fault() {
    let house = behind(Limits { handshake: SHORT, ..Limits::default() }, true).await;
    for begun in ["", "PROXY TCP4 192.0.2.7 "] {
        let before = house.ended("handshake_time");
        assert_eq!(last_words(&mut house.dial().await, begun).await, "");
        until(|| house.ended("handshake_time") == before + 1).await;
    }
    // As a balancer looks whether the port is open.
    let house = behind(Limits::default(), true).await;
    let looks = house.dial().await;
    until(|| house.open_connections() == 1).await;
    drop(looks);
    until(|| house.open_connections() == 0).await;
    assert_eq!((house.ended("proxy_protocol"), house.ended("tls_handshake")), (0, 0));
}

#[tokio::test]
async fn connections_are_counted_by_the_client_and_not_by_the_balancer() {
    let house = behind(Limits { max_per_peer: 1, ..Limits::default() }, false).await;
    let mut held = Vec::new();
    for address in ["192.0.2.7", "192.0.2.8", "192.0.2.9"] {
        let mut caller = house.dial().await;
        let get = "GET /peer HTTP/1.1\r\nHost: localhost\r\n\r\n";
        caller.write_all(format!("{}{get}", from(address)).as_bytes()).await.unwrap();
        answer(&mut caller, address).await;
        held.push(caller);
    }
    assert_eq!(last_words(&mut house.dial().await, &format!("{}{PEER}", from("192.0.2.8"))).await, "");
    assert_eq!(house.ended("per_peer"), 1);
    drop(held);
    until(|| house.open_connections() == 0).await;
    assert_eq!(told(&house, from("192.0.2.8").as_bytes()).await, "192.0.2.8");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_balancer_to_speak() {
    let house = behind(Limits::default(), false).await;
    let mut silent = house.dial().await;
    until(|| house.open_connections() == 1).await;
    house.stop.cancel();
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(soon(house.run).await.unwrap().unfinished, 0);
}
