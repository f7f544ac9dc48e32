//! Tokens we trust: from the text of a bearer token to a principal, or a refusal.
//!
//! A token is parsed under caps, its issuer looked up, its signature checked with that issuer's keys, and only then
//! are its claims believed; every claim that matters is required and of the right type.
//! Invariant: nothing is decided on an unverified claim; a cached token is refused as soon as its time, its client,
//! its family or its key is over.
//! Does not know: HTTP headers and statuses, paths, or how a token comes to be (see `issuer`).

mod algorithm;
mod assertion;
mod binding;
mod cache;
mod claimed;
mod claims;
mod client_keys;
mod crypto;
mod directory;
mod error;
mod fetcher;
mod keys;
mod metadata;
mod nonce;
mod opaque;
mod parse;
mod presented;
mod proof;
mod proofs;
mod remote;
mod resource;
mod rules;
mod share;
mod spent;
mod target;
#[cfg(test)]
mod tests;
mod unproven;
mod verify;

pub use algorithm::Algorithm;
pub use assertion::{Assertion, BadAssertion, Once};
pub use claimed::{Claimed, claimed};
pub use claims::{FAMILY, GENERATION, TENANT};
pub use client_keys::{BadClientKeys, ClientKeys};
pub use crypto::install_crypto;
pub use directory::{ClientFacts, Directory};
pub use error::{Blame, Error, Unfit};
pub use keys::{BadKeySet, KeySet, Keys};
pub use metadata::{BadMetadata, Metadata};
pub use opaque::{Introspection, says_active};
pub use parse::{MAX_TOKEN, well_formed};
pub use presented::{Presented, Scheme, Shown};
pub use proof::{Proven, proof_well_formed};
pub use proofs::{ProofSettings, Proofs, proof_algorithms};
pub use remote::RemoteKeys;
pub use resource::Resource;
pub use rules::{CompanyRule, IssuerRules, KeySource, RequireBound, TypRule, UnknownClients};
pub use unproven::Unproven;
pub use verify::{Pass, Verifier};
