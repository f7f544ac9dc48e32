//! Looking decisions up: who changed this item, why was that call refused, what became of the write.

use super::error::Error;
use super::key::Key;
use super::verify::{awaits_outcome, each_line};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// What is looked for; everything that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub id: Option<String>,
    /// A request's id, with all transactions of a bulk call.
    pub call: Option<String>,
    pub client: Option<String>,
    pub program: Option<String>,
    pub transaction: Option<String>,
    pub verdict: Option<String>,
    /// A field and its value.
    pub key: Option<(String, String)>,
    /// RFC 3339 in UTC; times of lines compare as text.
    pub since: Option<String>,
}

impl Filter {
    fn holds(&self, line: &Value, hasher: Option<&Key>) -> bool {
        let is = |name: &str, wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| line[name] == *wanted);
        let call = line["call"].as_str().unwrap_or_default();
        (is("id", &self.id) || self.id.as_ref().is_some_and(|id| line["first"] == *id))
            && self.call.as_deref().is_none_or(|wanted| {
                call.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            })
            && is("client", &self.client)
            && is("program", &self.program)
            && is("transaction", &self.transaction)
            && is("verdict", &self.verdict)
            && self.since.as_deref().is_none_or(|since| line["time"].as_str().is_some_and(|time| time >= since))
            && self.key.as_ref().is_none_or(|(field, value)| {
                let found = line["fields"][field].as_str();
                found == Some(value) || hasher.is_some_and(|key| found == Some(&key.hashed(field, value)))
            })
    }
}

/// Decisions that fit, in their order, each as it stands in the log, and behind each its outcome once that is told.
/// `key` finds values that stand in the log as hashes.
pub fn find(dir: &Path, filter: &Filter, key: Option<&Key>, mut see: impl FnMut(&Value)) -> Result<u64, Error> {
    let (mut found, mut open) = (0, BTreeSet::new());
    let read: Result<(), ()> = each_line(dir, |_, _, line| {
        let Ok(line) = serde_json::from_slice::<Value>(line) else { return Ok(()) };
        let id = line["id"].as_str().unwrap_or_default();
        match line["kind"].as_str() {
            Some("decision") if filter.holds(&line, key) => {
                found += 1;
                if awaits_outcome(&line) {
                    open.insert(id.to_owned());
                }
                see(&line);
            }
            Some("outcome") if open.remove(id) => see(&line),
            // Of reads there are too many to remember them all: told of the one that is asked for.
            Some("withheld") if filter.id.as_deref() == Some(id) => see(&line),
            _ => {}
        }
        Ok(())
    })?;
    debug_assert!(read.is_ok());
    Ok(found)
}
