//! The catalog: MI metadata kept warm, learnt from M3 at run time and never hard-coded.
//!
//! One fetch serves many askers; an old entry is served while it is refreshed; what M3 doesn't know is remembered
//! briefly; everything is bounded. A copy on disk lets a restart refuse early and publish schemas without M3.
//! Invariant: a layout from here is a proposal; the session that runs a call confirms it first (see `m3`).
//! Does not know: HTTP, policies, or who asks.

mod cache;
mod fetch;
mod pull;
mod saved;

pub use cache::{Catalog, Error, Settings};
pub use fetch::TransactionFacts;
pub use pull::Pulled;
pub use saved::read as read_saved;
