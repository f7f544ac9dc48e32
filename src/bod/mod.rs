//! Business Object Documents: what M3 says of an order, an item or a customer, as the rest of the company reads it.
//!
//! A mapping file tells which transactions read a document's record and which field goes into which element. It is
//! compiled against the outline of its noun and against M3's own metadata, so that an unknown field or an element out of
//! its order is a fault of the file, with its line, and never a wrong document.
//! Invariants: a document is written whole or not at all; no value stands in it that M3 didn't give or the mapping
//! didn't say; its elements stand in the outline's order.
//! Does not know: how records are read, when a document is due, where it goes, what time it is.

mod check;
mod code;
mod compile;
mod compose;
mod condition;
mod confirm;
mod difference;
mod fault;
mod file;
mod filter;
mod fit;
mod function;
mod inbound;
mod mapping;
mod mask;
mod outline;
mod proof;
mod schema;
mod secrets;
mod shipped;
mod tree;
mod validate;
mod value;
mod words;
mod write;
mod xml;

pub use code::ConfirmationCode;
pub use compose::{Action, Bound, Composed, Envelope, Rows, Unbound, Verb};
pub use condition::BadCondition;
pub use confirm::{Confirmation, confirm};
pub use difference::{Comparison, Difference, Incomparable, compare};
pub use fault::{Fault, Source};
pub use filter::{Facts, Filter, OnLeave};
pub use fit::Fit;
pub use inbound::{Answer, Area, Identity, Inbound, Outcome, Reason, Unusable};
pub use mapping::{Deletes, Mapping, Parts, Read, Watch, Write};
pub use mask::{Mask, Unmasked};
pub use proof::{Deed, Proof, Reference};
pub use schema::schema;
pub use secrets::Secrets;
pub use shipped::shipped;
pub use validate::{Flaw, validate};
pub use words::words;

#[cfg(test)]
mod tests;
