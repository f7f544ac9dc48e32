//! What follows a write: the record is read back, whole, told as a document, and taken to every point that wants it.
//!
//! Invariant: a document is made of what M3 says now, never of what a caller sent.
//! Does not know: HTTP, tokens, who wrote.

mod backoff;
mod courier;
mod coverage;
mod divisions;
mod editions;
mod error;
mod health;
mod holds;
mod look;
mod maker;
mod parcel;
mod poll;
mod preview;
mod proven;
mod publisher;
mod question;
mod read_back;
mod reading;
mod shadow;
mod start;
#[cfg(test)]
mod tests;
mod ways;

pub use coverage::verbs;
pub use divisions::Divisions;
pub use error::Error;
pub use look::look;
pub use preview::{NotShown, Preview, Previewed};
pub use publisher::{BodId, Entity, Location, M3S_OWN, Mode, Plan, Rule, Settings};
pub use read_back::{Back, Reader};
pub use start::start;
