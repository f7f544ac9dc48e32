//! What is spoken, with which certificate.

use super::{BOTH, House, client, get, soon, whole};
use crate::edge::development::ensure;
use crate::edge::read_pair;
use crate::edge::settings::Limits;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, NamedGroup};
use std::fs;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn both_versions_and_both_protocols_are_spoken() {
    let house = House::tls(Limits::default()).await;
    for versions in [&[&TLS12], &[&TLS13]] {
        for protocol in ["h2", "http/1.1"] {
            let stream = soon(house.dial_tls(client(&house.files.ca, &[protocol], versions))).await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(versions[0].version));
            assert_eq!(session.alpn_protocol(), Some(protocol.as_bytes()));
        }
    }
}

#[tokio::test]
async fn http2_is_chosen_when_both_are_offered_and_a_foreign_protocol_is_refused() {
    let house = House::tls(Limits::default()).await;
    let stream = soon(house.dial_tls(client(&house.files.ca, &["http/1.1", "h2"], BOTH))).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert!(soon(house.dial_tls(client(&house.files.ca, &["smtp"], BOTH))).await.is_err());
}

#[tokio::test]
async fn whoever_comes_back_shakes_hands_in_full_and_sends_nothing_before() {
    let house = House::tls(Limits::default()).await;
    for versions in [&[&TLS12], &[&TLS13]] {
        // Both connections share what a client remembers of a server.
        let mut config = client(&house.files.ca, &["http/1.1"], versions);
        config.enable_early_data = true;
        for _ in 0..2 {
            let mut stream = soon(house.dial_tls(config.clone())).await.unwrap();
            stream.write_all(b"GET /peer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
            // To its end: what a server gives to come back with comes behind the handshake.
            let mut answer = String::new();
            soon(stream.read_to_string(&mut answer)).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            let session = stream.get_ref().1;
            assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full), "{versions:?}");
            assert!(!session.is_early_data_accepted());
        }
    }
}

#[tokio::test]
async fn the_key_exchange_withstands_quantum_computers() {
    let house = House::tls(Limits::default()).await;
    let stream = soon(house.dial_tls(client(&house.files.ca, &["h2"], BOTH))).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().map(|group| group.name());
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
}

#[tokio::test]
async fn requests_over_http2_are_answered_without_delay() {
    let house = House::tls(Limits::default()).await;
    let mut caller = house.http2(65_535).await;
    let mut quickest = Duration::MAX;
    for _ in 0..10 {
        let began = std::time::Instant::now();
        let answer = soon(caller.send_request(get("/peer"))).await.unwrap();
        assert_eq!(whole(answer.into_body()).await.unwrap(), "127.0.0.1");
        quickest = quickest.min(began.elapsed());
    }
    // Nagle's algorithm with delayed acknowledgements would make each of them 40 ms.
    assert!(quickest < Duration::from_millis(35), "{quickest:?}");
}

#[tokio::test]
async fn the_first_request_of_a_caller_with_nagles_algorithm_is_not_held_back() {
    let house = House::tls(Limits::default()).await;
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let mut caller = soon(house.dial_tls(client(&house.files.ca, &["http/1.1"], BOTH))).await.unwrap();
        let began = std::time::Instant::now();
        caller.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"hello") {
            assert_ne!(soon(caller.read_buf(&mut bytes)).await.unwrap(), 0);
        }
        quickest = quickest.min(began.elapsed());
    }
    assert!(quickest < Duration::from_millis(35), "{quickest:?}");
}

#[tokio::test]
async fn a_changed_certificate_is_served_and_a_bad_one_is_not() {
    let house = House::tls(Limits { reload: Duration::from_millis(5), ..Limits::default() }).await;
    let other = tempfile::tempdir().unwrap();
    let other = ensure(other.path()).unwrap();
    let ca = fs::read(&house.files.ca).unwrap();
    let file = house.files.chain.display().to_string();
    let ends = || house.metrics.tls_certificate_expires.with_label_values(&[&file]).get();
    let end_of = |chain, key| read_pair(chain, key, jiff::Timestamp::now()).unwrap().not_after;
    let first = end_of(&house.files.chain, &house.files.key);
    // A chain without its key: the old pair stays.
    fs::copy(&other.chain, &house.files.chain).unwrap();
    for _ in 0..20 {
        assert!(soon(house.dial_tls(client(&house.files.ca, &["h2"], BOTH))).await.is_ok());
    }
    assert_eq!(ends(), first, "when the one that is served ends");
    fs::copy(&other.key, &house.files.key).unwrap();
    fs::copy(&other.ca, &house.files.ca).unwrap();
    soon(async { while house.dial_tls(client(&house.files.ca, &["h2"], BOTH)).await.is_err() {} }).await;
    assert_eq!(ends(), end_of(&other.chain, &other.key), "and of the one that is served now");
    fs::write(&house.files.ca, ca).unwrap();
    assert!(soon(house.dial_tls(client(&house.files.ca, &["h2"], BOTH))).await.is_err());
}

#[tokio::test]
async fn noise_instead_of_a_handshake_is_counted() {
    let house = House::tls(Limits::default()).await;
    super::last_words(&mut house.dial().await, "GET / HTTP/1.1\r\n\r\n").await;
    super::until(|| house.ended("tls_handshake") == 1).await;
}
