//! Proofs of possession (RFC 9449): every check of section 4.3 by itself, and what holds between two requests.

use super::super::{
    Directory, Error, IssuerRules, KeySet, Keys, Presented, ProofSettings, Proofs, RequireBound, Scheme, Shown, Unfit,
    Unproven, Verifier,
};
use super::{ClientFacts, House, ISSUER, NOW, Signer, claims, coded, facts, set, with, without};
use crate::model::{ClientId, TenantId};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

const PATH: &str = "/m3api-rest/execute/CRS610MI/Get;cono=100";

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

/// Somebody with a key of their own, who makes proofs with it.
struct Prover(Signer);

impl Prover {
    fn new() -> Self {
        Self(Signer::new("proof"))
    }

    /// RFC 7638, by another road than the one under test.
    fn jkt(&self) -> String {
        let jwk = self.0.jwk();
        hash(&json!({"crv": jwk["crv"], "kty": jwk["kty"], "x": jwk["x"], "y": jwk["y"]}).to_string())
    }

    fn header(&self) -> Value {
        json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.0.jwk()})
    }

    fn claims(token: &str) -> Value {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = format!("proof-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        json!({"jti": id, "htm": "GET", "htu": format!("{ISSUER}{PATH}"), "iat": NOW, "ath": hash(token)})
    }

    fn proof(&self, token: &str) -> String {
        self.0.token(&self.header(), &Self::claims(token))
    }

    fn token(&self, house: &House) -> String {
        house.token(&with(claims(), "cnf", json!({"jkt": self.jkt()})))
    }
}

fn shown(proof: &str) -> Presented<'_> {
    Presented {
        scheme: Scheme::Dpop,
        certificate: None,
        proof: Shown::One(proof),
        peer: None,
        method: "GET",
        path: PATH,
    }
}

async fn says(house: &House, token: &str, with: &Presented<'_>) -> Option<Error> {
    house.verifier.verify(token, with, NOW).await.err()
}

#[tokio::test]
async fn a_proof_of_the_tokens_key_for_this_request_is_taken() {
    let (house, prover) = (House::new(), Prover::new());
    let token = prover.token(&house);
    let principal = house.verifier.verify(&token, &shown(&prover.proof(&token)), NOW).await.expect("a good proof");
    assert_eq!(principal.client.to_string(), super::CLIENT);
    let spellings = [
        "https://GATEWAY.example:443/m3api-rest/execute/CRS610MI/Get;cono=100",
        "https://gateway.example/m3api-rest/execute/%43RS610MI/Get;cono=100?CUNO=1#top",
    ];
    for htu in spellings {
        let proof = prover.0.token(&prover.header(), &with(Prover::claims(&token), "htu", json!(htu)));
        assert_eq!(says(&house, &token, &shown(&proof)).await, None, "{htu}");
    }
    // What is at the edge of its time is of it.
    for at in [NOW - 60, NOW + 10] {
        let proof = prover.0.token(&prover.header(), &with(Prover::claims(&token), "iat", json!(at)));
        assert_eq!(says(&house, &token, &shown(&proof)).await, None, "{at}");
    }
}

