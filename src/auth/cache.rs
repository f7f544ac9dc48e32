//! Tokens that were verified before: a look-up instead of a signature check.
//!
//! Invariant: the token itself is not kept, only its SHA-256; the bytes held are bounded.
//! Does not know: whether an entry still holds; the verifier asks that on every hit.

use super::claims::Verified;
use crate::model::Principal;
use moka::sync::Cache;
use std::sync::Arc;
use std::time::Duration;

const MOST_BYTES: u64 = 32 * 1024 * 1024;
/// A token that nobody uses any more makes room before it expires.
const IDLE: Duration = Duration::from_secs(3600);

pub(super) type Digest = [u8; 32];

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) principal: Arc<Principal>,
    pub(super) verified: Arc<Verified>,
    /// The issuer's text, shared with the rules that were asked.
    pub(super) issuer: Arc<str>,
    pub(super) directory_epoch: u64,
    pub(super) stops_epoch: u64,
    pub(super) keys_epoch: u64,
}

#[derive(Debug)]
pub(super) struct TokenCache {
    held: Cache<Digest, Arc<Entry>>,
}

impl TokenCache {
    pub(super) fn new() -> Self {
        let held = Cache::builder()
            .max_capacity(MOST_BYTES)
            .weigher(|_, entry: &Arc<Entry>| entry.weight())
            .time_to_idle(IDLE)
            .build();
        Self { held }
    }

    pub(super) fn digest(token: &str) -> Digest {
        Self::digest_of(token.as_bytes())
    }

    pub(super) fn digest_of(bytes: &[u8]) -> Digest {
        let mut out = [0; 32];
        out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
        out
    }

    pub(super) fn look(&self, digest: &Digest) -> Option<Arc<Entry>> {
        self.held.get(digest)
    }

    pub(super) fn keep(&self, digest: Digest, entry: Entry) {
        self.held.insert(digest, Arc::new(entry));
    }

    pub(super) fn forget(&self, digest: &Digest) {
        self.held.invalidate(digest);
    }
}

impl Entry {
    /// Texts of the entry, and a generous guess for everything around them.
    fn weight(&self) -> u32 {
        self.verified.weight().saturating_add(texts(&self.principal.groups))
    }
}

impl Verified {
    pub(super) fn weight(&self) -> u32 {
        let companies = self.companies.as_deref().map_or(0, size_of_val);
        let bytes = 768 + self.client.len() + 2 * self.token_id.len() + companies;
        let seen = self.seen.iter().map(|claim| 64 + texts(claim.texts())).fold(0, u32::saturating_add);
        u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(texts(&self.scopes)).saturating_add(seen)
    }
}

fn texts(list: &[Box<str>]) -> u32 {
    u32::try_from(list.iter().map(|text| text.len() + 32).sum::<usize>()).unwrap_or(u32::MAX)
}
