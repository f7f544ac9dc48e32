//! One decision, as its line tells it.

use super::key::Key;
use super::settings::{Fields, Settings};
use crate::clock::unix_micros;
use crate::model::{
    Claim, ClaimValue, ClientId, Effect, FieldName, Input, M3User, Place, ProgramName, TenantId, TransactionLayout,
    TransactionName, Value, is_key, is_sensitive,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Map;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// What a caller is told, and an operator looks up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecisionId(Uuid);

impl DecisionId {
    pub(super) fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.simple(), f)
    }
}

/// How far the call had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// May this client call anything at all?
    Door,
    /// Known by its names alone.
    Names,
    /// With the very values that would be sent.
    Values,
    /// The places that the operators bound the client to.
    Bounds,
}

#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    /// The request's id; of a transaction of a bulk call with its number behind it.
    pub call: &'a str,
    /// Of the rules that decided.
    pub set: &'a str,
    pub client: &'a ClientId,
    pub tenant: Option<&'a TenantId>,
    /// What rules may ask of him, so that the decision can be made again.
    pub groups: &'a [Box<str>],
    pub scopes: &'a [Box<str>],
    pub claims: &'a [Claim],
    pub user: Option<&'a M3User>,
    pub address: IpAddr,
    pub name: Option<(ProgramName, TransactionName)>,
    pub effect: Option<Effect>,
    pub place: Option<Place>,
    pub inputs: Option<(&'a TransactionLayout, &'a [Input])>,
    /// What was read of M3 before, where the decision hung on it.
    pub record: Option<FactRecord<'a>>,
    pub step: Step,
    pub allowed: bool,
    pub reason: &'a str,
    pub rules: &'a [Arc<str>],
    /// From the first question to this answer.
    pub micros: u64,
}

/// A record that was read, or was to be read, before the decision.
#[derive(Debug, Clone, Copy)]
pub struct FactRecord<'a> {
    /// What is read by what: `PPS200MI/GetHead PUNO=PUNO`.
    pub by: &'a str,
    /// Its values by name, or the word for why there are none.
    pub told: Result<&'a [(FieldName, Box<str>)], &'static str>,
}

#[derive(Serialize)]
struct Shown<'a> {
    kind: &'static str,
    id: String,
    time: String,
    call: &'a str,
    set: &'a str,
    client: &'a str,
    issuer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [Box<str>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    scopes: &'a [Box<str>],
    #[serde(skip_serializing_if = "Map::is_empty")]
    claims: Map<String, serde_json::Value>,
    /// Names of claims that stand as hashes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    untold_claims: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    m3_user: Option<&'a str>,
    address: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    division: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, serde_json::Value>,
    /// Names of fields that were sent, and whose values are not here or stand as hashes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    untold: Vec<String>,
    /// Of the record that was read before the decision, or the word for why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_by: Option<&'a str>,
    /// Names of its fields whose values are not here or stand as hashes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    untold_record: Vec<&'a str>,
    step: Step,
    verdict: &'static str,
    reason: &'a str,
    rules: &'a [Arc<str>],
    micros: u64,
}

