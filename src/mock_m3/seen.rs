//! What the mock was asked: for tests that say "and M3 was never asked".

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenCall {
    pub user: String,
    /// The session's.
    pub company: u16,
    pub division: String,
    /// In which M3 answers.
    pub language: String,
    pub program: String,
    pub transaction: String,
    /// What was sent and is not blank.
    pub fields: BTreeMap<String, String>,
    /// One of those that every program has.
    pub technical: bool,
}

/// `CRS610MI/GetBasicData CONO=100 CUNO=C00001`, fields by name.
impl fmt::Display for SeenCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.program, self.transaction)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// The newest calls; older ones are forgotten.
#[derive(Debug, Default)]
pub(super) struct Seen(VecDeque<SeenCall>);

const MOST: usize = 10_000;

impl Seen {
    pub(super) fn note(&mut self, call: SeenCall) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(call);
    }

    pub(super) fn all(&self) -> Vec<SeenCall> {
        self.0.iter().cloned().collect()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
