//! Tokens without a form of their own: what their issuer says of them (RFC 7662), believed for a while.
//!
//! One question a token at a time, however many wait for its answer; a yes is believed no longer than the token lives and
//! the settings allow, a no for a moment. How many questions are under way at once is bounded.
//! Invariant: without an answer no token is good; what is remembered hangs on a digest, never on a token.
//! Does not know: who the client is here.

use super::cache::Digest;
use super::claims::{self, Verified};
use super::error::Error;
use super::parse::Object;
use super::remote::Remote;
use super::rules::{IssuerRules, TypRule};
use super::share::Shares;
use crate::outbound::{self, Client};
use crate::telemetry::Metrics;
use moka::Expiry;
use moka::future::Cache;
use prometheus::IntCounterVec;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// How an issuer is asked about tokens.
#[derive(Debug, Clone)]
pub struct Introspection {
    /// `None`: where the issuer's metadata say.
    pub endpoint: Option<String>,
    /// Who the gateway is to the issuer.
    pub client_id: String,
    pub secret: SecretString,
    /// How long a yes is believed, where the token lives longer.
    pub cap: Duration,
    /// How long a no is.
    pub negative: Duration,
    pub http: outbound::Settings,
}

const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// Questions at once: made-up tokens must not become a flood at the issuer.
const MOST_ASKED: usize = 32;
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Introspector {
    settings: Introspection,
    client: Client,
    remote: Arc<Remote>,
    held: Cache<Digest, Kept>,
    room: Semaphore,
    shares: Shares,
    counted: IntCounterVec,
}

impl std::fmt::Debug for Introspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introspector").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What the issuer said, or why what it said is not enough.
#[derive(Clone)]
struct Kept {
    said: Result<Arc<Verified>, Error>,
    lives: Duration,
}

struct Lives;

impl Expiry<Digest, Kept> for Lives {
    fn expire_after_create(&self, _: &Digest, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.lives)
    }
}

impl Introspector {
    pub(super) fn new(
        settings: &Introspection,
        remote: Arc<Remote>,
        metrics: &Metrics,
    ) -> Result<Self, outbound::Error> {
        let http = outbound::Settings { most_bytes: 64 * 1024, ..settings.http.clone() };
        let client = Client::new(http)?;
        if let Some(endpoint) = &settings.endpoint {
            client.check(endpoint)?;
        }
        let held = Cache::builder()
            .max_capacity(MOST_BYTES)
            .weigher(|_, kept: &Kept| match &kept.said {
                Ok(verified) => verified.weight(),
                Err(_) => 256,
            })
            .expire_after(Lives)
            .build();
        let (settings, counted) = (settings.clone(), metrics.introspections.clone());
        Ok(Self { settings, client, remote, held, room: Semaphore::new(MOST_ASKED), shares: Shares::new(), counted })
    }

    /// What is known of this token, from the issuer itself where it isn't known yet.
    pub(super) async fn ask(
        &self,
        token: &str,
        digest: Digest,
        peer: Option<IpAddr>,
        rules: &IssuerRules,
        now: u64,
    ) -> Result<Arc<Verified>, Error> {
        if let Some(kept) = self.held.get(&digest).await {
            self.count(rules, "hit");
            return kept.said;
        }
        let asked = self.held.try_get_with(digest, self.shared(token, peer, rules, now)).await;
        asked.map_err(|error: Arc<Error>| Error::clone(&error))?.said
    }

    /// A question within the share of whoever shows the token: many that are none must not keep others' from being asked.
    async fn shared(&self, token: &str, peer: Option<IpAddr>, rules: &IssuerRules, now: u64) -> Result<Kept, Error> {
        let Some(peer) = peer else { return self.question(token, rules, now).await };
        let share = self.shares.of(peer);
        let held_back = || {
            self.count(rules, "held-back");
            tracing::debug!(issuer = %rules.issuer, %peer, "a token is not asked about: too many of its address are none");
            Error::IssuerUnavailable
        };
        if self.shares.is_spent(&share, Instant::now()) {
            return Err(held_back());
        }
        let Ok(Some(_room)) = tokio::time::timeout(PATIENCE, self.shares.room(&share)).await else {
            return Err(held_back());
        };
        if self.shares.is_spent(&share, Instant::now()) {
            return Err(held_back());
        }
        let kept = self.question(token, rules, now).await?;
        if kept.said.is_err() {
            self.shares.refused(&share, Instant::now());
        }
        Ok(kept)
    }

