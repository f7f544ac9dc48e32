//! What the claims of a token with a good signature say, checked against the rules of its issuer.
//!
//! Invariant: a claim that is looked at is of its type or the token is refused; absent is never the same as empty.
//! Does not know: keys, or what is known about the client elsewhere.

use super::binding::Binding;
use super::error::Error;
use super::parse::Object;
use super::rules::{CompanyRule, IssuerRules, TypRule};
use crate::model::{Claim, ClaimKind, Company, TenantId, plain};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// The tenant, as Infor's own tokens name it.
pub const TENANT: &str = "Tenant";
/// The family of a grant: every token that came of it.
pub const FAMILY: &str = "grant_id";
/// The client's generation when the token was made.
pub const GENERATION: &str = "client_generation";

/// Claims of ID tokens, which hash what they came along with, and of events told by a token.
const OTHERS: [&str; 4] = ["at_hash", "c_hash", "s_hash", "events"];

const MAX_CLIENT: usize = 256;
const MAX_SCOPES: usize = 256;
const MAX_COMPANIES: usize = 256;

#[derive(Debug)]
pub(super) struct Verified {
    pub(super) client: Arc<str>,
    pub(super) tenant: Option<TenantId>,
    /// `None`: the issuer's tokens bind nobody to companies.
    pub(super) companies: Option<Box<[Company]>>,
    pub(super) scopes: Arc<[Box<str>]>,
    /// For policy rules; nothing where the settings name none.
    pub(super) seen: Arc<[Claim]>,
    pub(super) expires: u64,
    pub(super) not_before: u64,
    pub(super) issued: Option<u64>,
    pub(super) token_id: Box<str>,
    pub(super) family: Option<Box<str>>,
    pub(super) generation: Option<u64>,
    pub(super) binding: Binding,
}

impl Verified {
    /// Of a token whose signature is good.
    pub(super) fn read(claims: &Object, rules: &IssuerRules) -> Result<Self, Error> {
        match rules.typ {
            TypRule::AccessToken => {
                required(claims, "sub")?;
            }
            // Where tokens aren't marked, this is how one that is no access token shows.
            TypRule::Any if OTHERS.iter().any(|name| claims.has(name)) => return Err(Error::Type),
            TypRule::Any => {}
        }
        Self::told(claims, rules)
    }

    /// Of a token that its issuer speaks for, which need not name a subject.
    pub(super) fn told(claims: &Object, rules: &IssuerRules) -> Result<Self, Error> {
        audience(claims, rules)?;
        let binding = Binding::read(claims)?;
        binding.satisfies(rules.require_bound)?;
        text(claims, "sub")?;
        let issued = time(claims, "iat")?;
        let client = client(claims, rules)?;
        // Nor may one look like another where people read it.
        if client.is_empty() || client.len() > MAX_CLIENT || matches!(plain(client), Cow::Owned(_)) {
            return Err(wrong("client_id"));
        }
        let scopes = scopes(claims)?;
        if let Some(lacking) = rules.scopes.iter().find(|needed| !scopes.iter().any(|has| **has == ***needed)) {
            return Err(Error::Scope(lacking.as_str().into()));
        }
        Ok(Self {
            client: client.into(),
            tenant: tenant(claims, rules)?,
            companies: rules.company.as_ref().map(|rule| companies(claims, rule)).transpose()?,
            scopes,
            seen: seen(claims, rules)?,
            expires: time(claims, "exp")?.ok_or_else(|| missing("exp"))?,
            not_before: time(claims, "nbf")?.unwrap_or(0),
            issued,
            token_id: text(claims, "jti")?.unwrap_or_default().into(),
            family: text(claims, FAMILY)?.map(Into::into),
            generation: match claims.member(GENERATION) {
                None => None,
                Some(value) => Some(value.as_u64().ok_or_else(|| wrong(GENERATION))?),
            },
            binding,
        })
    }

    /// Asked at the first look at a token and at every later one.
    pub(super) fn in_time(&self, now: u64, leeway: u64) -> Result<(), Error> {
        if now >= self.expires.saturating_add(leeway) {
            return Err(Error::Expired);
        }
        if self.not_before > now.saturating_add(leeway) {
            return Err(Error::NotYetValid);
        }
        Ok(())
    }
}

fn missing(claim: &str) -> Error {
    Error::Missing(claim.into())
}

fn wrong(claim: &str) -> Error {
    Error::ClaimType(claim.into())
}

pub(super) fn text<'a>(claims: &'a Object, name: &str) -> Result<Option<&'a str>, Error> {
    match claims.member(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(name)),
    }
}

pub(super) fn required<'a>(claims: &'a Object, name: &str) -> Result<&'a str, Error> {
    text(claims, name)?.ok_or_else(|| missing(name))
}

