//! `private_key_jwt`: a client that signs who it is, and what passes for that and does not.

use super::super::{Authentication, Client, TokenAnswer, TokenError};
use super::{House, URL, code, form};
use crate::auth::{BadAssertion, ClientKeys};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{hmac, rand::SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::LazyLock;

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn coded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "kid": "one", "x": coded(&point[1..33]), "y": coded(&point[33..])})
    }

    fn keys(&self) -> Authentication {
        registered(&self.jwk().to_string())
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", coded(header.to_string()), coded(claims.to_string()));
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).expect("signs");
        format!("{message}.{}", coded(signature))
    }
}

fn registered(text: &str) -> Authentication {
    Authentication::PrivateKeyJwt(ClientKeys::parse(text.as_bytes()).expect("public keys"))
}

fn es256() -> Value {
    json!({"alg": "ES256", "kid": "one"})
}

fn claims(client: &Client, now: u64) -> Value {
    let id = uuid::Uuid::new_v4().to_string();
    json!({"iss": &*client.id, "sub": &*client.id, "aud": URL, "jti": id, "iat": now, "exp": now + 60})
}

fn but(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

async fn ask(house: &House, assertion: &str, more: &[(&str, &str)]) -> Result<TokenAnswer, TokenError> {
    let own = [("grant_type", "client_credentials"), ("client_assertion_type", TYPE), ("client_assertion", assertion)];
    house.ask(None, &form(&[&own, more].concat())).await
}

#[tokio::test]
async fn a_client_that_signs_who_it_is_gets_a_token_and_refreshes_it_the_same_way() {
    let (house, signer) = (House::new().await, Signer::new());
    let client = house.other("signer", signer.keys(), false).await;
    let token_url = format!("{URL}/oauth2/token");
    let tenant_url = format!("{URL}/DEMO_TST/as/token.oauth2");
    for audience in [json!(URL), json!(token_url), json!(tenant_url), json!([URL, token_url])] {
        let said = signer.sign(&es256(), &but(claims(&client, house.now), "aud", audience));
        let answer = ask(&house, &said, &[("client_id", &client.id)]).await.expect("a token");
        let principal = house.running.verify(&answer.access_token).await.expect("a good token");
        assert_eq!(*principal.client.id, *client.id);
        let refresh = answer.refresh_token.as_deref().expect("a refresh token");
        let said = signer.sign(&es256(), &claims(&client, house.now));
        let again = [("client_assertion_type", TYPE), ("client_assertion", said.as_str())];
        let request = form(&[&[("grant_type", "refresh_token"), ("refresh_token", refresh)], &again[..]].concat());
        assert_eq!(code(&house.ask(None, &request).await), "ok");
    }
}

#[tokio::test]
async fn rsa_signs_as_well_and_a_key_in_pem_has_no_id() {
    static KEY: LazyLock<PrivateDecryptingKey> =
        LazyLock::new(|| PrivateDecryptingKey::generate(KeySize::Rsa2048).expect("a key"));
    let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&*KEY).expect("PKCS#8");
    let pair = RsaKeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
    let spki = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(&KEY.public_key()).expect("a public key");
    let text = base64::engine::general_purpose::STANDARD.encode(spki.as_ref());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
    let house = House::new().await;
    let client = house.other("signer", registered(&pem), false).await;
    for kid in [json!("whatever"), Value::Null] {
        let header = without(json!({"alg": "RS256", "kid": kid}), if kid.is_null() { "kid" } else { "" });
        let message = format!("{}.{}", coded(header.to_string()), coded(claims(&client, house.now).to_string()));
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).expect("signs");
        assert_eq!(code(&ask(&house, &format!("{message}.{}", coded(&signature)), &[]).await), "ok");
    }
}