    /// An error is no answer, and is not remembered.
    async fn question(&self, token: &str, rules: &IssuerRules, now: u64) -> Result<Kept, Error> {
        let unavailable = |why: &dyn std::fmt::Display| {
            self.count(rules, "failed");
            tracing::warn!(issuer = %rules.issuer, %why, "a token could not be asked about");
            Error::IssuerUnavailable
        };
        let Ok(Ok(_room)) = tokio::time::timeout(PATIENCE, self.room.acquire()).await else {
            return Err(unavailable(&"too many questions are under way"));
        };
        let metadata = if self.settings.endpoint.is_none() { self.remote.metadata().await } else { None };
        let endpoint = self.settings.endpoint.as_deref().or(metadata.as_deref().and_then(|told| told.introspection()));
        let Some(endpoint) = endpoint else { return Err(unavailable(&"where to ask is not known")) };
        let form = asking(token);
        let (id, secret) = (&self.settings.client_id, self.settings.secret.expose_secret());
        let mut answer = self.client.post_form(endpoint, (id, secret), form.clone()).await;
        if matches!(answer, Err(outbound::Error::Unreachable { .. })) {
            // A kept connection may just have been closed, and asking twice changes nothing.
            answer = self.client.post_form(endpoint, (id, secret), form).await;
        }
        let answer = answer.map_err(|error| unavailable(&error))?;
        let said = match read(&answer.body, rules) {
            Ok(verified) => Ok(Arc::new(verified)),
            Err(Error::IssuerUnavailable) => return Err(unavailable(&"its answer can't be read")),
            Err(error) => Err(error),
        };
        self.count(rules, if said.is_ok() { "active" } else { "refused" });
        let lives = match &said {
            Ok(verified) => self.settings.cap.min(Duration::from_secs(verified.expires.saturating_sub(now))),
            Err(_) => self.settings.negative,
        };
        Ok(Kept { said, lives })
    }

    fn count(&self, rules: &IssuerRules, outcome: &str) {
        self.counted.with_label_values(&[rules.issuer.as_str(), outcome]).inc();
    }
}

fn asking(token: &str) -> Zeroizing<String> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("token", token).append_pair("token_type_hint", "access_token");
    Zeroizing::new(form.finish())
}

/// Three parts are for a signature to prove; everything else only its issuer can read.
pub(super) fn is_opaque(token: &str) -> bool {
    let usual = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    token.bytes().filter(|b| *b == b'.').count() != 2 && !token.is_empty() && token.bytes().all(usual)
}

/// For fuzzing and for nothing else: whether an answer says that its token is good.
pub fn says_active(answer: &[u8]) -> bool {
    serde_json::from_slice::<Object>(answer).is_ok_and(|said| said.member("active") == Some(&Value::Bool(true)))
}

/// The claims of an answer are believed, coming from where they come, and held against the same rules as a token's own.
fn read(answer: &[u8], rules: &IssuerRules) -> Result<Verified, Error> {
    let said: Object = serde_json::from_slice(answer).map_err(|_| Error::IssuerUnavailable)?;
    match said.member("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Err(Error::Inactive),
        _ => return Err(Error::IssuerUnavailable),
    }
    if claims::text(&said, "iss")?.is_some_and(|issuer| issuer != rules.issuer) {
        return Err(Error::Issuer);
    }
    // A refresh token is active too, and must open nothing.
    match claims::text(&said, "token_type")? {
        Some(name) if name.eq_ignore_ascii_case("bearer") => Verified::told(&said, rules),
        None if rules.typ == TypRule::Any => Verified::told(&said, rules),
        Some(name) if name.eq_ignore_ascii_case("dpop") => {
            Verified::told(&said, rules).and_then(|told| told.binding.key.map(|_| told).ok_or(Error::Type))
        }
        Some(_) | None => Err(Error::Type),
    }
}
