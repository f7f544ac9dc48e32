//! One write that is about to happen, and what became of it.

use super::bulks::Bulk;
use super::desk::Outbox;
use super::writer::Settled;
use crate::model::{ClientId, FieldName, M3User, Place, ProgramName, Refusal, TransactionName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What a caller calls a request, so that he may send it again.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    text: Box<str>,
    /// Of a bulk call's transaction, from 1; 0 for a call of one.
    ordinal: u32,
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey(#{})", self.ordinal)
    }
}

const LONGEST_KEY: usize = 255;
/// Before what a key of a header may begin with: the store finds these by it.
const RID: char = '\u{1}';

impl IdempotencyKey {
    /// Bare, or quoted as a string of a structured field. `None`: empty, too long, or not printable ASCII.
    pub fn parse(given: &str) -> Option<Self> {
        let given = given.trim_matches([' ', '\t']);
        let text = match given.strip_prefix('"') {
            None => given.to_owned(),
            Some(rest) => unquoted(rest.strip_suffix('"')?)?,
        };
        let good = !text.is_empty() && text.len() <= LONGEST_KEY && text.bytes().all(|b| (b' '..=b'~').contains(&b));
        good.then(|| Self { text: text.into(), ordinal: 0 })
    }

    /// Of a `_rid`: it is of this very request (`said`), and no header says the like. `None` for one that can't be a name.
    pub(super) fn of_rid(rid: &str, tag: impl FnOnce() -> String) -> Option<Self> {
        let good = !rid.is_empty() && rid.len() <= LONGEST_KEY && rid.bytes().all(|b| (b'!'..=b'~').contains(&b));
        good.then(|| Self { text: format!("{RID}{}", tag()).into(), ordinal: 0 })
    }

    /// The same key's transaction of a bulk call.
    #[must_use]
    pub fn item(&self, ordinal: u32) -> Self {
        Self { text: self.text.clone(), ordinal }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }
}

/// RFC 8941: within quotes a backslash stands before a quote or a backslash, and nowhere else.
fn unquoted(inside: &str) -> Option<String> {
    let (mut out, mut letters) = (String::new(), inside.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.push(letters.next().filter(|next| matches!(next, '"' | '\\'))?),
            '"' => return None,
            other => out.push(other),
        }
    }
    Some(out)
}

/// A document that the write changes, with what is known of its record's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    pub noun: String,
    pub verb: String,
    /// Each part's field, and its value where the call has it; the rest is in M3's reply.
    pub key: Vec<(String, Option<String>)>,
    pub deletes: bool,
    /// The division is a part of the record's name.
    pub by_division: bool,
    /// Of a delete: the record as it was, for there is nothing to read back behind it. Once the intent is on the disk it
    /// stands there alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Of a delete: there was no such record before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
    /// Of a batch entry: what it is to the batch, and the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
}

/// A step of a batch entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub kind: EntryKind,
    pub batch: String,
    /// The call that hands over: by it the mapping says how to ask.
    pub call: String,
    /// What names the part that is entered, and its number as the call or M3's reply has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<(String, Option<String>)>,
    /// What is handed over: how the parts of its records' names are called, for whoever has to say one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    Enters,
    HandsOver,
    Confirms,
}

/// A record before it is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// In words of whoever looked.
    Image(String),
    /// There is none: nobody is told that it is gone, save those who were told of it before.
    Absent,
    /// M3 could not be asked. The delete goes on, and its document names the record alone.
    Unseen,
}

impl Due {
    pub fn is_known(&self) -> bool {
        self.key.iter().all(|(_, value)| value.is_some())
    }

    /// The parts of the record's name that nobody knows yet.
    pub(super) fn lacking(&self) -> impl Iterator<Item = &str> {
        self.key.iter().filter(|(_, value)| value.is_none()).map(|(field, _)| field.as_str())
    }

    /// The record's name in one text; `None` while a part is missing.
    pub(super) fn record(&self) -> Option<String> {
        let parts: Option<Vec<&str>> = self.key.iter().map(|(_, value)| value.as_deref()).collect();
        serde_json::to_string(&parts?).ok()
    }

    /// M3 numbers the part that is entered.
    fn lacks_part(&self) -> bool {
        let part = self.entry.as_ref().and_then(|entry| entry.part.as_ref());
        part.is_some_and(|(_, number)| number.as_ref().is_none_or(String::is_empty))
    }

    /// What M3 made of it may have no number yet, and is watched by its batch all the same.
    fn is_confirmed(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.kind == EntryKind::Confirms)
    }
}

