//! A drain finishes what is in flight and takes nothing new.

use super::{House, get, last_words, rest, soon, until, whole};
use crate::edge::listener::Drained;
use crate::edge::settings::Limits;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

async fn refuses_connections(house: &House) {
    soon(async { while TcpStream::connect(house.addresses[0]).await.is_ok() {} }).await;
}

#[tokio::test]
async fn a_drain_finishes_a_request_and_refuses_new_connections() {
    let house = House::plain(Limits::default()).await;
    let mut caller = house.dial().await;
    caller.write_all(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    soon(house.signals.begun.acquire()).await.unwrap().forget();
    house.stop.cancel();
    refuses_connections(&house).await;
    house.signals.go_on.add_permits(1);
    let words = rest(&mut caller).await;
    assert!(words.contains("connection: close") && words.ends_with("held"), "{words}");
    drop(caller);
    assert_eq!(soon(house.run).await.unwrap(), Drained { unfinished: 0 });
}

#[tokio::test]
async fn a_drain_of_http2_finishes_a_request_and_takes_no_more() {
    let house = House::tls(Limits::default()).await;
    let mut caller = house.http2(65_535).await;
    let held = caller.send_request(get("/hold"));
    soon(house.signals.begun.acquire()).await.unwrap().forget();
    house.stop.cancel();
    refuses_connections(&house).await;
    house.signals.go_on.add_permits(1);
    let answer = soon(held).await.unwrap();
    assert_eq!(whole(answer.into_body()).await.unwrap(), "held");
    assert_eq!(soon(house.run).await.unwrap(), Drained { unfinished: 0 });
    assert!(soon(caller.ready()).await.is_err());
}

#[tokio::test]
async fn a_drain_waits_for_an_answers_last_byte() {
    let house = House::tls(Limits::default()).await;
    let mut caller = house.http2(65_535).await;
    let answer = soon(caller.send_request(get("/slow"))).await.unwrap();
    house.stop.cancel();
    refuses_connections(&house).await;
    house.signals.go_on.add_permits(1);
    assert_eq!(soon(whole(answer.into_body())).await.unwrap(), "piecepiece");
    assert_eq!(soon(house.run).await.unwrap(), Drained { unfinished: 0 });
}

#[tokio::test]
async fn a_drain_closes_idle_connections_at_once() {
    let house = House::plain(Limits::default()).await;
    let mut idle = house.dial().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    super::answer(&mut idle, "hello").await;
    let mut silent = house.dial().await;
    until(|| house.open_connections() == 2).await;
    house.stop.cancel();
    assert_eq!((rest(&mut idle).await, rest(&mut silent).await), (String::new(), String::new()));
    drop((idle, silent));
    assert_eq!(soon(house.run).await.unwrap(), Drained { unfinished: 0 });
}

#[tokio::test]
async fn what_a_drain_cannot_finish_it_says() {
    let house = House::plain(Limits { drain: Duration::from_millis(40), ..Limits::default() }).await;
    let mut caller = house.dial().await;
    caller.write_all(b"GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    soon(house.signals.begun.acquire()).await.unwrap().forget();
    house.stop.cancel();
    assert_eq!(rest(&mut caller).await, "");
    assert_eq!(house.ended("drain"), 1);
    assert_eq!(soon(house.run).await.unwrap(), Drained { unfinished: 1 });
}

#[tokio::test]
async fn a_post_that_crosses_the_goodbye_is_not_reset() {
    let house = House::plain(Limits { idle: Duration::from_millis(20), ..Limits::default() }).await;
    let mut caller = house.dial().await;
    let words = last_words(&mut caller, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(words.ends_with("hello"));
    // Our half is closed; theirs is still read, so this write meets an open door and an orderly end.
    caller.write_all(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    assert_eq!(house.open_connections(), 1);
    drop(caller);
    until(|| house.open_connections() == 0).await;
}
