//! Tokens, clients and keys over time: refreshed, revoked, rotated, restarted, and changed by another process.

use super::super::{Clients, IonApi, Settings, SigningAlgorithm, SigningKeys, TokenError, write_private};
use super::{CHEAP, House, Refused, Running, URL, code, form, new_client, now, settings};
use crate::store::Store;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

#[tokio::test]
async fn a_refresh_token_gives_both_tokens_anew() {
    let house = House::new().await;
    let first = house.granted().await;
    let second = house.refresh(&first).await.expect("refreshed");
    assert_ne!(first.access_token, second.access_token);
    house.running.verify(&second.access_token).await.expect("good");
    house.refresh(&second).await.expect("refreshed again");
    // It is no access token, and an access token refreshes nothing.
    let refresh = second.refresh_token.clone().expect("a refresh token");
    assert_eq!(house.running.verify(&refresh).await.err(), Some(Refused::Type));
    let request = form(&[("grant_type", "refresh_token"), ("refresh_token", &second.access_token)]);
    assert_eq!(code(&house.says(&request).await), "invalid_grant");
}

#[tokio::test]
async fn a_refreshed_scope_never_grows() {
    let house = House::new().await;
    let answer = house.says("grant_type=client_credentials&scope=items:read").await.expect("a token");
    let refresh = answer.refresh_token.clone().expect("a refresh token");
    assert_eq!(house.refresh(&answer).await.expect("refreshed").scope, "items:read");
    let more =
        form(&[("grant_type", "refresh_token"), ("refresh_token", &refresh), ("scope", "items:read items:write")]);
    assert_eq!(code(&house.says(&more).await), "invalid_scope");
}

#[tokio::test]
async fn a_refresh_token_expires_and_belongs_to_one_client() {
    let mut house = House::new().await;
    let answer = house.granted().await;
    let (other, theirs) = house.running.clients.add(new_client("other"), now()).await.expect("a client");
    house.running.issuer.inner.refresh().await.expect("reads");
    let refresh = answer.refresh_token.as_deref().expect("a refresh token");
    let theirs = theirs.expect("a secret");
    let secret = secrecy::ExposeSecret::expose_secret(&theirs.client_secret);
    let request = form(&[
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh),
        ("client_id", &other.id),
        ("client_secret", secret),
    ]);
    assert_eq!(code(&house.ask(None, &request).await), "invalid_grant");
    house.now += settings().refresh_seconds;
    assert_eq!(code(&house.refresh(&answer).await), "invalid_grant");
}

#[tokio::test]
async fn a_setting_takes_the_refresh_token_from_client_credentials() {
    let house = House::with(Settings { refresh_for_client_credentials: false, ..settings() }).await;
    assert!(house.granted().await.refresh_token.is_none());
    let request =
        form(&[("grant_type", "password"), ("username", &house.credentials.saak), ("password", house.sask())]);
    assert!(house.says(&request).await.expect("a token").refresh_token.is_some());
}

#[tokio::test]
async fn revoking_either_token_ends_the_family_at_once() {
    for by_refresh in [true, false] {
        let house = House::new().await;
        let first = house.granted().await;
        let second = house.refresh(&first).await.expect("refreshed");
        let stranger = house.granted().await;
        house.running.verify(&first.access_token).await.expect("good, and cached");
        let token = if by_refresh { second.refresh_token.clone() } else { Some(second.access_token.clone()) };
        house.revoke(&token.expect("a token")).await.expect("revoked");
        for token in [&first.access_token, &second.access_token] {
            assert_eq!(house.running.verify(token).await.err(), Some(Refused::Revoked));
        }
        assert_eq!(code(&house.refresh(&second).await), "invalid_grant");
        house.running.verify(&stranger.access_token).await.expect("another family lives on");
    }
}

/// Until when each family that was ended is remembered, in seconds from now.
async fn remembered(house: &House) -> Vec<i64> {
    let rows: Vec<(i64,)> = sqlx::query_as("SELECT until - ? FROM ended_families ORDER BY until")
        .bind(house.now.cast_signed())
        .fetch_all(house.running.store.read())
        .await
        .expect("rows");
    rows.into_iter().map(|(left,)| left).collect()
}

