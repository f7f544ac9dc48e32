//! Tokens in: every grant, every way a client may show who it is, and the errors of RFC 6749.

use crate::house::{House, Reply, text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, StatusCode};
use mi_gateway::config::Settings;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

const FORM: &str = "application/x-www-form-urlencoded";

fn form(pairs: &[(&str, &str)]) -> Bytes {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into()
}

async fn post(house: &House, path: &str, headers: &[(&str, &str)], pairs: &[(&str, &str)]) -> Reply {
    let mut headers = headers.to_vec();
    headers.push(("content-type", FORM));
    house.stranger().send(Method::POST, path, &headers, form(pairs)).await
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

async fn works(house: &House, token: &str) -> StatusCode {
    house.stranger().with_token(token).m3("CRS610MI/GetBasicData?CUNO=C00001").await.status
}

fn token(reply: &Reply) -> String {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let answer = reply.json();
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&"Bearer".into(), &7200.into()));
    assert!(answer["refresh_token"].is_string(), "Infor's clients need all four: {answer}");
    assert_eq!(reply.header("cache-control"), "no-store");
    text(&answer, "access_token").to_owned()
}

#[tokio::test]
async fn a_client_may_show_its_secret_in_three_ways() {
    let house = House::start().await;
    let ionapi = house.ionapi("demo");
    let (id, secret) = (text(&ionapi, "ci"), text(&ionapi, "cs"));
    let grant = [("grant_type", "client_credentials")];
    let encoded = |word: &str| utf8_percent_encode(word, NON_ALPHANUMERIC).to_string();
    for authorization in [basic(id, secret), basic(&encoded(id), &encoded(secret))] {
        let reply = post(&house, "/oauth2/token", &[("authorization", &authorization)], &grant).await;
        assert_eq!(works(&house, &token(&reply)).await, StatusCode::OK);
    }
    let reply = house.ask_token(&ionapi, &grant).await;
    assert_eq!(works(&house, &token(&reply)).await, StatusCode::OK);
}

