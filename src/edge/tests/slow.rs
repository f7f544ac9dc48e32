//! Who trickles is no better off than who says nothing, and who keeps to the rate is left alone.

use super::{BOTH, House, Signals, answer, client, last_words, rest, soon, until};
use crate::edge::settings::Limits;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio_rustls::client::TlsStream;

const SHORT: Duration = Duration::from_millis(40);
/// As good as none ever reaches it.
const NEVER: u32 = u32::MAX;
const GIVEN_UP: &str = "the caller sent too little of the body for too long";

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const POST_ECHO: &[u8] = b"\x83\x87\x44\x05/echo\x41\x09localhost";
const GET_FLOOD: &[u8] = b"\x82\x87\x44\x06/flood\x41\x09localhost";
const GET_LARGE: &[u8] = b"\x82\x87\x44\x06/large\x41\x09localhost";
const GET_HELLO: &[u8] = b"\x82\x87\x84\x41\x09localhost";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, payload.len() as u8, kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A caller of HTTP/2 whose streams have so much room at first, having said this.
async fn http2(house: &House, window: u32, frames: &[u8]) -> TlsStream<TcpStream> {
    let mut caller = house.dial_tls(client(&house.files.ca, &["h2"], BOTH)).await.unwrap();
    let setting = [&[0, 4][..], &window.to_be_bytes()].concat();
    caller.write_all(&[PREFACE, &frame(4, 0, 0, &setting), frames].concat()).await.unwrap();
    caller.flush().await.unwrap();
    caller
}

async fn read_until(caller: &mut TlsStream<TcpStream>, end: &[u8]) {
    let mut bytes = Vec::new();
    soon(async {
        while !bytes.windows(end.len()).any(|some| some == end) {
            assert_ne!(caller.read_buf(&mut bytes).await.unwrap(), 0, "{}", String::from_utf8_lossy(&bytes));
        }
    })
    .await;
}

async fn begun(signals: &Signals) {
    soon(signals.begun.acquire()).await.unwrap().forget();
}