#[tokio::test]
async fn what_is_ended_is_remembered_as_long_as_a_token_of_it_may_live_and_no_longer() {
    let alone = Settings { refresh_for_client_credentials: false, token_seconds: 600, ..settings() };
    let house = House::with(alone.clone()).await;
    let first = house.granted().await;
    house.running.verify(&first.access_token).await.expect("good");
    for _ in 0..3 {
        house.revoke(&first.access_token).await.expect("revoked");
    }
    assert_eq!(house.running.verify(&first.access_token).await.err(), Some(Refused::Revoked));
    assert_eq!(remembered(&house).await, [660], "no other token is of its family");
    // A family of more is remembered for the longest life that the settings ever gave.
    let request =
        form(&[("grant_type", "password"), ("username", &house.credentials.saak), ("password", house.sask())]);
    let more = house.says(&request).await.expect("a token");
    house.running.tasks.finish(Duration::from_secs(5)).await;
    house.running.store.close().await;
    let shorter = Settings { refresh_seconds: 700, ..alone.clone() };
    let again = Running::over(house.folder.path(), shorter).await;
    let house = House { running: again, ..house };
    house.revoke(&more.access_token).await.expect("revoked");
    let longest = i64::try_from(alone.refresh_seconds).expect("fits") + 60;
    assert_eq!(remembered(&house).await, [660, longest]);
}

#[tokio::test]
async fn a_client_that_asks_in_a_loop_is_told_to_wait_and_no_other_client_is() {
    let house = House::with(Settings { refresh_for_client_credentials: false, ..settings() }).await;
    let token = house.granted().await.access_token.clone();
    let mut asked = 1;
    let refused = loop {
        match house.revoke(&token).await {
            Ok(()) => asked += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, TokenError::TooFast { retry_after: 1 }) && asked == 300, "{refused} after {asked}");
    assert!(matches!(house.says("grant_type=client_credentials").await, Err(TokenError::TooFast { .. })));
    let later = House { now: house.now + 1, ..house };
    later.granted().await;
}

#[tokio::test]
async fn revoking_what_was_never_issued_is_no_error() {
    let house = House::new().await;
    for token in ["x", "a.b.c", "..", &house.granted().await.access_token[1..]] {
        assert_eq!(code(&house.revoke(token).await), "ok");
    }
    let basic = house.basic();
    assert_eq!(code(&house.running.issuer.revoke(house.request(Some(&basic), "")).await), "invalid_request");
    assert_eq!(code(&house.running.issuer.revoke(house.request(None, "token=x")).await), "invalid_client");
}

#[tokio::test]
async fn a_restart_keeps_clients_keys_tokens_and_what_was_revoked() {
    let house = House::new().await;
    let (good, ended) = (house.granted().await, house.granted().await);
    house.revoke(&ended.access_token).await.expect("revoked");
    let jwks = house.running.issuer.jwks();
    house.running.tasks.finish(Duration::from_secs(5)).await;
    house.running.store.close().await;
    let again = Running::over(house.folder.path(), settings()).await;
    assert_eq!(again.issuer.jwks(), jwks);
    again.verify(&good.access_token).await.expect("still good");
    assert_eq!(again.verify(&ended.access_token).await.err(), Some(Refused::Revoked));
    let basic = house.basic();
    let answer = again.issuer.token(house.request(Some(&basic), "grant_type=client_credentials")).await;
    assert_eq!(code(&answer), "ok");
}

/// The command line in a process of its own: nothing but the file is shared.
async fn elsewhere(house: &House) -> (Clients, SigningKeys) {
    let store = Store::open(house.folder.path()).await.expect("opens");
    (Clients::open(&store, CHEAP).await.expect("clients"), SigningKeys::open(&store).await.expect("keys"))
}

