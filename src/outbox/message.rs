//! A document that was made, and its ways to the points.

use super::state::State;
use super::writer::now;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub bod_id: String,
    pub action: String,
    pub variation: u64,
    pub tenant: String,
    pub lid: String,
    pub division: String,
    pub entity: String,
    pub location: String,
    pub document_id: String,
    /// An instant in UTC.
    pub created: String,
    pub xml: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub id: i64,
    pub noun: String,
    pub verb: String,
    pub company: String,
    /// The write that caused it.
    pub cause: String,
    /// Milliseconds since 1970.
    pub made_at: i64,
    pub made: Made,
}

impl Kept {
    /// `Sync.PurchaseOrder`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.verb, self.noun)
    }

    pub fn age(&self) -> Duration {
        Duration::from_millis(u64::try_from(now() - self.made_at).unwrap_or(0))
    }
}

/// A message that may go to a point now.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What is one after the other: all documents of one record, whatever their verbs.
    pub record: i64,
    pub tries: u32,
    pub kept: Kept,
}

/// One try, and what it changes.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub message: i64,
    pub state: State,
    /// It is one of the tries that a message has; while a point is away for everybody there are more.
    pub counts: bool,
    /// Before the next one.
    pub wait: Duration,
    pub took: Duration,
    /// Where it lies now, or why it did not arrive.
    pub words: String,
    /// How long its receiver has for an answer; `None`: none is asked for.
    pub answer_within: Option<Duration>,
}
