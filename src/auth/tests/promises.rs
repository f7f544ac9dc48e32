//! Every way in which a token may be wrong, one at a time.

use super::super::{Algorithm, Error, TypRule, Unfit, UnknownClients, well_formed};
use super::{House, NOW, claims, coded, with, without};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

#[tokio::test]
async fn a_good_token_is_its_clients() {
    let house = House::new();
    let principal = house.of_claims(&claims()).await.expect("a good token");
    assert_eq!(principal.client.to_string(), super::CLIENT);
    assert_eq!(&*principal.client.issuer, super::ISSUER);
    assert_eq!(principal.scopes.join(" "), "items:read items:write");
    assert_eq!(principal.groups.join(" "), "sales");
    assert_eq!(principal.standing.user.as_ref().map(|user| user.as_str()), Some("MIUSER"));
    assert_eq!(principal.tenant.as_ref().map(|tenant| tenant.as_str()), Some("DEMO_TST"));
    assert_eq!((principal.expires_at, &*principal.token_id), (NOW + 7200, "t1"));
}

#[tokio::test]
async fn a_token_without_a_required_claim_is_refused() {
    let house = House::new();
    for claim in ["iss", "aud", "sub", "client_id", "exp", "grant_id", "client_generation"] {
        let refused = house.of_claims(&without(claims(), claim)).await.expect_err(claim);
        assert_eq!(refused, Error::Missing(claim.into()));
        assert_eq!(refused.code(), "invalid_token");
    }
    for claim in ["iat", "nbf", "jti", "scope", "Tenant"] {
        assert!(house.of_claims(&without(claims(), claim)).await.is_ok(), "{claim}");
    }
}

#[tokio::test]
async fn a_claim_of_the_wrong_type_is_refused() {
    let house = House::new();
    let names = [
        "iss",
        "aud",
        "sub",
        "client_id",
        "exp",
        "iat",
        "nbf",
        "jti",
        "scope",
        "Tenant",
        "grant_id",
        "client_generation",
    ];
    for claim in names {
        for value in [Value::Null, json!(true), json!({}), json!(-1)] {
            let refused = house.of_claims(&with(claims(), claim, value.clone())).await;
            assert_eq!(refused.err(), Some(Error::ClaimType(claim.into())), "{claim}: {value}");
        }
        let other = if claims()[claim].is_string() { json!(7) } else { json!("7") };
        let refused = house.of_claims(&with(claims(), claim, other)).await;
        assert_eq!(refused.err(), Some(Error::ClaimType(claim.into())), "{claim}");
    }
    for aud in [json!([]), json!(["https://other"]), json!("https://gateway.example/")] {
        assert_eq!(house.of_claims(&with(claims(), "aud", aud)).await.err(), Some(Error::Audience));
    }
    let mixed = with(claims(), "aud", json!([super::ISSUER, 7]));
    assert_eq!(house.of_claims(&mixed).await.err(), Some(Error::ClaimType("aud".into())));
    assert!(house.of_claims(&with(claims(), "aud", json!(["https://other", super::ISSUER]))).await.is_ok());
}

#[tokio::test]
async fn ten_seconds_of_leeway_and_no_more() {
    let house = House::new();
    for (claim, value, expected) in [
        ("exp", NOW - 9, None),
        ("exp", NOW - 10, Some(Error::Expired)),
        ("exp", 0, Some(Error::Expired)),
        ("nbf", NOW + 10, None),
        ("nbf", NOW + 11, Some(Error::NotYetValid)),
        ("nbf", u64::MAX, Some(Error::NotYetValid)),
    ] {
        let given = house.of_claims(&with(claims(), claim, json!(value))).await;
        assert_eq!(given.err(), expected, "{claim} {value}");
    }
    assert!(house.of_claims(&with(claims(), "exp", json!(u64::MAX))).await.is_ok());
    assert!(house.of_claims(&with(claims(), "exp", json!(NOW as f64 + 0.5))).await.is_ok());
}

