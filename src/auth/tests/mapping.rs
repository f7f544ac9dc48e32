//! What an issuer's settings make of its claims: scopes, audiences, tenants, companies, clocks.

use super::super::{CompanyRule, Error, IssuerRules, UnknownClients};
use super::{House, NOW, claims, with, without};
use crate::model::{ClaimKind, Company, TenantId};
use serde_json::json;

fn foreign(change: impl FnOnce(&mut IssuerRules)) -> House {
    House::with_rules(|mut rules| {
        rules.unknown_clients = UnknownClients::Bare;
        change(&mut rules);
        rules
    })
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("a tenant of the test")
}

fn company(number: u16) -> Company {
    Company::new(number).expect("a company of the test")
}

#[tokio::test]
async fn every_scope_that_the_issuer_must_give_is_needed() {
    let house = foreign(|rules| rules.scopes = vec!["items:read".into(), "m3".into()]);
    let refused = house.of_claims(&claims()).await.expect_err("m3 is lacking");
    assert_eq!(
        (refused.clone(), refused.code(), refused.lacks()),
        (Error::Scope("m3".into()), "insufficient_scope", Some("m3"))
    );
    assert!(house.of_claims(&without(claims(), "scope")).await.is_err());
    assert!(house.of_claims(&with(claims(), "scope", json!("m3 items:reader"))).await.is_err(), "whole words");
    assert!(house.of_claims(&with(claims(), "scope", json!("m3 items:read"))).await.is_ok());
}

#[tokio::test]
async fn any_of_the_audiences_will_do() {
    let house = foreign(|rules| rules.audiences = vec!["one".into(), "two".into()]);
    for (aud, good) in [("one", true), ("two", true), (super::ISSUER, false)] {
        assert_eq!(house.of_claims(&with(claims(), "aud", json!(aud))).await.is_ok(), good, "{aud}");
    }
}

#[tokio::test]
async fn a_tenant_is_what_the_settings_make_of_the_claim() {
    let own = with(claims(), "client_id", json!("other"));
    let house = foreign(|rules| {
        rules.tenant_claim = "tid".into();
        rules.tenants = [("0f-77".to_owned(), tenant("DEMO_TST"))].into();
    });
    let of = async |tid| house.of_claims(&with(own.clone(), "tid", tid)).await.map(|who| who.tenant.clone());
    assert_eq!(of(json!("0f-77")).await, Ok(Some(tenant("DEMO_TST"))));
    // The name of a tenant is not a value of the claim, and what is not told is not guessed.
    for tid in ["DEMO_TST", "0f-78", ""] {
        assert_eq!(of(json!(tid)).await, Err(Error::ClaimType("tid".into())), "{tid}");
    }
    assert_eq!(house.of_claims(&own).await.expect("good").tenant, None, "and that is no tenant's path");
    let fixed = foreign(|rules| rules.tenant = Some(tenant("MINE")));
    assert_eq!(fixed.of_claims(&own).await.expect("good").tenant, Some(tenant("MINE")));
}

#[tokio::test]
async fn a_client_is_bound_to_the_companies_that_its_token_names() {
    let own = with(claims(), "client_id", json!("other"));
    let rule = |companies: &[(&str, u16)]| CompanyRule {
        claim: "plants".into(),
        companies: companies.iter().map(|(value, number)| ((*value).to_owned(), company(*number))).collect(),
    };
    let numbers = foreign(|rules| rules.company = Some(rule(&[])));
    let named = foreign(|rules| rules.company = Some(rule(&[("se", 100), ("de", 200)])));
    for (house, value, companies, usual) in [
        (&numbers, json!(100), Some(vec![100]), Some(100)),
        (&numbers, json!(["100", 200]), Some(vec![100, 200]), None),
        (&numbers, json!([]), None, None),
        (&numbers, json!("0"), None, None),
        (&numbers, json!([100, null]), None, None),
        (&named, json!("de"), Some(vec![200]), Some(200)),
        (&named, json!(["se", "de"]), Some(vec![100, 200]), None),
        (&named, json!(["se", "fr"]), None, None),
        (&named, json!("100"), None, None),
    ] {
        let said = house.of_claims(&with(own.clone(), "plants", value.clone())).await;
        let Some(companies) = companies else {
            assert_eq!(said.err(), Some(Error::ClaimType("plants".into())), "{value}");
            continue;
        };
        let standing = said.unwrap_or_else(|error| panic!("{value}: {error}")).standing.clone();
        assert_eq!(standing.companies, companies.into_iter().map(company).collect::<Vec<_>>(), "{value}");
        assert_eq!(standing.company, usual.map(company), "{value}");
    }
    assert_eq!(numbers.of_claims(&own).await.err(), Some(Error::Missing("plants".into())), "unbound is not all");
}

#[tokio::test]
async fn rules_see_the_claims_that_the_settings_name_and_no_other() {
    let own = with(with(claims(), "client_id", json!("other")), "email", json!("a@b"));
    let house = foreign(|rules| {
        rules.policy_claims = vec![("department".into(), ClaimKind::Text), ("roles".into(), ClaimKind::Set)];
    });
    assert!(house.of_claims(&own).await.expect("good").claims.is_empty(), "absent is not empty");
    for (claim, value, texts) in [
        ("department", json!("sales"), Some(vec!["sales"])),
        ("department", json!(["sales"]), None),
        ("department", json!(7), None),
        ("department", json!("x".repeat(257)), None),
        ("roles", json!(["a", "b"]), Some(vec!["a", "b"])),
        ("roles", json!("a"), Some(vec!["a"])),
        ("roles", json!([]), Some(vec![])),
        ("roles", json!(["a", 1]), None),
        ("roles", json!(vec!["a"; 257]), None),
        ("roles", json!({ "a": true }), None),
    ] {
        let said = house.of_claims(&with(own.clone(), claim, value.clone())).await;
        let Some(texts) = texts else {
            assert_eq!(said.err(), Some(Error::ClaimType(claim.into())), "{value}");
            continue;
        };
        let who = said.unwrap_or_else(|error| panic!("{value}: {error}"));
        let seen: Vec<_> = who.claims.iter().map(|seen| (&*seen.name, seen.texts())).collect();
        let texts: Vec<Box<str>> = texts.into_iter().map(Into::into).collect();
        assert_eq!(seen, [(claim, &texts[..])], "{value}");
        assert!(!format!("{who:?}").contains("sales"), "a person's things are not printed");
    }
}

#[tokio::test]
async fn clocks_may_differ_as_far_as_the_settings_say() {
    for (leeway, good) in [(0, false), (30, true)] {
        let house = foreign(|rules| rules.leeway = leeway);
        let late = with(claims(), "exp", json!(NOW - 20));
        assert_eq!(house.of_claims(&late).await.is_ok(), good, "{leeway}");
    }
}
