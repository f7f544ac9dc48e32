//! Where the parts meet: settings in, a running house out, and its end in the right order.
//!
//! `build` is the only file that knows every part; `run` starts, waits and drains.
//! Invariant: readiness falls before the door closes, the door closes before what is in flight ends, and a write
//! that M3 may have seen is waited for longest.

mod audit;
mod build;
mod error;
mod first_start;
mod health;
mod issuers;
mod learning;
mod limits;
mod operator;
mod orders;
mod outbox;
mod policies;
mod run;
mod stops;

pub use audit::shown as shown_pruned;
pub use error::Error;
pub use first_start::{DEMO, READER};
pub use limits::usage;
pub use run::{Addresses, Ended, Running, start};
pub use stops::{BadOrder, BlockOrder, Named, RevokeOrder, shown, write_down};
