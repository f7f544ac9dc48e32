//! The words of these tests: a signer that says whatever it is told to, and a house that trusts it.

mod bound;
mod discovery;
mod known;
mod mapping;
mod opaque;
mod promises;
mod proofs;
mod remote;
mod signatures;
mod wycheproof;

use super::{
    ClientFacts, Directory, Error, IssuerRules, KeySet, Keys, Presented, ProofSettings, Proofs, Verifier,
    install_crypto,
};
use crate::model::{M3User, Principal, Standing, TenantId};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub(super) const ISSUER: &str = "https://gateway.example";
pub(super) const CLIENT: &str = "DEMO_TST~abc";
pub(super) const NOW: u64 = 1_800_000_000;

pub(super) fn coded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A P-256 key: quick to make.
pub(super) struct Signer {
    pair: EcdsaKeyPair,
    pub(super) kid: String,
}

impl Signer {
    pub(super) fn new(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self { pair, kid: kid.to_owned() }
    }

    pub(super) fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({"kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig", "alg": "ES256", "x": x, "y": y})
    }

    pub(super) fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "at+jwt", "kid": self.kid})
    }

    pub(super) fn token(&self, header: &Value, claims: &Value) -> String {
        self.sign(&format!("{}.{}", coded(header), coded(claims)))
    }

    pub(super) fn sign(&self, message: &str) -> String {
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).expect("signs");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

pub(super) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": ISSUER, "sub": CLIENT, "client_id": CLIENT, "iat": NOW, "nbf": NOW, "exp": NOW + 7200,
        "jti": "t1", "scope": "items:read items:write", "Tenant": "DEMO_TST", "grant_id": "f1", "client_generation": 1,
    })
}

pub(super) fn with(mut value: Value, name: &str, member: Value) -> Value {
    value[name] = member;
    value
}

pub(super) fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().expect("an object").shift_remove(name).expect("the member was there");
    value
}

pub(super) fn set(signers: &[&Signer]) -> String {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}).to_string()
}

pub(super) fn facts() -> ClientFacts {
    ClientFacts {
        groups: Arc::new(["sales".into()]),
        standing: Arc::new(Standing { user: M3User::parse("MIUSER").ok(), ..Standing::default() }),
        tenant: TenantId::parse("DEMO_TST").ok(),
        generation: 1,
        revoked: false,
    }
}

/// What looks at proofs, as the settings have it by default.
pub(super) fn proofs() -> Proofs {
    Proofs::new(ISSUER, ProofSettings::default(), &[1; 32], &Metrics::new())
}

/// A verifier that trusts one local issuer with one key and one client.
pub(super) struct House {
    pub(super) signer: Signer,
    pub(super) keys: Keys,
    pub(super) directory: Directory,
    pub(super) verifier: Verifier,
    pub(super) metrics: Metrics,
}

impl House {
    pub(super) fn new() -> Self {
        Self::with_rules(|rules| rules)
    }

    pub(super) fn with_rules(change: impl FnOnce(IssuerRules) -> IssuerRules) -> Self {
        install_crypto();
        let (signer, keys, directory, metrics) = (Signer::new("k1"), Keys::new(), Directory::new(), Metrics::new());
        keys.replace(KeySet::parse(set(&[&signer]).as_bytes()).expect("a key set"));
        let rules = change(IssuerRules::local(ISSUER, keys.clone()));
        let verifier =
            Verifier::new("https://gateway.example", vec![rules], directory.clone(), proofs(), &metrics, &Tasks::new())
                .expect("nothing is fetched");
        let house = Self { signer, keys, directory, verifier, metrics };
        house.knows(facts(), &[]);
        house
    }

    pub(super) fn knows(&self, facts: ClientFacts, ended: &[&str]) {
        let ended: HashSet<Box<str>> = ended.iter().map(|family| (*family).into()).collect();
        self.directory.replace(ISSUER, HashMap::from([(CLIENT.into(), facts)]), ended);
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        self.signer.token(&self.signer.header(), claims)
    }

    pub(super) async fn says(&self, token: &str) -> Result<Arc<Principal>, Error> {
        self.verifier.verify(token, &Presented::BEARER, NOW).await
    }

    pub(super) async fn of_claims(&self, claims: &Value) -> Result<Arc<Principal>, Error> {
        self.says(&self.token(claims)).await
    }

    pub(super) async fn of_header(&self, header: &Value) -> Result<Arc<Principal>, Error> {
        self.says(&self.signer.token(header, &claims())).await
    }

    pub(super) fn cache(&self, result: &str) -> u64 {
        self.metrics.token_cache.with_label_values(&[result]).get()
    }
}
