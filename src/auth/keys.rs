//! The public keys of one issuer, as its key set document gives them, swapped whole.
//!
//! Invariant: a key serves only the algorithms of its kind, and only its own when it names one; the epoch moves
//! whenever the keys do, and not otherwise.
//! Does not know: where the document came from.

use super::algorithm::{Algorithm, KeyKind};
use super::cache::TokenCache;
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;

/// More keys than an issuer has; what a hostile document holds beyond is not read.
const MOST: usize = 64;

#[derive(Debug, thiserror::Error)]
#[error("this is not a key set document: {0}")]
pub struct BadKeySet(#[from] serde_json::Error);

/// The keys of one document. Keys of unknown kinds are left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Clone)]
pub(super) struct Key {
    kid: Option<Box<str>>,
    kind: KeyKind,
    algorithm: Option<Algorithm>,
    /// The numbers of the key as the document has them: two keys with the same are the same.
    material: [String; 2],
    pub(super) decoding: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (&self.kid, self.kind, self.algorithm, &self.material)
            == (&other.kid, other.kind, other.algorithm, &other.material)
    }
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a JWKS document (RFC 7517). One bad key doesn't cost the others.
    pub fn parse(document: &[u8]) -> Result<Self, BadKeySet> {
        let raw: RawSet = serde_json::from_slice(document)?;
        // Read from the text: a key of which a member stands twice is left out.
        let key = |jwk: &RawValue| Key::parse(serde_json::from_str(jwk.get()).ok()?);
        let keys = raw.keys.iter().take(MOST).filter_map(|jwk| key(jwk));
        Ok(Self { keys: keys.collect() })
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that may have signed: those of that id, or the only fitting one for a token that names none.
    pub(super) fn fitting<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a Key> + 'a {
        let fits = move |key: &&Key| key.serves(algorithm) && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid));
        // Several keys under one id are tried in turn, but not without end.
        let most = if kid.is_some() { 4 } else { 1 };
        let count = self.keys.iter().filter(fits).count();
        self.keys.iter().filter(fits).take(if kid.is_none() && count > most { 0 } else { most })
    }

    /// The keys that may have signed, of a set that one client has registered: there, a key without an id fits any id.
    pub(super) fn registered(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| {
            key.kind == algorithm.kind()
                && key.algorithm.is_none_or(|own| own == algorithm)
                && kid.is_none_or(|kid| key.kid.as_deref().is_none_or(|own| own == kid))
        })
    }
}

impl Key {
    /// Reads one JWK. `None`: it is of no kind that is known, or not whole.
    pub(super) fn of(jwk: Value) -> Option<Self> {
        Self::parse(serde_json::from_value(jwk).ok()?)
    }

    pub(super) fn serves(&self, algorithm: Algorithm) -> bool {
        self.kind == algorithm.kind() && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// RFC 7638: of the members that every such key has, in the order of their names.
    pub(super) fn thumbprint(&self) -> [u8; 32] {
        let [one, other] = &self.material;
        // What could not stand in a JSON text as it is has not been read as a key.
        let text = match self.kind {
            KeyKind::Rsa => format!(r#"{{"e":"{other}","kty":"RSA","n":"{one}"}}"#),
            KeyKind::P256 => format!(r#"{{"crv":"P-256","kty":"EC","x":"{one}","y":"{other}"}}"#),
            KeyKind::P384 => format!(r#"{{"crv":"P-384","kty":"EC","x":"{one}","y":"{other}"}}"#),
            KeyKind::Ed25519 => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{one}"}}"#),
        };
        TokenCache::digest_of(text.as_bytes())
    }

    fn parse(raw: RawKey) -> Option<Self> {
        if raw.r#use.is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let (kind, material, decoding) = match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (raw.n?, raw.e?);
                // 2048 to 8192 bits; a longer one would only cost time.
                if !(256..=1024).contains(&URL_SAFE_NO_PAD.decode(&n).ok()?.len()) {
                    return None;
                }
                if !is_exponent(&URL_SAFE_NO_PAD.decode(&e).ok()?) {
                    return None;
                }
                let decoding = DecodingKey::from_rsa_components(&n, &e).ok()?;
                (KeyKind::Rsa, [n, e], decoding)
            }
            ("EC", Some(curve @ ("P-256" | "P-384"))) => {
                let (x, y) = (raw.x?, raw.y?);
                let decoding = DecodingKey::from_ec_components(&x, &y).ok()?;
                (if curve == "P-256" { KeyKind::P256 } else { KeyKind::P384 }, [x, y], decoding)
            }
            ("OKP", Some("Ed25519")) => {
                let x = raw.x?;
                if is_small(&URL_SAFE_NO_PAD.decode(&x).ok()?) {
                    return None;
                }
                let decoding = DecodingKey::from_ed_components(&x).ok()?;
                (KeyKind::Ed25519, [x, String::new()], decoding)
            }
            _ => return None,
        };
        let algorithm = match raw.alg {
            None => None,
            // A key for an algorithm that isn't trusted serves no other either.
            Some(name) => Some(Algorithm::parse(&name).filter(|algorithm| algorithm.kind() == kind)?),
        };
        Some(Self { kid: raw.kid.map(Into::into), kind, algorithm, material, decoding })
    }
}

/// Odd, and not 1, with which a message is its own signature.
fn is_exponent(bytes: &[u8]) -> bool {
    let significant = bytes.iter().skip_while(|byte| **byte == 0);
    significant.clone().last().is_some_and(|last| last % 2 == 1) && !significant.eq(&[1])
}

/// The points of Ed25519 whose order is 8 or less, the sign of x left out: anybody can sign for most of them.
const SMALL: [[u8; 32]; 7] = [
    [0; 32],
    framed(1, 0, 0),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    framed(0xec, 0xff, 0x7f),
    framed(0xed, 0xff, 0x7f),
    framed(0xee, 0xff, 0x7f),
];

const fn framed(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut point = [middle; 32];
    (point[0], point[31]) = (first, last);
    point
}

fn is_small(point: &[u8]) -> bool {
    let Some((last, first)) = point.split_last() else { return false };
    SMALL.iter().any(|small| small[..31] == *first && small[31] == last & 0x7f)
}

/// A handle to an issuer's keys: filled by whoever knows them, read on every request.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    held: Arc<ArcSwap<Held>>,
}

#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) set: KeySet,
    pub(super) epoch: u64,
}

impl Keys {
    pub fn new() -> Self {
        Self::default()
    }

    /// Swaps the whole set. The same keys again change nothing.
    #[expect(clippy::needless_pass_by_value, reason = "a set is handed over; it is copied only when two writers meet")]
    pub fn replace(&self, set: KeySet) {
        self.held.rcu(|held| {
            if held.set == set { Arc::clone(held) } else { Arc::new(Held { set: set.clone(), epoch: held.epoch + 1 }) }
        });
    }

    pub fn is_empty(&self) -> bool {
        self.held.load().set.is_empty()
    }

    pub(super) fn held(&self) -> arc_swap::Guard<Arc<Held>> {
        self.held.load()
    }
}
