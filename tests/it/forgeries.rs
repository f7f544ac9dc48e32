//! Tokens that somebody made or altered, one row each: what a certified provider gave, turned against the gateway.

use crate::house::House;
use crate::idp::{AUDIENCE, Idp};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use mi_gateway::config::Foreign;
use serde_json::{Value, json};

const READ: &str = "CRS610MI/GetBasicData?CUNO=C00001";

fn coded(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

/// Somebody with a key of his own, which nobody trusts.
struct Forger(EcdsaKeyPair);

impl Forger {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": coded(x), "y": coded(y)})
    }

    fn signs(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", coded(header), coded(claims));
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).expect("signs");
        format!("{message}.{}", coded(signature))
    }
}

/// The provider's public key in the shapes that a careless verifier might take for a shared secret.
fn public_shapes(jwk: &Value) -> Vec<(&'static str, Vec<u8>)> {
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap_or_default()).expect("base64url");
    let point = [vec![4], part("x"), part("y")].concat();
    // SubjectPublicKeyInfo of a P-256 key: a fixed head, then the point.
    let head = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    let head = (0..head.len()).step_by(2).map(|at| u8::from_str_radix(&head[at..at + 2], 16).expect("hex"));
    let der: Vec<u8> = head.chain(point.iter().copied()).collect();
    let lines = STANDARD.encode(&der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &lines[..64], &lines[64..]);
    vec![("JWK", jwk.to_string().into()), ("point", point), ("DER", der), ("PEM", pem.into()), ("nothing", vec![])]
}

/// A token as it is sent, or one that the provider's own key still has to sign: it would be taken, but for what it says.
enum Forged {
    Whole(String),
    Signed(String),
}

fn message(header: &Value, claims: &str) -> String {
    format!("{}.{}", coded(header.to_string()), coded(claims))
}

