//! Tokens that are bound to a key (RFC 9449): what is stolen of a call opens nothing.

use crate::house::{Caller, House, Reply, text};
use crate::idp::Idp;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, StatusCode};
use mi_gateway::auth::RequireBound;
use mi_gateway::config::Settings;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const READ: &str = "/DEMO_TST/M3/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001";

/// Somebody with a key, who makes proofs with it.
struct Prover(EcdsaKeyPair);

impl Prover {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        json!({"crv": "P-256", "kty": "EC", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
    }

    fn jkt(&self) -> String {
        hash(&self.jwk().to_string())
    }

    fn proof(&self, method: &str, url: &str, token: Option<&str>, nonce: Option<&str>) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let mut claims = json!({"jti": uuid::Uuid::new_v4().to_string(), "htm": method, "htu": url, "iat": now});
        if let Some(token) = token {
            claims["ath"] = json!(hash(token));
        }
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()});
        let coded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", coded(&header), coded(&claims));
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).expect("signs");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

async fn with_headers(caller: &Caller, headers: &[(&str, &str)]) -> Reply {
    caller.send(Method::GET, READ, headers, Bytes::new()).await
}

async fn proven(caller: &Caller, token: &str, proof: &str) -> Reply {
    with_headers(caller, &[("authorization", &format!("DPoP {token}")), ("dpop", proof)]).await
}

fn refused(reply: &Reply, problem: &str) {
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::UNAUTHORIZED, problem));
}