/// Section 4.3, in its order. Every proof here is good but for one thing, and properly signed where the thing is another.
#[expect(clippy::too_many_lines, reason = "it is a table")]
#[tokio::test]
async fn every_check_of_the_rfc_refuses_by_itself() {
    let (house, prover) = (House::new(), Prover::new());
    let token = prover.token(&house);
    let (header, told) = (prover.header(), || Prover::claims(&token));
    let signed = |header: Value| prover.0.token(&header, &told());
    let saying = |name: &str, value: Value| prover.0.token(&header, &with(told(), name, value));
    let lacking = |name: &str| prover.0.token(&header, &without(told(), name));
    let jwk = |name: &str, value: &str| signed(with(header.clone(), "jwk", with(prover.0.jwk(), name, json!(value))));
    let twice = |text: String| format!(r#"{},"typ":"dpop+jwt"}}"#, &text[..text.len() - 1]);
    let good = signed(header.clone());
    let other = Prover::new();
    let cases = [
        // 2: well-formed.
        ("", Unproven::Malformed(Unfit::Parts), String::new()),
        ("two parts", Unproven::Malformed(Unfit::Parts), "a.b".into()),
        ("unsigned", Unproven::Malformed(Unfit::Parts), format!("{}.", good.rsplit_once('.').expect("three").0)),
        ("two in one", Unproven::Malformed(Unfit::Parts), format!("{good},{good}")),
        ("crit", Unproven::Malformed(Unfit::Critical), signed(with(header.clone(), "crit", json!(["exp"])))),
        ("a name twice", Unproven::Malformed(Unfit::Json), {
            let header = URL_SAFE_NO_PAD.encode(twice(header.to_string()));
            prover.0.sign(&format!("{header}.{}", coded(&told())))
        }),
        ("jku", Unproven::Malformed(Unfit::OwnKey), signed(with(header.clone(), "jku", json!("https://evil.example")))),
        ("huge", Unproven::TooLarge, saying("more", json!("x".repeat(4_096)))),
        // 3: all claims, each of its type.
        ("no jti", Unproven::Claim("jti"), lacking("jti")),
        ("no htm", Unproven::Claim("htm"), lacking("htm")),
        ("no htu", Unproven::Claim("htu"), lacking("htu")),
        ("no iat", Unproven::Claim("iat"), lacking("iat")),
        ("no ath", Unproven::Claim("ath"), lacking("ath")),
        ("jti is a number", Unproven::Claim("jti"), saying("jti", json!(7))),
        ("jti is empty", Unproven::Claim("jti"), saying("jti", json!(""))),
        ("jti is long", Unproven::Claim("jti"), saying("jti", json!("j".repeat(257)))),
        ("iat is a text", Unproven::Claim("iat"), saying("iat", json!("now"))),
        ("iat is below nothing", Unproven::Claim("iat"), saying("iat", json!(-1))),
        ("ath is a list", Unproven::Claim("ath"), saying("ath", json!([]))),
        ("nonce is a number", Unproven::Claim("nonce"), saying("nonce", json!(7))),
        // 4: typ.
        ("no typ", Unproven::Type, signed(without(header.clone(), "typ"))),
        ("typ JWT", Unproven::Type, signed(with(header.clone(), "typ", json!("JWT")))),
        ("an access token", Unproven::Type, token.clone()),
        // 5: an asymmetric algorithm that is taken here.
        ("none", Unproven::Algorithm, signed(with(header.clone(), "alg", json!("none")))),
        ("ES512", Unproven::Algorithm, signed(with(header.clone(), "alg", json!("ES512")))),
        ("RS512", Unproven::Algorithm, signed(with(header.clone(), "alg", json!("RS512")))),
        ("no alg", Unproven::Algorithm, signed(without(header.clone(), "alg"))),
        ("HS256 with the public key", Unproven::Algorithm, {
            let message = format!("{}.{}", coded(&with(header.clone(), "alg", json!("HS256"))), coded(&told()));
            let key = hmac::Key::new(hmac::HMAC_SHA256, prover.0.jwk().to_string().as_bytes());
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
        }),
        // 6: the signature is that of the jwk.
        ("another's key", Unproven::Signature, signed(with(header.clone(), "jwk", other.0.jwk()))),
        ("changed", Unproven::Signature, {
            let parts: Vec<&str> = good.split('.').collect();
            format!("{}.{}.{}", parts[0], coded(&told()), parts[2])
        }),
        ("no key", Unproven::Key, signed(without(header.clone(), "jwk"))),
        ("a key's text", Unproven::Key, signed(with(header.clone(), "jwk", json!(prover.0.jwk().to_string())))),
        ("a key of another kind", Unproven::Key, signed(with(header.clone(), "alg", json!("RS256")))),
        ("a key for another algorithm", Unproven::Key, jwk("alg", "ES384")),
        ("half a key", Unproven::Key, { signed(with(header.clone(), "jwk", without(prover.0.jwk(), "y"))) }),
        // 7: nothing private.
        ("d", Unproven::PrivateKey, jwk("d", "AAAA")),
        ("k", Unproven::PrivateKey, jwk("k", "AAAA")),
        ("a prime", Unproven::PrivateKey, jwk("p", "AAAA")),
        // 8 and 9: method and address.
        ("another method", Unproven::Method, saying("htm", json!("POST"))),
        ("a method in small letters", Unproven::Method, saying("htm", json!("get"))),
        ("another path", Unproven::Target, saying("htu", json!(format!("{ISSUER}/m3api-rest/execute/CRS610MI/Add")))),
        ("another company", Unproven::Target, saying("htu", json!(format!("{ISSUER}{}", PATH.replace("100", "200"))))),
        ("another host", Unproven::Target, saying("htu", json!(format!("https://other.example{PATH}")))),
        ("another scheme", Unproven::Target, saying("htu", json!(format!("http://gateway.example{PATH}")))),
        ("another port", Unproven::Target, saying("htu", json!(format!("{ISSUER}:8443{PATH}")))),
        ("a path alone", Unproven::Target, saying("htu", json!(PATH))),
        // 11: its time.
        ("old", Unproven::Time, saying("iat", json!(NOW - 61))),
        ("of the future", Unproven::Time, saying("iat", json!(NOW + 11))),
        ("of the end of time", Unproven::Time, saying("iat", json!(u64::MAX))),
        // 12: this token and its key.
        ("another token's", Unproven::Token, saying("ath", json!(hash("another")))),
        ("no hash at all", Unproven::Token, saying("ath", json!("AAAA"))),
        ("another key's", Unproven::OtherKey, other.proof(&token)),
    ];
    for (what, refused, proof) in cases {
        assert_eq!(says(&house, &token, &shown(&proof)).await, Some(Error::Proof(refused)), "{what}");
        assert_eq!(Error::Proof(refused).code(), "invalid_dpop_proof");
    }
    // 1: one header.
    for (proof, refused) in [(Shown::None, Unproven::Missing), (Shown::Many, Unproven::Many)] {
        let with = Presented { proof, ..shown("") };
        assert_eq!(says(&house, &token, &with).await, Some(Error::Proof(refused)));
    }
    // None of them has spent anything, and the one that is good still is.
    assert_eq!(says(&house, &token, &shown(&good)).await, None);
}

#[tokio::test]
async fn every_algorithm_that_is_named_is_taken_with_a_key_of_its_kind() {
    let (house, random) = (House::new(), SystemRandom::new());
    let ec = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key");
    let ed = Ed25519KeyPair::generate().expect("a key");
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let rsa_signs = |padding: &'static dyn RsaEncoding, message: &[u8]| {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(padding, &random, message, &mut signature).expect("signs");
        signature
    };
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = ec.public_key().as_ref()[1..].split_at(48);
    let components: RsaPublicKeyComponents<Vec<u8>> = rsa.public_key().into();
    let rsa_jwk = json!({"e": text(&components.e), "kty": "RSA", "n": text(&components.n)});
    type Signs<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>;
    // The members of each key in the order of their names, so that their text is what a thumbprint is of.
    let signers: [(&str, Value, Signs<'_>); 4] = [
        (
            "ES384",
            json!({"crv": "P-384", "kty": "EC", "x": text(x), "y": text(y)}),
            Box::new(|message| ec.sign(&random, message).expect("signs").as_ref().to_vec()),
        ),
        (
            "EdDSA",
            json!({"crv": "Ed25519", "kty": "OKP", "x": text(ed.public_key().as_ref())}),
            Box::new(|message| ed.sign(message).as_ref().to_vec()),
        ),
        ("PS256", rsa_jwk.clone(), Box::new(|message| rsa_signs(&RSA_PSS_SHA256, message))),
        ("RS256", rsa_jwk, Box::new(|message| rsa_signs(&RSA_PKCS1_SHA256, message))),
    ];
    for (alg, jwk, signs) in &signers {
        let token = house.token(&with(claims(), "cnf", json!({"jkt": hash(&jwk.to_string())})));
        let header = json!({"typ": "dpop+jwt", "alg": alg, "jwk": jwk});
        let message = format!("{}.{}", coded(&header), coded(&Prover::claims(&token)));
        let proof = format!("{message}.{}", text(&signs(message.as_bytes())));
        assert_eq!(says(&house, &token, &shown(&proof)).await, None, "{alg}");
        let forged = format!("{message}.{}", text(&signs(b"something else")));
        assert_eq!(says(&house, &token, &shown(&forged)).await, Some(Error::Proof(Unproven::Signature)), "{alg}");
    }
}

#[tokio::test]
async fn a_proof_is_taken_once() {
    let (house, prover) = (House::new(), Prover::new());
    let token = prover.token(&house);
    let proof = prover.proof(&token);
    assert_eq!(says(&house, &token, &shown(&proof)).await, None);
    assert_eq!(says(&house, &token, &shown(&proof)).await, Some(Error::Proof(Unproven::Replayed)));
    // The same id signed once more is the same proof, for whatever it is.
    let id: Value = json!("chosen");
    let again = |more: &str| {
        let claims = with(with(Prover::claims(&token), "jti", id.clone()), "more", json!(more));
        prover.0.token(&prover.header(), &claims)
    };
    assert_eq!(says(&house, &token, &shown(&again("a"))).await, None);
    assert_eq!(says(&house, &token, &shown(&again("b"))).await, Some(Error::Proof(Unproven::Replayed)));
    // Of another key it is another proof.
    let other = Prover::new();
    let theirs = other.token(&house);
    let claims = with(Prover::claims(&theirs), "jti", id);
    assert_eq!(says(&house, &theirs, &shown(&other.0.token(&other.header(), &claims))).await, None);
}

#[tokio::test]
async fn a_remembered_token_is_asked_for_its_proof_every_time() {
    let (house, prover, thief) = (House::new(), Prover::new(), Prover::new());
    let token = prover.token(&house);
    assert_eq!(says(&house, &token, &shown(&prover.proof(&token))).await, None);
    assert_eq!(says(&house, &token, &shown(&thief.proof(&token))).await, Some(Error::Proof(Unproven::OtherKey)));
    assert_eq!(says(&house, &token, &Presented::BEARER).await, Some(Error::KeyBound));
    let beside = Presented { scheme: Scheme::Bearer, ..shown("") };
    assert_eq!(says(&house, &token, &beside).await, Some(Error::KeyBound));
    assert_eq!((house.cache("miss"), house.cache("hit")), (1, 3));
    // Nor does a proof make anything of a token that is bound to nothing.
    let bare = house.token(&claims());
    assert_eq!(says(&house, &bare, &shown(&prover.proof(&bare))).await, Some(Error::NotKeyBound));
    assert_eq!(says(&house, &bare, &Presented::BEARER).await, None);
}

#[tokio::test]
async fn a_proof_for_one_tenants_token_opens_nothing_of_anothers() {
    let house = House::new();
    let client = |tenant: &str| ClientFacts { tenant: TenantId::parse(tenant).ok(), ..facts() };
    let known = [("DEMO_TST~abc", "DEMO_TST"), ("OTHER_TST~abc", "OTHER_TST")];
    let clients = known.map(|(id, tenant)| (id.into(), client(tenant)));
    house.directory.replace(ISSUER, HashMap::from(clients), HashSet::new());
    let provers = [Prover::new(), Prover::new()];
    let token = |at: usize| {
        let (id, tenant) = known[at];
        let own = with(with(with(claims(), "client_id", json!(id)), "sub", json!(id)), "Tenant", json!(tenant));
        house.token(&with(own, "cnf", json!({"jkt": provers[at].jkt()})))
    };
    let tokens = [token(0), token(1)];
    for (at, own) in provers.iter().enumerate() {
        let (mine, theirs) = (&tokens[at], &tokens[1 - at]);
        let principal = house.verifier.verify(mine, &shown(&own.proof(mine)), NOW).await.expect("its own");
        assert_eq!(principal.tenant.as_ref().map(TenantId::as_str), Some(known[at].1));
        let refused = says(&house, theirs, &shown(&own.proof(mine))).await;
        assert_eq!(refused, Some(Error::Proof(Unproven::Token)));
        assert_eq!(says(&house, theirs, &shown(&own.proof(theirs))).await, Some(Error::Proof(Unproven::OtherKey)));
    }
}

/// A house whose proofs are looked at by these settings.
fn house_with(settings: ProofSettings) -> House {
    let mut house = House::new();
    let (keys, metrics) = (Keys::new(), Metrics::new());
    keys.replace(KeySet::parse(set(&[&house.signer]).as_bytes()).expect("a key set"));
    let rules = IssuerRules { require_bound: RequireBound::Key, ..IssuerRules::local(ISSUER, keys) };
    let proofs = Proofs::new(ISSUER, settings, &[1; 32], &metrics);
    let directory: Directory = house.directory.clone();
    house.verifier =
        Verifier::new(ISSUER, vec![rules], directory, proofs, &metrics, &Tasks::new()).expect("nothing is fetched");
    house
}

#[tokio::test]
async fn a_nonce_that_is_asked_for_is_ours_and_fresh() {
    let house = house_with(ProofSettings { require_nonce: true, ..ProofSettings::default() });
    let prover = Prover::new();
    let token = prover.token(&house);
    let with_nonce = |nonce: &str, iat: u64| {
        let claims = with(with(Prover::claims(&token), "nonce", json!(nonce)), "iat", json!(iat));
        prover.0.token(&prover.header(), &claims)
    };
    let nonce = house.verifier.nonce(NOW).expect("it is asked for");
    for (what, proof) in [
        ("none", prover.proof(&token)),
        ("made up", with_nonce("made-up", NOW)),
        ("empty", with_nonce("", NOW)),
        ("over", with_nonce(&house.verifier.nonce(NOW - 600).expect("one"), NOW)),
        ("none, and old: the nonce is told first", with_nonce("", NOW - 3_600)),
    ] {
        let refused = says(&house, &token, &shown(&proof)).await.expect(what);
        assert_eq!((refused.clone(), refused.code()), (Error::Proof(Unproven::Nonce), "use_dpop_nonce"), "{what}");
    }
    assert_eq!(says(&house, &token, &shown(&with_nonce(&nonce, NOW))).await, None);
    let last = house.verifier.nonce(NOW - 300).expect("one");
    assert_eq!(says(&house, &token, &shown(&with_nonce(&last, NOW))).await, None, "the one before is good as well");
    assert_eq!(House::new().verifier.nonce(NOW), None);
}

#[tokio::test]
async fn who_sends_more_proofs_than_are_remembered_is_refused_and_not_forgotten() {
    let house = house_with(ProofSettings { most: 8, ..ProofSettings::default() });
    let prover = Prover::new();
    let token = prover.token(&house);
    let first = prover.proof(&token);
    assert_eq!(says(&house, &token, &shown(&first)).await, None);
    let mut taken = 1;
    let full = loop {
        match says(&house, &token, &shown(&prover.proof(&token))).await {
            None => taken += 1,
            Some(refused) => break refused,
        }
    };
    assert_eq!((taken, full.clone()), (4, Error::Proof(Unproven::Full)));
    assert_eq!(full.blame(), super::super::Blame::Gateway);
    assert_eq!(says(&house, &token, &shown(&first)).await, Some(Error::Proof(Unproven::Replayed)));
    // When its own are over, it may go on.
    let later = with(Prover::claims(&token), "iat", json!(NOW + 71));
    let proof = prover.0.token(&prover.header(), &later);
    assert!(house.verifier.verify(&token, &shown(&proof), NOW + 71).await.is_ok());
}

#[tokio::test]
async fn an_issuer_held_to_proofs_gives_no_bearer_tokens() {
    let house = house_with(ProofSettings::default());
    assert_eq!(house.of_claims(&claims()).await.err(), Some(Error::Unbound("a key (DPoP)")));
    let metadata = house.verifier.resource().metadata();
    assert_eq!(metadata["dpop_bound_access_tokens_required"], json!(true));
    assert_eq!(metadata["dpop_signing_alg_values_supported"], json!(["ES256", "ES384", "EdDSA", "PS256", "RS256"]));
    assert!(House::new().verifier.resource().metadata().get("dpop_bound_access_tokens_required").is_none());
}

/// The figures of the RFC itself: a proof that somebody else made.
#[test]
fn the_rfcs_own_proof_is_good() {
    super::install_crypto();
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    let proofs = Proofs::new("https://server.example.com", ProofSettings::default(), &[1; 32], &Metrics::new());
    let who = ClientId { issuer: ISSUER.into(), id: "somebody".into() };
    let proven = proofs.at_issuer(Shown::One(proof), "/token", &who, 1_562_262_620).expect("the RFC's own");
    assert_eq!(proven.jkt(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert!(proven.is_of("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I") && !proven.is_of("0ZcOCORZNYy"));
    assert_eq!(proofs.at_issuer(Shown::One(proof), "/token", &who, 1_562_262_620), Err(Unproven::Replayed));
}

proptest! {
    #[test]
    fn no_text_is_too_strange_for_a_proof(text in ".{0,200}", parts in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
        super::super::proof_well_formed(&text);
        super::super::proof_well_formed(&parts);
    }
}