#[tokio::test]
async fn an_unsigned_or_shared_secret_token_is_refused() {
    let house = House::new();
    let nones = (0..16_u8).map(|upper| {
        let letter = |(at, c): (usize, char)| if upper >> at & 1 == 1 { c.to_ascii_uppercase() } else { c };
        "none".chars().enumerate().map(letter).collect::<String>()
    });
    let others = [
        "HS256", "hs256", "HS384", "HS512", "es256", "ES512", "ES256K", "RSA-OAEP", "dir", " none", "none\0", "ES256 ",
        "",
    ];
    for alg in nones.chain(others.map(str::to_owned)) {
        let header = with(house.signer.header(), "alg", json!(alg));
        assert_eq!(house.of_header(&header).await.err(), Some(Error::Algorithm), "{alg}");
    }
    let unsigned = format!("{}.{}.", coded(&json!({"alg": "none", "typ": "at+jwt"})), coded(&claims()));
    assert_eq!(house.says(&unsigned).await.err(), Some(Error::Malformed(Unfit::Parts)));
    // The public key, known to everybody, used as if it were a shared secret.
    let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": "k1"});
    let message = format!("{}.{}", coded(&header), coded(&claims()));
    let public = house.signer.jwk().to_string();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes()), message.as_bytes());
    let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
    assert_eq!(house.says(&forged).await.err(), Some(Error::Algorithm));
}

#[tokio::test]
async fn an_algorithm_that_the_issuer_does_not_use_is_refused() {
    let house = House::with_rules(|rules| super::IssuerRules { algorithms: vec![Algorithm::Rs256], ..rules });
    assert_eq!(house.of_claims(&claims()).await.err(), Some(Error::Algorithm));
    // The right name for the wrong kind of key finds no key.
    let header = json!({"alg": "RS256", "typ": "at+jwt", "kid": "k1"});
    assert_eq!(house.of_header(&header).await.err(), Some(Error::UnknownKey));
}

#[tokio::test]
async fn a_token_that_brings_its_own_key_is_refused() {
    let house = House::new();
    for name in ["jwk", "jku", "x5u", "x5c"] {
        let header = with(house.signer.header(), name, house.signer.jwk());
        assert_eq!(house.of_header(&header).await.err(), Some(Error::Malformed(Unfit::OwnKey)), "{name}");
    }
    for (name, value) in [("crit", json!(["exp"])), ("crit", json!([])), ("crit", Value::Null), ("b64", json!(false))] {
        let header = with(house.signer.header(), name, value);
        assert_eq!(house.of_header(&header).await.err(), Some(Error::Malformed(Unfit::Critical)), "{name}");
    }
}

#[tokio::test]
async fn another_kind_of_token_is_no_access_token() {
    let house = House::new();
    for typ in ["JWT", "rt+jwt", "at+jwt ", "", "application/jwt"] {
        let header = with(house.signer.header(), "typ", json!(typ));
        assert_eq!(house.of_header(&header).await.err(), Some(Error::Type), "{typ}");
    }
    assert_eq!(house.of_header(&without(house.signer.header(), "typ")).await.err(), Some(Error::Type));
    for typ in ["application/at+jwt", "AT+JWT"] {
        assert!(house.of_header(&with(house.signer.header(), "typ", json!(typ))).await.is_ok(), "{typ}");
    }
}

#[tokio::test]
async fn an_issuer_without_marks_may_leave_out_type_and_subject() {
    let house = House::with_rules(|rules| super::IssuerRules {
        typ: TypRule::Any,
        client_claim: Some("cid".into()),
        unknown_clients: UnknownClients::Bare,
        ..rules
    });
    let claims = with(without(without(claims(), "sub"), "client_id"), "cid", json!("somebody"));
    for header in [without(house.signer.header(), "typ"), with(house.signer.header(), "typ", json!("JWT"))] {
        let principal = house.says(&house.signer.token(&header, &claims)).await.expect("a good token");
        assert_eq!(principal.client.to_string(), "somebody");
        assert!(principal.standing.user.is_none() && principal.groups.is_empty());
    }
}

#[tokio::test]
async fn a_client_whose_name_would_look_like_another_or_command_a_terminal_is_refused() {
    let house = House::with_rules(|rules| super::IssuerRules { unknown_clients: UnknownClients::Bare, ..rules });
    let longest = "c".repeat(256);
    for (name, good) in [
        ("shop", true),
        ("büro@東京", true),
        (longest.as_str(), true),
        ("", false),
        ("\u{202e}pohs", false),
        ("sh\u{200b}op", false),
        ("shop\n", false),
        ("shop\u{1b}[2J", false),
        ("shop\u{9b}2J", false),
        ("a\u{2028}b", false),
        ("shop\u{feff}", false),
        (&"c".repeat(257), false),
    ] {
        let said = house.of_claims(&with(claims(), "client_id", json!(name))).await;
        assert_eq!(said.is_ok(), good, "{name:?}: {said:?}");
    }
}

