//! A client that proves itself by a signed word of its own (RFC 7523, `private_key_jwt`).
//!
//! The same parser as for tokens, so the same things are refused before any key is looked at: shared-key and absent
//! signatures, keys and places of keys that come along, critical extensions, repeated names, sizes.
//! Invariant: good for a few minutes at most and for one use, which whoever asks must see to.
//! Does not know: clients, or whether this one was used before.

use super::claims::{required, text, time};
use super::client_keys::ClientKeys;
use super::error::Error;
use super::parse::Unverified;
use serde_json::Value;

/// How far ahead its end may be.
const LONGEST: u64 = 300;
/// By which clocks may differ.
const LEEWAY: u64 = 10;
const MOST_ID: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAssertion {
    #[error("the client assertion can't be read: {0}")]
    Form(Error),
    #[error("the client assertion's type is not that of one")]
    Type,
    #[error("the client assertion must name the client as its iss and as its sub")]
    Parties,
    #[error("the client assertion's signature is wrong, or not of a key that is registered for the client")]
    Signature,
    #[error("the client assertion is for another audience; name the issuer or its token endpoint, and nobody else")]
    Audience,
    #[error("the client assertion has expired")]
    Expired,
    #[error("the client assertion's exp is more than {LONGEST} s ahead")]
    TooLong,
    #[error("the client assertion is not valid yet; does the client's clock run ahead?")]
    NotYet,
    #[error("the client assertion needs a jti of 1 to {MOST_ID} bytes")]
    Id,
    #[error("the client assertion was used before; make one for each request")]
    Used,
}

/// One as it came. Only [`Self::proves`] makes it more than a claim.
#[derive(Debug)]
pub struct Assertion<'a> {
    token: Unverified<'a>,
    client: Box<str>,
}

/// What makes an assertion one of a kind, and until when that must be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    pub id: Box<str>,
    pub until: u64,
}

impl<'a> Assertion<'a> {
    pub fn parse(text: &'a str) -> Result<Self, BadAssertion> {
        let token = Unverified::parse(text).map_err(BadAssertion::Form)?;
        let typ = token.typ.as_deref();
        if typ.is_some_and(|typ| !["jwt", "client-authentication+jwt"].contains(&typ.to_ascii_lowercase().as_str())) {
            return Err(BadAssertion::Type);
        }
        let claims = &token.claims;
        let of = |name| required(claims, name).map_err(BadAssertion::Form);
        let (issuer, subject) = (of("iss")?, of("sub")?);
        if issuer != subject || issuer.is_empty() || issuer.len() > 256 {
            return Err(BadAssertion::Parties);
        }
        let client = issuer.into();
        Ok(Self { token, client })
    }

    /// Who it says it is of.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Whether it is of one of these keys, for one of these audiences and for this moment.
    pub fn proves(&self, keys: &ClientKeys, audiences: &[String], now: u64) -> Result<Once, BadAssertion> {
        self.signed(keys)?;
        let claims = &self.token.claims;
        let ours = |given: &Value| given.as_str().is_some_and(|given| audiences.iter().any(|ours| ours == given));
        // Nobody else among them: one that is good elsewhere, too, might be brought here by whoever it was sent to.
        let fits = match claims.member("aud") {
            Some(Value::Array(many)) => !many.is_empty() && many.iter().all(ours),
            Some(one) => ours(one),
            None => false,
        };
        if !fits {
            return Err(BadAssertion::Audience);
        }
        let at = |name| time(claims, name).map_err(BadAssertion::Form);
        let expires = at("exp")?.ok_or_else(|| BadAssertion::Form(Error::Missing("exp".into())))?;
        if now >= expires.saturating_add(LEEWAY) {
            return Err(BadAssertion::Expired);
        }
        if expires > now.saturating_add(LONGEST + LEEWAY) {
            return Err(BadAssertion::TooLong);
        }
        if [at("nbf")?, at("iat")?].into_iter().flatten().any(|from| from > now.saturating_add(LEEWAY)) {
            return Err(BadAssertion::NotYet);
        }
        let id = text(claims, "jti").map_err(BadAssertion::Form)?.unwrap_or_default();
        if id.is_empty() || id.len() > MOST_ID {
            return Err(BadAssertion::Id);
        }
        Ok(Once { id: id.into(), until: expires.saturating_add(LEEWAY) })
    }

    fn signed(&self, keys: &ClientKeys) -> Result<(), BadAssertion> {
        let token = &self.token;
        let named = token.algorithm.named();
        let good = keys.set().registered(token.kid.as_deref(), token.algorithm).any(|key| {
            let (signature, message) = (token.signature, token.message.as_bytes());
            jsonwebtoken::crypto::verify(signature, message, &key.decoding, named).unwrap_or(false)
        });
        if good { Ok(()) } else { Err(BadAssertion::Signature) }
    }
}
