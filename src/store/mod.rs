//! One SQLite database file for everything that must outlive the process.
//!
//! Each room that keeps something hands in its own list of migrations under its own name.
//! Invariant: one writer in the process; what was committed is on the disk; folder 0700, files 0600.
//! Other processes (the command line) write too: a [`Watch`] tells that something changed.
//! Does not know: what is kept, or who keeps it.

mod error;
mod migrate;
mod open;
mod private;
mod secret;
mod watch;

pub use error::Error;
pub use open::Store;
pub use private::{ensure_key, write_private, write_with_mode};
pub use secret::{OPEN_ADVICE, is_open, read_secret, read_secret_text};
pub use watch::Watch;