/// What the provider's signature does not make good.
fn signed(header: &Value, claims: &Value, good: &str, forger: &Forger) -> Vec<(String, Forged)> {
    let plain = claims.to_string();
    let mut rows = Vec::new();
    let mut row = |name: &str, message: String| rows.push((format!("{name}, signed"), Forged::Signed(message)));
    for (name, value) in [
        ("jwk", forger.jwk()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
    ] {
        row(&format!("{name} of its own"), message(&with(header.clone(), name, value), &plain));
    }
    row("made-up kid", message(&with(header.clone(), "kid", json!("made-up")), &plain));
    for claim in ["exp", "iss", "aud", "client_id", "sub"] {
        let twice = format!(r#"{},"{claim}":{}}}"#, &plain[..plain.len() - 1], claims[claim]);
        row(&format!("{claim} twice"), message(header, &twice));
    }
    row("an ID token", message(&with(header.clone(), "typ", json!("JWT")), &plain));
    row("a nested token inside", message(&with(header.clone(), "cty", json!("JWT")), &plain));
    row("nested in a JWS", message(&with(header.clone(), "cty", json!("JWT")), good));
    rows
}

fn forgeries(good: &str, jwk: &Value) -> Vec<(String, Forged)> {
    let parts: Vec<&str> = good.split('.').collect();
    let (header, claims) = (decoded(parts[0]), decoded(parts[1]));
    let (plain, more) = (claims.to_string(), with(claims.clone(), "scope", json!("everything")).to_string());
    let forger = Forger::new();
    let mut rows = signed(&header, &claims, good, &forger);
    let mut row = |name: &str, token: String| rows.push((name.to_owned(), Forged::Whole(token)));
    for alg in ["none", "None", "NONE", "nOnE"] {
        let unsigned = coded(with(header.clone(), "alg", json!(alg)).to_string());
        row(&format!("alg {alg}, no signature"), format!("{unsigned}.{}.", parts[1]));
        row(&format!("alg {alg}, the old signature"), format!("{unsigned}.{}.{}", parts[1], parts[2]));
    }
    for (shape, secret) in public_shapes(jwk) {
        for (alg, kind) in [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
            let message = format!("{}.{}", coded(with(header.clone(), "alg", json!(alg)).to_string()), coded(&more));
            let tag = hmac::sign(&hmac::Key::new(kind, &secret), message.as_bytes());
            row(&format!("{alg} with the public key as {shape}"), format!("{message}.{}", coded(tag)));
        }
    }
    row("another's signature", forger.signs(&header.to_string(), &plain));
    let kids = ["../../../dev/null", "/dev/null", "' UNION SELECT 'x' --", "x\r\nSet-Cookie: a=b", "made-up", ""];
    for kid in kids.into_iter().map(str::to_owned).chain([String::from("k").repeat(4096)]) {
        let name = format!("kid {:.24}", kid.escape_debug().to_string());
        row(&name, forger.signs(&with(header.clone(), "kid", json!(kid)).to_string(), &plain));
    }
    row("signature of zeros", format!("{}.{}.{}", parts[0], coded(&more), coded([0; 64])));
    row("signature in DER", format!("{}.{}.{}", parts[0], parts[1], coded([0x30, 6, 2, 1, 0, 2, 1, 0])));
    row("signature cut", format!("{}.{}.{}", parts[0], parts[1], &parts[2][..40]));
    row("blank signature", format!("{}.{}.", parts[0], parts[1]));
    row("more scope under the old signature", format!("{}.{}.{}", parts[0], coded(&more), parts[2]));
    row(
        "nested in a JWE",
        format!("{}.{}.AAAA.{}.AAAA", coded(r#"{"alg":"dir","enc":"A256GCM","cty":"JWT"}"#), "", coded(good)),
    );
    row("huge", format!("{}.{}.{}", parts[0], coded(vec![b' '; 9 * 1024]), parts[2]));
    row("no JSON", forger.signs("[]", "[]"));
    row("padded", format!("{}=.{}.{}", parts[0], parts[1], parts[2]));
    row("a fourth part", format!("{good}.{}", parts[2]));
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn no_forged_token_opens_anything() {
    let mut idp = Idp::start().await;
    let (house, caller) = idp.house(|_| {}).await;
    let good = idp.token("jwt").await;
    assert_eq!(caller.clone().with_token(&good).m3(READ).await.status, StatusCode::OK, "before it is turned");
    let again = idp.signs(good.rsplit_once('.').expect("three parts").0).await;
    assert_eq!(caller.clone().with_token(&again).m3(READ).await.status, StatusCode::OK, "what it signs is taken");
    let seen = house.asked().len();
    let jwk = idp.keys().await["keys"][0].clone();
    let rows = forgeries(&good, &jwk);
    assert!(rows.len() > 45, "{}", rows.len());
    for (name, forged) in rows {
        let token = match forged {
            Forged::Whole(token) => token,
            Forged::Signed(message) => idp.signs(&message).await,
        };
        let reply = caller.clone().with_token(&token).m3(READ).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::UNAUTHORIZED, "token-invalid"), "{name}");
        assert!(reply.header("www-authenticate").contains("error=\"invalid_"), "{name}");
        assert!(!reply.text().contains("evil.example"), "{name}");
    }
    assert_eq!(house.asked().len(), seen, "M3 is not asked");
    assert_eq!(caller.with_token(&good).m3(READ).await.status, StatusCode::OK, "the good one is good still");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_on_this_machine_or_with_an_unknown_authority_is_not_asked() {
    for open in [false, true] {
        let mut idp = Idp::start().await;
        let house = House::with(|settings| {
            let mut foreign = Foreign::new(&idp.issuer, vec![AUDIENCE.to_owned()]);
            // Either it may not be asked, or it shows a certificate that the system does not trust.
            foreign.allow_private = open;
            foreign.roots = if open { Vec::new() } else { vec![idp.authority.der().clone()] };
            settings.issuers.push(foreign);
        })
        .await;
        let reply = house.stranger().with_token(&idp.token("jwt").await).m3(READ).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "keys-unavailable"));
        for path in ["/jwks", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
            assert_eq!(idp.asked(path).await, 0, "{path}");
        }
        let ready = house.operations("/readyz").await;
        assert!(
            ready.status == StatusCode::SERVICE_UNAVAILABLE && ready.text().contains(&idp.issuer),
            "{}",
            ready.text()
        );
    }
}
