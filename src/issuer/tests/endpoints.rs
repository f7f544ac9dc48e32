//! The token endpoint: grants, how clients prove themselves, and what is refused.

use super::super::{HashCost, Settings, SigningAlgorithm, TokenError};
use super::{HERE, House, URL, code, form, settings};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr};

fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

#[tokio::test]
async fn client_credentials_give_a_token_that_the_verifier_knows() {
    let house = House::new().await;
    let answer = house.granted().await;
    let principal = house.running.verify(&answer.access_token).await.expect("a good token");
    assert_eq!(*principal.client.id, *house.client.id);
    assert_eq!(principal.groups.join(" "), "sales");
    assert_eq!(principal.standing.company.map(|company| company.number()), Some(100));
    let body = serde_json::to_value(&answer).expect("JSON");
    assert_eq!((body["token_type"].as_str(), body["expires_in"].as_u64()), (Some("Bearer"), Some(7200)));
    assert_eq!(body["scope"], "items:read items:write");
    assert!(body["refresh_token"].is_string());
}

#[tokio::test]
async fn a_token_is_one_of_rfc_9068_by_either_algorithm() {
    for algorithm in [SigningAlgorithm::Rs256, SigningAlgorithm::Es256] {
        let house = House::with(Settings { algorithm, ..settings() }).await;
        let token = house.granted().await.access_token.clone();
        house.running.verify(&token).await.expect("a good token");
        let (header, claims) = (part(&token, 0), part(&token, 1));
        assert_eq!((header["typ"].as_str(), header["alg"].as_str()), (Some("at+jwt"), Some(algorithm.as_str())));
        assert_eq!((claims["iss"].as_str(), claims["aud"].as_str()), (Some(URL), Some(URL)));
        assert_eq!((claims["sub"].as_str(), claims["Tenant"].as_str()), (Some(&*house.client.id), Some("DEMO_TST")));
        assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|iat| iat + 7200));
        let jwks: Value = serde_json::from_str(&house.running.issuer.jwks()).expect("JSON");
        assert_eq!(jwks["keys"][0]["kid"], header["kid"]);
        assert!(jwks["keys"][0].get("d").is_none());
    }
}

#[tokio::test]
async fn infors_backend_flow_works_with_a_hash_in_the_access_key() {
    let house = House::new().await;
    assert!(house.credentials.saak.starts_with("DEMO_TST#"));
    let request = form(&[
        ("grant_type", "password"),
        ("username", &house.credentials.saak),
        ("password", house.sask()),
        ("client_id", &house.client.id),
        ("client_secret", house.secret()),
        ("scope", "offline_access"),
        ("redirect_uri", "https://nowhere.example"),
    ]);
    assert!(request.contains("%23"));
    let answer = house.ask(None, &request).await.expect("a token");
    assert_eq!(part(&answer.access_token, 1)["sub"].as_str(), Some(house.credentials.saak.as_str()));
    assert_eq!(answer.scope, "items:read items:write");
    house.running.verify(&answer.access_token).await.expect("a good token");
    for (user, password) in [(house.credentials.saak.as_str(), "wrong"), ("DEMO_TST#other", house.sask())] {
        let wrong = form(&[("grant_type", "password"), ("username", user), ("password", password)]);
        assert_eq!(code(&house.says(&wrong).await), "invalid_grant");
    }
}

#[tokio::test]
async fn both_spellings_of_basic_are_understood() {
    let house = House::new().await;
    let encoded = format!("{}:{}", house.client.id.replace('~', "%7E"), house.secret().replace('-', "%2D"));
    for text in [format!("{}:{}", house.client.id, house.secret()), encoded] {
        let header = format!("Basic {}", STANDARD.encode(text));
        assert_eq!(code(&house.ask(Some(&header), "grant_type=client_credentials").await), "ok");
    }
}

#[tokio::test]
async fn a_client_that_does_not_prove_itself_is_told_how_it_tried() {
    let house = House::new().await;
    let id = ("client_id", &*house.client.id);
    let grant = ("grant_type", "client_credentials");
    for (header, parameters, by_basic) in [
        (None, vec![grant], false),
        (None, vec![grant, id], false),
        (None, vec![grant, id, ("client_secret", "wrong")], false),
        (None, vec![grant, ("client_id", "DEMO_TST~x"), ("client_secret", house.secret())], false),
        (Some("Basic eDp5"), vec![grant], true),
        (Some("Bearer x"), vec![grant], true),
    ] {
        let answer = house.ask(header, &form(&parameters)).await;
        assert!(matches!(answer, Err(TokenError::Client { basic }) if basic == by_basic), "{header:?} {answer:?}");
    }
}