impl Decision<'_> {
    pub(super) fn words(&self, id: DecisionId, settings: &Settings, key: &Key) -> Vec<u8> {
        let shown = Shown {
            kind: "decision",
            id: id.to_string(),
            time: now(),
            call: self.call,
            set: self.set,
            client: &self.client.id,
            issuer: &self.client.issuer,
            tenant: self.tenant.map(TenantId::as_str),
            groups: self.groups,
            scopes: self.scopes,
            claims: self.claims(settings, key),
            untold_claims: self.hashed_claims(settings).collect(),
            m3_user: self.user.map(M3User::as_str),
            address: self.address,
            program: self.name.map(|(program, _)| program.to_string()),
            transaction: self.name.map(|(_, transaction)| transaction.to_string()),
            effect: self.effect.map(|effect| effect.to_string()),
            company: self.place.map(|place| place.company.number()),
            division: self.place.map(|place| place.division.to_string()),
            fields: self.fields(settings, key),
            untold: self.untold(settings),
            record: self.record.map(|record| record.shown(settings, key)),
            record_by: self.record.map(|record| record.by),
            untold_record: self.record.map(|record| record.untold(settings)).unwrap_or_default(),
            step: self.step,
            verdict: if self.allowed { "allow" } else { "deny" },
            reason: self.reason,
            rules: self.rules,
            micros: self.micros,
        };
        // Strings and numbers: nothing that serialising could fail on.
        serde_json::to_vec(&shown).unwrap_or_default()
    }

    fn hashed_claims<'s>(&'s self, settings: &'s Settings) -> impl Iterator<Item = &'s str> {
        self.claims.iter().map(|claim| &*claim.name).filter(|name| is_secret(settings, name))
    }

    /// What rules could see of the token.
    fn claims(&self, settings: &Settings, key: &Key) -> Map<String, serde_json::Value> {
        let told = self.claims.iter().map(|claim| {
            let name = &*claim.name;
            let one = |text: &str| -> serde_json::Value {
                if is_secret(settings, name) { key.hashed(name, text).into() } else { text.into() }
            };
            let value = match &claim.value {
                ClaimValue::Text(text) => one(text),
                ClaimValue::Set(texts) => texts.iter().map(|text| one(text)).collect(),
            };
            (name.to_owned(), value)
        });
        told.collect()
    }

    fn fields(&self, settings: &Settings, key: &Key) -> Map<String, serde_json::Value> {
        let Some((layout, inputs)) = self.inputs else { return Map::new() };
        let told = inputs.iter().filter_map(|input| {
            let name = layout.input.fields().get(usize::from(input.at))?.name;
            let name = name.as_str();
            let secret = is_secret(settings, name);
            (secret || is_told(settings, name)).then(|| {
                let value = match (&input.value, secret) {
                    (Value::Cleared, _) => "?".to_owned(),
                    (value, true) => key.hashed(name, value.as_str()),
                    (value, false) => value.as_str().to_owned(),
                };
                (name.to_owned(), value.into())
            })
        });
        told.collect()
    }

    fn untold(&self, settings: &Settings) -> Vec<String> {
        let Some((layout, inputs)) = self.inputs else { return Vec::new() };
        let names = inputs.iter().filter_map(|input| layout.input.fields().get(usize::from(input.at)));
        let names = names.map(|field| field.name.to_string());
        names.filter(|name| is_secret(settings, name) || !is_told(settings, name)).collect()
    }
}

impl<'a> FactRecord<'a> {
    /// What the settings let a line tell, as of the inputs; secrets as hashes.
    fn shown(&self, settings: &Settings, key: &Key) -> serde_json::Value {
        match self.told {
            Err(word) => word.into(),
            Ok(values) => {
                let told = values.iter().filter_map(|(name, text)| {
                    let name = name.as_str();
                    let secret = is_secret(settings, name);
                    let value = if secret { key.hashed(name, text) } else { text.to_string() };
                    (secret || is_told(settings, name)).then(|| (name.to_owned(), value.into()))
                });
                serde_json::Value::Object(told.collect())
            }
        }
    }

    fn untold(&self, settings: &Settings) -> Vec<&'a str> {
        let names = self.told.into_iter().flatten().map(|(name, _)| name.as_str());
        names.filter(|name| is_secret(settings, name) || !is_told(settings, name)).collect()
    }
}

fn is_secret(settings: &Settings, name: &str) -> bool {
    is_sensitive(name) || settings.hashed.contains(name)
}

fn is_told(settings: &Settings, name: &str) -> bool {
    settings.fields == Fields::All || is_key(name)
}

/// The moment, as a line tells it.
pub(super) fn now() -> String {
    let micros = i64::try_from(unix_micros()).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |time| format!("{time:.6}"))
}
