//! Which writes are told by which documents, as the mappings and the publisher's settings say.

use super::intent::{Due, Entry, EntryKind};
use crate::model::{FieldName, ProgramName, TransactionName};
use std::collections::HashMap;

/// One document that a write changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub noun: Box<str>,
    /// `Sync`, or `Process`.
    pub verb: Box<str>,
    /// Where the call or its reply names the record, in the order of the document's key. What hands a batch over names none:
    /// so are they called.
    pub key: Vec<FieldName>,
    pub deletes: bool,
    /// The same key is another record in another division.
    pub by_division: bool,
    pub step: Step,
    /// Of a batch entry: the call that hands it over.
    pub call: Box<str>,
}

/// What a write is to its document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Step {
    /// It changes the record.
    #[default]
    Writes,
    /// It enters a record under a batch, which this field of its call names, or a part of one, which another names.
    Enters(FieldName, Option<FieldName>),
    /// It hands over what was entered under a batch.
    HandsOver(FieldName),
    /// It hands over one record, and M3's reply says what comes of it.
    Confirms(FieldName),
}

/// Empty: nothing is published.
#[derive(Debug, Clone, Default)]
pub struct Coverage(HashMap<(ProgramName, TransactionName), Vec<Told>>);

impl Coverage {
    pub fn add(&mut self, program: ProgramName, transaction: TransactionName, told: Told) {
        self.0.entry((program, transaction)).or_default().push(told);
    }

    pub fn of(&self, program: ProgramName, transaction: TransactionName) -> &[Told] {
        self.0.get(&(program, transaction)).map(Vec::as_slice).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Due {
    /// With the values that the call has.
    pub fn of(told: &Told, value: impl Fn(&str) -> Option<String>) -> Self {
        let entry = |kind, field: &FieldName| {
            let batch = value(field.as_str()).unwrap_or_default();
            Some(Entry { kind, batch, call: told.call.to_string(), part: None, names: Vec::new() })
        };
        let entry = match &told.step {
            Step::Writes => None,
            Step::Enters(field, part) => entry(EntryKind::Enters, field).map(|entry| {
                let part = part.map(|part| (part.to_string(), value(part.as_str())));
                Entry { part, ..entry }
            }),
            Step::HandsOver(field) => entry(EntryKind::HandsOver, field)
                .map(|entry| Entry { names: told.key.iter().map(ToString::to_string).collect(), ..entry }),
            Step::Confirms(field) => entry(EntryKind::Confirms, field),
        };
        // What is confirmed gets another number: the call's own is not the record's.
        let in_reply = matches!(told.step, Step::Confirms(_));
        let named = told.key.iter().filter(|_| !matches!(told.step, Step::HandsOver(_)));
        let key = named.map(|field| {
            let value = value(field.as_str()).filter(|_| !in_reply);
            (field.to_string(), value)
        });
        let key = key.collect();
        Self {
            noun: told.noun.to_string(),
            verb: told.verb.to_string(),
            key,
            deletes: told.deletes,
            by_division: told.by_division,
            before: None,
            absent: false,
            entry,
        }
    }
}
