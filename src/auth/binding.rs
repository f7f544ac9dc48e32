//! What a token is bound to besides its text (`cnf`, RFC 7800), and whether that was shown.
//!
//! Invariant: a token that is bound to something is worth nothing without it, and what is not known here is refused.
//! Does not know: how a proof of a key is checked, only whose key it must be.

use super::error::Error;
use super::parse::Object;
use super::presented::{Presented, Scheme};
use super::rules::RequireBound;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use subtle::ConstantTimeEq;

/// SHA-256 of a certificate (RFC 8705) or of a public key (RFC 7638).
pub(super) type Thumbprint = [u8; 32];

/// Neither, one of the two, or both, of which each must be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Binding {
    pub(super) certificate: Option<Thumbprint>,
    pub(super) key: Option<Thumbprint>,
}

impl Binding {
    pub(super) fn read(claims: &Object) -> Result<Self, Error> {
        let Some(confirmation) = claims.member("cnf") else { return Ok(Self::default()) };
        let members = confirmation.as_object().filter(|members| !members.is_empty()).ok_or(Error::Binding)?;
        let mut binding = Self::default();
        for (name, value) in members {
            let place = match name.as_str() {
                "x5t#S256" => &mut binding.certificate,
                "jkt" => &mut binding.key,
                _ => return Err(Error::Binding),
            };
            *place = Some(thumbprint(value)?);
        }
        Ok(binding)
    }

    /// What must be there is there; what it is bound to besides does no harm.
    pub(super) fn satisfies(&self, required: RequireBound) -> Result<(), Error> {
        let (key, certificate) = (self.key.is_some(), self.certificate.is_some());
        match required {
            RequireBound::Anything if !key && !certificate => Err(Error::Unbound("a key or a certificate")),
            RequireBound::Key if !key => Err(Error::Unbound("a key (DPoP)")),
            RequireBound::Certificate if !certificate => Err(Error::Unbound("a certificate")),
            _ => Ok(()),
        }
    }

    /// The certificate is this connection's, and the scheme says whether a proof comes along.
    pub(super) fn fits(&self, with: &Presented<'_>) -> Result<(), Error> {
        if let Some(bound) = &self.certificate {
            let shown = with.certificate.as_ref().ok_or(Error::Certificate)?;
            if !same(bound, shown) {
                return Err(Error::Certificate);
            }
        }
        match (self.key.is_some(), with.scheme) {
            (true, Scheme::Bearer) => Err(Error::KeyBound),
            (false, Scheme::Dpop) => Err(Error::NotKeyBound),
            (true, Scheme::Dpop) | (false, Scheme::Bearer) => Ok(()),
        }
    }
}

/// In constant time.
pub(super) fn same(one: &Thumbprint, other: &Thumbprint) -> bool {
    one.ct_eq(other).into()
}

fn thumbprint(value: &Value) -> Result<Thumbprint, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(value.as_str().ok_or(Error::Binding)?).map_err(|_| Error::Binding)?;
    bytes.try_into().map_err(|_| Error::Binding)
}
