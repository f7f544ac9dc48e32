//! What is known about a client beyond its token, and the cache that must never know less.

use super::super::{ClientFacts, Error, KeySet, Presented};
use super::{House, NOW, Signer, claims, facts, set, with};
use serde_json::json;

#[tokio::test]
async fn the_second_look_is_a_cache_hit() {
    let house = House::new();
    let token = house.token(&claims());
    let first = house.says(&token).await.expect("good");
    let second = house.says(&token).await.expect("good");
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    assert_eq!((house.cache("miss"), house.cache("hit")), (1, 1));
}

#[tokio::test]
async fn a_cached_token_is_refused_when_its_time_is_over() {
    let house = House::new();
    let token = house.token(&claims());
    house.says(&token).await.expect("good");
    assert!(house.verifier.verify(&token, &Presented::BEARER, NOW + 7209).await.is_ok());
    assert_eq!(house.verifier.verify(&token, &Presented::BEARER, NOW + 7210).await.err(), Some(Error::Expired));
    assert_eq!(house.cache("expired"), 1);
    assert_eq!(house.verifier.verify(&token, &Presented::BEARER, NOW - 3600).await.err(), Some(Error::NotYetValid));
}

#[tokio::test]
async fn a_cached_token_is_refused_after_its_client_or_family_is_revoked() {
    for (facts, ended, expected) in [
        (ClientFacts { revoked: true, ..facts() }, None, Error::Revoked),
        (ClientFacts { generation: 2, ..facts() }, None, Error::Revoked),
        (facts(), Some("f1"), Error::Revoked),
    ] {
        let house = House::new();
        let token = house.token(&claims());
        house.says(&token).await.expect("good");
        house.knows(facts, ended.as_slice());
        assert_eq!(house.says(&token).await.err(), Some(expected.clone()));
        assert_eq!(house.says(&token).await.err(), Some(expected));
    }
}

#[tokio::test]
async fn another_family_stays_good() {
    let house = House::new();
    let token = house.token(&claims());
    house.says(&token).await.expect("good");
    house.knows(facts(), &["f2"]);
    assert!(house.says(&token).await.is_ok());
}

#[tokio::test]
async fn a_change_of_groups_reaches_a_cached_token_without_a_signature_check() {
    let house = House::new();
    let token = house.token(&claims());
    house.says(&token).await.expect("good");
    house.knows(ClientFacts { groups: std::sync::Arc::new(["buyers".into()]), ..facts() }, &[]);
    let principal = house.says(&token).await.expect("still good");
    assert_eq!((principal.groups.join(" "), house.cache("miss")), ("buyers".into(), 1));
}

#[tokio::test]
async fn a_cached_token_is_refused_after_its_key_is_gone() {
    let house = House::new();
    let token = house.token(&claims());
    house.says(&token).await.expect("good");
    let other = Signer::new("k2");
    house.keys.replace(KeySet::parse(set(&[&house.signer, &other]).as_bytes()).expect("a set"));
    assert!(house.says(&token).await.is_ok());
    house.keys.replace(KeySet::parse(set(&[&other]).as_bytes()).expect("a set"));
    assert_eq!(house.says(&token).await.err(), Some(Error::UnknownKey));
}

#[tokio::test]
async fn a_client_that_the_local_issuer_does_not_know_is_refused() {
    let house = House::new();
    let claims = with(claims(), "client_id", json!("DEMO_TST~other"));
    assert_eq!(house.of_claims(&claims).await.err(), Some(Error::Client));
}

#[tokio::test]
async fn a_token_of_another_tenant_than_its_client_is_refused() {
    let house = House::new();
    assert_eq!(house.of_claims(&with(claims(), "Tenant", json!("OTHER"))).await.err(), Some(Error::Client));
}

#[test]
fn the_same_keys_again_are_no_change() {
    let (keys, signer) = (super::Keys::new(), Signer::new("k1"));
    for expected in [1, 1] {
        keys.replace(KeySet::parse(set(&[&signer]).as_bytes()).expect("a set"));
        assert_eq!(keys.held().epoch, expected);
    }
}

#[test]
fn unusable_keys_are_left_out_and_do_not_cost_the_others() {
    let good = Signer::new("k1").jwk();
    let document = json!({"keys": [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "s"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "short"},
        with(good.clone(), "use", json!("enc")),
        with(good.clone(), "alg", json!("HS256")),
        with(good.clone(), "crv", json!("secp256k1")),
        "no key", 7, null, good,
    ]});
    assert_eq!(KeySet::parse(document.to_string().as_bytes()).expect("a set").len(), 1);
    assert!(KeySet::parse(b"{}").is_err() && KeySet::parse(b"[]").is_err() && KeySet::parse(b"\xff").is_err());
}