#[tokio::test]
async fn infors_backend_flow_refreshes_and_revokes() {
    let house = House::start().await;
    let ionapi = house.ionapi("demo");
    let authorization = basic(text(&ionapi, "ci"), text(&ionapi, "cs"));
    let header = [("authorization", authorization.as_str())];
    let path = "/DEMO_TST/as/token.oauth2";
    let grant = [
        ("grant_type", "password"),
        ("username", text(&ionapi, "saak")),
        ("password", text(&ionapi, "sask")),
        ("redirect_uri", "https://localhost/x"),
    ];
    let first = post(&house, path, &header, &grant).await;
    let old = token(&first);
    let refresh = text(&first.json(), "refresh_token").to_owned();
    let second = post(&house, path, &header, &[("grant_type", "refresh_token"), ("refresh_token", &refresh)]).await;
    let new = token(&second);
    assert_eq!((works(&house, &old).await, works(&house, &new).await), (StatusCode::OK, StatusCode::OK));
    let revoked = post(
        &house,
        "/DEMO_TST/as/revoke_token.oauth2",
        &header,
        &[("token", &refresh), ("token_type_hint", "refresh_token")],
    )
    .await;
    assert_eq!(revoked.status, StatusCode::OK);
    // The whole family ends at once, cached validations too.
    assert_eq!(
        (works(&house, &old).await, works(&house, &new).await),
        (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED)
    );
    let again = post(&house, path, &header, &[("grant_type", "refresh_token"), ("refresh_token", &refresh)]).await;
    assert_eq!((again.status, &again.json()["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));
    let nothing = post(&house, "/oauth2/revoke", &header, &[("token", "means-nothing")]).await;
    assert_eq!(nothing.status, StatusCode::OK, "a token that means nothing is no error");
}

#[tokio::test]
async fn errors_are_those_of_the_rfc() {
    let house = House::start().await;
    let ionapi = house.ionapi("demo");
    let (id, secret) = (text(&ionapi, "ci"), text(&ionapi, "cs"));
    let good = basic(id, secret);
    let bad = basic(id, "wrong");
    for (authorization, pairs, status, error) in [
        (Some(&good), &[("grant_type", "authorization_code")][..], 400, "unsupported_grant_type"),
        (Some(&good), &[], 400, "invalid_request"),
        (
            Some(&good),
            &[("grant_type", "client_credentials"), ("grant_type", "client_credentials")],
            400,
            "invalid_request",
        ),
        (Some(&good), &[("grant_type", "client_credentials"), ("scope", "no-such-scope")], 400, "invalid_scope"),
        (Some(&good), &[("grant_type", "password"), ("username", "x"), ("password", "y")], 400, "invalid_grant"),
        (Some(&bad), &[("grant_type", "client_credentials")], 401, "invalid_client"),
        (None, &[("grant_type", "client_credentials")], 401, "invalid_client"),
    ] {
        let headers: Vec<(&str, &str)> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        let reply = post(&house, "/oauth2/token", &headers, pairs).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["error"]), (status, &error.into()), "{pairs:?}");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(!reply.header("www-authenticate").is_empty(), authorization.is_some() && status == 401);
        assert!(!reply.text().contains(secret));
    }
}

#[tokio::test]
async fn the_token_endpoint_takes_a_posted_form_and_nothing_else() {
    let house = House::start().await;
    let stranger = house.stranger();
    let got = stranger.get("/oauth2/token").await;
    assert_eq!((got.status, got.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    let json = stranger.send(Method::POST, "/oauth2/token", &[("content-type", "application/json")], "{}".into()).await;
    assert_eq!((json.status, json.problem().as_str()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type-unsupported"));
    let other = post(
        &house,
        "/OTHER_TST/as/token.oauth2",
        &[("authorization", &basic("a", "b"))],
        &[("grant_type", "client_credentials")],
    )
    .await;
    assert_eq!(other.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn keys_and_metadata_are_published() {
    let house = House::start().await;
    let stranger = house.stranger();
    let metadata = stranger.get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(metadata["issuer"], house.base.as_str());
    assert_eq!(metadata["token_endpoint"], format!("{}/oauth2/token", house.base));
    let keys = stranger.get("/oauth2/jwks").await.json();
    let key = &keys["keys"][0];
    assert_eq!((&key["kty"], &key["use"], &key["alg"]), (&"RSA".into(), &"sig".into(), &"RS256".into()));
    for secret in ["d", "p", "q", "dp", "dq", "qi", "k"] {
        assert!(key.get(secret).is_none(), "{secret} is private");
    }
}

fn decoded(part: &str) -> Value {
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test]
async fn a_token_is_an_rfc_9068_access_token_of_its_tenant() {
    for es256 in [false, true] {
        let house = House::with(|settings| {
            if let (true, Some(tokens)) = (es256, &mut settings.tokens) {
                tokens.algorithm = mi_gateway::issuer::SigningAlgorithm::Es256;
            }
        })
        .await;
        let token = house.token(&house.ionapi("demo")).await;
        let parts: Vec<&str> = token.split('.').collect();
        let (header, claims) = (decoded(parts[0]), decoded(parts[1]));
        assert_eq!(
            (&header["typ"], &header["alg"]),
            (&"at+jwt".into(), &(if es256 { "ES256" } else { "RS256" }).into())
        );
        for claim in ["iss", "aud", "sub", "client_id", "exp", "iat", "jti", "scope", "Tenant"] {
            assert!(claims.get(claim).is_some(), "{claim} in {claims}");
        }
        assert_eq!((&claims["iss"], &claims["Tenant"]), (&house.base.as_str().into(), &"DEMO_TST".into()));
        assert_eq!(claims["exp"].as_u64().zip(claims["iat"].as_u64()).map(|(exp, iat)| exp - iat), Some(7200));
        assert_eq!(works(&house, &token).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_forged_token_is_refused_with_the_word_that_clients_look_for() {
    let house = House::start().await;
    let token = house.token(&house.ionapi("demo")).await;
    let parts: Vec<&str> = token.split('.').collect();
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let none = encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    let company = decoded(parts[1]).to_string().replace("DEMO_TST", "OTHER_TS");
    for forged in [
        format!("{}.{}.", none, parts[1]),
        format!("{}.{}.{}", parts[0], encode(&company), parts[2]),
        format!("{}.{}.{}", parts[0], parts[1], &parts[2][..parts[2].len() - 6]),
        format!("{token}.x"),
        "a".repeat(9_000),
    ] {
        let reply = house.stranger().with_token(&forged).m3("CRS610MI/GetBasicData?CUNO=C00001").await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::UNAUTHORIZED, "token-invalid"));
        assert!(reply.header("www-authenticate").contains("error=\"invalid_"), "{}", reply.header("www-authenticate"));
    }
    assert_eq!(house.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn whose_call_it_is_is_said_once() {
    let house = House::start().await;
    let (demo, reader) = (house.token(&house.ionapi("demo")).await, house.token(&house.ionapi("reader")).await);
    let path = "/DEMO_TST/M3/m3api-rest/v2/execute/CRS610MI/GetBasicData?CUNO=C00001";
    for (first, second) in [(&demo, &reader), (&reader, &demo), (&demo, &demo)] {
        let (first, second) = (format!("Bearer {first}"), format!("Bearer {second}"));
        let reply = house.stranger().get_with(path, &[("authorization", &first), ("authorization", &second)]).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::UNAUTHORIZED, "token-invalid"));
    }
    assert_eq!(house.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn guessing_is_slowed_down_for_the_guessed_client_alone() {
    let house = House::start().await;
    let (demo, reader) = (house.ionapi("demo"), house.ionapi("reader"));
    let wrong = basic(text(&demo, "ci"), "guess");
    let mut limited = None;
    for _ in 0..15 {
        let reply =
            post(&house, "/oauth2/token", &[("authorization", &wrong)], &[("grant_type", "client_credentials")]).await;
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            limited = Some(reply);
            break;
        }
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    }
    let reply = limited.expect("ten failures, then one a second");
    assert!(reply.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    let other = house.ask_token(&reader, &[("grant_type", "client_credentials")]).await;
    assert_eq!(other.status, StatusCode::OK, "another client of the same address is not held back");
}

#[tokio::test]
async fn what_was_revoked_stays_so_over_a_restart_and_nobody_revokes_anothers() {
    // The issuer's name stays the same whatever the port.
    let named = |settings: &mut Settings| settings.public_url = Some("https://m3.example.com".to_owned());
    let house = House::with(named).await;
    let (own, other) = (house.ionapi("demo"), house.ionapi("reader"));
    let granted = async || house.ask_token(&own, &[("grant_type", "client_credentials")]).await.json();
    let (by_access, by_refresh, kept) = (granted().await, granted().await, granted().await);
    let revoke = async |house: &House, ionapi: &Value, pairs: &[(&str, &str)]| {
        let authorization = basic(text(ionapi, "ci"), text(ionapi, "cs"));
        post(house, "/oauth2/revoke", &[("authorization", authorization.as_str())], pairs).await
    };
    for kind in ["access_token", "refresh_token"] {
        let refused = revoke(&house, &other, &[("token", text(&kept, kind))]).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]),
            (StatusCode::BAD_REQUEST, &"unauthorized_client".into())
        );
    }
    let nothing = revoke(&house, &own, &[("token_type_hint", "access_token")]).await;
    assert_eq!((nothing.status, &nothing.json()["error"]), (StatusCode::BAD_REQUEST, &"invalid_request".into()));
    let wrong = basic(text(&own, "ci"), "wrong");
    let stranger = post(&house, "/oauth2/revoke", &[("authorization", &wrong)], &[("token", "x")]).await;
    assert_eq!((stranger.status, &stranger.json()["error"]), (StatusCode::UNAUTHORIZED, &"invalid_client".into()));
    assert!(stranger.header("www-authenticate").starts_with("Basic "));
    // The hint may be wrong; a token may be ended twice, and one that means nothing once.
    for (pairs, what) in [
        ([("token", text(&by_access, "access_token")), ("token_type_hint", "refresh_token")], "by the access token"),
        ([("token", text(&by_refresh, "refresh_token")), ("token_type_hint", "access_token")], "by the refresh token"),
        ([("token", text(&by_refresh, "refresh_token")), ("token_type_hint", "strange")], "once more"),
        ([("token", "means-nothing"), ("token_type_hint", "access_token")], "nothing"),
    ] {
        let ended = revoke(&house, &own, &pairs).await;
        assert_eq!((ended.status, ended.text().as_str()), (StatusCode::OK, ""), "{what}");
    }
    let house = House::again(house.stop().await, named).await;
    for (answer, good) in [(&by_access, false), (&by_refresh, false), (&kept, true)] {
        let status = if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!(works(&house, text(answer, "access_token")).await, status);
        let again = [("grant_type", "refresh_token"), ("refresh_token", text(answer, "refresh_token"))];
        let status = if good { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        assert_eq!(house.ask_token(&own, &again).await.status, status);
    }
}
