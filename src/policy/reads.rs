//! What a rule looks at, told from its syntax tree: only that enters the context and the key of a remembered decision.
//!
//! Invariant: a rule that looks at the context in a way this module doesn't follow is refused, so nothing is missed.

use crate::model::FieldName;
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// One bit for each attribute of the context.
pub(super) const NAMES: [(&str, u16); 11] = [
    ("company", Reads::COMPANY),
    ("division", Reads::DIVISION),
    ("address", Reads::ADDRESS),
    ("minute", Reads::MINUTE),
    ("weekday", Reads::WEEKDAY),
    ("scopes", Reads::SCOPES),
    ("m3_user", Reads::M3_USER),
    ("cleared", Reads::CLEARED),
    ("local_minute", Reads::LOCAL_MINUTE),
    ("local_weekday", Reads::LOCAL_WEEKDAY),
    ("query", Reads::QUERY),
];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reads {
    bits: u16,
    pub(super) fields: BTreeSet<FieldName>,
    pub(super) claims: BTreeSet<Box<str>>,
    /// Of the record that was read of M3 before.
    pub(super) record: BTreeSet<FieldName>,
}

impl Reads {
    pub(super) const COMPANY: u16 = 1;
    pub(super) const DIVISION: u16 = 1 << 1;
    pub(super) const ADDRESS: u16 = 1 << 2;
    pub(super) const MINUTE: u16 = 1 << 3;
    pub(super) const WEEKDAY: u16 = 1 << 4;
    pub(super) const SCOPES: u16 = 1 << 5;
    pub(super) const M3_USER: u16 = 1 << 6;
    pub(super) const CLEARED: u16 = 1 << 7;
    pub(super) const LOCAL_MINUTE: u16 = 1 << 8;
    pub(super) const LOCAL_WEEKDAY: u16 = 1 << 9;
    /// Some claim, or whether there is one.
    pub(super) const CLAIMS: u16 = 1 << 10;
    /// What a query over any table asks for.
    pub(super) const QUERY: u16 = 1 << 11;
    /// Some field of the record, or whether there is one.
    pub(super) const RECORD: u16 = 1 << 12;

    pub(super) fn has(&self, bit: u16) -> bool {
        self.bits & bit != 0
    }

    pub(super) fn values_of_the_call(&self) -> bool {
        self.has(Self::CLEARED | Self::QUERY | Self::RECORD) || !self.fields.is_empty()
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.bits |= other.bits;
        self.fields.extend(other.fields.iter().copied());
        self.claims.extend(other.claims.iter().cloned());
        self.record.extend(other.record.iter().copied());
    }

    /// Nothing but where a call runs, or nothing at all.
    pub(super) fn place_alone(&self) -> bool {
        self.bits & !(Self::COMPANY | Self::DIVISION) == 0 && self.fields.is_empty()
    }

    pub(super) fn local_time(&self) -> bool {
        self.has(Self::LOCAL_MINUTE | Self::LOCAL_WEEKDAY)
    }

    /// Any of the clocks.
    pub(super) fn time(&self) -> bool {
        self.local_time() || self.has(Self::MINUTE | Self::WEEKDAY)
    }

    /// Known before the layout is: nothing but what the token says, or nothing at all.
    pub(super) fn known_by_name(&self) -> bool {
        self.bits & !(Self::SCOPES | Self::CLAIMS) == 0 && self.fields.is_empty()
    }

    #[cfg(test)]
    pub(super) fn everything(
        fields: impl IntoIterator<Item = FieldName>,
        claims: &[&str],
        record: impl IntoIterator<Item = FieldName>,
    ) -> Self {
        let claims = claims.iter().map(|name| (*name).into()).collect();
        Self { bits: u16::MAX, fields: fields.into_iter().collect(), claims, record: record.into_iter().collect() }
    }

    /// Adds what an expression (Cedar's JSON form) reads; the error is a sentence for the author of the rule.
    pub(super) fn walk(&mut self, expression: &Json) -> Result<(), String> {
        let Json::Object(node) = expression else {
            return match expression {
                Json::Array(parts) => parts.iter().try_for_each(|part| self.walk(part)),
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => Ok(()),
            };
        };
        for (key, inner) in node {
            match key.as_str() {
                "Value" => {}
                "Var" if inner == "context" => return Err("the context can't be used as a whole".into()),
                "Var" => {}
                "Record" => {
                    for part in inner.as_object().into_iter().flat_map(|record| record.values()) {
                        self.walk(part)?;
                    }
                }
                "." | "has" => match path(expression) {
                    Some(path) => self.note(&path, key == "has")?,
                    None => self.walk(inner.get("left").unwrap_or(&Json::Null))?,
                },
                _ => match inner {
                    Json::Object(parts) => parts.values().try_for_each(|part| self.walk(part))?,
                    other => self.walk(other)?,
                },
            }
        }
        Ok(())
    }

    fn note(&mut self, path: &[&str], only_asked_for: bool) -> Result<(), String> {
        match path {
            ["fields"] if only_asked_for => Ok(()),
            ["fields"] | [] => Err("the fields can't be used as a whole".into()),
            ["fields", field, ..] => {
                let name = FieldName::parse(field).map_err(|why| why.to_string())?;
                self.fields.insert(name);
                Ok(())
            }
            ["claims"] if only_asked_for => {
                self.bits |= Self::CLAIMS;
                Ok(())
            }
            ["claims"] => Err("the claims can't be used as a whole".into()),
            ["claims", claim, ..] => {
                self.bits |= Self::CLAIMS;
                self.claims.insert((*claim).into());
                Ok(())
            }
            ["record"] if only_asked_for => {
                self.bits |= Self::RECORD;
                Ok(())
            }
            ["record"] => Err("the record can't be used as a whole".into()),
            ["record", field, ..] => {
                let name = FieldName::parse(field).map_err(|why| why.to_string())?;
                self.bits |= Self::RECORD;
                self.record.insert(name);
                Ok(())
            }
            [attribute, ..] => match NAMES.iter().find(|(name, _)| name == attribute) {
                Some((_, bit)) => {
                    self.bits |= bit;
                    Ok(())
                }
                None => Err(format!("the context has no {attribute:?}")),
            },
        }
    }
}

/// `context.fields.CRLM` as [fields, CRLM]; nothing when the expression doesn't start at the context.
pub(super) fn path(expression: &Json) -> Option<Vec<&str>> {
    let node = expression.as_object().filter(|node| node.len() == 1)?;
    let (key, inner) = node.iter().next()?;
    match key.as_str() {
        "Var" => (inner == "context").then(Vec::new),
        "." | "has" => {
            let mut path = path(inner.get("left")?)?;
            match inner.get("attr")? {
                Json::String(attr) => path.push(attr),
                Json::Array(attrs) => path.extend(attrs.iter().filter_map(Json::as_str)),
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => return None,
            }
            Some(path)
        }
        _ => None,
    }
}
