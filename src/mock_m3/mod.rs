//! A mock M3: the MI socket protocol as Java M3 speaks it, over real layouts and seeded, changing data.
//!
//! It decodes and encodes with column arithmetic of its own, so that it can't share a misunderstanding with the client.
//! Does not know: the client, the gateway, or HTTP.

mod metadata;

pub use metadata::{Field, Metadata, Program, Transaction};
