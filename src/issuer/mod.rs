//! Tokens we give: the embedded issuer for one machine and for development.
//!
//! Clients and signing keys live in the store and survive a restart; the command line changes them in another
//! process and the running issuer follows. Access and refresh tokens are signed and stateless: what must be
//! remembered is only what was taken back (a client, a family of tokens), until it would have expired anyway.
//! Invariant: a secret is stored hashed and shown once; a key is published as long as a token it signed may live.
//! Does not know: HTTP statuses, routes, or M3.

mod answer;
mod attempts;
mod authenticate;
mod authentication;
mod basic;
mod client;
mod clients;
mod error;
mod form;
mod grant;
mod ionapi;
mod mint;
mod once;
mod pace;
mod run;
mod schema;
mod secrets;
mod settings;
mod signing;
mod signing_keys;
#[cfg(test)]
mod tests;

pub use answer::{TokenAnswer, TokenAsk, TokenError};
pub use authentication::Authentication;
pub use basic::readable as basic_readable;
pub use client::{Client, Credentials, NewClient};
pub use clients::Clients;
pub use error::Error;
pub use form::readable as form_readable;
pub use ionapi::{IonApi, write_private};
pub use run::Issuer;
pub use secrets::HashCost;
pub use settings::{Settings, SigningAlgorithm};
pub use signing_keys::{KeyInfo, SigningKeys};
