//! What a decided call holds until its end: the number of its decision, and the word that its line is kept.

use super::decision::{DecisionId, now};
use super::log::Log;
use serde_json::json;
use tokio::sync::oneshot;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// M3 took it.
    Done,
    /// M3 took it, and never says whether it worked.
    NotReported,
    /// M3 said no.
    Refused,
    /// It did not reach M3.
    NotSent,
    /// It may have been done.
    Unknown,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotReported => "not-reported",
            Self::Refused => "refused",
            Self::NotSent => "not-sent",
            Self::Unknown => "unknown",
        }
    }
}

/// The line could not be kept, and the settings ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwritten;

/// A write's ticket that is dropped tells how far it had come: nothing is left without an outcome but a crash.
#[derive(Debug)]
pub struct Ticket {
    pub id: DecisionId,
    pub(super) log: Log,
    /// `None`: nobody asked to wait.
    pub(super) kept: Option<oneshot::Receiver<bool>>,
    /// What is told if nobody tells more; `None` for what is no write, or was refused.
    pub(super) so_far: Option<Outcome>,
}

impl Ticket {
    /// Returns once the line is on the disk, where it has to be.
    pub async fn kept(&mut self) -> Result<(), Unwritten> {
        match self.kept.take() {
            None => Ok(()),
            Some(kept) => self.log.told(kept).await,
        }
    }

    /// From here on M3 may see it.
    pub fn sent(&mut self) {
        self.so_far = self.so_far.map(|_| Outcome::Unknown);
    }

    pub fn ended(mut self, outcome: Outcome) {
        self.so_far = self.so_far.map(|_| outcome);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(outcome) = self.so_far.take() else { return };
        let words = json!({
            "kind": "outcome", "id": self.id.to_string(), "time": now(), "outcome": outcome.as_str(),
        });
        self.log.write(words.to_string().into_bytes());
    }
}
