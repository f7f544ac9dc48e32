//! Proofs of possession (RFC 9449) for whoever tries a call out: made with a key in a file, for one request each.

use super::client_auth::{Signer, signer};
use super::failure::Failure;
use crate::store::write_private;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Header;
use jsonwebtoken::jwk::Jwk;
use rcgen::KeyPair;
use serde_json::json;
use std::path::Path;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The key of a file; one that is not there yet is made.
pub(super) struct Prover {
    signer: Signer,
    jwk: Jwk,
    /// It was made just now.
    pub(super) new: bool,
}

impl Prover {
    pub(super) fn of(key: &Path) -> Result<Self, Failure> {
        let wrong = |why: &dyn std::fmt::Display| Failure::begin(format!("--dpop-key {}: {why}", key.display()));
        let new = !key.exists();
        if new {
            let made = KeyPair::generate().map_err(|error| wrong(&error))?;
            let pem = Zeroizing::new(made.serialize_pem());
            write_private(key, pem.as_bytes()).map_err(|error| wrong(&error))?;
        }
        let signer = signer(key, "--dpop-key")?;
        let mut jwk = Jwk::from_encoding_key(&signer.key, signer.algorithm).map_err(|error| wrong(&error))?;
        // The header says how it is signed; the key is the key however it signs.
        jwk.common.key_algorithm = None;
        Ok(Self { signer, jwk, new })
    }

    /// For this method and URL, and with the token beside it where there is one.
    pub(super) fn proof(
        &self,
        method: &str,
        url: &str,
        token: Option<&str>,
        nonce: Option<&str>,
        now: u64,
    ) -> Result<String, Failure> {
        let target = url.split(['?', '#']).next().unwrap_or_default();
        let mut claims = json!({ "jti": Uuid::new_v4().to_string(), "htm": method, "htu": target, "iat": now });
        if let Some(token) = token {
            claims["ath"] = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())).into();
        }
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        let header = Header {
            typ: Some("dpop+jwt".to_owned()),
            jwk: Some(self.jwk.clone()),
            ..Header::new(self.signer.algorithm)
        };
        jsonwebtoken::encode(&header, &claims, &self.signer.key)
            .map_err(|error| Failure::begin(format!("the proof can't be made: {error}")))
    }
}