/// What is written down before M3 may see a write.
#[derive(Debug, Clone)]
pub struct Intent {
    /// As the caller is told.
    pub name: String,
    /// The bulk call that it is a transaction of.
    pub bulk: Option<Arc<Bulk>>,
    pub client: ClientId,
    pub key: Option<IdempotencyKey>,
    pub user: M3User,
    pub program: ProgramName,
    pub transaction: TransactionName,
    pub place: Place,
    /// As they are sent. Secret ones are never written down.
    pub fields: Vec<(FieldName, String)>,
    pub due: Vec<Due>,
}

/// What M3 said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The records by field; without secret ones.
    Done {
        reported: bool,
        records: Vec<Vec<(String, String)>>,
    },
    Refused {
        message: String,
        id: String,
        field: Option<String>,
    },
}

impl Outcome {
    pub fn refused(refusal: &Refusal) -> Self {
        let (message, id) = (refusal.message.clone(), refusal.id.clone());
        Self::Refused { message, id, field: refusal.field.map(|field| field.to_string()) }
    }
}

/// What stands in the outbox when an intent was to be opened.
#[derive(Debug)]
pub enum Opened {
    /// It is new, and on the disk.
    New(Pledge),
    /// The same request was answered before.
    Settled(Outcome),
    InFlight,
    /// The same request was made before and nobody knows what became of it; this is its name.
    Unknown(String),
    /// The key stands for another request.
    OtherRequest,
}

/// An open intent in the hands of its write. Dropped without a word before the write was sent it is as if it had never been
/// meant; after that it says that nobody knows.
#[derive(Debug)]
pub struct Pledge {
    pub(super) id: i64,
    pub(super) outbox: Outbox,
    /// With the key fields still missing, for the reply.
    pub due: Vec<Due>,
    pub(super) keyed: bool,
    pub(super) open: bool,
    pub(super) sent: bool,
    /// It runs until what came of its writes is on the disk.
    pub(super) bulk: Option<Arc<Bulk>>,
}

impl Pledge {
    /// Whether the outcome must be on the disk before the caller hears of it: he may ask again, or it names what no
    /// one else knows.
    pub fn is_awaited(&self) -> bool {
        self.keyed || self.due.iter().any(|due| !due.is_known() || due.lacks_part())
    }

    /// Nothing secret is written down.
    pub fn may_keep(&self, field: FieldName) -> bool {
        !self.outbox.settings().sensitive.has(field)
    }

    /// M3 has answered. Returns when that is on the disk, or at once where nothing hangs on it.
    pub async fn settle(mut self, outcome: &Outcome) {
        self.open = false;
        let awaited = self.is_awaited();
        for due in &mut self.due {
            fill(due, outcome);
        }
        let committed = matches!(outcome, Outcome::Done { .. });
        let mut unnamed = false;
        for due in self.due.iter().filter(|due| committed && !due.is_known() && !due.is_confirmed()) {
            unnamed = true;
            tracing::error!(
                noun = due.noun,
                "a write was done, and neither its call nor M3's reply names the record: it is parked, and no document \
                 tells of it until somebody resolves it"
            );
        }
        let due = if committed { std::mem::take(&mut self.due) } else { Vec::new() };
        let (id, outcome, bulk) = (self.id, outcome.clone(), self.bulk.take());
        self.outbox.settle(Settled::Known { id, outcome, due, unnamed, bulk }, awaited).await;
    }

    /// It did not reach M3: as if it had never been meant.
    pub fn withdraw(mut self) {
        self.open = false;
        self.outbox.put(Settled::Withdrawn { id: self.id });
    }

    /// From now on M3 may have seen it, and where nothing more is said nobody knows.
    pub fn sent(&mut self) {
        self.sent = true;
    }

    /// Nobody knows; M3 will be asked.
    pub fn lose(mut self) {
        self.sent();
    }
}

fn fill(due: &mut Due, outcome: &Outcome) {
    let Outcome::Done { records, .. } = outcome else { return };
    let Some(record) = records.first() else { return };
    let said = |field: &str| record.iter().find(|(name, _)| name == field).map(|(_, text)| text.clone());
    // What is confirmed and not created yet is still called as its batch is: that number is not the record's.
    let confirmed = due.is_confirmed();
    let batch = due.entry.as_ref().filter(|_| confirmed).map(|entry| entry.batch.as_str());
    for (field, value) in due.key.iter_mut().filter(|(_, value)| value.is_none()) {
        *value = said(field).filter(|text| !confirmed || (!text.is_empty() && batch != Some(text.as_str())));
    }
    if let Some((field, value)) = due.entry.as_mut().and_then(|entry| entry.part.as_mut()) {
        *value = said(field).filter(|text| !text.is_empty()).or(value.take());
    }
}

impl Drop for Pledge {
    fn drop(&mut self) {
        let id = self.id;
        match (self.open, self.sent) {
            (false, _) => {}
            (true, false) => self.outbox.put(Settled::Withdrawn { id }),
            (true, true) => self.outbox.put(Settled::Unknown { id }),
        }
    }
}