/// Seconds since 1970; a fraction is allowed by the standard and says nothing here.
pub(super) fn time(claims: &Object, name: &str) -> Result<Option<u64>, Error> {
    let Some(value) = claims.member(name) else { return Ok(None) };
    let seconds = value.as_u64().or_else(|| {
        let seconds = value.as_f64()?;
        // Below 2^53 a float holds every whole number.
        (0.0..9_007_199_254_740_992.0).contains(&seconds).then_some(seconds as u64)
    });
    seconds.map(Some).ok_or_else(|| wrong(name))
}

fn audience(claims: &Object, rules: &IssuerRules) -> Result<(), Error> {
    let ours = |given: &str| rules.audiences.iter().any(|ours| ours == given);
    let fits = match claims.member("aud").ok_or_else(|| missing("aud"))? {
        Value::String(one) => ours(one),
        Value::Array(many) => {
            let mut fits = false;
            for one in many {
                fits |= ours(one.as_str().ok_or_else(|| wrong("aud"))?);
            }
            fits
        }
        _ => return Err(wrong("aud")),
    };
    if fits { Ok(()) } else { Err(Error::Audience) }
}

fn client<'a>(claims: &'a Object, rules: &IssuerRules) -> Result<&'a str, Error> {
    match &rules.client_claim {
        Some(name) => required(claims, name),
        None => text(claims, "client_id")?.or(text(claims, "azp")?).ok_or_else(|| missing("client_id")),
    }
}

/// For a person to read; what counts is `client`.
pub(super) fn client_of(claims: &Object) -> Option<String> {
    let named = ["client_id", "azp"].into_iter().find_map(|name| claims.member(name).and_then(Value::as_str));
    named.map(str::to_owned)
}

fn tenant(claims: &Object, rules: &IssuerRules) -> Result<Option<TenantId>, Error> {
    if let Some(tenant) = &rules.tenant {
        return Ok(Some(tenant.clone()));
    }
    let Some(given) = text(claims, &rules.tenant_claim)? else { return Ok(None) };
    let tenant = match rules.tenants.is_empty() {
        true => TenantId::parse(given).ok(),
        false => rules.tenants.get(given).cloned(),
    };
    tenant.map(Some).ok_or_else(|| wrong(&rules.tenant_claim))
}

/// A number, a text, or a list of either. None at all would bind to nothing, so it is refused.
fn companies(claims: &Object, rule: &CompanyRule) -> Result<Box<[Company]>, Error> {
    let one = |value: &Value| {
        let word = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        if rule.companies.is_empty() { Company::parse(&word).ok() } else { rule.companies.get(&word).copied() }
    };
    let named: Option<Box<[Company]>> = match claims.member(&rule.claim).ok_or_else(|| missing(&rule.claim))? {
        Value::Array(many) if many.len() <= MAX_COMPANIES => many.iter().map(one).collect(),
        single => one(single).map(|company| [company].into()),
    };
    named.filter(|named| !named.is_empty()).ok_or_else(|| wrong(&rule.claim))
}

/// What rules may ask for. A claim of another type than was declared is refused with its token: a rule must not take it
/// for one that isn't there.
fn seen(claims: &Object, rules: &IssuerRules) -> Result<Arc<[Claim]>, Error> {
    let mut seen = Vec::new();
    for (name, kind) in &rules.policy_claims {
        let texts: Option<Vec<Box<str>>> = match (claims.member(name), kind) {
            (None, _) => continue,
            // A set of one is often written so.
            (Some(Value::String(text)), ClaimKind::Text | ClaimKind::Set) => Some(vec![text.as_str().into()]),
            (Some(Value::Array(many)), ClaimKind::Set) => many.iter().map(|one| one.as_str().map(Into::into)).collect(),
            (Some(_), _) => None,
        };
        let claim = texts.and_then(|texts| Claim::new(Arc::clone(name), *kind, texts));
        seen.push(claim.ok_or_else(|| wrong(name))?);
    }
    Ok(seen.into())
}

/// One text with blanks between, or a list of texts.
fn scopes(claims: &Object) -> Result<Arc<[Box<str>]>, Error> {
    let words: Vec<&str> = match claims.member("scope") {
        None => Vec::new(),
        Some(Value::String(text)) => text.split(' ').filter(|word| !word.is_empty()).collect(),
        Some(Value::Array(many)) => {
            many.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(|| wrong("scope"))?
        }
        Some(_) => return Err(wrong("scope")),
    };
    if words.len() > MAX_SCOPES {
        return Err(wrong("scope"));
    }
    Ok(words.into_iter().map(Into::into).collect())
}
