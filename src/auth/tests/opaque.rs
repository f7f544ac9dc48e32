//! Tokens that only their issuer can read, asked about at a real socket.

use super::super::{Blame, ClientFacts, Error, Introspection, IssuerRules, Presented, RemoteKeys, TypRule};
use super::remote::{Answer, Idp, Reads, Says, document};
use super::{Directory, ISSUER, NOW, Verifier, facts, install_crypto, proofs, with, without};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use http_body_util::Full;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

fn active() -> Value {
    json!({
        "active": true, "iss": ISSUER, "aud": ISSUER, "client_id": "shop", "scope": "items:read", "exp": NOW + 600,
        "iat": NOW, "token_type": "Bearer", "Tenant": "DEMO_TST",
    })
}

async fn house(tasks: &Tasks, says: Says, change: impl FnOnce(&mut IssuerRules)) -> (Idp, Verifier, Metrics) {
    house_of(tasks, says, Directory::new(), change).await
}

async fn house_of(
    tasks: &Tasks,
    says: Says,
    directory: Directory,
    change: impl FnOnce(&mut IssuerRules),
) -> (Idp, Verifier, Metrics) {
    house_reading(tasks, Arc::new(move |n, _| says(n)), directory, change).await
}

async fn house_reading(
    tasks: &Tasks,
    says: Reads,
    directory: Directory,
    change: impl FnOnce(&mut IssuerRules),
) -> (Idp, Verifier, Metrics) {
    install_crypto();
    let idp = Idp::reading(tasks, says).await;
    let mut keys = RemoteKeys::at(&idp.url);
    keys.http.loopback_http = true;
    keys.http.timeout = Duration::from_millis(500);
    // Nobody listens there: what these tests are about needs no keys.
    keys.url = Some("http://127.0.0.1:1/jwks".to_owned());
    let http = keys.http.clone();
    let mut rules = IssuerRules::remote(ISSUER, vec![ISSUER.into()], keys);
    rules.introspection = Some(Introspection {
        endpoint: Some(idp.url.clone()),
        client_id: "gateway".into(),
        secret: SecretString::from("s3cret"),
        cap: Duration::from_secs(60),
        negative: Duration::from_secs(5),
        http,
    });
    change(&mut rules);
    let metrics = Metrics::new();
    let verifier = Verifier::new(ISSUER, vec![rules], directory, proofs(), &metrics, tasks).expect("URLs");
    (idp, verifier, metrics)
}

fn constant(answer: &Value) -> Says {
    let text = answer.to_string();
    Arc::new(move |_| document(&text))
}

#[tokio::test]
async fn a_hundred_calls_with_one_token_are_one_question() {
    let tasks = Tasks::new();
    let (idp, verifier, metrics) = house(&tasks, constant(&active()), |_| ()).await;
    let all =
        futures_util::future::join_all((0..100).map(|_| verifier.verify("opaque-token", &Presented::BEARER, NOW)))
            .await;
    for principal in all {
        let principal = principal.expect("good");
        assert_eq!((principal.client.to_string().as_str(), &*principal.client.issuer), ("shop", ISSUER));
        assert_eq!((principal.scopes.join(" "), principal.expires_at), ("items:read".to_owned(), NOW + 600));
    }
    assert_eq!(idp.asked(), 1);
    verifier.verify("another-token", &Presented::BEARER, NOW).await.expect("good");
    assert_eq!(idp.asked(), 2);
    assert_eq!(metrics.introspections.with_label_values(&[ISSUER, "active"]).get(), 2);
}

#[tokio::test]
async fn what_an_issuer_says_is_held_against_the_rules_of_its_tokens() {
    let tasks = Tasks::new();
    let lacks = |claim: &str| Error::Missing(claim.into());
    let wrong = |claim: &str| Error::ClaimType(claim.into());
    for (answer, expected) in [
        (json!({"active": false}), Error::Inactive),
        (with(active(), "active", json!(false)), Error::Inactive),
        (with(active(), "iss", json!("https://other.example")), Error::Issuer),
        (with(active(), "aud", json!("https://other.example")), Error::Audience),
        (without(active(), "aud"), lacks("aud")),
        (without(active(), "client_id"), lacks("client_id")),
        (without(active(), "exp"), lacks("exp")),
        (with(active(), "exp", json!("soon")), wrong("exp")),
        (with(active(), "exp", json!(NOW - 10)), Error::Expired),
        (with(active(), "nbf", json!(NOW + 11)), Error::NotYetValid),
        (with(active(), "scope", json!(7)), wrong("scope")),
        (with(active(), "sub", json!(7)), wrong("sub")),
        (with(active(), "token_type", json!("refresh_token")), Error::Type),
        (with(active(), "token_type", json!("DPoP")), Error::Type),
        (without(active(), "token_type"), Error::Type),
        (with(active(), "cnf", json!({"jkt": "thumb"})), Error::Binding),
        (with(active(), "active", json!("true")), Error::IssuerUnavailable),
        (without(active(), "active"), Error::IssuerUnavailable),
        (json!([true]), Error::IssuerUnavailable),
    ] {
        let (_idp, verifier, _) = house(&tasks, constant(&answer), |_| ()).await;
        assert_eq!(verifier.verify("opaque-token", &Presented::BEARER, NOW).await.err(), Some(expected), "{answer}");
    }
    let (_idp, verifier, _) = house(&tasks, constant(&active()), |rules| rules.scopes = vec!["m3".into()]).await;
    assert_eq!(verifier.verify("opaque-token", &Presented::BEARER, NOW).await.err(), Some(Error::Scope("m3".into())));
    let bare = without(without(active(), "token_type"), "iss");
    let (_idp, verifier, _) = house(&tasks, constant(&bare), |rules| rules.typ = TypRule::Any).await;
    assert!(verifier.verify("opaque-token", &Presented::BEARER, NOW).await.is_ok());
}

