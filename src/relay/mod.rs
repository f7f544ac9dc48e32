//! What follows a write: the record is read back, whole, and told as a document.
//!
//! Invariant: a document is made of what M3 says now, never of what a caller sent.
//! Does not know: HTTP, tokens, who wrote.

mod error;
mod read_back;

pub use error::Error;
pub use read_back::{Back, Reader};
