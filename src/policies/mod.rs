//! The policy files: read, loaded, watched, swapped as one.
//!
//! A set lies in a folder, or in a bundle that trusted keys have signed. Without a policy folder the files that were compiled in hold. A set with faults, or one that breaks its own tests,
//! never replaces a good one; the good ones are kept, to start with and to go back to.
//! Invariant: what is active has loaded whole, and a reader sees one set from a question's start to its end.
//! Does not know: what a rule or a limit means (see `policy`, `limit`), or where layouts come from.

mod active;
mod bundle;
mod cases;
mod check;
mod files;
mod gate;
mod kept;
mod manifest;
mod replay;
mod shadow;
mod signer;
mod tally;
#[cfg(test)]
mod tests;
mod whence;
mod workbench;

pub use active::{Active, Change, InForce, Settings};
pub use bundle::{Fault as BundleFault, Sealed, Trust, open as open_bundle, pack, sign};
pub use cases::{Case, Outcome, Tested, read as read_cases, run as run_cases};
pub use check::{Check, check};
pub use files::{Error, Files, read};
pub use gate::{Gate, Layouts, LimitsCheck};
pub use kept::{Kept, KeptSet, Rollback};
pub use manifest::Manifest;
pub use replay::{Again, Past};
pub use shadow::{Shadow, ShadowSettings};
pub use signer::{KeyFault, KeyId, SigningKey, TrustedKey};
pub use workbench::{Answer, Caller, May, Question, Wrong, ask, beyond, may, read_call};