#[tokio::test]
async fn a_body_that_does_not_come_on_is_given_up() {
    let house = House::plain(Limits { body_stall: SHORT, ..Limits::default() }).await;
    let head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab";
    let words = last_words(&mut house.dial().await, head).await;
    assert!(words.ends_with(GIVEN_UP), "{words}");
    assert_eq!(house.ended("body_stall"), 1);
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up_too() {
    let limits = Limits { body_stall: SHORT, min_body_rate: NEVER, ..Limits::default() };
    let house = House::plain(limits).await;
    let mut caller = house.dial().await;
    caller.write_all(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n").await.unwrap();
    soon(async {
        while house.ended("body_stall") == 0 {
            // The door may close while we still talk.
            let _ = caller.write_all(b"x").await;
            yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_of_http2_that_trickles_is_given_up_and_other_streams_are_not() {
    let limits = Limits { body_stall: SHORT, min_body_rate: NEVER, ..Limits::default() };
    let house = House::tls(limits).await;
    let mut caller = http2(&house, 65_535, &frame(1, 4, 1, POST_ECHO)).await;
    begun(&house.signals).await;
    soon(async {
        while house.ended("body_stall") == 0 {
            caller.write_all(&frame(0, 0, 1, b"x")).await.unwrap();
            caller.flush().await.unwrap();
            yield_now().await;
        }
    })
    .await;
    read_until(&mut caller, GIVEN_UP.as_bytes()).await;
    caller.write_all(&frame(1, 5, 3, GET_HELLO)).await.unwrap();
    read_until(&mut caller, b"hello").await;
}

#[tokio::test]
async fn a_body_that_keeps_to_the_rate_is_read_to_its_end_however_long_it_takes() {
    let tick = Duration::from_millis(50);
    let body_stall = tick * 10;
    let house = House::plain(Limits { body_stall, min_body_rate: 1, idle: tick, ..Limits::default() }).await;
    let mut caller = house.dial().await;
    caller.write_all(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n").await.unwrap();
    begun(&house.signals).await;
    for _ in 0..15 {
        // Another connection that idles out is the clock.
        last_words(&mut house.dial().await, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        caller.write_all(b"x").await.unwrap();
    }
    answer(&mut caller, "xxxxxxxxxxxxxxx").await;
    assert_eq!(house.ended("body_stall"), 0);
}

#[tokio::test]
async fn a_body_that_nobody_asks_for_is_not_waited_for() {
    let house = House::plain(Limits { body_stall: SHORT, idle: SHORT * 2, ..Limits::default() }).await;
    let mut caller = house.dial().await;
    caller.write_all(b"POST /hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n").await.unwrap();
    begun(&house.signals).await;
    last_words(&mut house.dial().await, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    house.signals.go_on.add_permits(1);
    answer(&mut caller, "held").await;
    assert_eq!(house.ended("body_stall"), 0);
}

#[tokio::test]
async fn a_reader_that_trickles_loses_its_connection() {
    let limits = Limits { write_stall: SHORT * 5, min_write_rate: NEVER, ..Limits::default() };
    let house = House::plain(limits).await;
    let mut caller = house.dial().await;
    caller.write_all(b"GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut some = [0; 4096];
    soon(async {
        while caller.read(&mut some).await.is_ok_and(|read| read > 0) {
            yield_now().await;
        }
    })
    .await;
    assert_eq!(house.ended("write_stall"), 1);
}

#[tokio::test]
async fn a_reader_of_http2_that_makes_room_by_bits_loses_its_connection() {
    let mut limits = Limits { write_stall: SHORT * 5, min_write_rate: NEVER, ..Limits::default() };
    // What it says costs nothing here: this is about what it takes.
    limits.http2.frames_at_once = NEVER;
    let house = House::tls(limits).await;
    let mut caller = http2(&house, 16_384, &frame(1, 5, 1, GET_FLOOD)).await;
    let more = [frame(8, 0, 0, &16_384u32.to_be_bytes()), frame(8, 0, 1, &16_384u32.to_be_bytes())].concat();
    let mut some = [0; 16_384 + 9];
    soon(async {
        while caller.read_exact(&mut some).await.is_ok() && caller.write_all(&more).await.is_ok() {
            let _ = caller.flush().await;
            yield_now().await;
        }
    })
    .await;
    assert_eq!(house.ended("write_stall"), 1);
}

#[tokio::test]
async fn an_answer_is_in_flight_until_its_caller_made_room_for_all_of_it() {
    for window in [0, 1, 20_000] {
        let house = House::tls(Limits { write_stall: SHORT, ..Limits::default() }).await;
        let _caller = http2(&house, window, &frame(1, 5, 1, GET_LARGE)).await;
        until(|| house.ended("write_stall") == 1).await;
        until(|| house.open_connections() == 0).await;
    }
}

#[tokio::test]
async fn what_is_left_of_small_answers_does_not_count_for_ever() {
    let limits = Limits { write_stall: SHORT, idle: SHORT, ..Limits::default() };
    let house = House::tls(limits).await;
    // The answer is whole in the library's hands; a byte went, the rest has no room.
    let mut caller = http2(&house, 1, &frame(1, 5, 1, GET_HELLO)).await;
    until(|| house.ended("idle") == 1).await;
    soon(async { while caller.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} }).await;
    until(|| house.open_connections() == 0).await;
}

#[tokio::test]
async fn a_large_answer_of_http2_comes_whole_in_its_order() {
    let house = House::tls(Limits::default()).await;
    let mut caller = house.http2(65_535).await;
    let reply = soon(caller.send_request(super::get("/large"))).await.unwrap();
    assert_eq!(soon(super::whole(reply.into_body())).await.unwrap(), super::large());
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_not_waited_for() {
    let house = House::tls(Limits { handshake: SHORT, ..Limits::default() }).await;
    let mut caller = house.dial().await;
    // A record of the greatest length, byte by byte.
    caller.write_all(&[22, 3, 1, 0x40, 0]).await.unwrap();
    soon(async {
        while caller.write_all(&[1]).await.is_ok() && house.ended("handshake_time") == 0 {
            yield_now().await;
        }
    })
    .await;
    assert_eq!(rest(&mut caller).await, "");
    assert_eq!((house.ended("handshake_time"), house.ended("tls_handshake")), (1, 0));
}

#[tokio::test]
async fn a_head_that_trickles_is_not_waited_for() {
    let house = House::plain(Limits { header_read: SHORT, ..Limits::default() }).await;
    let mut caller = house.dial().await;
    caller.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.unwrap();
    soon(async {
        while house.ended("header_read") == 0 && caller.write_all(b"x").await.is_ok() {
            yield_now().await;
        }
    })
    .await;
    until(|| house.ended("header_read") == 1).await;
}
