//! The only HTTP client of the house: for documents that the gateway itself must fetch, such as key sets, for
//! questions that it must ask, such as whose a token is, and for what it delivers.
//!
//! Invariant: https alone (plain http only to loopback, when allowed), no redirects, a body cap, a time limit,
//! and never an address that nobody meant to ask (link-local, multicast; private ones when forbidden).
//! Does not know: what the documents mean.

mod client;
mod guard;
mod token;

pub use client::{Answered, Client, Error, Fetched, Settings};
pub use token::{NoToken, TokenSource};