/// Asks until it is so, for no longer than the promised second.
async fn within_a_second(mut so: impl AsyncFnMut() -> bool) {
    let asked = tokio::time::timeout(Duration::from_secs(1), async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    asked.await.expect("it holds within a second");
}

#[tokio::test]
async fn a_client_revoked_elsewhere_loses_its_live_tokens_within_a_second() {
    let house = House::new().await;
    let answer = house.granted().await;
    house.running.verify(&answer.access_token).await.expect("good");
    elsewhere(&house).await.0.revoke("demo", now()).await.expect("revoked");
    within_a_second(async || house.running.verify(&answer.access_token).await.is_err()).await;
    assert_eq!(code(&house.says("grant_type=client_credentials").await), "invalid_client");
    assert_eq!(code(&house.refresh(&answer).await), "invalid_client");
}

#[tokio::test]
async fn secrets_rotated_elsewhere_change_within_a_second_and_live_tokens_stay() {
    let house = House::new().await;
    let answer = house.granted().await;
    let (_, new) = elsewhere(&house).await.0.rotate("demo", now()).await.expect("rotated");
    within_a_second(async || code(&house.says("grant_type=client_credentials").await) == "invalid_client").await;
    house.running.verify(&answer.access_token).await.expect("still good");
    let request = form(&[
        ("grant_type", "client_credentials"),
        ("client_id", &house.client.id),
        ("client_secret", secrecy::ExposeSecret::expose_secret(&new.client_secret)),
    ]);
    // From another address: this one has guessed with the old secret.
    let ask = super::TokenAsk { address: [192, 0, 2, 7].into(), ..house.request(None, &request) };
    assert_eq!(code(&house.running.issuer.token(ask).await), "ok");
}

#[tokio::test]
async fn keys_rotated_elsewhere_sign_within_a_second_and_live_tokens_stay() {
    let house = House::new().await;
    let old = house.granted().await;
    let (_, keys) = elsewhere(&house).await;
    let new = keys.rotate(SigningAlgorithm::Es256, now()).await.expect("rotated");
    within_a_second(async || house.running.issuer.jwks().contains(&new.kid)).await;
    let fresh = house.granted().await;
    for answer in [&old, &fresh] {
        house.running.verify(&answer.access_token).await.expect("good");
        house.refresh(answer).await.expect("refreshes");
    }
    let listed = keys.list().await.expect("lists");
    assert_eq!((listed.len(), &listed[0].kid, listed[0].retired_at), (2, &new.kid, None));
    assert!(listed[1].retired_at.is_some());
}

#[tokio::test]
async fn another_algorithm_by_setting_invalidates_nothing() {
    let house = House::new().await;
    let old = house.granted().await;
    house.running.tasks.finish(Duration::from_secs(5)).await;
    let again = Running::over(house.folder.path(), Settings { algorithm: SigningAlgorithm::Rs256, ..settings() }).await;
    again.verify(&old.access_token).await.expect("still good");
    let basic = house.basic();
    let answer = again.issuer.token(house.request(Some(&basic), "grant_type=client_credentials")).await;
    again.verify(&answer.expect("a token").access_token).await.expect("good");
}

#[tokio::test]
async fn a_key_is_forgotten_only_after_its_last_token() {
    let house = House::new().await;
    let (_, keys) = elsewhere(&house).await;
    let then = now();
    keys.rotate(SigningAlgorithm::Es256, then).await.expect("rotated");
    keys.purge(then).await.expect("nothing to forget");
    assert_eq!(keys.list().await.expect("lists").len(), 2);
    keys.purge(then + 1).await.expect("one to forget");
    assert_eq!(keys.list().await.expect("lists").len(), 1);
}

#[tokio::test]
async fn a_name_is_free_again_after_its_client_was_revoked() {
    let house = House::new().await;
    let clients = &house.running.clients;
    let taken = clients.add(new_client("demo"), now()).await.expect_err("taken");
    assert!(taken.to_string().contains("demo"));
    clients.revoke("demo", now()).await.expect("revoked");
    clients.revoke("demo", now()).await.expect_err("there is no live one");
    clients.add(new_client("demo"), now()).await.expect("free");
    assert_eq!(clients.list().await.expect("lists").len(), 2);
    for bad in ["", "a b", "a\"b", &"x".repeat(65)] {
        assert!(clients.add(new_client(bad), now()).await.is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn a_client_with_everything_still_gets_a_token_that_is_read() {
    let house = House::new().await;
    let scopes: Vec<String> = (0..50).map(|n| format!("{n:x<64}")).collect();
    let new = super::NewClient { scopes: scopes.clone(), ..new_client("large") };
    let (client, credentials) = house.running.clients.add(new, now()).await.expect("a client");
    house.running.issuer.inner.refresh().await.expect("reads");
    let credentials = credentials.expect("a secret");
    let secret = secrecy::ExposeSecret::expose_secret(&credentials.client_secret);
    let request = form(&[("grant_type", "client_credentials"), ("client_id", &client.id), ("client_secret", secret)]);
    let answer = house.ask(None, &request).await.expect("a token");
    assert_eq!(house.running.verify(&answer.access_token).await.expect("good").scopes.len(), 50);
    let more = super::NewClient { scopes: [scopes, vec!["one".into()]].concat(), ..new_client("larger") };
    assert!(house.running.clients.add(more, now()).await.is_err());
}

#[tokio::test]
async fn a_stolen_file_holds_no_secret() {
    let house = House::new().await;
    let bytes: Vec<u8> = ["gateway.db", "gateway.db-wal"]
        .iter()
        .flat_map(|name| std::fs::read(house.folder.path().join(name)).expect("the file"))
        .collect();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&house.client.id), "these are the files that hold the client");
    assert!(!holds(house.secret()) && !holds(house.sask()));
}

#[tokio::test]
async fn the_ionapi_file_is_infors_and_private() {
    let house = House::new().await;
    let text = IonApi { public_url: URL, environment: "dev" }.text(&house.client, Some(&house.credentials));
    let path = house.folder.path().join("demo.ionapi");
    std::fs::write(&path, "older").expect("an older file, readable for all");
    write_private(&path, &text).expect("written");
    assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    let read: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).expect("readable")).expect("JSON");
    let names: Vec<_> = read.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names, ["ti", "cn", "dt", "ci", "cs", "iu", "pu", "oa", "ot", "or", "ev", "v", "saak", "sask"]);
    let url = format!("{}{}", read["pu"].as_str().unwrap_or_default(), read["ot"].as_str().unwrap_or_default());
    assert_eq!(url, "https://localhost:8443/DEMO_TST/as/token.oauth2");
    assert_eq!((read["ci"].as_str(), read["cs"].as_str()), (Some(&*house.client.id), Some(house.secret())));
}

