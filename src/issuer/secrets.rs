//! Making, hashing and checking secrets.
//!
//! Argon2id runs on blocking threads, two at a time, and so many may wait; a secret that was just right is
//! remembered for a minute by a keyed hash, so that a client that asks often pays once.
//! Invariant: a check costs the same whether there is a hash to compare with or not, and invented clients never take
//! the turn of real ones.
//! Does not know: whose secret it is.

use super::error::Error;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::sync::Cache;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

const AT_ONCE: usize = 2;
const MOST_WAITING: usize = 64;
const REMEMBERED: Duration = Duration::from_secs(60);
const MOST_REMEMBERED: u64 = 10_000;

/// What one hash costs. The secrets we make have 256 bits; the cost matters should the file be stolen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    pub memory_kib: u32,
    pub passes: u32,
}

impl Default for HashCost {
    fn default() -> Self {
        Self { memory_kib: Params::DEFAULT_M_COST, passes: Params::DEFAULT_T_COST }
    }
}

/// An Argon2id hash with its parameters, as text.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hashed(pub(super) Arc<str>);

impl fmt::Debug for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hashed(…)")
    }
}

/// That many random bytes, as base64url.
pub(super) fn random<const BYTES: usize>() -> Result<String, Error> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    rand::fill(&mut *bytes).map_err(|_| Error::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(*bytes))
}

pub(super) async fn hash(secret: &str, cost: HashCost) -> Result<Hashed, Error> {
    let secret = Zeroizing::new(secret.to_owned());
    spawn_blocking(move || {
        let mut salt = [0; 16];
        rand::fill(&mut salt).map_err(|_| Error::Random)?;
        let salt = SaltString::encode_b64(&salt).map_err(Error::Hash)?;
        let params = Params::new(cost.memory_kib, cost.passes, 1, None).map_err(|error| Error::Hash(error.into()))?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash = argon.hash_password(secret.as_bytes(), &salt).map_err(Error::Hash)?;
        Ok(Hashed(hash.to_string().into()))
    })
    .await
    .map_err(|_| Error::Task)?
}

/// Too many checks wait already; nothing was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Busy;

#[derive(Debug)]
pub(super) struct Secrets {
    running: Semaphore,
    queue: Semaphore,
    /// One at a time of those who name a client that doesn't exist: they never hold up a real one.
    strangers: Semaphore,
    remembered: Cache<[u8; 32], ()>,
    key: hmac::Key,
    nobody: Hashed,
}

impl Secrets {
    pub(super) async fn new(cost: HashCost) -> Result<Self, Error> {
        let mut key = [0; 32];
        rand::fill(&mut key).map_err(|_| Error::Random)?;
        Ok(Self {
            running: Semaphore::new(AT_ONCE),
            queue: Semaphore::new(MOST_WAITING + AT_ONCE),
            strangers: Semaphore::new(1),
            remembered: Cache::builder().max_capacity(MOST_REMEMBERED).time_to_live(REMEMBERED).build(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            nobody: hash(&random::<32>()?, cost).await?,
        })
    }

    /// Whether this secret was right for this very hash a moment ago. A new secret has a new hash, so it ends this.
    pub(super) fn remembers(&self, hashed: &Hashed, secret: &str) -> bool {
        self.remembered.contains_key(&self.tag(hashed, secret))
    }

    /// The full check. `None` is a client that doesn't exist: the same work, and always wrong. In a flood of invented
    /// ids only one of them is worked for at a time; that the others are answered at once tells nothing worth knowing,
    /// for an id has 256 bits.
    pub(super) async fn check(&self, hashed: Option<&Hashed>, secret: &str) -> Result<bool, Busy> {
        let _stranger = match (hashed, self.strangers.try_acquire()) {
            (None, Ok(place)) => Some(place),
            (None, Err(_)) => return Ok(false),
            (Some(_), _) => None,
        };
        let _place = self.queue.try_acquire().map_err(|_| Busy)?;
        let _turn = self.running.acquire().await.map_err(|_| Busy)?;
        let (against, given) = (hashed.unwrap_or(&self.nobody).clone(), Zeroizing::new(secret.to_owned()));
        let right = spawn_blocking(move || fits(&against, &given)).await.unwrap_or(false);
        match hashed {
            Some(hashed) if right => {
                self.remembered.insert(self.tag(hashed, secret), ());
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn tag(&self, hashed: &Hashed, secret: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(hashed.0.as_bytes());
        context.update(&[0]);
        context.update(secret.as_bytes());
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }
}

/// The crate compares in constant time, with the parameters that the hash names.
fn fits(hashed: &Hashed, secret: &str) -> bool {
    PasswordHash::new(&hashed.0)
        .is_ok_and(|parsed| Argon2::default().verify_password(secret.as_bytes(), &parsed).is_ok())
}
