//! Each timer closes its connection, and none closes one that works.

use super::{House, answer, get, last_words, rest, soon, until};
use crate::edge::settings::Limits;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const SHORT: Duration = Duration::from_millis(40);

#[tokio::test]
async fn a_caller_that_never_begins_the_handshake_is_left() {
    let house = House::tls(Limits { handshake: SHORT, ..Limits::default() }).await;
    assert_eq!(rest(&mut house.dial().await).await, "");
    assert_eq!(house.ended("handshake_time"), 1);
}

#[tokio::test]
async fn a_caller_that_never_says_a_word_is_left() {
    let house = House::plain(Limits { first_byte: SHORT, ..Limits::default() }).await;
    assert_eq!(rest(&mut house.dial().await).await, "");
    assert_eq!(house.ended("first_byte"), 1);
}

#[tokio::test]
async fn a_head_that_never_ends_is_not_waited_for() {
    let house = House::plain(Limits { header_read: SHORT, ..Limits::default() }).await;
    assert_eq!(last_words(&mut house.dial().await, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await, "");
    assert_eq!(house.ended("header_read"), 1);
}

#[tokio::test]
async fn a_second_head_that_never_ends_is_not_waited_for_either() {
    let house = House::plain(Limits { header_read: SHORT, ..Limits::default() }).await;
    let mut caller = house.dial().await;
    caller.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    answer(&mut caller, "hello").await;
    assert_eq!(last_words(&mut caller, "GET / HT").await, "");
    assert_eq!(house.ended("header_read"), 1);
}

#[tokio::test]
async fn a_header_block_of_http2_that_never_ends_is_not_waited_for() {
    let house = House::tls(Limits { header_read: SHORT, ..Limits::default() }).await;
    let config = super::client(&house.files.ca, &["h2"], super::BOTH);
    let mut caller = house.dial_tls(config).await.unwrap();
    caller.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    // SETTINGS, then HEADERS without the end mark, and no CONTINUATION.
    caller.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    caller.write_all(&[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]).await.unwrap();
    caller.flush().await.unwrap();
    until(|| house.ended("header_read") == 1).await;
    until(|| house.open_connections() == 0).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_peace() {
    let house = House::plain(Limits { idle: SHORT, ..Limits::default() }).await;
    let mut caller = house.dial().await;
    let words = last_words(&mut caller, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(words.starts_with("HTTP/1.1 200") && words.ends_with("hello"), "{words}");
    assert_eq!(house.ended("idle"), 1);
}

#[tokio::test]
async fn an_idle_connection_of_http2_is_closed_in_peace() {
    let house = House::tls(Limits { idle: SHORT, ..Limits::default() }).await;
    let mut caller = house.http2(65_535).await;
    assert_eq!(soon(caller.send_request(get("/"))).await.unwrap().status(), 200);
    until(|| house.ended("idle") == 1).await;
    until(|| house.open_connections() == 0).await;
    assert!(soon(caller.ready()).await.is_err());
}

#[tokio::test]
async fn pings_do_not_keep_an_idle_connection() {
    let mut limits = Limits { idle: SHORT * 5, ..Limits::default() };
    limits.http2.ping_every = Duration::from_millis(10);
    let house = House::tls(limits).await;
    let mut caller = house.http2(65_535).await;
    assert_eq!(soon(caller.send_request(get("/"))).await.unwrap().status(), 200);
    until(|| house.ended("idle") == 1).await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_left() {
    let mut limits = Limits::default();
    (limits.http2.ping_every, limits.http2.ping_wait) = (SHORT, SHORT);
    let house = House::tls(limits).await;
    let mut caller = house.dial_tls(super::client(&house.files.ca, &["h2"], super::BOTH)).await.unwrap();
    caller.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    until(|| house.ended("no_answer") == 1).await;
}

#[tokio::test]
async fn a_request_in_flight_is_not_idle_however_slow_its_body_and_its_answer() {
    let house = House::plain(Limits { idle: SHORT, ..Limits::default() }).await;
    let (mut body, mut slow) = (house.dial().await, house.dial().await);
    body.write_all(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab").await.unwrap();
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    soon(house.signals.begun.acquire_many(2)).await.unwrap().forget();
    // Another connection that idles out is the clock: begun after the two, it ends before them.
    for _ in 0..3 {
        last_words(&mut house.dial().await, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    }
    assert_eq!(house.ended("idle"), 3);
    house.signals.go_on.add_permits(1);
    answer(&mut slow, "piece\r\n0\r\n\r\n").await;
    body.write_all(b"cde").await.unwrap();
    answer(&mut body, "abcde").await;
}

#[tokio::test]
async fn an_old_connection_says_goodbye_with_an_answer() {
    let house = House::plain(Limits { age: SHORT, ..Limits::default() }).await;
    let mut caller = house.dial().await;
    caller.write_all(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    soon(house.signals.begun.acquire()).await.unwrap().forget();
    until(|| house.ended("age") == 1).await;
    house.signals.go_on.add_permits(1);
    let words = rest(&mut caller).await;
    assert!(words.contains("connection: close") && words.ends_with("held"), "{words}");
}

#[tokio::test]
async fn an_old_connection_of_http2_finishes_what_is_in_flight_and_takes_no_more() {
    let house = House::tls(Limits { age: SHORT, ..Limits::default() }).await;
    let mut caller = house.http2(65_535).await;
    let held = caller.send_request(get("/hold"));
    soon(house.signals.begun.acquire()).await.unwrap().forget();
    until(|| house.ended("age") == 1).await;
    house.signals.go_on.add_permits(1);
    assert_eq!(soon(held).await.unwrap().status(), 200);
    until(|| house.open_connections() == 0).await;
    assert!(soon(caller.ready()).await.is_err());
}

#[tokio::test]
async fn a_caller_that_does_not_read_loses_its_connection() {
    let house = House::plain(Limits { write_stall: SHORT, ..Limits::default() }).await;
    let mut caller = house.dial().await;
    caller.write_all(b"GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    soon(house.signals.dropped.acquire()).await.unwrap().forget();
    assert_eq!(house.ended("write_stall"), 1);
}

#[tokio::test]
async fn a_caller_of_http2_that_grants_no_window_loses_its_connection() {
    let house = House::tls(Limits { write_stall: SHORT, ..Limits::default() }).await;
    let mut caller = house.http2(65_535).await;
    // The answer is held and not read: its window stays shut, while the socket itself is free.
    let answer = soon(caller.send_request(get("/flood"))).await.unwrap();
    soon(house.signals.dropped.acquire()).await.unwrap().forget();
    assert_eq!(house.ended("write_stall"), 1);
    drop(answer);
}

#[tokio::test]
async fn an_answer_that_waits_for_m3_is_not_the_callers_stall() {
    let house = House::plain(Limits { write_stall: SHORT, idle: SHORT, ..Limits::default() }).await;
    let mut caller = house.dial().await;
    caller.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    soon(house.signals.begun.acquire()).await.unwrap().forget();
    for _ in 0..3 {
        last_words(&mut house.dial().await, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    }
    house.signals.go_on.add_permits(1);
    answer(&mut caller, "piece\r\n0\r\n\r\n").await;
    assert_eq!(house.ended("write_stall"), 0);
}
