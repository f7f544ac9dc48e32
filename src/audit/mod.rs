//! What was decided, on whose behalf and why, and what became of each write: a log that shows when it was altered.
//!
//! One JSON line a decision, in files whose lines hang on one another by SHA-256; every so often a line is signed, and
//! the newest signed one is also kept beside the files, so that a cut-off end is seen.
//! Invariant: whoever waited for his line has it on the disk; a line that could not be kept is counted in the log itself.
//! A value of a sensitive field is never written, only its keyed hash.
//! Does not know: what a rule or a problem is. It is told words.

mod chain;
mod cut;
mod decision;
mod error;
mod find;
mod key;
mod log;
mod prune;
mod refusals;
mod resume;
mod settings;
mod shared;
mod steady;
#[cfg(test)]
mod tests;
mod ticket;
mod verify;
mod writer;

pub use cut::Cut;
pub use decision::{Decision, DecisionId, FactRecord, Step};
pub use error::Error;
pub use find::{Filter, find};
pub use key::{Key, PublicKey};
pub use log::Log;
pub use prune::{Keep, Pruned};
pub use refusals::{Refusal, Table};
pub use settings::{Fields, Required, Settings};
pub use ticket::{Outcome, Ticket, Unwritten};
pub use verify::{Broken, Head, Record, Verified, verify};
pub use writer::is_written;
