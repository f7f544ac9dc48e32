//! A mock M3: the MI socket protocol as Java M3 speaks it, and m3api-rest as a grid serves it, over real layouts and
//! seeded, changing data.
//!
//! It decodes and encodes with column arithmetic of its own, so that it can't share a misunderstanding with the client.
//! Does not know: the client, or the gateway.

mod columns;
mod desk;
mod engine;
mod faults;
mod logon;
mod metadata;
mod rest;
mod seen;
mod server;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod tokens;
mod wire;

pub use engine::Row;
pub use faults::{Action, Fault, Faults, Refusal};
pub use metadata::{Field, Metadata, Program, Transaction};
pub use seen::SeenCall;
pub use server::Mock;
pub use session::Kill;
pub use settings::{DEMO_USER, GATEWAY_USER, Profile, READER_USER, ReplyMode, Settings, User};