#[tokio::test]
async fn azp_names_the_client_when_client_id_does_not() {
    let house = House::new();
    let claims = with(without(claims(), "client_id"), "azp", json!(super::CLIENT));
    assert!(house.of_claims(&claims).await.is_ok());
}

#[tokio::test]
async fn a_wrong_key_or_signature_is_refused() {
    let house = House::new();
    let stranger = super::Signer::new("k1");
    assert_eq!(house.says(&stranger.token(&stranger.header(), &claims())).await.err(), Some(Error::Signature));
    let unknown = super::Signer::new("k2");
    assert_eq!(house.says(&unknown.token(&unknown.header(), &claims())).await.err(), Some(Error::UnknownKey));
    let good = house.token(&claims());
    let (message, _) = good.rsplit_once('.').expect("three parts");
    for signature in ["AA", &"A".repeat(86), "AAAA====", "*"] {
        assert_eq!(house.says(&format!("{message}.{signature}")).await.err(), Some(Error::Signature), "{signature}");
    }
    let other = with(claims(), "iss", json!("https://other.example"));
    assert_eq!(house.of_claims(&other).await.err(), Some(Error::Issuer));
}

#[tokio::test]
async fn a_changed_claim_breaks_the_signature() {
    let house = House::new();
    let good = house.token(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let more = coded(&with(claims(), "scope", json!("everything")));
    assert_eq!(house.says(&format!("{}.{more}.{}", parts[0], parts[2])).await.err(), Some(Error::Signature));
}

#[tokio::test]
async fn a_claim_that_stands_twice_is_refused_even_when_signed() {
    let house = House::new();
    let text = claims().to_string();
    let twice = format!(r#"{},"sub":"{}"}}"#, &text[..text.len() - 1], super::CLIENT);
    let message = format!("{}.{}", coded(&house.signer.header()), URL_SAFE_NO_PAD.encode(twice));
    assert_eq!(house.says(&house.signer.sign(&message)).await.err(), Some(Error::Malformed(Unfit::Json)));
    let header = r#"{"alg":"ES256","typ":"at+jwt","kid":"k1","kid":"k1"}"#;
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), coded(&claims()));
    assert_eq!(house.says(&house.signer.sign(&message)).await.err(), Some(Error::Malformed(Unfit::Json)));
}