#[tokio::test]
async fn a_client_that_is_held_to_proofs_gets_no_token_without_one() {
    let house = House::new().await;
    let new = super::NewClient { dpop: true, ..new_client("bound") };
    let (client, credentials) = house.running.clients.add(new, now()).await.expect("a client");
    house.running.issuer.reload().await.expect("read");
    assert!(client.dpop && house.running.clients.find("bound").await.expect("kept").dpop);
    assert!(!house.running.clients.find("demo").await.expect("kept").dpop);
    let credentials = credentials.expect("a secret");
    let secret = secrecy::ExposeSecret::expose_secret(&credentials.client_secret);
    let form = form(&[("grant_type", "client_credentials"), ("client_id", &client.id), ("client_secret", secret)]);
    assert_eq!(code(&house.ask(None, &form).await), "invalid_dpop_proof");
    assert_eq!(code(&house.says("grant_type=client_credentials").await), "ok");
    // What the proof is worth is asked only of a client that is known.
    let strange =
        super::TokenAsk { proof: super::Shown::One("junk"), ..house.request(None, "grant_type=client_credentials") };
    assert_eq!(code(&house.running.issuer.token(strange).await), "invalid_client");
    let known = super::TokenAsk { proof: super::Shown::Many, ..house.request(None, &form) };
    assert_eq!(code(&house.running.issuer.token(known).await), "invalid_dpop_proof");
}

#[tokio::test]
async fn what_was_seen_to_change_and_could_not_be_read_is_read_without_another_change() {
    let house = House::new().await;
    // Nobody else follows from here on.
    assert!(house.running.tasks.finish(Duration::from_secs(10)).await);
    let (late, _) = house.running.clients.add(new_client("late"), now()).await.expect("a client");
    let inner = &house.running.issuer.inner;
    assert!(!inner.known.load().clients.contains_key(&late.id));
    // As after a failure: the signal of this commit is spent.
    let (mut watch, mut tidy) = (None, tokio::time::interval(Duration::from_secs(3_600)));
    inner.look(&mut watch, &mut tidy).await.expect("the store can be read again");
    assert!(watch.is_some() && inner.known.load().clients.contains_key(&late.id));
}
