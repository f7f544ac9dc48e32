//! Which writes are told by which documents, as the mappings and the publisher's settings say.

use crate::model::{FieldName, ProgramName, TransactionName};
use std::collections::HashMap;

/// One document that a write changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub noun: Box<str>,
    /// `Sync`, or `Process`.
    pub verb: Box<str>,
    /// Where the call or its reply names the record, in the order of the document's key.
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
    /// It enters a record under a batch, which this field of its call names.
    Enters(FieldName),
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
