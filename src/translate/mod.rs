//! Between the REST contract and MI: the words of a request in, a typed transaction out; records in, documents out.
//!
//! Pure: text and values in, text and values out; no clock, no I/O, no HTTP types.
//! Invariant: what `placed` gives is exactly what is sent, so what was decided on it is what M3 executes.
//! Does not know: who asks, whether he may, or what M3 will say.

mod bulk;
mod columns;
mod continuation;
mod document;
mod fault;
mod json;
mod ndjson;
mod options;
mod path;
mod query;
mod request;
mod table;
mod v1;
mod v2;
mod xml;

pub use bulk::{BULK_LIMITS, BULK_PATH, Bulk, BulkDocument, BulkFault, Item, Next};
pub use columns::{EncodeFault, Status, encode, slots, status, technical};
pub use continuation::Continuation;
pub use document::{Document, Failure, Mark, Shape};
pub use fault::{Fault, FaultKind};
pub use json::{Part, SplitFault, SplitLimits, Splitter, TooDeep, within_depth};
pub use options::{Format, Options};
pub use path::{Target, TargetFault};
pub use request::{Asked, RequestFault, Wanted, placed, read};
pub use table::Table;

#[cfg(test)]
mod tests;
