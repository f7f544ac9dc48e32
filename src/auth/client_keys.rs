//! The public keys that a client registers to prove itself by: a JWK, a JWKS, or PEM.
//!
//! Invariant: every key that was given is one that can be used; a private one is never taken, so it is never kept.
//! Does not know: clients, or where the text came from.

use super::keys::KeySet;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

const MOST_TEXT: usize = 64 * 1024;
const MOST: usize = 8;
/// What of a JWK is kept.
const PUBLIC: [&str; 9] = ["kty", "kid", "alg", "use", "crv", "x", "y", "n", "e"];

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadClientKeys {
    #[error("it is neither a JWK, a JWKS nor a public key or certificate in PEM")]
    Form,
    #[error("it holds a private or a shared key; give the public half alone")]
    Private,
    #[error("it holds no key, or more than {MOST}")]
    Count,
    #[error("a key of it can't be used: give RSA keys of 2048 to 8192 bits, P-256, P-384 or Ed25519, for signatures")]
    Kind,
}

#[derive(Debug, Clone)]
pub struct ClientKeys {
    document: Arc<str>,
    set: KeySet,
}

impl PartialEq for ClientKeys {
    fn eq(&self, other: &Self) -> bool {
        self.document == other.document
    }
}

impl Eq for ClientKeys {}

impl ClientKeys {
    pub fn parse(text: &[u8]) -> Result<Self, BadClientKeys> {
        if text.len() > MOST_TEXT {
            return Err(BadClientKeys::Form);
        }
        let given = match serde_json::from_slice(text) {
            Ok(Value::Object(object)) => of_json(object)?,
            Ok(_) => return Err(BadClientKeys::Form),
            Err(_) => vec![of_pem(text)?],
        };
        if given.is_empty() || given.len() > MOST {
            return Err(BadClientKeys::Count);
        }
        let (count, document) = (given.len(), json!({"keys": given}).to_string());
        let set = KeySet::parse(document.as_bytes()).map_err(|_| BadClientKeys::Form)?;
        // What a lenient reader leaves out would be missed only when its owner calls.
        if set.len() != count {
            return Err(BadClientKeys::Kind);
        }
        Ok(Self { document: document.into(), set })
    }

    /// A JWKS of the public keys, which reads as the same keys again.
    pub fn document(&self) -> &str {
        &self.document
    }

    pub(super) fn set(&self) -> &KeySet {
        &self.set
    }
}

fn of_json(mut object: Map<String, Value>) -> Result<Vec<Value>, BadClientKeys> {
    let keys = match object.remove("keys") {
        Some(Value::Array(keys)) => keys,
        Some(_) => return Err(BadClientKeys::Form),
        None if object.contains_key("kty") => vec![Value::Object(object)],
        None => return Err(BadClientKeys::Form),
    };
    keys.into_iter()
        .map(|key| {
            let Value::Object(members) = key else { return Err(BadClientKeys::Form) };
            if ["d", "p", "q", "k"].iter().any(|private| members.contains_key(*private)) {
                return Err(BadClientKeys::Private);
            }
            let kept = members.into_iter().filter(|(name, _)| PUBLIC.contains(&name.as_str()));
            Ok(Value::Object(kept.collect()))
        })
        .collect()
}

fn of_pem(text: &[u8]) -> Result<Value, BadClientKeys> {
    if text.windows(11).any(|window| window == b"PRIVATE KEY") {
        return Err(BadClientKeys::Private);
    }
    if let Ok(key) = SubjectPublicKeyInfoDer::from_pem_slice(text) {
        let (_, read) = SubjectPublicKeyInfo::from_der(&key).map_err(|_| BadClientKeys::Form)?;
        return jwk(&read);
    }
    let certificate = CertificateDer::from_pem_slice(text).map_err(|_| BadClientKeys::Form)?;
    let (_, read) = X509Certificate::from_der(&certificate).map_err(|_| BadClientKeys::Form)?;
    jwk(read.public_key())
}

fn jwk(key: &SubjectPublicKeyInfo<'_>) -> Result<Value, BadClientKeys> {
    let number = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        URL_SAFE_NO_PAD.encode(&bytes[zeros..])
    };
    let algorithm = key.algorithm.algorithm.to_id_string();
    let curve = key.algorithm.parameters.as_ref().and_then(|named| named.as_oid().ok()).map(|oid| oid.to_id_string());
    match (algorithm.as_str(), curve.as_deref(), key.parsed()) {
        (_, _, Ok(PublicKey::RSA(rsa))) => {
            Ok(json!({"kty": "RSA", "n": number(rsa.modulus), "e": number(rsa.exponent)}))
        }
        (_, Some("1.2.840.10045.3.1.7"), Ok(PublicKey::EC(point))) => on_curve("P-256", 32, point.data()),
        (_, Some("1.3.132.0.34"), Ok(PublicKey::EC(point))) => on_curve("P-384", 48, point.data()),
        ("1.3.101.112", ..) => {
            let x = URL_SAFE_NO_PAD.encode(&key.subject_public_key.data);
            Ok(json!({"kty": "OKP", "crv": "Ed25519", "x": x}))
        }
        _ => Err(BadClientKeys::Kind),
    }
}

/// Both coordinates in full, behind the mark of a point that is not compressed.
fn on_curve(curve: &str, length: usize, point: &[u8]) -> Result<Value, BadClientKeys> {
    match point.split_first() {
        Some((4, both)) if both.len() == 2 * length => {
            let (x, y) = both.split_at(length);
            Ok(json!({"kty": "EC", "crv": curve, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)}))
        }
        _ => Err(BadClientKeys::Kind),
    }
}
