//! Signing what we say, and reading back what we said.
//!
//! Access tokens are those of RFC 9068. Refresh tokens have a type of their own, so that neither passes as the other.
//! Does not know: whether somebody may have a token.

use super::error::Error;
use super::signing::SigningKey;
use crate::model::ClientCertificate;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use subtle::ConstantTimeEq;

const ACCESS: &str = "at+jwt";
const REFRESH: &str = "rt+jwt";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Access,
    Refresh,
}

/// The claims of both kinds, in the order in which they are written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) aud: String,
    pub(super) sub: String,
    pub(super) client_id: String,
    pub(super) iat: u64,
    pub(super) exp: u64,
    pub(super) jti: String,
    pub(super) scope: String,
    #[serde(rename = "Tenant")]
    pub(super) tenant: String,
    /// The family. The name is that of Infor's newer tokens.
    pub(super) grant_id: String,
    pub(super) client_generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cnf: Option<Confirmation>,
}

impl Claims {
    /// No other token is of its family.
    pub(super) fn is_alone(&self) -> bool {
        self.jti == self.grant_id
    }
}

/// What a token is bound to besides its text: each must be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirmation {
    /// The thumbprint of a key of which each use brings a proof (RFC 9449).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jkt: Option<String>,
    /// The thumbprint of the certificate that each connection must be made with (RFC 8705, 3.1).
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
}

impl Confirmation {
    /// `None`: anybody's who has its text.
    pub(super) fn of(key: Option<String>, certificate: Option<&ClientCertificate>) -> Option<Self> {
        let certificate = certificate.map(thumbprint);
        (key.is_some() || certificate.is_some()).then_some(Self { jkt: key, certificate })
    }

    pub(super) fn names_certificate(&self) -> bool {
        self.certificate.is_some()
    }

    /// Whether the certificate is the one that is named, if any is. In constant time.
    pub(super) fn fits(&self, shown: Option<&ClientCertificate>) -> bool {
        self.certificate
            .as_ref()
            .is_none_or(|bound| shown.is_some_and(|shown| thumbprint(shown).as_bytes().ct_eq(bound.as_bytes()).into()))
    }
}

fn thumbprint(certificate: &ClientCertificate) -> String {
    URL_SAFE_NO_PAD.encode(certificate.thumbprint)
}

#[derive(Deserialize)]
struct Header {
    typ: String,
    kid: String,
}

/// In base64, with room to spare.
const LONGEST_SIGNATURE: usize = 1_024;

pub(super) fn sign(key: &SigningKey, kind: Kind, claims: &Claims) -> Result<String, Error> {
    let typ = match kind {
        Kind::Access => ACCESS,
        Kind::Refresh => REFRESH,
    };
    let header = json!({"alg": key.algorithm.as_str(), "typ": typ, "kid": key.kid});
    let claims = serde_json::to_vec(claims).map_err(|_| Error::Key)?;
    // Grown never: what is left behind by growing is wiped by nobody.
    let mut token = String::with_capacity(2 * (header.to_string().len() + claims.len()) + LONGEST_SIGNATURE);
    URL_SAFE_NO_PAD.encode_string(header.to_string(), &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// What we said in a token of ours, expired or not; `None` if we never said it.
pub(super) fn read(keys: &[Arc<SigningKey>], token: &str) -> Option<(Kind, Claims)> {
    let (message, signature) = token.rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let header: Header = serde_json::from_slice(&part(header)?).ok()?;
    // The key decides the algorithm; what the header says about it is not asked.
    let key = keys.iter().find(|key| key.kid == header.kid)?;
    if !key.signed(message.as_bytes(), &part(signature)?) {
        return None;
    }
    let kind = match header.typ.as_str() {
        ACCESS => Kind::Access,
        REFRESH => Kind::Refresh,
        _ => return None,
    };
    Some((kind, serde_json::from_slice(&part(payload)?).ok()?))
}