#[tokio::test]
async fn an_assertion_is_good_once() {
    let (house, signer) = (House::new().await, Signer::new());
    let client = house.other("signer", signer.keys(), false).await;
    let said = signer.sign(&es256(), &claims(&client, house.now));
    assert_eq!(code(&ask(&house, &said, &[]).await), "ok");
    let again = ask(&house, &said, &[]).await;
    assert!(matches!(again, Err(TokenError::Assertion(BadAssertion::Used))), "{again:?}");
    assert_eq!(code(&again), "invalid_client");
    // The same id in other words is the same id.
    let claims = but(claims(&client, house.now), "jti", json!("same"));
    assert_eq!(code(&ask(&house, &signer.sign(&es256(), &claims), &[]).await), "ok");
    let other = but(claims, "exp", json!(house.now + 90));
    assert_eq!(code(&ask(&house, &signer.sign(&es256(), &other), &[]).await), "invalid_client");
}

#[tokio::test]
async fn what_an_assertion_says_must_be_right_claim_by_claim() {
    let (house, signer) = (House::new().await, Signer::new());
    let client = house.other("signer", signer.keys(), false).await;
    let now = house.now;
    let good = || claims(&client, now);
    for (claims, refused) in [
        (but(good(), "aud", json!("https://other.example")), "audience"),
        (but(good(), "aud", json!([URL, "https://other.example"])), "audience"),
        (but(good(), "aud", json!([])), "audience"),
        (without(good(), "aud"), "audience"),
        (but(good(), "exp", json!(now - 10)), "has expired"),
        (but(good(), "exp", json!(now + 311)), "ahead"),
        (but(good(), "exp", json!("soon")), "exp"),
        (without(good(), "exp"), "exp"),
        (but(good(), "nbf", json!(now + 11)), "not valid yet"),
        (but(good(), "iat", json!(now + 11)), "not valid yet"),
        (without(good(), "jti"), "jti"),
        (but(good(), "jti", json!("")), "jti"),
        (but(good(), "jti", json!("x".repeat(257))), "jti"),
        (but(good(), "jti", json!(7)), "jti"),
        (but(good(), "sub", json!("somebody")), "iss and as its sub"),
        (without(good(), "sub"), "sub"),
        (without(good(), "iss"), "iss"),
    ] {
        let said = ask(&house, &signer.sign(&es256(), &claims), &[]).await;
        assert_eq!(code(&said), "invalid_client", "{claims}");
        let words = said.map_or_else(|refused| refused.to_string(), |_| String::new());
        assert!(words.contains(refused), "{words} for {claims}");
    }
    assert_eq!(code(&ask(&house, &signer.sign(&es256(), &good()), &[]).await), "ok");
}

