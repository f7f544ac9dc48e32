//! What must be true of the tokens of one issuer.

use super::algorithm::Algorithm;
use super::keys::Keys;
use super::opaque::Introspection;
use super::remote::RemoteKeys;
use crate::model::{ClaimKind, Company, TenantId};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct IssuerRules {
    /// Exactly as in `iss`.
    pub issuer: String,
    /// One of these must be among the token's audiences.
    pub audiences: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub keys: KeySource,
    pub typ: TypRule,
    /// The claim that names the client; without it `client_id`, else `azp`.
    pub client_claim: Option<String>,
    /// The claim that names the tenant.
    pub tenant_claim: String,
    /// The tenant of every token of this issuer, whatever its claims say.
    pub tenant: Option<TenantId>,
    /// What the claim's values mean here; a value that isn't among them is refused. Empty: they are tenants as they are.
    pub tenants: BTreeMap<String, TenantId>,
    /// Binds clients to the companies that their tokens name.
    pub company: Option<CompanyRule>,
    /// Every token must have all of these.
    pub scopes: Vec<String>,
    /// What every token must be bound to, so that its text alone is worth nothing.
    pub require_bound: RequireBound,
    /// Claims that policy rules may see, where a token has them.
    pub policy_claims: Vec<(Arc<str>, ClaimKind)>,
    /// How tokens that only the issuer can read are asked about; at most one issuer has it.
    pub introspection: Option<Introspection>,
    pub unknown_clients: UnknownClients,
    /// Seconds by which clocks may differ.
    pub leeway: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanyRule {
    /// A company, or a list of them; a token without it is refused.
    pub claim: String,
    /// What the claim's values mean here; a value that isn't among them is refused. Empty: they are companies' numbers.
    pub companies: BTreeMap<String, Company>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequireBound {
    #[default]
    Nothing,
    /// A key or a certificate.
    Anything,
    /// A key of which each request brings a proof (RFC 9449).
    Key,
    /// A certificate that the connection was made with (RFC 8705).
    Certificate,
}

impl RequireBound {
    /// As the settings say it.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "none" => Self::Nothing,
            "any" => Self::Anything,
            "dpop" => Self::Key,
            "mtls" => Self::Certificate,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone)]
pub enum KeySource {
    /// Filled inside this process.
    Local(Keys),
    Remote(RemoteKeys),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypRule {
    /// RFC 9068: `at+jwt`, and a subject.
    AccessToken,
    /// For issuers that don't mark access tokens: `JWT`, `at+jwt` or nothing.
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownClients {
    /// The directory knows all clients of this issuer, their generations and ended families.
    Refused,
    /// A client without facts is who its token says, with no groups and no M3 user.
    Bare,
}

impl IssuerRules {
    /// The embedded issuer's own rules.
    pub fn local(issuer: &str, keys: Keys) -> Self {
        Self {
            audiences: vec![issuer.to_owned()],
            algorithms: vec![Algorithm::Rs256, Algorithm::Es256],
            unknown_clients: UnknownClients::Refused,
            ..Self::of(issuer, KeySource::Local(keys))
        }
    }

    /// An issuer elsewhere, strict until its settings say otherwise.
    pub fn remote(issuer: &str, audiences: Vec<String>, keys: RemoteKeys) -> Self {
        Self { audiences, ..Self::of(issuer, KeySource::Remote(keys)) }
    }

    fn of(issuer: &str, keys: KeySource) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audiences: Vec::new(),
            algorithms: vec![Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256],
            keys,
            typ: TypRule::AccessToken,
            client_claim: None,
            tenant_claim: super::claims::TENANT.to_owned(),
            tenant: None,
            tenants: BTreeMap::new(),
            company: None,
            scopes: Vec::new(),
            require_bound: RequireBound::Nothing,
            policy_claims: Vec::new(),
            introspection: None,
            unknown_clients: UnknownClients::Bare,
            leeway: 10,
        }
    }
}