#[tokio::test]
async fn without_an_answer_no_token_is_good_and_nothing_is_remembered() {
    let status = |status: u16| {
        move |_| -> Option<Answer> {
            let answer = http::Response::builder().status(status).header("location", "/other");
            answer.body(Full::from(active().to_string())).ok()
        }
    };
    let huge = with(active(), "padding", json!("x".repeat(64 * 1024))).to_string();
    let twice = active().to_string().replacen('{', r#"{"active":true,"#, 1);
    let says: [Says; 6] = [
        Arc::new(status(500)),
        Arc::new(status(302)),
        Arc::new(|_| None),
        Arc::new(|_| document("<html>")),
        Arc::new(move |_| document(&huge)),
        Arc::new(move |_| document(&twice)),
    ];
    for (at, says) in says.into_iter().enumerate() {
        let tasks = Tasks::new();
        let (idp, verifier, _) = house(&tasks, says, |_| ()).await;
        let refused = verifier.verify("opaque-token", &Presented::BEARER, NOW).await.expect_err("no answer");
        assert_eq!((refused.clone(), refused.blame()), (Error::IssuerUnavailable, Blame::Gateway), "{at}");
        let asked = idp.asked();
        assert!(verifier.verify("opaque-token", &Presented::BEARER, NOW).await.is_err());
        assert!(idp.asked() > asked, "{at}: it is asked again");
    }
}

#[tokio::test]
async fn a_yes_is_believed_as_long_as_the_cap_and_a_no_as_long_as_the_settings_say() {
    let tasks = Tasks::new();
    let (short, long) = (Duration::from_millis(300), Duration::from_secs(600));
    for (answer, cap, negative) in [(active(), short, long), (json!({"active": false}), long, short)] {
        let lives = |rules: &mut IssuerRules| {
            let introspection = rules.introspection.as_mut().expect("it is set");
            (introspection.cap, introspection.negative) = (cap, negative);
        };
        let (idp, verifier, _) = house(&tasks, constant(&answer), lives).await;
        let first = verifier.verify("opaque-token", &Presented::BEARER, NOW).await.map(drop);
        assert_eq!(verifier.verify("opaque-token", &Presented::BEARER, NOW).await.map(drop), first);
        assert_eq!(idp.asked(), 1, "{answer}");
        let again = async {
            while idp.asked() == 1 {
                assert_eq!(verifier.verify("opaque-token", &Presented::BEARER, NOW).await.map(drop), first);
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), again).await.expect("it is asked again");
    }
    // One that is about to end is not believed beyond its end.
    let (idp, verifier, _) = house(&tasks, constant(&with(active(), "exp", json!(NOW + 20))), |_| ()).await;
    verifier.verify("opaque-token", &Presented::BEARER, NOW).await.expect("good");
    assert_eq!(verifier.verify("opaque-token", &Presented::BEARER, NOW + 30).await.err(), Some(Error::Expired));
    assert_eq!(idp.asked(), 1);
}

#[tokio::test]
async fn a_client_that_is_no_longer_allowed_loses_a_token_that_is_still_active() {
    let tasks = Tasks::new();
    let directory = Directory::new();
    let (idp, verifier, _) = house_of(&tasks, constant(&active()), directory.clone(), |_| ()).await;
    verifier.verify("opaque-token", &Presented::BEARER, NOW).await.expect("good");
    let facts = ClientFacts { tenant: None, revoked: true, ..facts() };
    directory.replace(ISSUER, HashMap::from([("shop".into(), facts)]), HashSet::new());
    assert_eq!(verifier.verify("opaque-token", &Presented::BEARER, NOW).await.err(), Some(Error::Revoked));
    assert_eq!(idp.asked(), 1, "at once, and without a question");
}

#[tokio::test]
async fn a_token_with_a_signature_to_prove_is_never_asked_about() {
    let tasks = Tasks::new();
    let (idp, verifier, _) = house(&tasks, constant(&active()), |_| ()).await;
    for token in ["a.b.c", "..", "e30.e30.AA", "a.b.", "", "two words", "tab\tbed"] {
        assert!(verifier.verify(token, &Presented::BEARER, NOW).await.is_err(), "{token}");
    }
    assert_eq!(idp.asked(), 0);
}

#[tokio::test]
async fn made_up_tokens_do_not_all_reach_the_issuer_at_once() {
    let tasks = Tasks::new();
    let (idp, verifier, _) = house(&tasks, Arc::new(|_| None), |_| ()).await;
    let asks = (0..200).map(|n| {
        let verifier = verifier.clone();
        async move { verifier.verify(&format!("made-up-{n}"), &Presented::BEARER, NOW).await.map(drop) }
    });
    let all = futures_util::future::join_all(asks);
    // Longer than one question takes and shorter than two.
    assert!(tokio::time::timeout(Duration::from_millis(400), all).await.is_err());
    assert!(idp.asked() <= 32, "{}", idp.asked());
}

fn from(address: [u8; 4]) -> Presented<'static> {
    Presented { peer: Some(address.into()), ..Presented::BEARER }
}

