//! A proof of possession taken apart and held against one request (RFC 9449, 4.3), one check after the other.
//!
//! The key that signed it comes along with it: that it is the key of somebody we know is for whoever asked to see.
//! Invariant: nothing in it counts before its signature does; who shows a private key proves nothing with it.
//! Does not know: whether it was used before, or whose it is.

use super::algorithm::Algorithm;
use super::binding::{Thumbprint, same};
use super::cache::{Digest, TokenCache};
use super::error::Unfit;
use super::keys::Key;
use super::nonce::Nonces;
use super::parse::{Apart, Object};
use super::target::Target;
use super::unproven::Unproven;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

const TYP: &str = "dpop+jwt";
/// The longest proof that is looked at; one with an RSA key of 8192 bits fits in.
const MOST: usize = 4 * 1024;
/// An id of its sender's choice, of which a hash is remembered.
const MOST_ID: usize = 256;
/// Seconds that the clock of whoever makes proofs may be ahead of ours.
pub(super) const AHEAD: u64 = 10;
/// What makes a JWK a private one, or a shared secret.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/// Header members that name a key besides `jwk`.
const OTHER_KEY: [&str; 3] = ["jku", "x5u", "x5c"];

pub(super) const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Ps256, Algorithm::Rs256];

/// What a proof must be for.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a Target,
    /// Of the access token beside it; `None` where there is none yet.
    pub(super) token: Option<&'a Digest>,
    /// Where a nonce of ours must be in it.
    pub(super) nonces: Option<&'a Nonces>,
    /// Seconds that a proof is of its time.
    pub(super) lives: u64,
    pub(super) now: u64,
}

/// A key whose holder sent this very request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    pub(super) key: Thumbprint,
    /// Of the key and the id of its proof.
    pub(super) id: [u8; 16],
}

impl Proven {
    /// The key's thumbprint (RFC 7638), as `cnf` says it.
    pub fn jkt(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.key)
    }

    /// Whether it is the key of this thumbprint. In constant time.
    pub fn is_of(&self, jkt: &str) -> bool {
        let told = URL_SAFE_NO_PAD.decode(jkt).ok().and_then(|bytes| Thumbprint::try_from(bytes).ok());
        told.is_some_and(|told| same(&told, &self.key))
    }
}

/// For fuzzing and for nothing else: whether a text has the form of a proof. Says nothing about its truth.
pub fn proof_well_formed(text: &str) -> bool {
    Unproved::parse(text).is_ok_and(|proof| proof.claims().is_ok_and(|claims| Target::parse(claims.target).is_some()))
}

pub(super) fn check(text: &str, asked: &Asked<'_>) -> Result<Proven, Unproven> {
    let proof = Unproved::parse(text)?;
    proof.signed()?;
    let claims = proof.claims()?;
    if claims.method != asked.method {
        return Err(Unproven::Method);
    }
    if Target::parse(claims.target).as_ref() != Some(asked.target) {
        return Err(Unproven::Target);
    }
    if let Some(token) = asked.token {
        let told = claims.token.ok_or(Unproven::Claim("ath"))?;
        let told = URL_SAFE_NO_PAD.decode(told).ok().and_then(|bytes| Digest::try_from(bytes).ok());
        if !told.is_some_and(|told| same(&told, token)) {
            return Err(Unproven::Token);
        }
    }
    // Before the time: who has to make another one anyhow is told of the nonce first.
    if asked.nonces.is_some_and(|nonces| !claims.nonce.is_some_and(|nonce| nonces.good(nonce, asked.now))) {
        return Err(Unproven::Nonce);
    }
    let oldest = asked.now.saturating_sub(asked.lives);
    if !(oldest..=asked.now.saturating_add(AHEAD)).contains(&claims.issued) {
        return Err(Unproven::Time);
    }
    let key = proof.key.thumbprint();
    let mut told = key.to_vec();
    told.extend_from_slice(claims.id.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&TokenCache::digest_of(&told)[..16]);
    Ok(Proven { key, id })
}

/// A proof as it came.
struct Unproved<'a> {
    apart: Apart<'a>,
    algorithm: Algorithm,
    key: Key,
}

struct Claims<'a> {
    method: &'a str,
    target: &'a str,
    issued: u64,
    id: &'a str,
    token: Option<&'a str>,
    nonce: Option<&'a str>,
}

impl<'a> Unproved<'a> {
    fn parse(text: &'a str) -> Result<Self, Unproven> {
        if text.len() > MOST {
            return Err(Unproven::TooLarge);
        }
        let apart = Apart::of(text).map_err(Unproven::Malformed)?;
        let header = &apart.header;
        if OTHER_KEY.iter().any(|name| header.has(name)) {
            return Err(Unproven::Malformed(Unfit::OwnKey));
        }
        if header.member("typ").and_then(Value::as_str) != Some(TYP) {
            return Err(Unproven::Type);
        }
        let algorithm = header.member("alg").and_then(Value::as_str).and_then(Algorithm::parse);
        let algorithm = algorithm.filter(|named| ALGORITHMS.contains(named)).ok_or(Unproven::Algorithm)?;
        let jwk = header.member("jwk").and_then(Value::as_object).ok_or(Unproven::Key)?;
        if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
            return Err(Unproven::PrivateKey);
        }
        let key = Key::of(Value::Object(jwk.clone())).filter(|key| key.serves(algorithm)).ok_or(Unproven::Key)?;
        Ok(Self { apart, algorithm, key })
    }

    fn signed(&self) -> Result<(), Unproven> {
        let (message, signature) = (self.apart.message.as_bytes(), self.apart.signature);
        let named = self.algorithm.named();
        let good = jsonwebtoken::crypto::verify(signature, message, &self.key.decoding, named).unwrap_or(false);
        if good { Ok(()) } else { Err(Unproven::Signature) }
    }

    fn claims(&self) -> Result<Claims<'_>, Unproven> {
        let claims = &self.apart.payload;
        let id = required(claims, "jti")?;
        if id.is_empty() || id.len() > MOST_ID {
            return Err(Unproven::Claim("jti"));
        }
        Ok(Claims {
            method: required(claims, "htm")?,
            target: required(claims, "htu")?,
            issued: time(claims).ok_or(Unproven::Claim("iat"))?,
            id,
            token: text(claims, "ath")?,
            nonce: text(claims, "nonce")?,
        })
    }
}

fn text<'a>(claims: &'a Object, name: &'static str) -> Result<Option<&'a str>, Unproven> {
    match claims.member(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Unproven::Claim(name)),
    }
}

fn required<'a>(claims: &'a Object, name: &'static str) -> Result<&'a str, Unproven> {
    text(claims, name)?.ok_or(Unproven::Claim(name))
}

/// Seconds since 1970; a fraction is allowed by the standard and says nothing here.
fn time(claims: &Object) -> Option<u64> {
    let value = claims.member("iat")?;
    value.as_u64().or_else(|| value.as_f64().filter(|at| (0.0..1e15).contains(at)).map(|at| at as u64))
}
