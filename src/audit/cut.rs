//! Lines that had been signed and were gone when the log was taken up again: what is written of it, and the word of an
//! operator that somebody has looked into it.
//!
//! Invariant: what is gone is told by the log itself from then on, and only the key's owner can say that it was looked
//! into. Nothing of it makes the lines come back: whoever kept a copy of the newest signature still sees them missed.
//! Does not know: how it is found out (see `resume`), or what an operator is asked.

use super::decision::now;
use super::key::{Key, PublicKey};
use serde::Serialize;
use serde_json::{Value, json};

/// Characters of what lay in place of the newest signature; a real one has 200.
const MOST_HEAD: usize = 1_000;

/// What is gone, found before the first line of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gone {
    /// The first line that can't be believed to be there; those before it hang on one another.
    pub(super) from: u64,
    /// The last line that is known to have been signed; nothing where nobody can know.
    pub(super) to: Option<u64>,
    pub(super) why: &'static str,
    /// The newest signature as it lay beside the files: it is written over by the next one.
    pub(super) head: Option<String>,
}

impl Gone {
    pub(super) fn words(&self) -> Vec<u8> {
        let head: Option<String> = self.head.as_ref().map(|text| text.chars().take(MOST_HEAD).collect());
        let Self { from, to, why, .. } = self;
        let words = json!({ "kind": "cut", "time": now(), "from": from, "to": to, "why": why, "head": head });
        words.to_string().into_bytes()
    }
}

/// A cut, as the log tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    pub from: u64,
    pub to: Option<u64>,
    pub why: String,
    pub time: String,
    /// Who looked into it, and what came of that; nothing until then.
    pub by: Option<String>,
    pub reason: Option<String>,
}

impl Cut {
    pub(super) fn read(words: &Value) -> Self {
        let text = |name: &str| words[name].as_str().unwrap_or_default().to_owned();
        let from = words["from"].as_u64().unwrap_or_default();
        Self { from, to: words["to"].as_u64(), why: text("why"), time: text("time"), by: None, reason: None }
    }

    pub fn lines(&self) -> String {
        match self.to {
            Some(to) => format!("lines {} to {to}", self.from),
            None => format!("lines from {} on, nobody can say how many,", self.from),
        }
    }

    /// What `verify` says until somebody has looked into it.
    pub(super) fn told(&self, line: u64) -> String {
        let Self { why, time, .. } = self;
        format!(
            "{} were gone when the log was taken up again on {time} ({why}; line {line} tells it): compare with \
            copies, keep the folder for whoever looks into this, then say so with `mi-gateway audit acknowledge`",
            self.lines()
        )
    }
}

/// The words with which an operator says that the cut in this line was looked into, and every one before it.
pub(super) fn acknowledged(cut: u64, by: &str, reason: &str, key: &Key) -> Vec<u8> {
    let mut words = json!({ "kind": "acknowledged", "time": now(), "cut": cut, "by": by, "reason": reason });
    words["signature"] = key.sign_words(&statement(&words)).into();
    words.to_string().into_bytes()
}

/// Up to which line cuts were looked into; `None`: the words are not the key's.
pub(super) fn reaches(words: &Value, key: PublicKey) -> Option<u64> {
    key.signed_words(&statement(words), words["signature"].as_str()?).then(|| words["cut"].as_u64())?
}

fn statement(words: &Value) -> String {
    format!("mi-gateway audit acknowledged {}", bare(words))
}

/// Words as they were signed: without what the log puts around them.
pub(super) fn bare(words: &Value) -> Value {
    let mut words = words.clone();
    if let Some(members) = words.as_object_mut() {
        for around in ["seq", "chain", "signature"] {
            members.shift_remove(around);
        }
    }
    words
}
