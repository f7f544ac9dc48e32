//! What the operators took back or stopped before its time: tokens, clients, programs. Durable, and in force at once.
//!
//! Revocations end tokens of any issuer: one token, one grant, or all that were issued up to an instant. Blocks stop a
//! client or a program, whatever its tokens and the rules say. Every entry has a reason, somebody who made it and, where
//! it can have one, an end. The command line writes in another process; the running gateway follows.
//! Invariant: what is asked on the way of a request is in memory and swapped whole; what is not known to be good under a
//! revocation is refused; the number of entries is bounded.
//! Does not know: how a token is verified, or what a refusal looks like.

mod book;
mod entry;
mod error;
mod follow;
#[cfg(test)]
mod tests;
mod view;

pub use book::Book;
pub use entry::{Entry, Order, What};
pub use error::Error;
pub use follow::{Change, Stoplist};
pub use view::{Block, Stops, TokenFacts, View};