#[tokio::test]
async fn what_stands_twice_inside_a_claim_or_a_header_is_refused_too() {
    let house = House::new();
    let text = claims().to_string();
    let more = |member: &str| format!(r#"{},{member}}}"#, &text[..text.len() - 1]);
    let thumb = "A".repeat(43);
    for member in [
        format!(r#""cnf":{{"jkt":"{thumb}","jkt":"{thumb}"}}"#),
        r#""act":{"sub":"a","sub":"b"}"#.to_owned(),
        r#""deep":[[{"a":{"b":1,"b":1}}]]"#.to_owned(),
        r#""escaped":{"sub":1,"s\u0075b":1}"#.to_owned(),
    ] {
        let message = format!("{}.{}", coded(&house.signer.header()), URL_SAFE_NO_PAD.encode(more(&member)));
        let said = house.says(&house.signer.sign(&message)).await;
        assert_eq!(said.err(), Some(Error::Malformed(Unfit::Json)), "{member}");
    }
    let header = r#"{"alg":"ES256","typ":"at+jwt","kid":"k1","more":{"a":1,"a":1}}"#;
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), coded(&claims()));
    assert_eq!(house.says(&house.signer.sign(&message)).await.err(), Some(Error::Malformed(Unfit::Json)));
    // The same names in two objects are two names; numbers and texts of every kind are none of our business.
    let message = more(r#""a":{"b":1},"c":[{"b":-1.5e3},null,true,18446744073709551615,-9,"\ud83d\ude00"]"#);
    let message = format!("{}.{}", coded(&house.signer.header()), URL_SAFE_NO_PAD.encode(message));
    assert!(house.says(&house.signer.sign(&message)).await.is_ok());
}

#[tokio::test]
async fn a_token_that_says_it_holds_another_is_refused_though_its_issuer_signed_it() {
    let house = House::new();
    for cty in [json!("JWT"), json!("jwt"), json!("application/at+JWT"), json!(7), Value::Null, json!(["JWT"])] {
        let header = with(house.signer.header(), "cty", cty.clone());
        assert_eq!(house.of_header(&header).await.err(), Some(Error::Malformed(Unfit::Nested)), "{cty}");
        // With a token inside indeed.
        let nested = format!("{}.{}", coded(&header), URL_SAFE_NO_PAD.encode(house.token(&claims())));
        assert!(matches!(house.says(&house.signer.sign(&nested)).await, Err(Error::Malformed(_))), "{cty}");
    }
    let encrypted = json!({"alg": "dir", "enc": "A256GCM", "cty": "JWT"});
    let five = format!("{}..{}.{}.{}", coded(&encrypted), "A".repeat(16), "A".repeat(64), "A".repeat(22));
    assert_eq!(house.says(&five).await.err(), Some(Error::Malformed(Unfit::Parts)));
    assert!(
        house.of_header(&with(house.signer.header(), "cty", json!("json"))).await.is_ok(),
        "says nothing of a token"
    );
}

#[tokio::test]
async fn an_id_token_is_no_access_token_of_an_issuer_that_marks_neither() {
    let house = House::with_rules(|rules| super::IssuerRules { typ: TypRule::Any, ..rules });
    for header in [without(house.signer.header(), "typ"), with(house.signer.header(), "typ", json!("JWT"))] {
        for name in ["at_hash", "c_hash", "s_hash", "events"] {
            let told = with(claims(), name, json!("x"));
            assert_eq!(house.says(&house.signer.token(&header, &told)).await.err(), Some(Error::Type), "{name}");
        }
        // What an ID token is for is the client, and that is not this house.
        let told = with(claims(), "aud", json!(super::CLIENT));
        assert_eq!(house.says(&house.signer.token(&header, &told)).await.err(), Some(Error::Audience));
        assert!(house.says(&house.signer.token(&header, &claims())).await.is_ok());
    }
}

#[tokio::test]
async fn a_huge_token_is_not_looked_at() {
    let house = House::new();
    let huge = house.token(&with(claims(), "scope", json!("x".repeat(8 * 1024))));
    let refused = house.says(&huge).await.expect_err("too large");
    assert_eq!((refused.clone(), refused.code()), (Error::TooLarge, "invalid_request"));
    assert_eq!(house.cache("miss"), 0);
}

#[tokio::test]
async fn an_unusual_key_id_is_refused() {
    let house = House::new();
    #[rustfmt::skip]
    let unusual = [
        "", "a b", "a\n", "a\r\nb", "\u{1b}[2J", "a\0", "../../etc'--\"", "..\\..\\win.ini", "' OR 1=1 --", "k1;drop", "|id", "$(id)", "`id`",
        "%2e%2e", "é", "\u{202e}1k", "\u{2028}", "<k1>", "k1\"", "k1,", &"k".repeat(257), &"k".repeat(5_000),
    ];
    for kid in unusual {
        let header = with(house.signer.header(), "kid", json!(kid));
        assert_eq!(house.of_header(&header).await.err(), Some(Error::Malformed(Unfit::KeyId)), "{kid:?}");
    }
    let header = with(house.signer.header(), "kid", json!(1));
    assert_eq!(house.of_header(&header).await.err(), Some(Error::Malformed(Unfit::Json)));
    // Only one key fits, so a token need not name it.
    assert!(house.of_header(&without(house.signer.header(), "kid")).await.is_ok());
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let house = House::new();
    for text in ["", ".", "..", "...", "a.b.c", "a.b", "e30.e30.AA", "e30.W10.AA", "a.b.c.d.e", "e30=.e30.AA"] {
        let refused = house.says(text).await;
        assert!(matches!(refused, Err(Error::Malformed(_) | Error::Algorithm)), "{text:?}: {refused:?}");
    }
}

proptest! {
    #[test]
    fn no_text_is_too_strange_to_be_looked_at(text in ".{0,200}", parts in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
        well_formed(&text);
        well_formed(&parts);
    }
}