/// A bound token of the provider, with the nonce that it asks for.
async fn of_provider(idp: &Idp, client: &str, prover: &Prover) -> String {
    let url = format!("{}/token", idp.issuer);
    let first = idp.ask_bound_token(client, &prover.proof("POST", &url, None, None)).await;
    assert_eq!(first.json()["error"], "use_dpop_nonce");
    let nonce = first.header("dpop-nonce");
    let reply = idp.ask_bound_token(client, &prover.proof("POST", &url, None, Some(nonce))).await;
    let answer = reply.json();
    assert_eq!(answer["token_type"], "DPoP", "{answer}");
    answer["access_token"].as_str().expect("a token").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_of_a_certified_provider_is_good_with_its_proof_alone() {
    let idp = Idp::start().await;
    let introspected = |settings: &mut Settings| {
        settings.issuers.iter_mut().for_each(|issuer| issuer.introspection = Some(Idp::introspection()));
    };
    let (house, _) = idp.house(introspected).await;
    let caller = house.stranger();
    let url = format!("{}{READ}", house.base);
    for client in ["dpop", "opaque-dpop"] {
        let (prover, thief) = (Prover::new(), Prover::new());
        let token = of_provider(&idp, client, &prover).await;
        assert_eq!(token.split('.').count(), if client == "dpop" { 3 } else { 1 });
        let own = |method: &str, url: &str| prover.proof(method, url, Some(&token), None);
        // A thief who has the token, and a proof that was seen on its way.
        refused(&caller.clone().with_token(&token).get(READ).await, "token-invalid");
        refused(&with_headers(&caller, &[("authorization", &format!("DPoP {token}"))]).await, "proof-invalid");
        refused(&proven(&caller, &token, &thief.proof("GET", &url, Some(&token), None)).await, "proof-invalid");
        let good = own("GET", &url);
        let reply = proven(&caller, &token, &good).await;
        assert_eq!(reply.status, StatusCode::OK, "{client}: {}", reply.text());
        let replayed = proven(&caller, &token, &good).await;
        refused(&replayed, "proof-invalid");
        // In the scheme that was used it is said what was wrong, in the other where to begin.
        let about = format!("resource_metadata=\"{}/.well-known/oauth-protected-resource\"", house.base);
        let [dpop, bearer] = replayed.all("www-authenticate")[..] else { panic!("two challenges") };
        assert!(dpop.starts_with("DPoP realm=") && dpop.contains("error=\"invalid_dpop_proof\""), "{dpop}");
        assert!(dpop.contains("algs=\"ES256 ") && dpop.ends_with(&about), "{dpop}");
        assert_eq!(bearer, format!("Bearer realm=\"mi-gateway\", {about}"));
        for (method, target) in [
            ("POST", url.clone()),
            ("GET", url.replace("GetBasicData", "ChgBasicData")),
            ("GET", url.replace("DEMO_TST", "OTHER_TST")),
            ("GET", format!("https://other.example{READ}")),
        ] {
            let reply = proven(&caller, &token, &own(method, &target)).await;
            refused(&reply, "proof-invalid");
        }
        // A host of the caller's choice makes no other address of the gateway.
        let elsewhere = own("GET", &format!("https://evil.example{READ}"));
        let scheme = format!("DPoP {token}");
        let lured = [("authorization", scheme.as_str()), ("dpop", &elsewhere), ("x-forwarded-host", "evil.example")];
        refused(&with_headers(&caller, &lured).await, "proof-invalid");
        let proof = own("GET", &url);
        let twice = [("authorization", scheme.as_str()), ("dpop", &proof), ("dpop", &proof)];
        refused(&with_headers(&caller, &twice).await, "proof-invalid");
        let reply = proven(&caller, &token, &own("GET", url.split('?').next().expect("a path"))).await;
        assert_eq!(reply.status, StatusCode::OK, "{client}: {}", reply.text());
    }
    let bare = idp.token("jwt").await;
    refused(&proven(&caller, &bare, &Prover::new().proof("GET", &url, Some(&bare), None)).await, "token-invalid");
    assert_eq!(caller.with_token(&bare).get(READ).await.status, StatusCode::OK);
    assert!(house.operations("/metrics").await.text().contains("mi_gateway_dpop_proofs_total{outcome=\"replayed\"} 2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_is_given_out_and_asked_for_at_the_gateways_doors() {
    let idp = Idp::start().await;
    let (house, _) = idp.house(|settings| settings.proofs.require_nonce = true).await;
    let (caller, url) = (house.stranger(), format!("{}{READ}", house.base));
    let prover = Prover::new();
    let token = of_provider(&idp, "dpop", &prover).await;
    for nonce in [None, Some("made-up")] {
        let reply = proven(&caller, &token, &prover.proof("GET", &url, Some(&token), nonce)).await;
        refused(&reply, "proof-invalid");
        assert!(reply.header("www-authenticate").contains("error=\"use_dpop_nonce\""));
        assert!(!reply.header("dpop-nonce").is_empty());
        let nonce = reply.header("dpop-nonce").to_owned();
        let reply = proven(&caller, &token, &prover.proof("GET", &url, Some(&token), Some(&nonce))).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert!(!reply.header("dpop-nonce").is_empty(), "the next one comes along with an answer");
    }
    let bearer = caller.with_token(&idp.token("jwt").await).get(READ).await;
    assert_eq!((bearer.status, bearer.header("dpop-nonce")), (StatusCode::OK, ""));
}

/// A request for a token of the embedded issuer, with a proof beside it or without.
async fn ask_own(house: &House, path: &str, form: &[(&str, &str)], proof: Option<&str>) -> Reply {
    let ionapi = house.ionapi("demo");
    let own = [("client_id", text(&ionapi, "ci")), ("client_secret", text(&ionapi, "cs"))];
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(own).extend_pairs(form).finish();
    let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
    headers.extend(proof.map(|proof| ("dpop", proof)));
    house.stranger().send(Method::POST, path, &headers, form.into()).await
}

fn error(reply: &Reply) -> (StatusCode, String) {
    (reply.status, reply.json()["error"].as_str().unwrap_or_default().to_owned())
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("claims")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_issuer_binds_tokens_and_their_refresh_tokens_to_the_key_of_the_proof() {
    const GRANT: &[(&str, &str)] = &[("grant_type", "client_credentials")];
    let house = House::start().await;
    let (prover, other, caller) = (Prover::new(), Prover::new(), house.stranger());
    let bad = |reply: &Reply, code: &str| assert_eq!(error(reply), (StatusCode::BAD_REQUEST, code.to_owned()));
    for path in ["/oauth2/token", "/DEMO_TST/as/token.oauth2"] {
        let url = format!("{}{path}", house.base);
        let proof = prover.proof("POST", &url, None, None);
        let answer = ask_own(&house, path, GRANT, Some(&proof)).await.json();
        assert_eq!((&answer["token_type"], answer["expires_in"].is_u64()), (&json!("DPoP"), true), "{answer}");
        let (token, refresh) = (text(&answer, "access_token"), text(&answer, "refresh_token"));
        for token in [token, refresh] {
            assert_eq!(claims(token)["cnf"], json!({"jkt": prover.jkt()}));
        }
        // At the gateway's doors.
        let read = format!("{}{READ}", house.base);
        refused(&caller.clone().with_token(token).get(READ).await, "token-invalid");
        refused(&proven(&caller, token, &other.proof("GET", &read, Some(token), None)).await, "proof-invalid");
        let reply = proven(&caller, token, &prover.proof("GET", &read, Some(token), None)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        // Back at the issuer's.
        bad(&ask_own(&house, path, GRANT, Some(&proof)).await, "invalid_dpop_proof");
        let again = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
        bad(&ask_own(&house, path, &again, None).await, "invalid_dpop_proof");
        bad(&ask_own(&house, path, &again, Some(&other.proof("POST", &url, None, None))).await, "invalid_grant");
        let elsewhere = prover.proof("POST", &format!("{}/oauth2/revoke", house.base), None, None);
        bad(&ask_own(&house, path, &again, Some(&elsewhere)).await, "invalid_dpop_proof");
        let more = ask_own(&house, path, &again, Some(&prover.proof("POST", &url, None, None))).await.json();
        assert_eq!(more["token_type"], "DPoP", "{more}");
        for token in ["access_token", "refresh_token"] {
            assert_eq!(claims(text(&more, token))["cnf"], json!({"jkt": prover.jkt()}));
        }
    }
    let plain = ask_own(&house, "/oauth2/token", GRANT, None).await.json();
    assert_eq!(plain["token_type"], "Bearer");
    assert!(claims(text(&plain, "access_token")).get("cnf").is_none());
    let metadata = caller.get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(metadata["dpop_signing_alg_values_supported"], json!(["ES256", "ES384", "EdDSA", "PS256", "RS256"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_held_to_proofs_and_nonces_says_so_and_gives_nothing_without() {
    const GRANT: &[(&str, &str)] = &[("grant_type", "client_credentials")];
    let house = House::with(|settings| {
        settings.proofs.require_nonce = true;
        settings.tokens.as_mut().expect("an issuer").require_bound = RequireBound::Key;
        settings.gateway.cors = vec!["https://app.example.com".parse().expect("an origin")];
    })
    .await;
    let (prover, url) = (Prover::new(), format!("{}/oauth2/token", house.base));
    let bare = ask_own(&house, "/oauth2/token", GRANT, None).await;
    assert_eq!(error(&bare), (StatusCode::BAD_REQUEST, "invalid_dpop_proof".to_owned()));
    let without = ask_own(&house, "/oauth2/token", GRANT, Some(&prover.proof("POST", &url, None, None))).await;
    assert_eq!(error(&without), (StatusCode::BAD_REQUEST, "use_dpop_nonce".to_owned()));
    let nonce = without.header("dpop-nonce");
    assert!(!nonce.is_empty() && nonce == bare.header("dpop-nonce"));
    let proof = prover.proof("POST", &url, None, Some(nonce));
    let answer = ask_own(&house, "/oauth2/token", GRANT, Some(&proof)).await.json();
    assert_eq!(answer["token_type"], "DPoP", "{answer}");
    // No other scheme is offered where no other is taken, and a page may read what it must send.
    let reply = house.stranger().get_with(READ, &[("origin", "https://app.example.com")]).await;
    assert!(matches!(reply.all("www-authenticate")[..], [dpop] if dpop.starts_with("DPoP realm=")));
    let told = reply.header("access-control-expose-headers");
    assert!(told.contains("dpop-nonce") && told.contains("www-authenticate"), "{told}");
    let asks = [
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization,dpop"),
    ];
    let leave = house.stranger().send(Method::OPTIONS, READ, &asks, Bytes::new()).await;
    assert!(leave.header("access-control-allow-headers").contains("dpop"));
    let about = house.stranger().get("/.well-known/oauth-protected-resource").await.json();
    assert_eq!(about["dpop_bound_access_tokens_required"], json!(true));
}
