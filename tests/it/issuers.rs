//! Tokens of an identity provider elsewhere: a certified one, run for real.

use crate::house::House;
use crate::idp::{AUDIENCE, Idp};
use http::StatusCode;
use mi_gateway::auth::CompanyRule;
use mi_gateway::config::{Foreign, ForeignIntrospection};
use mi_gateway::model::{ClaimKind, Company};
use serde_json::json;
use std::time::Duration;

const READ: &str = "CRS610MI/GetBasicData?CUNO=C00001";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_certified_provider_is_its_clients_and_a_new_key_is_found_at_once() {
    let mut idp = Idp::start().await;
    let (_house, caller) = idp.house(|_| {}).await;
    let reads = async |token: &str| caller.clone().with_token(token).m3(READ).await;
    let old = idp.token("jwt").await;
    let reply = reads(&old).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    idp.rotate().await;
    let new = idp.token("jwt").await;
    assert_eq!(reads(&new).await.status, StatusCode::OK, "the new key is fetched when it is first seen");
    assert_eq!(reads(&old).await.status, StatusCode::OK, "the old one is still published");
    assert_eq!(idp.asked("/jwks").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_whose_key_is_no_longer_published_is_refused() {
    let mut idp = Idp::start().await;
    let old = idp.token("jwt").await;
    idp.rotate_alone().await;
    let (_house, caller) = idp.house(|_| {}).await;
    let reply = caller.with_token(&old).m3(READ).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::UNAUTHORIZED, "token-invalid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_good_token_is_told_where_to_learn_whose_are_taken() {
    let house = House::with(|settings| {
        // Nobody answers there; whose tokens are taken is known all the same.
        let mut foreign = Foreign::new("https://login.example.invalid", vec![AUDIENCE.to_owned()]);
        foreign.scopes = vec!["m3".to_owned()];
        settings.issuers.push(foreign);
    })
    .await;
    let about = format!("{}/.well-known/oauth-protected-resource", house.base);
    let word = format!("resource_metadata=\"{about}\"");
    let stranger = house.stranger();
    for path in [READ, "CRS610MI/ChgBasicData?CUNO=C00001", "MMS200MI/Nothing"] {
        let without = stranger.m3(path).await;
        let dpop = format!("DPoP realm=\"mi-gateway\", algs=\"ES256 ES384 EdDSA PS256 RS256\", {word}");
        assert_eq!(without.all("www-authenticate"), [format!("Bearer realm=\"mi-gateway\", {word}"), dpop]);
        let bad = stranger.clone().with_token("bad").m3(path).await;
        let said = bad.header("www-authenticate");
        assert!(said.contains("error=\"invalid_token\"") && said.ends_with(&word), "{said}");
    }
    let document = stranger.get("/.well-known/oauth-protected-resource").await;
    assert_eq!(document.status, StatusCode::OK);
    let told = document.json();
    assert_eq!(
        (&told["resource"], &told["bearer_methods_supported"]),
        (&house.base.as_str().into(), &json!(["header"]))
    );
    assert_eq!(told["authorization_servers"], json!([house.base, "https://login.example.invalid"]));
    assert_eq!(told["scopes_supported"], json!(["m3"]));
    let ready = house.operations("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.text().contains("https://login.example.invalid"), "{}", ready.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_the_scope_that_its_issuer_must_give_is_told_which() {
    let idp = Idp::start().await;
    let (house, caller) = idp
        .house(|settings| {
            settings.issuers.iter_mut().for_each(|issuer| issuer.scopes = vec!["items:write".to_owned()]);
        })
        .await;
    let reply = caller.clone().with_token(&idp.token("jwt").await).m3(READ).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "scope-missing"));
    let said = reply.header("www-authenticate");
    assert!(said.contains("error=\"insufficient_scope\"") && said.contains("scope=\"items:write\""), "{said}");
    let about = format!("resource_metadata=\"{}/.well-known/oauth-protected-resource\"", house.base);
    assert!(said.contains(&about), "{said}");
    assert_eq!(house.asked(), Vec::<String>::new());
    let more = idp.ask_token("jwt", &[("scope", "items:read items:write")]).await.json();
    let token = more["access_token"].as_str().expect("a token");
    assert_eq!(caller.with_token(token).m3(READ).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_turn_while_calls_run_and_no_call_notices() {
    let mut idp = Idp::start().await;
    let (_house, caller) = idp.house(|_| {}).await;
    for _ in 0..3 {
        let before = idp.token("jwt").await;
        idp.rotate().await;
        let after = idp.token("jwt").await;
        let turned = std::time::Instant::now();
        let calls = (0..20).map(|n| caller.clone().with_token(if n % 2 == 0 { &before } else { &after }));
        let calls = calls.map(|caller| async move {
            // Right after another rotation the new key is looked for again within a second.
            while caller.m3(READ).await.status != StatusCode::OK {
                assert!(turned.elapsed() < Duration::from_secs(1), "the new key was not seen in time");
            }
        });
        futures_util::future::join_all(calls).await;
    }
    assert!(idp.asked("/jwks").await <= 4, "one fetch at the start and one a rotation");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_is_asked_about_once_and_ends_when_its_issuer_ends_it() {
    let mut idp = Idp::start().await;
    let (house, caller) = idp
        .house(|settings| {
            for issuer in &mut settings.issuers {
                issuer.introspection =
                    Some(ForeignIntrospection { cap: Duration::from_secs(2), ..Idp::introspection() });
            }
        })
        .await;
    let (token, other) = (idp.token("opaque").await, idp.token("opaque").await);
    assert!(!token.contains('.'), "{token}");
    let reads = async |token: &str| caller.clone().with_token(token).m3(READ).await;
    let first = std::time::Instant::now();
    let all = futures_util::future::join_all((0..20).map(|_| reads(&token))).await;
    for reply in all {
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
    let asked = idp.asked("/token/introspection").await;
    assert!(asked == 1 || first.elapsed() > Duration::from_secs(2), "{asked} questions");
    idp.revoke("opaque", &token).await;
    let ended = std::time::Instant::now();
    while reads(&token).await.status == StatusCode::OK {
        assert!(ended.elapsed() < Duration::from_secs(4), "the cap is two seconds");
    }
    assert_eq!(reads(&token).await.problem(), "token-invalid");
    assert_eq!(reads(&other).await.status, StatusCode::OK, "the other lives");
    assert_eq!(reads("made-up").await.problem(), "token-invalid");
    assert_eq!(reads(&idp.token("jwt").await).await.status, StatusCode::OK, "signed ones are read here");
    assert!(house.operations("/metrics").await.text().contains("mi_gateway_introspections_total"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_is_refused_where_no_issuer_is_asked_or_none_answers() {
    let idp = Idp::start().await;
    let (_house, caller) = idp.house(|_| {}).await;
    let token = idp.token("opaque").await;
    assert_eq!(caller.with_token(&token).m3(READ).await.problem(), "token-invalid");
    let (_house, caller) = idp
        .house(|settings| {
            settings.issuers.iter_mut().for_each(|issuer| issuer.introspection = Some(Idp::introspection()))
        })
        .await;
    let reads = async |token: &str| caller.clone().with_token(token).m3(READ).await;
    assert_eq!(reads(&token).await.status, StatusCode::OK);
    let new = idp.token("opaque").await;
    drop(idp);
    assert_eq!(reads(&token).await.status, StatusCode::OK, "what is known is good for its time");
    let reply = reads(&new).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "issuer-unavailable"));
    assert!(!reply.header("retry-after").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_the_settings_let_in_decides_and_is_in_the_log() {
    let idp = Idp::start().await;
    let rules = tempfile::tempdir().expect("a folder");
    let rule = |plant: &str| {
        format!(
            "@id(\"plant\") permit (principal, action in Action::\"read\", resource) \
             when {{ context.claims has plants && context.claims.plants.contains(\"{plant}\") }};"
        )
    };
    let write = |plant: &str| std::fs::write(rules.path().join("a.cedar"), rule(plant)).expect("a file");
    write("se");
    let dir = rules.path().to_owned();
    let (house, caller) = idp
        .house(|settings| {
            settings.policies = dir;
            let claims = vec![("plants".to_owned(), ClaimKind::Set)];
            settings.issuers.iter_mut().for_each(|issuer| issuer.policy_claims.clone_from(&claims));
        })
        .await;
    let caller = caller.with_token(&idp.token("jwt").await);
    let reply = caller.m3(READ).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    write("nowhere");
    let refused = async {
        while caller.m3(READ).await.status != StatusCode::FORBIDDEN {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), refused).await.expect("the other rule is in force");
    let state = house.stop().await;
    let lines = std::fs::read_dir(state.path().join("audit")).expect("a log").flatten();
    let log: String = lines.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
    assert!(log.contains("\"claims\":{\"plants\":[\"se\""), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_works_in_the_companies_that_its_token_names_and_nowhere_else() {
    let idp = Idp::start().await;
    let (house, caller) = idp
        .house(|settings| {
            let company = |number| Company::new(number).expect("a company");
            let companies = [("se".to_owned(), company(100)), ("de".to_owned(), company(200))].into();
            let rule = CompanyRule { claim: "plants".to_owned(), companies };
            settings.issuers.iter_mut().for_each(|issuer| issuer.company = Some(rule.clone()));
        })
        .await;
    let caller = caller.with_token(&idp.token("jwt").await);
    assert_eq!(caller.m3(READ).await.status, StatusCode::OK);
    let asked = house.asked().len();
    for elsewhere in [format!("{READ}&cono=200"), format!("{READ}&CONO=200")] {
        let reply = caller.m3(&elsewhere).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{elsewhere}: {}", reply.text());
    }
    assert_eq!(house.asked().len(), asked);
}