#[tokio::test]
async fn a_flood_of_made_up_tokens_keeps_no_token_of_another_address_waiting() {
    let tasks = Tasks::new();
    let good = active().to_string();
    // Of a made-up one the issuer says nothing at all, which holds its place for longest.
    let says: Reads = Arc::new(move |_, body| (!body.contains("made-up")).then(|| document(&good)).flatten());
    let (idp, verifier, _) = house_reading(&tasks, says, Directory::new(), |_| ()).await;
    let flood = (0..200).map(|n| {
        let verifier = verifier.clone();
        async move { verifier.verify(&format!("made-up-{n}"), &from([10, 0, 0, 1]), NOW).await.map(drop) }
    });
    let genuine = async {
        while idp.asked() < 8 {
            tokio::task::yield_now().await;
        }
        // Shorter than the question before it takes.
        let other = from([10, 0, 0, 2]);
        let said = verifier.verify("a-new-token", &other, NOW);
        tokio::time::timeout(Duration::from_millis(400), said).await.expect("it waits for nobody").expect("good");
    };
    tokio::select! {
        () = genuine => {}
        _ = futures_util::future::join_all(flood) => panic!("the flood ended first"),
    }
}

#[tokio::test]
async fn tokens_that_are_none_have_a_budget_of_their_address_once_all_have_shown_many() {
    let tasks = Tasks::new();
    let good = active().to_string();
    let says: Reads =
        Arc::new(move |_, body| document(if body.contains("made-up") { "{\"active\":false}" } else { &good }));
    let (idp, verifier, metrics) = house_reading(&tasks, says, Directory::new(), |_| ()).await;
    let began = std::time::Instant::now();
    verifier.verify("known-before", &from([10, 0, 0, 1]), NOW).await.expect("good");
    for n in 0..2_000 {
        let refused = verifier.verify(&format!("made-up-{n}"), &from([10, 0, 0, 1]), NOW).await.expect_err("none");
        assert!([Error::Inactive, Error::IssuerUnavailable].contains(&refused), "{refused:?}");
    }
    let fair = 1 + 500 + began.elapsed().as_millis() / 20 + 1;
    assert!((idp.asked() as u128) <= fair, "{} questions, {fair} are fair", idp.asked());
    assert!(metrics.introspections.with_label_values(&[ISSUER, "held-back"]).get() > 0);
    verifier.verify("known-before", &from([10, 0, 0, 1]), NOW).await.expect("what is known costs nothing");
    verifier.verify("a-new-token", &from([10, 0, 0, 2]), NOW).await.expect("nor do others pay for it");
}

#[tokio::test]
async fn who_shares_an_address_with_makers_up_of_tokens_is_asked_about_all_the_same() {
    let tasks = Tasks::new();
    let good = active().to_string();
    let says: Reads = Arc::new(move |_, body| match body {
        // Nothing is said of it, which holds its place for longest.
        hangs if hangs.contains("hangs") => None,
        none if none.contains("made-up") => document("{\"active\":false}"),
        _ => document(&good),
    });
    let (idp, verifier, _) = house_reading(&tasks, says, Directory::new(), |_| ()).await;
    let balancer = from([10, 0, 0, 1]);
    for n in 0..200 {
        let refused = verifier.verify(&format!("made-up-{n}"), &balancer, NOW).await.expect_err("none");
        assert_eq!(refused, Error::Inactive, "{n}");
    }
    verifier.verify("an-honest-one", &balancer, NOW).await.expect("good");
    let hanging = (0..12).map(|n| {
        let verifier = verifier.clone();
        async move { verifier.verify(&format!("hangs-{n}"), &from([10, 0, 0, 1]), NOW).await.map(drop) }
    });
    let honest = async {
        while idp.asked() < 201 + 12 {
            tokio::task::yield_now().await;
        }
        // Shorter than a question takes that is not answered.
        let said = verifier.verify("another-honest-one", &balancer, NOW);
        tokio::time::timeout(Duration::from_millis(400), said).await.expect("it waits for nobody").expect("good");
    };
    tokio::select! {
        () = honest => {}
        _ = futures_util::future::join_all(hanging) => panic!("those that hang ended first"),
    }
}
