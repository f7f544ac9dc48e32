//! ION's messaging service, played as its public pages tell: what it gets, and what its answers mean.

use super::super::{Answers, Blame, Failure, ImsPaths, ImsSettings, Message, Point, Settings, Target};
use super::message;
use super::server::{Got, Receiver, Says};
use crate::bod::{Filter, Mask};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use serde_json::{Value, json};
use std::io::Read;
use std::time::Duration;

type Said = (u16, Option<(&'static str, &'static str)>, &'static str);

fn point(receiver: &Receiver, paths: ImsPaths) -> Point {
    let account = json!({
        "pu": format!("{}/DEMO_TST/as/", receiver.url), "ot": "token.oauth2", "ci": "app", "cs": "s1",
        "saak": "DEMO_TST#abc", "sask": "s2",
    });
    let ims = ImsSettings {
        url: format!("{}/service/", receiver.url),
        paths,
        account: Some(account.to_string().into()),
        tenant: "DEMO_TST".into(),
        timeout: Duration::from_secs(5),
        allow_private: true,
        roots: Vec::new(),
    };
    let (name, filter) = ("ion".to_owned(), Filter::default());
    let target = Target::Ims(Box::new(ims));
    Point::open(Settings {
        name,
        filter,
        mask: Mask::default(),
        most_bytes: 5_000_000,
        receiver: None,
        answers: Answers::default(),
        target,
    })
    .expect("a point")
}

/// What every ION answers, besides what a test says of messages.
fn usual(got: &Got) -> Option<Said> {
    match got.line.as_str() {
        "POST /DEMO_TST/as/token.oauth2" => Some((200, None, r#"{"access_token":"t-1","expires_in":7200}"#)),
        line if line.ends_with("/acceptedDocuments") => Some((200, None, r#"["Sync.ItemMaster"]"#)),
        _ => None,
    }
}

async fn sent(says: Says, paths: ImsPaths, message: &Message<'_>) -> (Result<String, Failure>, Receiver) {
    let receiver = Receiver::start(says).await;
    let delivered = point(&receiver, paths).deliver(message).await;
    (delivered.map(|delivered| delivered.reference), receiver)
}

fn inflated(bytes: &[u8]) -> String {
    let mut text = String::new();
    ZlibDecoder::new(bytes).read_to_string(&mut text).expect("deflated text");
    text
}

/// The two parts of a multipart body, taken apart by hand.
fn parts(got: &Got) -> (Value, Vec<u8>) {
    let boundary = got.header("content-type").split("boundary=").nth(1).expect("a boundary");
    let find = |from: usize, word: &[u8]| {
        let rest = &got.body[from..];
        from + rest.windows(word.len()).position(|window| window == word).expect("it stands there")
    };
    let part = |name: &str| {
        let head = find(0, format!("name=\"{name}\"").as_bytes());
        let begin = find(head, b"\r\n\r\n") + 4;
        got.body[begin..find(begin, format!("\r\n--{boundary}").as_bytes())].to_vec()
    };
    (serde_json::from_slice(&part("ParameterRequest")).expect("JSON"), part("MessagePayload"))
}

#[tokio::test]
async fn a_message_goes_in_two_parts_with_its_headers_and_deflated() {
    let xml = "<SyncItemMaster>ü</SyncItemMaster>";
    let (delivered, receiver) = sent(|got| usual(got).unwrap_or((202, None, "")), ImsPaths::V3, &message(xml)).await;
    assert_eq!(delivered.as_deref(), Ok("202"));
    let from = "lid%3A%2F%2Fmi%2Dgateway%2Em3";
    let expected = [
        "POST /DEMO_TST/as/token.oauth2".to_owned(),
        format!("GET /service/v3/{from}/acceptedDocuments"),
        "POST /service/v3/message/multipart".to_owned(),
    ];
    assert_eq!(receiver.lines(), expected);
    let got = receiver.got();
    let form = std::str::from_utf8(&got[0].body).expect("a form");
    assert!(form.contains("grant_type=password") && form.contains("username=DEMO_TST%23abc"), "{form}");
    let (request, payload) = parts(&got[2]);
    assert_eq!((got[2].header("authorization"), got[2].header("x-tenantid")), ("Bearer t-1", "DEMO_TST"));
    assert_eq!(inflated(&payload), xml);
    let expected = json!({
        "documentName": "Sync.ItemMaster", "messageId": "0198c0de000070008000000000000001",
        "fromLogicalId": "lid://mi-gateway.m3", "toLogicalId": "lid://default", "accountingEntity": "100",
        "location": "001", "documentId": "A1", "bodId": "0198", "creationDateTime": "2026-03-01T12:00:00.000Z",
        "encoding": "DEFLATE", "characterSet": "UTF-8", "variationId": 7,
    });
    assert_eq!(request, expected);
}

#[tokio::test]
async fn an_older_service_gets_json() {
    let (delivered, receiver) =
        sent(|got| usual(got).unwrap_or((201, None, "{\"status\":\"OK\"}")), ImsPaths::V2, &message("<a/>")).await;
    assert_eq!(delivered.as_deref(), Ok("201 {\"status\":\"OK\"}"));
    let got = receiver.got().pop().expect("a message");
    assert_eq!(got.line, "POST /service/v2/message");
    let body: Value = serde_json::from_slice(&got.body).expect("JSON");
    let value = body["document"]["value"].as_str().expect("a value");
    assert_eq!(inflated(&STANDARD.decode(value).expect("base64")), "<a/>");
    assert_eq!((&body["document"]["encoding"], &body["documentName"]), (&json!("DEFLATE"), &json!("Sync.ItemMaster")));
}

#[tokio::test]
async fn an_answer_is_taken_by_its_meaning() {
    let cases: [(Says, bool, Blame, Option<u64>, &str); 6] = [
        (|got| usual(got).unwrap_or((400, None, "no header")), true, Blame::Unclear, None, "can't read the message"),
        (|got| usual(got).unwrap_or((412, None, "inactive")), false, Blame::Kind, Some(60), "not active"),
        (|got| usual(got).unwrap_or((403, None, "")), false, Blame::Kind, Some(60), "not this sender's"),
        (
            |got| usual(got).unwrap_or((500, Some(("retry-after", "3")), "")),
            false,
            Blame::Unclear,
            Some(3),
            "answered 500",
        ),
        (|got| usual(got).unwrap_or((503, None, "")), false, Blame::Busy, None, "answered 503"),
        (|got| usual(got).unwrap_or((401, None, "")), false, Blame::Point, None, "service account"),
    ];
    for (says, lasting, blame, seconds, word) in cases {
        let (delivered, receiver) = sent(says, ImsPaths::V3, &message("<a/>")).await;
        let failure = delivered.expect_err("no delivery");
        assert_eq!((failure.lasting, failure.retry_after), (lasting, seconds.map(Duration::from_secs)), "{failure}");
        assert_eq!(failure.blame, blame, "{failure}");
        assert!(failure.reason.contains(word), "{failure}");
        let messages = receiver.lines().iter().filter(|line| line.ends_with("multipart")).count();
        assert_eq!(messages, if word == "service account" { 2 } else { 1 }, "only a refused token is tried again");
    }
}

#[tokio::test]
async fn a_document_that_ion_does_not_take_waits_and_is_not_sent() {
    let order = Message { noun: "PurchaseOrder", ..message("<a/>") };
    let (delivered, receiver) = sent(|got| usual(got).unwrap_or((202, None, "")), ImsPaths::V3Direct, &order).await;
    let failure = delivered.expect_err("not taken");
    assert!(!failure.lasting && failure.reason.contains("does not take Sync.PurchaseOrder"), "{failure}");
    assert_eq!(failure.blame, Blame::Kind, "another document may arrive");
    assert_eq!(receiver.lines().len(), 2);
    // A service that has no such list is sent to all the same, and what is known is not asked again.
    let receiver = Receiver::start(|got| match got.line.as_str() {
        line if line.ends_with("acceptedDocuments") => (404, None, ""),
        _ => usual(got).unwrap_or((202, None, "")),
    })
    .await;
    let point = point(&receiver, ImsPaths::V3Direct);
    point.deliver(&order).await.expect("taken");
    point.deliver(&order).await.expect("taken");
    let lines = receiver.lines();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[3], "POST /service/v3/multipartMessage");
}

#[tokio::test]
async fn what_ion_would_refuse_for_its_length_is_told_before_it_is_sent() {
    let long = "x".repeat(101);
    let item = Message { document_id: &long, ..message("<a/>") };
    let (delivered, receiver) = sent(|got| usual(got).unwrap_or((202, None, "")), ImsPaths::V3, &item).await;
    let failure = delivered.expect_err("too long");
    assert!(failure.lasting && failure.reason.contains("100 characters of documentId"), "{failure}");
    assert!(receiver.lines().is_empty());
}

#[tokio::test]
async fn a_connection_point_that_is_switched_off_is_to_blame_itself_whatever_it_is_sent() {
    // What it takes was known, and is asked for once more.
    let off: Says = |got| match got.line.as_str() {
        line if line.ends_with("multipart") => (412, None, "inactive"),
        line if line.ends_with("/acceptedDocuments") => {
            if got.header("x-asked").is_empty() {
                (200, None, r#"["Sync.ItemMaster"]"#)
            } else {
                (412, None, "")
            }
        }
        _ => usual(got).unwrap_or((500, None, "")),
    };
    let receiver = Receiver::start(off).await;
    let point = point(&receiver, ImsPaths::V3);
    let message = message("<a/>");
    let all = futures_util::future::join_all((0..16).map(|_| point.deliver(&message))).await;
    for one in all {
        let failure = one.expect_err("no delivery");
        assert!(failure.blame == Blame::Point && !failure.lasting, "{failure}");
    }
    let asked = receiver.lines().iter().filter(|line| line.ends_with("/acceptedDocuments")).count();
    assert_eq!(asked, 2, "once before, and once for all that were refused");
    // An older service can't be asked: others tell, and nothing is held against the kind.
    let older: Says = |got| match got.line.as_str() {
        line if line.ends_with("/acceptedDocuments") => (404, None, ""),
        line if line.ends_with("/message") => (403, None, ""),
        _ => usual(got).unwrap_or((500, None, "")),
    };
    let (delivered, _receiver) = sent(older, ImsPaths::V2, &message).await;
    assert_eq!(delivered.expect_err("no delivery").blame, Blame::Busy);
}

/// How many of so many deliveries at once arrive, and what the service was asked.
async fn at_once(says: Says, rounds: usize) -> (usize, Vec<String>) {
    let receiver = Receiver::start(says).await;
    let point = point(&receiver, ImsPaths::V3);
    let mut arrived = 0;
    for _ in 0..rounds {
        let message = message("<a/>");
        let all = futures_util::future::join_all((0..16).map(|_| point.deliver(&message))).await;
        arrived += all.iter().filter(|one| one.is_ok()).count();
    }
    (arrived, receiver.lines())
}

#[tokio::test]
async fn a_refused_logon_is_tried_once_by_all_who_wait() {
    let (arrived, asked) = at_once(|_| (401, None, ""), 3).await;
    assert_eq!(arrived, 0);
    assert_eq!(asked, ["POST /DEMO_TST/as/token.oauth2"], "the account is not brought nearer to being locked");
}

#[tokio::test]
async fn a_question_that_failed_is_not_put_by_each_who_waits() {
    let says: Says = |got| match got.line.as_str() {
        line if line.ends_with("/acceptedDocuments") => (500, None, ""),
        _ => usual(got).unwrap_or((202, None, "")),
    };
    let (arrived, asked) = at_once(says, 2).await;
    assert_eq!((arrived, asked.len()), (0, 2), "{asked:?}");
}
