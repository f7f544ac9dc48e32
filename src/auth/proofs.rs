//! Where proofs of possession are looked at, beside tokens and where tokens are made: one memory of what was used, one
//! key for nonces.
//!
//! Invariant: a proof is remembered only when everything else about it is good and its client is known, so that nobody
//! who has no token fills the memory.

use super::binding::{Thumbprint, same};
use super::cache::Digest;
use super::nonce::Nonces;
use super::presented::Shown;
use super::proof::{AHEAD, ALGORITHMS, Asked, Proven, check};
use super::spent::Spent;
use super::target::{Target, path};
use super::unproven::Unproven;
use crate::model::ClientId;
use crate::telemetry::Metrics;
use prometheus::IntCounterVec;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProofSettings {
    /// How long after it was made a proof may be used, in seconds.
    pub seconds: u64,
    /// Each proof must carry a nonce of ours.
    pub require_nonce: bool,
    /// How long a nonce is given out; it is good for as long again.
    pub nonce_seconds: u64,
    /// Proofs that are remembered at once.
    pub most: usize,
}

impl Default for ProofSettings {
    fn default() -> Self {
        Self { seconds: 60, require_nonce: false, nonce_seconds: 300, most: 1_000_000 }
    }
}

/// A clone has the same memory.
#[derive(Debug, Clone)]
pub struct Proofs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: ProofSettings,
    /// The gateway's own address, in its settled spelling; what cannot be one fits no proof.
    origin: Option<String>,
    nonces: Nonces,
    spent: Spent,
    counted: IntCounterVec,
}

impl Proofs {
    /// `url`: scheme, host and port of the gateway. Gateways with the same key take each other's nonces.
    pub fn new(url: &str, settings: ProofSettings, key: &[u8], metrics: &Metrics) -> Self {
        let origin = Target::parse(url).map(|target| target.origin);
        let nonces = Nonces::new(key, settings.nonce_seconds);
        let spent = Spent::new(settings.most, settings.seconds.saturating_add(AHEAD));
        Self { inner: Arc::new(Inner { settings, origin, nonces, spent, counted: metrics.dpop_proofs.clone() }) }
    }

    /// The nonce that the next proof is to carry, where one is asked for.
    pub fn nonce(&self, now: u64) -> Option<String> {
        self.inner.settings.require_nonce.then(|| self.inner.nonces.at(now))
    }

    /// Where a token is made: the key that it is to be bound to.
    pub fn at_issuer(&self, shown: Shown<'_>, path: &str, who: &ClientId, now: u64) -> Result<Proven, Unproven> {
        self.counted(self.looked_at(shown, ("POST", path), None, now).and_then(|proven| self.spend(who, proven, now)))
    }

    /// Beside a token that is bound to `key`.
    pub(super) fn beside(
        &self,
        shown: Shown<'_>,
        call: (&str, &str),
        (token, key): (&Digest, &Thumbprint),
        who: &ClientId,
        now: u64,
    ) -> Result<(), Unproven> {
        let looked = self.looked_at(shown, call, Some(token), now).and_then(|proven| {
            if !same(&proven.key, key) {
                return Err(Unproven::OtherKey);
            }
            self.spend(who, proven, now)
        });
        self.counted(looked).map(drop)
    }

    fn looked_at(
        &self,
        shown: Shown<'_>,
        (method, called): (&str, &str),
        token: Option<&Digest>,
        now: u64,
    ) -> Result<Proven, Unproven> {
        let text = match shown {
            Shown::One(text) => text,
            Shown::None => return Err(Unproven::Missing),
            Shown::Many => return Err(Unproven::Many),
        };
        let settings = &self.inner.settings;
        let target = self.inner.origin.clone().zip(path(called)).map(|(origin, path)| Target { origin, path });
        let target = &target.ok_or(Unproven::Target)?;
        let nonces = settings.require_nonce.then_some(&self.inner.nonces);
        check(text, &Asked { method, target, token, nonces, lives: settings.seconds, now })
    }

    /// The last of all checks: who is refused for another reason may try the same proof again.
    fn spend(&self, who: &ClientId, proven: Proven, now: u64) -> Result<Proven, Unproven> {
        self.inner.spent.spend(who, proven.id, now).map(|()| proven)
    }

    fn counted<T>(&self, looked: Result<T, Unproven>) -> Result<T, Unproven> {
        let outcome = match &looked {
            Ok(_) => "good",
            Err(Unproven::Replayed) => "replayed",
            Err(Unproven::Nonce) => "nonce",
            Err(Unproven::Full) => "full",
            Err(_) => "refused",
        };
        self.inner.counted.with_label_values(&[outcome]).inc();
        looked
    }
}

/// The algorithms that proofs may be signed with, as metadata and challenges name them.
pub fn proof_algorithms() -> impl Iterator<Item = &'static str> {
    ALGORITHMS.into_iter().map(|algorithm| algorithm.as_str())
}
