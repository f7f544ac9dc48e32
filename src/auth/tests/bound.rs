//! Tokens that are bound to something: worth nothing to whoever only has their text.

use super::super::{Error, IssuerRules, Presented, RequireBound, Scheme};
use super::{House, NOW, claims, with};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

const OURS: [u8; 32] = [7; 32];

fn shown(certificate: [u8; 32]) -> Presented<'static> {
    Presented { certificate: Some(certificate), ..Presented::BEARER }
}

#[tokio::test]
async fn a_token_that_is_bound_to_something_is_not_taken_for_anybodys() {
    let house = House::new();
    let thumb = URL_SAFE_NO_PAD.encode(OURS);
    for (cnf, refused) in [
        (json!({"jkt": thumb}), Error::KeyBound),
        (json!({"x5t#S256": thumb}), Error::Certificate),
        (json!({"x5t#S256": thumb, "jkt": thumb}), Error::Certificate),
        (json!({"x5t#S256": thumb, "kid": "k"}), Error::Binding),
        (json!({"jwk": {"kty": "EC"}}), Error::Binding),
        (json!({"jkt": "thumb"}), Error::Binding),
        (json!({"jkt": 7}), Error::Binding),
        (json!({"x5t#S256": format!("{thumb}=")}), Error::Binding),
        (json!({}), Error::Binding),
        (json!([]), Error::Binding),
        (json!(thumb), Error::Binding),
        (json!(null), Error::Binding),
    ] {
        assert_eq!(house.of_claims(&with(claims(), "cnf", cnf.clone())).await.err(), Some(refused), "{cnf}");
    }
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_certificate_is_good_on_its_connections_alone() {
    let house = House::new();
    let token = house.token(&with(claims(), "cnf", json!({"x5t#S256": URL_SAFE_NO_PAD.encode(OURS)})));
    for round in ["first", "remembered"] {
        let says = async |with: Presented<'static>| house.verifier.verify(&token, &with, NOW).await.err();
        assert_eq!(says(shown([8; 32])).await, Some(Error::Certificate), "{round}");
        assert_eq!(says(Presented::BEARER).await, Some(Error::Certificate), "{round}");
        assert_eq!(says(Presented { scheme: Scheme::Dpop, ..shown(OURS) }).await, Some(Error::NotKeyBound), "{round}");
        assert_eq!(says(shown(OURS)).await, None, "{round}");
    }
    assert_eq!((house.cache("miss"), house.cache("hit")), (1, 7));
    // A certificate takes nothing from a token that is bound to none.
    assert!(house.verifier.verify(&house.token(&claims()), &shown(OURS), NOW).await.is_ok());
}

#[tokio::test]
async fn an_issuer_may_be_held_to_bound_tokens() {
    let house = House::with_rules(|rules| IssuerRules { require_bound: RequireBound::Anything, ..rules });
    assert_eq!(house.of_claims(&claims()).await.err(), Some(Error::Unbound("a key or a certificate")));
    let bound = with(claims(), "cnf", json!({"x5t#S256": URL_SAFE_NO_PAD.encode(OURS)}));
    assert!(house.verifier.verify(&house.token(&bound), &shown(OURS), NOW).await.is_ok());
}
