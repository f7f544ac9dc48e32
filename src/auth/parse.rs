//! The text of a token taken apart, nothing believed: sizes, base64url, JSON objects without repeated names.
//!
//! What could point a careless verifier at a key of the sender's choice is refused here, before any key is looked up.
//! Does not know: issuers, keys, or what a claim means.

use super::algorithm::Algorithm;
use super::error::{Error, Unfit};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;

/// The longest token that is looked at.
pub const MAX_TOKEN: usize = 8 * 1024;
const MAX_KID: usize = 256;
/// Header members that bring a key, or the place of one, along with the token.
const OWN_KEY: [&str; 4] = ["jwk", "jku", "x5u", "x5c"];

/// A token as it came. Only its signature can make it more than a claim.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    /// Header and payload as they were signed.
    pub(super) message: &'a str,
    pub(super) signature: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<Box<str>>,
    pub(super) typ: Option<Box<str>>,
    pub(super) claims: Object,
}

/// For fuzzing and for nothing else: whether a text has the form of a token. Says nothing about its truth.
pub fn well_formed(token: &str) -> bool {
    Unverified::parse(token).is_ok()
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, Error> {
        if token.len() > MAX_TOKEN {
            return Err(Error::TooLarge);
        }
        let Apart { message, header, payload: claims, signature } = Apart::of(token).map_err(Error::Malformed)?;
        if OWN_KEY.iter().any(|name| header.has(name)) {
            return Err(Error::Malformed(Unfit::OwnKey));
        }
        let algorithm = text(&header, "alg")?.and_then(Algorithm::parse).ok_or(Error::Algorithm)?;
        let kid = text(&header, "kid")?;
        if kid.is_some_and(|kid| !usual(kid)) {
            return Err(Error::Malformed(Unfit::KeyId));
        }
        let (kid, typ) = (kid.map(Into::into), text(&header, "typ")?.map(Into::into));
        Ok(Self { message, signature, algorithm, kid, typ, claims })
    }
}

/// A key id is only ever compared, yet it is also counted, cached and logged.
fn usual(kid: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.~:/+=@{}".contains(&b);
    (1..=MAX_KID).contains(&kid.len()) && kid.bytes().all(allowed)
}

fn text<'o>(header: &'o Object, name: &str) -> Result<Option<&'o str>, Error> {
    match header.member(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::Malformed(Unfit::Json)),
    }
}

/// A signed text in its parts.
#[derive(Debug)]
pub(super) struct Apart<'a> {
    pub(super) message: &'a str,
    pub(super) header: Object,
    pub(super) payload: Object,
    pub(super) signature: &'a str,
}

impl<'a> Apart<'a> {
    pub(super) fn of(text: &'a str) -> Result<Self, Unfit> {
        let (message, signature) = text.rsplit_once('.').ok_or(Unfit::Parts)?;
        let (header, payload) = message.split_once('.').ok_or(Unfit::Parts)?;
        if payload.contains('.') || signature.is_empty() {
            return Err(Unfit::Parts);
        }
        let header = object(header)?;
        if header.has("crit") || header.has("b64") {
            return Err(Unfit::Critical);
        }
        // Whatever stands inside, its own signature would be nobody's to check.
        let token = |of: &Value| of.as_str().is_none_or(|of| of.to_ascii_lowercase().ends_with("jwt"));
        if header.member("cty").is_some_and(token) {
            return Err(Unfit::Nested);
        }
        Ok(Self { message, header, payload: object(payload)?, signature })
    }
}

fn object(part: &str) -> Result<Object, Unfit> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Unfit::Base64)?;
    serde_json::from_slice(&bytes).map_err(|_| Unfit::Json)
}

/// A JSON object in which no name stands twice, at any depth, so that two readers can't read two things.
#[derive(Debug)]
pub(super) struct Object(HashMap<String, Value>);

impl Object {
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Object, A::Error> {
        let mut held = HashMap::new();
        while let Some((name, Once(value))) = from.next_entry::<String, Once>()? {
            if held.insert(name, value).is_some() {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(Object(held))
    }
}

const TWICE: &str = "a member stands twice";

/// Any value in whose objects no name stands twice.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyOnce).map(Self)
    }
}

struct AnyOnce;

impl<'de> Visitor<'de> for AnyOnce {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut held = Vec::new();
        while let Some(Once(value)) = from.next_element()? {
            held.push(value);
        }
        Ok(Value::Array(held))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut held = Map::new();
        while let Some((name, Once(value))) = from.next_entry::<String, Once>()? {
            if held.insert(name, value).is_some() {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(Value::Object(held))
    }
}