#[tokio::test]
async fn forged_assertions_are_refused() {
    let (house, signer, stranger) = (House::new().await, Signer::new(), Signer::new());
    let client = house.other("signer", signer.keys(), false).await;
    let other = house.other("other", stranger.keys(), false).await;
    let good = || claims(&client, house.now);
    let unsigned = |header: &Value| format!("{}.{}.", coded(header.to_string()), coded(good().to_string()));
    let shared = {
        let message = format!("{}.{}", coded(r#"{"alg":"HS256","kid":"one"}"#), coded(good().to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, signer.jwk().to_string().as_bytes());
        format!("{message}.{}", coded(hmac::sign(&key, message.as_bytes())))
    };
    let with = |name: &str, value: Value| signer.sign(&but(es256(), name, value), &good());
    let token = house.granted().await.access_token.clone();
    for (what, said) in [
        ("alg none", unsigned(&json!({"alg": "none"}))),
        ("no signature", unsigned(&es256())),
        ("a shared key", shared),
        ("another client's key", stranger.sign(&es256(), &good())),
        ("another client's name", signer.sign(&es256(), &claims(&other, house.now))),
        ("an unknown client", signer.sign(&es256(), &but(but(good(), "iss", json!("x")), "sub", json!("x")))),
        ("a client with a secret", signer.sign(&es256(), &claims(&house.client, house.now))),
        ("another key id", with("kid", json!("two"))),
        ("another algorithm", with("alg", json!("RS256"))),
        ("a key of its own", stranger.sign(&but(es256(), "jwk", stranger.jwk()), &good())),
        ("a place of keys", with("jku", json!("https://evil.example/jwks"))),
        ("a certificate's place", with("x5u", json!("https://evil.example/x"))),
        ("a critical extension", with("crit", json!(["b64"]))),
        ("another type", with("typ", json!("at+jwt"))),
        ("an access token", token),
        ("a huge one", signer.sign(&es256(), &but(good(), "pad", json!("x".repeat(9_000))))),
        ("none", "x".to_owned()),
    ] {
        assert_eq!(code(&ask(&house, &said, &[]).await), "invalid_client", "{what}");
    }
}

#[tokio::test]
async fn a_client_proves_itself_in_its_own_way_and_in_one_at_a_time() {
    let (house, signer) = (House::new().await, Signer::new());
    let client = house.other("signer", signer.keys(), false).await;
    let said = || signer.sign(&es256(), &claims(&client, house.now));
    for secret in ["", "x", house.secret()] {
        let id = ("client_id", &*client.id);
        let by_form = form(&[("grant_type", "client_credentials"), id, ("client_secret", secret)]);
        assert_eq!(code(&house.ask(None, &by_form).await), "invalid_client");
        let header =
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{}:{secret}", client.id)));
        assert_eq!(code(&house.ask(Some(&header), "grant_type=client_credentials").await), "invalid_client");
    }
    assert_eq!(code(&ask(&house, &said(), &[("client_secret", house.secret())]).await), "invalid_request");
    assert_eq!(code(&ask(&house, &said(), &[("client_id", &house.client.id)]).await), "invalid_request");
    let untyped = said();
    let untyped = [("grant_type", "client_credentials"), ("client_assertion", untyped.as_str())];
    assert_eq!(code(&house.ask(None, &form(&untyped)).await), "invalid_request");
    let saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer";
    let typed = form(&[&untyped[..], &[("client_assertion_type", saml)]].concat());
    assert_eq!(code(&house.ask(None, &typed).await), "invalid_request");
    let account = [("grant_type", "password"), ("username", client.saak.as_str()), ("password", "x")];
    let said = said();
    let proof = [("client_assertion_type", TYPE), ("client_assertion", said.as_str())];
    assert_eq!(code(&house.ask(None, &form(&[&account[..], &proof].concat())).await), "unauthorized_client");
    assert!(house.running.clients.rotate("signer", house.now).await.is_err(), "it has no secrets");
}

#[tokio::test]
async fn another_key_takes_the_place_of_the_old_one() {
    let (house, old, new) = (House::new().await, Signer::new(), Signer::new());
    let client = house.other("signer", old.keys(), false).await;
    house.running.clients.rekey("signer", new.keys(), house.now).await.expect("another key");
    house.running.issuer.reload().await.expect("reads");
    for (signer, expected) in [(&old, "invalid_client"), (&new, "ok")] {
        let said = signer.sign(&es256(), &claims(&client, house.now));
        assert_eq!(code(&ask(&house, &said, &[]).await), expected);
    }
    let refused = house.running.clients.rekey("signer", Authentication::SelfSigned([1; 32]), house.now).await;
    assert!(refused.is_err(), "the way itself stays");
}

#[test]
fn only_public_keys_of_known_kinds_are_registered() {
    let (key, other) = (Signer::new().jwk(), Signer::new().jwk());
    let read = |document: Value| ClientKeys::parse(document.to_string().as_bytes()).is_ok();
    assert!(read(key.clone()) && read(json!({"keys": [key, other]})));
    for bad in [
        json!({}),
        json!([]),
        json!({"keys": []}),
        json!({"keys": [key, {"kty": "oct", "k": "c2VjcmV0"}]}),
        json!({"keys": [key, {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}]}),
        but(key.clone(), "d", json!("AA")),
        but(key.clone(), "use", json!("enc")),
        json!({"keys": vec![key.clone(); 9]}),
    ] {
        assert!(!read(bad.clone()), "{bad}");
    }
    for bad in ["", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        assert!(ClientKeys::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    let pem = rcgen::KeyPair::generate().expect("a key").public_key_pem();
    let keys = ClientKeys::parse(pem.as_bytes()).expect("a key");
    assert_eq!(ClientKeys::parse(keys.document().as_bytes()), Ok(keys));
}
