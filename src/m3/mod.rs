//! The way out: MI calls to M3, one session for one user, program and company.
//!
//! Nothing above knows that it is a socket. A call goes over a session whose company is proven and which has confirmed
//! the call's layout; a read that M3 can't have seen may be repeated, a write never is.
//! Invariant: a session whose exchange was cut short is closed, never pooled.
//! Does not know: HTTP, policies, or what an outcome means to the caller.

mod client;
mod error;
mod gates;
mod home;
mod pool;
mod pools;
mod queue;
mod reply;
mod rest;
mod settings;
mod socket;

pub use client::{Client, Slots};
pub use error::{Error, may_repeat};
pub use home::{Home, Identity};
pub use reply::Reply;
pub use rest::{Found, Reader as RestReader};
pub use settings::{PoolSettings, RestIdentity, RestSettings, RestVersion, Settings, TlsSettings};
pub use socket::read_frame;

#[cfg(test)]
mod tests;
