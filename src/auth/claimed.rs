//! What a token says of itself, believed by nobody: enough to take it back, and good for nothing else.

use super::claims::{FAMILY, client_of};
use super::parse::Unverified;
use serde_json::Value;

/// Unverified. Whoever has a token taken back by its text is an operator, and is shown what the text named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub issuer: String,
    pub id: Option<String>,
    pub grant: Option<String>,
    pub client: Option<String>,
    pub expires: Option<u64>,
}

/// `None`: this is no signed token; an opaque one may still be taken back by its text.
pub fn claimed(token: &str) -> Option<Claimed> {
    let parsed = Unverified::parse(token).ok()?;
    let text = |name: &str| parsed.claims.member(name).and_then(Value::as_str).map(str::to_owned);
    Some(Claimed {
        issuer: text("iss")?,
        id: text("jti").filter(|id| !id.is_empty()),
        grant: text(FAMILY),
        client: client_of(&parsed.claims),
        expires: parsed.claims.member("exp").and_then(Value::as_u64),
    })
}
