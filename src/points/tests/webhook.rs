//! Webhooks: signed, never to an address that nobody allowed, and failures by what they mean.

use super::super::{Answers, Failure, HttpSettings, Message, Point, Settings, Target};
use super::message;
use super::server::{Receiver, Says};
use crate::bod::{Filter, Mask};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn settings(url: &str, allow_private: bool) -> Settings {
    let timeout = Duration::from_secs(5);
    let http = HttpSettings { url: url.into(), secret: SECRET.into(), timeout, allow_private, roots: Vec::new() };
    let filter = Filter::default();
    Settings {
        name: "hook".into(),
        filter,
        mask: Mask::default(),
        most_bytes: 1_000,
        receiver: None,
        answers: Answers::default(),
        target: Target::Http(http),
    }
}

async fn delivered(says: Says, sent: &Message<'_>) -> (Result<String, Failure>, Receiver) {
    let receiver = Receiver::start(says).await;
    let point = Point::open(settings(&format!("{}/in", receiver.url), true)).expect("a point");
    (point.deliver(sent).await.map(|delivered| delivered.reference), receiver)
}

#[tokio::test]
async fn a_receiver_can_prove_whose_document_it_is() {
    let (delivered, receiver) = delivered(|_| (204, None, ""), &message("<a>ü</a>")).await;
    assert_eq!(delivered.as_deref(), Ok("204"));
    let [got] = &*receiver.got() else { panic!("one delivery") };
    assert_eq!((got.line.as_str(), &*got.body), ("POST /in", "<a>ü</a>".as_bytes()));
    let told = ["mi-document", "mi-action", "mi-entity", "mi-variation", "mi-correlation"].map(|name| got.header(name));
    assert_eq!(told, ["Sync.ItemMaster", "Replace", "100", "7", "r-1"]);
    // As a receiver checks it, from the published rule.
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("base64");
    let signed =
        [got.header("webhook-id").as_bytes(), b".", got.header("webhook-timestamp").as_bytes(), b".", &got.body];
    let signature = got.header("webhook-signature").strip_prefix("v1,").expect("a version");
    let signature = STANDARD.decode(signature).expect("base64");
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed.concat(), &signature).expect("our signature");
}

#[tokio::test]
async fn a_receiver_does_not_see_what_is_masked_and_its_signature_is_of_what_it_sees() {
    let receiver = Receiver::start(|_| (204, None, "")).await;
    let mask = Mask::default().with("Description").expect("a place");
    let point = Point::open(Settings { mask, ..settings(&format!("{}/in", receiver.url), true) }).expect("a point");
    let text = "<SyncItemMaster><DataArea><ItemMaster><Description>secret</Description></ItemMaster></DataArea></SyncItemMaster>";
    point.deliver(&message(text)).await.expect("delivered");
    let [got] = &*receiver.got() else { panic!("one delivery") };
    assert_eq!(String::from_utf8_lossy(&got.body), text.replace("secret", "***"));
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("base64");
    let signed =
        [got.header("webhook-id").as_bytes(), b".", got.header("webhook-timestamp").as_bytes(), b".", &got.body];
    let signature = STANDARD.decode(got.header("webhook-signature").trim_start_matches("v1,")).expect("base64");
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed.concat(), &signature).expect("our signature");
    let failure = point.deliver(&message("<SyncItemMaster><Description>secret")).await.expect_err("not to be read");
    assert!(failure.lasting && receiver.got().len() == 1, "{failure}");
}

#[tokio::test]
async fn what_a_status_means_decides_whether_another_try_can_help() {
    let cases: [(Says, bool, Option<u64>); 5] = [
        (|_| (503, Some(("retry-after", "7")), "busy"), false, Some(7)),
        (|_| (500, None, "oops"), false, None),
        (|_| (302, Some(("location", "http://127.0.0.1:1/")), ""), false, None),
        (|_| (400, None, "no such item"), true, None),
        (|_| (410, None, ""), true, None),
    ];
    for (says, lasting, seconds) in cases {
        let (delivered, receiver) = delivered(says, &message("<a/>")).await;
        let failure = delivered.expect_err("no delivery");
        assert_eq!((failure.lasting, failure.retry_after), (lasting, seconds.map(Duration::from_secs)), "{failure}");
        assert_eq!(receiver.got().len(), 1, "nobody is followed anywhere, and nothing is sent twice");
    }
}

#[tokio::test]
async fn a_document_that_is_too_large_is_not_sent() {
    let large = "x".repeat(1_001);
    let (delivered, receiver) = delivered(|_| (200, None, ""), &message(&large)).await;
    let failure = delivered.expect_err("too large");
    assert!(failure.lasting && failure.reason.contains("most_bytes"), "{failure}");
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn private_addresses_are_refused_unless_somebody_allows_them() {
    let receiver = Receiver::start(|_| (200, None, "")).await;
    Point::open(settings(&receiver.url, false)).expect_err("loopback and http");
    for inside in ["10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "127.0.0.1", "[::1]", "[fd00::1]"] {
        Point::open(settings(&format!("https://{inside}/in"), false)).expect_err(inside);
    }
    assert!(receiver.got().is_empty());
    // A name that leads inside is found out when it is resolved, and before anybody is called.
    let listener = tokio::net::TcpListener::bind("localhost:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let url = format!("https://localhost:{port}/in");
    let strict = Point::open(settings(&url, false)).expect("a name says nothing yet");
    let said = message("<a/>");
    tokio::select! {
        refused = strict.deliver(&said) => drop(refused.expect_err("an address inside")),
        called = listener.accept() => panic!("somebody inside was called: {called:?}"),
    }
    let allowed = Point::open(settings(&url, true)).expect("a point");
    tokio::select! {
        called = listener.accept() => drop(called.expect("a call")),
        ended = allowed.deliver(&said) => panic!("it was allowed, and never called: {:?}", ended.map(|_| ())),
    }
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let shown = format!(
        "{:?} {:?}",
        settings("https://hook.example.com/", false),
        Point::open(settings("https://hook.example.com/", false))
    );
    assert!(!shown.contains("MfKQ9r8"), "{shown}");
}