#[tokio::test]
async fn malformed_requests_are_invalid_requests() {
    let house = House::new().await;
    for (request, expected) in [
        ("", "invalid_request"),
        ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        ("grant_type=client_credentials&x=1&x=2", "invalid_request"),
        ("grant_type=client_credentials&client_secret=x", "invalid_request"),
        ("grant_type=client_credentials&client_id=other", "invalid_request"),
        ("grant_type=password&username=x", "invalid_request"),
        ("grant_type=refresh_token", "invalid_request"),
        ("grant_type=authorization_code&code=x", "unsupported_grant_type"),
        ("grant_type=client_credentials&unknown=1&redirect_uri=x", "ok"),
        ("grant_type=client_credentials&scope=items:read", "ok"),
        ("grant_type=client_credentials&scope=items:read+everything", "invalid_scope"),
        ("grant_type=refresh_token&refresh_token=x.y.z", "invalid_grant"),
    ] {
        assert_eq!(code(&house.says(request).await), expected, "{request}");
    }
}

#[tokio::test]
async fn the_tenant_of_the_path_is_the_clients() {
    let house = House::new().await;
    let basic = house.basic();
    for (tenant, expected) in [(Some("DEMO_TST"), "ok"), (Some("OTHER"), "invalid_client"), (None, "ok")] {
        let ask = house.request(Some(&basic), "grant_type=client_credentials");
        let answer = house.running.issuer.token(super::TokenAsk { tenant, ..ask }).await;
        assert_eq!(code(&answer), expected, "{tenant:?}");
    }
}

#[tokio::test]
async fn wrong_secrets_are_limited_by_client_and_address() {
    let mut house = House::new().await;
    let wrong = format!("Basic {}", STANDARD.encode(format!("{}:wrong", house.client.id)));
    let grant = "grant_type=client_credentials";
    for _ in 0..10 {
        assert!(matches!(house.ask(Some(&wrong), grant).await, Err(TokenError::Client { .. })));
    }
    let limited = |answer: &Result<_, TokenError>| matches!(answer, Err(TokenError::TooManyAttempts { .. }));
    assert!(limited(&house.ask(Some(&wrong), grant).await));
    assert!(limited(&house.says(grant).await), "even the right secret waits, or guessing would go on");
    // The same client elsewhere, and another client here, are not held up.
    let basic = house.basic();
    let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
    assert_ne!(HERE, elsewhere);
    let ask = super::TokenAsk { address: elsewhere, ..house.request(Some(&basic), grant) };
    assert_eq!(code(&house.running.issuer.token(ask).await), "ok");
    assert!(matches!(house.ask(Some("Basic eDp5"), grant).await, Err(TokenError::Client { .. })));
    house.now += 1;
    assert_eq!(code(&house.ask(Some(&wrong), grant).await), "invalid_client");
    assert!(limited(&house.ask(Some(&wrong), grant).await));
}

#[tokio::test]
async fn a_burst_with_the_right_secret_costs_one_check_and_loses_nobody() {
    let house = House::with(Settings { hash_cost: HashCost { memory_kib: 64, passes: 1 }, ..settings() }).await;
    let asks = (0..200).map(|_| house.says("grant_type=client_credentials"));
    let answers = futures_util::future::join_all(asks).await;
    assert!(answers.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_burst_of_guesses_is_wrong_ten_times_and_no_more() {
    let house = House::new().await;
    let guesses: Vec<String> =
        (0..50).map(|n| format!("Basic {}", STANDARD.encode(format!("{}:{n}", house.client.id)))).collect();
    let asks = guesses.iter().map(|guess| house.ask(Some(guess), "grant_type=client_credentials"));
    let answers = futures_util::future::join_all(asks).await;
    let checked = answers.iter().filter(|answer| matches!(answer, Err(TokenError::Client { .. }))).count();
    assert_eq!(checked, 10);
}

#[tokio::test]
async fn a_flood_of_invented_clients_does_not_hold_up_a_real_one() {
    let house = House::with(Settings { hash_cost: HashCost { memory_kib: 64, passes: 1 }, ..settings() }).await;
    let invented: Vec<String> =
        (0..500).map(|n| format!("Basic {}", STANDARD.encode(format!("invented-{n}:x")))).collect();
    let flood = invented.iter().map(|basic| house.ask(Some(basic), "grant_type=client_credentials"));
    let (refused, real) =
        tokio::join!(futures_util::future::join_all(flood), house.says("grant_type=client_credentials"));
    assert_eq!(code(&real), "ok");
    assert!(refused.iter().all(|answer| code(answer) == "invalid_client"), "none of them is told to wait");
}

#[tokio::test]
async fn nothing_secret_is_in_a_debug_text() {
    let house = House::new().await;
    let answer = house.granted().await;
    let shown = format!("{answer:?} {:?} {:?} {:?}", house.client, house.credentials, house.running.issuer);
    for secret in [house.secret(), house.sask(), answer.access_token.as_str(), "$argon2id"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn the_metadata_names_the_endpoints() {
    let house = House::with(Settings { public_url: URL.into(), ..settings() }).await;
    let metadata = house.running.issuer.metadata();
    assert_eq!(metadata["issuer"], URL);
    assert_eq!(metadata["token_endpoint"], format!("{URL}/oauth2/token"));
    assert_eq!(metadata["jwks_uri"], format!("{URL}/oauth2/jwks"));
    assert_eq!(metadata["revocation_endpoint"], format!("{URL}/oauth2/revoke"));
}
