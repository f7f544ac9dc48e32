//! The policy files: read, loaded, watched, swapped as one.
//!
//! Without a policy folder the files that were compiled in hold. A set with faults never replaces a good one.
//! Invariant: what is active has loaded whole, and a reader sees one set from a question's start to its end.
//! Does not know: what a rule or a limit means (see `policy`, `limit`), or where layouts come from.

mod active;
mod files;
#[cfg(test)]
mod tests;
mod workbench;

pub use active::{Active, Check, Layouts, Settings, check};
pub use files::{Error, Files, read};
pub use workbench::{Answer, Caller, May, Question, Wrong, ask, may, read_call};
