//! How much a client may do: rates of its own and into programs, transactions and effects, calls in flight, and quotas
//! of days and months.
//!
//! Everything is counted per client, the pair of issuer and id, never per anything a caller can invent. A call takes what
//! it costs from every limit that speaks of it, or from none; a shadow limit is counted and refuses nobody.
//! Invariant: what is held in memory is bounded; a weight above a burst or a quota waits for a full one and empties it,
//! and is never refused for ever. Rates run on a clock that nobody can set; quotas of a day are not refilled by a wall
//! clock that is set back, and a crash never makes them more.
//! Does not know: HTTP requests, tokens, or where the file of the limits lies.

mod book;
mod bucket;
mod calendar;
mod class;
mod counter;
mod limits;
#[cfg(test)]
mod moving;
mod plan;
mod quota;
mod raw;
mod reading;
mod report;
mod review;
mod scoped;
mod slots;
#[cfg(test)]
mod tests;
mod usage;
mod verdict;

pub use book::{Book, Used};
pub use calendar::Per;
pub use limits::{Caller, Charge, Held, Limits, Said};
pub use plan::{Fault, Plan};
pub use quota::Quota;
pub use report::Standing;
pub use review::{Known, review};
pub use usage::Uncounted;
pub use verdict::{Policy, Verdict};
