//! Caps on connections and heads, and who the peer is.

use super::{BOTH, House, answer, client, get, last_words, rest, soon, until};
use crate::edge::listener::{Edge, Error};
use crate::edge::settings::{Limits, Settings};
use crate::telemetry::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn the_service_learns_its_peer() {
    let house = House::plain(Limits::default()).await;
    let mut caller = house.dial().await;
    caller.write_all(b"GET /peer HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    answer(&mut caller, "127.0.0.1").await;
}

#[tokio::test]
async fn one_connection_too_many_of_a_peer_is_closed_and_its_place_can_be_taken_again() {
    let house = House::plain(Limits { max_per_peer: 1, ..Limits::default() }).await;
    let first = house.dial().await;
    until(|| house.open_connections() == 1).await;
    assert_eq!(rest(&mut house.dial().await).await, "");
    assert_eq!(house.ended("per_peer"), 1);
    drop(first);
    until(|| house.open_connections() == 0).await;
    let mut again = house.dial().await;
    again.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    answer(&mut again, "hello").await;
}

#[tokio::test]
async fn one_connection_too_many_in_all_is_closed() {
    let house = House::plain(Limits { max_connections: 1, ..Limits::default() }).await;
    let _first = house.dial().await;
    until(|| house.open_connections() == 1).await;
    assert_eq!(rest(&mut house.dial().await).await, "");
    assert_eq!(house.ended("total"), 1);
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused_and_counted() {
    let house = House::plain(Limits::default()).await;
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(17 * 1024));
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X-Many: 1\r\n".repeat(100));
    for (count, head) in [(1, long), (2, many)] {
        let words = last_words(&mut house.dial().await, &head).await;
        assert!(words.starts_with("HTTP/1.1 431"), "{words}");
        until(|| house.ended("head_too_large") == count).await;
    }
    let words = last_words(&mut house.dial().await, "GET / HTTP/1.1\r\nBad Name: 1\r\n\r\n").await;
    assert!(words.starts_with("HTTP/1.1 400"), "{words}");
    until(|| house.ended("bad_request") == 1).await;
}

#[tokio::test]
async fn a_target_that_is_too_long_is_refused_before_the_service() {
    let house = House::plain(Limits::default()).await;
    let head = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "x".repeat(8 * 1024));
    let words = last_words(&mut house.dial().await, &head).await;
    assert!(words.starts_with("HTTP/1.1 414") && words.contains("\"uri-too-long\""), "{words}");
}

#[tokio::test]
async fn a_head_of_http2_that_is_too_large_is_refused() {
    let house = House::tls(Limits::default()).await;
    let mut caller = house.http2(65_535).await;
    let mut request = get("/");
    request.headers_mut().insert("x-long", "x".repeat(17 * 1024).parse().unwrap());
    let refused = soon(caller.send_request(request)).await;
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status() == 431));
    assert_eq!(soon(caller.send_request(get("/"))).await.unwrap().status(), 200);
}

#[tokio::test]
async fn two_addresses_with_port_0_share_the_port() {
    let mut settings = Settings::operations();
    settings.listen = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    let edge = Edge::bind(settings, Metrics::new()).unwrap();
    let ports: Vec<u16> = edge.addresses().iter().map(|address| address.port()).collect();
    assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let mut settings = Settings::operations();
    settings.listen = vec!["127.0.0.1:0".parse().unwrap()];
    let edge = Edge::bind(settings.clone(), Metrics::new()).unwrap();
    settings.listen = edge.addresses().to_vec();
    let error = Edge::bind(settings, Metrics::new()).unwrap_err();
    assert!(matches!(error, Error::Bind { .. }));
    let text = error.to_string();
    assert!(text.contains(&edge.addresses()[0].to_string()) && text.contains("another port"), "{text}");
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// GET https://localhost/, as HPACK has it.
const HEAD: &[u8] = b"\x82\x87\x84\x41\x09localhost";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, payload.len() as u8, kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Sends the frames and reads until the door closes; what it said in between is of no matter.
async fn is_thrown_out(house: &House, frames: &[u8]) {
    let mut caller = house.dial_tls(client(&house.files.ca, &["h2"], BOTH)).await.unwrap();
    caller.write_all(PREFACE).await.unwrap();
    // The door may close while we still talk.
    let _ = soon(caller.write_all(frames)).await;
    let _ = soon(caller.flush()).await;
    let mut said = Vec::new();
    let _ = soon(caller.read_to_end(&mut said)).await;
    until(|| house.open_connections() == 0).await;
}

#[tokio::test]
async fn a_caller_that_opens_streams_and_takes_them_back_is_thrown_out() {
    let house = House::tls(Limits::default()).await;
    let cancel = 8u32.to_be_bytes();
    let flood: Vec<u8> = (0..2_000u32)
        .flat_map(|at| [frame(1, 5, 2 * at + 1, HEAD), frame(3, 0, 2 * at + 1, &cancel)].concat())
        .collect();
    is_thrown_out(&house, &flood).await;
    assert_eq!(house.ended("broken"), 1);
}

#[tokio::test]
async fn a_caller_that_continues_a_head_without_end_is_thrown_out() {
    let house = House::tls(Limits::default()).await;
    let mut flood = frame(1, 1, 1, HEAD);
    for _ in 0..20_000 {
        flood.extend(frame(9, 0, 1, b"\x40\x01x\x01y"));
    }
    is_thrown_out(&house, &flood).await;
    assert_eq!(house.ended("broken"), 1);
}
