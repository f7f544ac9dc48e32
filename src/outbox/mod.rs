//! What must not be forgotten about writes: the intent before it, its outcome, and the documents that the company is owed.
//!
//! An intent is on the disk before M3 may see its write and is settled after; what a crash left open is a question to
//! M3, never a silent loss. A settled write marks its documents as due in the same transaction. Many intents share one
//! commit.
//! Invariant: as long as a key of a client's is kept it names one write; what can't be settled stays, and is shown.
//! Does not know: how a document looks, where it goes, what HTTP is.

mod answers;
mod book;
mod bulks;
mod coverage;
mod depths;
mod desk;
mod due;
mod editions;
mod entries;
mod error;
mod evidence;
mod history;
mod images;
mod intent;
mod ledger;
mod message;
mod names;
mod orders;
mod ready;
mod replay;
mod reseal;
mod round;
mod schema;
mod seal;
mod state;
mod status;
mod tags;
#[cfg(test)]
mod tests;
mod theirs;
mod tidy;
mod watches;
mod ways;
mod writer;

pub use answers::{Answered, Arrival, Own, Taken, Word};
pub use book::Wanted;
pub use bulks::{Bulk, Bulks};
pub use coverage::{Coverage, Step, Told};
pub use depths::{Depth, Waiting};
pub use desk::{Outbox, Settings};
pub use due::{DueDocument, Ending, Message};
pub use editions::{Edition, Has, Known, Stood};
pub use error::Error;
pub use evidence::Seen;
pub use images::Look;
pub use intent::{Before, Due, Entry, EntryKind, IdempotencyKey, Intent, Opened, Outcome, Pledge};
pub use ledger::{Ledger, Question, Verdict};
pub use message::{Attempt, Delivery, Kept, Made};
pub use orders::{Dropped, Operator, Order, Resolution};
pub use ready::Held;
pub use replay::Selection;
pub use seal::{Seal, TooShort};
pub use state::{Change, State};
pub use theirs::{Compared, Ours, Pair, Theirs, Unmatched};
pub use tidy::{Ages, Tidied};
pub use watches::{Polled, Watched};
pub use ways::Room;
