//! How often a client may call: a limit of its own, and limits on single programs on top.
//!
//! Buckets are counted per client, the pair of issuer and id, never per anything a caller can invent.
//! Invariant: the number of buckets is bounded, and a weight above the burst waits for a full bucket and empties it;
//! it is never refused for ever.
//! Does not know: HTTP requests, tokens, or where the file of the limits lies.

mod bucket;
mod plan;
mod quota;
#[cfg(test)]
mod tests;
mod verdict;

pub use bucket::Limits;
pub use plan::{Fault, Plan};
pub use quota::Quota;
pub use verdict::{Policy, Verdict};
