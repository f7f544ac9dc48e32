//! The task that fetches an issuer's keys, and where they are, ahead of need and on demand.
//!
//! Invariant: a failed fetch never takes good keys away; age alone does, and then every token of the issuer is refused.
//! Does not know: tokens.

use super::keys::KeySet;
use super::metadata::{Metadata, places};
use super::remote::{Remote, RemoteKeys};
use crate::clock::unix_seconds;
use crate::outbound;
use crate::telemetry::Metrics;
use prometheus::{IntCounterVec, IntGauge};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

const LIFETIMES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

pub(super) struct Fetcher {
    issuer: String,
    settings: RemoteKeys,
    client: outbound::Client,
    remote: Arc<Remote>,
    fetches: IntCounterVec,
    fetched: IntGauge,
}

/// When it is fetched without anybody asking. Demands, which any caller can make, put nothing off.
struct Timetable {
    next: Instant,
    retry: Duration,
    discovered: Option<Instant>,
}

impl Timetable {
    fn new(now: Instant) -> Self {
        Self { next: now, retry: FIRST_RETRY, discovered: None }
    }

    /// `again`: how long until the new set is refreshed; `None` where there is no new set.
    fn fetched(&mut self, regular: bool, again: Option<Duration>, now: Instant, chance: u8) {
        let regular_next = match again {
            Some(again) => {
                self.retry = FIRST_RETRY;
                now + jittered(again, chance)
            }
            None if regular => {
                let wait = self.retry;
                self.retry = (wait * 2).min(LAST_RETRY);
                now + jittered(wait, chance)
            }
            None => self.next,
        };
        self.next = if regular { regular_next } else { self.next.min(regular_next) };
    }

    fn may_discover(&mut self, pause: Duration, now: Instant) -> bool {
        let may = self.discovered.is_none_or(|last| now.duration_since(last) >= pause);
        if may {
            self.discovered = Some(now);
        }
        may
    }
}

impl Fetcher {
    pub(super) fn new(
        issuer: &str,
        settings: RemoteKeys,
        client: outbound::Client,
        remote: Arc<Remote>,
        metrics: &Metrics,
    ) -> Self {
        let fetched = metrics.jwks_fetched.with_label_values(&[issuer]);
        Self { issuer: issuer.to_owned(), settings, client, remote, fetches: metrics.jwks_fetches.clone(), fetched }
    }

    pub(super) async fn run(self) {
        let mut good_until = self.recall().await;
        let mut times = Timetable::new(Instant::now());
        let mut regular = true;
        loop {
            self.remote.flight(true);
            let lifetime = if regular { self.all(&mut times).await } else { self.demanded(&mut times).await };
            self.remote.flight(false);
            let now = Instant::now();
            if lifetime.is_some() {
                good_until = Some(now + self.settings.stale);
            }
            times.fetched(regular, lifetime.map(|lifetime| ahead(lifetime, self.settings.stale)), now, chance());
            let timer = tokio::time::sleep_until(times.next);
            tokio::pin!(timer);
            regular = loop {
                tokio::select! {
                    // First: whoever demands again and again must not keep what is due from being done.
                    biased;
                    () = &mut timer => break true,
                    () = self.remote.demanded() => break false,
                    () = at(good_until) => {
                        good_until = None;
                        self.end_of_age();
                    }
                }
            };
        }
    }

    /// What the issuer says of itself, and its keys.
    async fn all(&self, times: &mut Timetable) -> Option<Duration> {
        if self.settings.discover {
            times.discovered = Some(Instant::now());
            self.discover().await;
        }
        self.fetch().await
    }

    /// The keys where they were; where that brings nothing new the issuer may have moved them.
    async fn demanded(&self, times: &mut Timetable) -> Option<Duration> {
        if self.settings.discover && self.remote.known_metadata().is_none() {
            return self.all(times).await;
        }
        let before = self.remote.keys().held().epoch;
        let lifetime = self.fetch().await;
        let brought = lifetime.is_some() && self.remote.keys().held().epoch != before;
        // Where the settings name the place, nothing that the issuer says moves it.
        let may_move = self.settings.discover && self.settings.url.is_none();
        if brought || !may_move || !times.may_discover(self.settings.rediscover, Instant::now()) {
            return lifetime;
        }
        let known = self.remote.known_metadata();
        self.discover().await;
        let place = |told: &Option<Arc<Metadata>>| told.as_deref().map(|told| told.keys().to_owned());
        if place(&known) == place(&self.remote.known_metadata()) { lifetime } else { self.fetch().await }
    }

    /// Nobody has said for too long that these keys are still good.
    fn end_of_age(&self) {
        self.remote.keys().replace(KeySet::default());
        tracing::error!(issuer = %self.issuer, "its keys could not be refreshed for too long; its tokens are refused");
    }

    /// How long the new set is good; `None` when there is no new set.
    async fn fetch(&self) -> Option<Duration> {
        let count = |outcome| self.fetches.with_label_values(&[self.issuer.as_str(), outcome]).inc();
        let known = self.remote.known_metadata();
        let Some(url) = self.settings.url.as_deref().or(known.as_deref().map(Metadata::keys)) else {
            count("undiscovered");
            return None;
        };
        let fetched = match self.client.fetch(url, "application/jwk-set+json, application/json").await {
            Ok(fetched) => fetched,
            Err(error) => {
                count("failed");
                tracing::warn!(%url, %error, "a key set could not be fetched");
                return None;
            }
        };
        match KeySet::parse(&fetched.body) {
            Ok(set) if !set.is_empty() => {
                count("ok");
                self.remote.keys().replace(set);
                self.tell_age(unix_seconds());
                save(self.settings.saved.as_deref(), &fetched.body).await;
                Some(lifetime(fetched.max_age, self.settings.lifetime))
            }
            Ok(_) => {
                count("empty");
                tracing::warn!(%url, "a key set holds no key that can be used");
                None
            }
            Err(error) => {
                count("unreadable");
                tracing::warn!(%url, %error, "a key set could not be read");
                None
            }
        }
    }

    /// What is known stays known where the issuer does not answer, or answers for another.
    async fn discover(&self) {
        for url in places(&self.issuer) {
            let fetched = match self.client.fetch(&url, "application/json").await {
                Ok(fetched) => fetched,
                Err(error) => {
                    tracing::warn!(%url, %error, "an issuer's metadata could not be fetched");
                    // Another path of the same host would not be answered either.
                    if matches!(error, outbound::Error::Status { .. }) { continue } else { return }
                }
            };
            let told = Metadata::parse(&fetched.body, &self.issuer).map_err(|error| error.to_string());
            let told = told.and_then(|metadata| self.allowed(&metadata).map(|()| metadata));
            match told {
                Ok(metadata) => {
                    self.remote.describe(metadata);
                    save(self.saved_metadata().as_deref(), &fetched.body).await;
                    return;
                }
                Err(error) => tracing::warn!(%url, %error, "an issuer's metadata are not taken over"),
            }
        }
    }

    /// Where it sends us is no less guarded than where it is.
    fn allowed(&self, metadata: &Metadata) -> Result<(), String> {
        let mut named = std::iter::once(metadata.keys()).chain(metadata.introspection());
        named.try_for_each(|url| self.client.check(url).map(drop)).map_err(|error| error.to_string())
    }

    fn tell_age(&self, fetched: u64) {
        self.fetched.set(i64::try_from(fetched).unwrap_or(i64::MAX));
    }

    fn saved_metadata(&self) -> Option<PathBuf> {
        self.settings.saved.as_ref().map(|path| path.with_extension("metadata.json"))
    }

    /// What an earlier run of this gateway fetched, until there is something newer or it is too old. Gives its end.
    async fn recall(&self) -> Option<Instant> {
        if self.settings.discover
            && let Some(document) = recalled(self.saved_metadata().as_deref()).await
            && let Ok(metadata) = Metadata::parse(&document, &self.issuer)
            && self.allowed(&metadata).is_ok()
        {
            self.remote.describe(metadata);
        }
        let path = self.settings.saved.as_deref()?;
        let document = recalled(Some(path)).await?;
        let written = tokio::fs::metadata(path).await.and_then(|about| about.modified()).ok()?;
        // A clock that was set back says nothing about an age; then the file counts as new.
        let age = SystemTime::now().duration_since(written).unwrap_or_default();
        let left = self.settings.stale.checked_sub(age)?;
        match KeySet::parse(&document) {
            Ok(set) => {
                self.remote.keys().replace(set);
                self.tell_age(unix_seconds().saturating_sub(age.as_secs()));
                Some(Instant::now() + left)
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a saved key set could not be read");
                None
            }
        }
    }
}

/// Never, where there is no such moment.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn recalled(path: Option<&Path>) -> Option<Vec<u8>> {
    tokio::fs::read(path?).await.ok()
}

/// Written beside its place and moved there, so that it is whole or as it was.
async fn save(path: Option<&Path>, document: &[u8]) {
    let Some(path) = path else { return };
    let beside = path.with_extension("new");
    let written = async {
        tokio::fs::write(&beside, document).await?;
        tokio::fs::rename(&beside, path).await
    };
    if let Err(error) = written.await {
        tracing::warn!(path = %path.display(), %error, "a document of an issuer could not be saved; a restart will need its server");
    }
}

/// As long as the answer says, within reason; without its word as long as `unsaid`.
fn lifetime(max_age: Option<Duration>, unsaid: Duration) -> Duration {
    max_age.unwrap_or(unsaid).clamp(LIFETIMES.0, LIFETIMES.1)
}

/// At four fifths of a set's life, and often enough that one failure does not make it stale.
fn ahead(lifetime: Duration, stale: Duration) -> Duration {
    lifetime.mul_f64(0.8).min(stale / 2)
}

/// Up to a tenth sooner, so that many gateways don't ask at once.
fn jittered(wait: Duration, chance: u8) -> Duration {
    wait.mul_f64(1.0 - f64::from(chance) / 2560.0)
}

fn chance() -> u8 {
    let mut chance = [0];
    // Without randomness the time is just not spread.
    let _ = aws_lc_rs::rand::fill(&mut chance);
    chance[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demands_put_off_nothing_that_is_due_and_cause_few_discoveries() {
        let (begin, minute) = (Instant::now(), Duration::from_secs(60));
        let mut times = Timetable::new(begin);
        times.fetched(true, Some(40 * minute), begin, 0);
        let due = times.next;
        for second in 1..=3_600 {
            let now = begin + Duration::from_secs(second);
            times.fetched(false, (second % 2 == 0).then_some(40 * minute), now, 0);
            assert_eq!(times.next, due, "after {second} demands");
        }
        let asked = (0..3_600).filter(|second| times.may_discover(minute, begin + Duration::from_secs(*second)));
        assert_eq!(asked.count(), 60);
        times.fetched(true, None, due, 0);
        times.fetched(false, None, due, 0);
        assert_eq!(times.next, due + FIRST_RETRY, "nor is a retry put off");
    }

    #[test]
    fn a_set_lives_as_long_as_its_answer_says() {
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        assert_eq!(lifetime(Some(10 * minute), hour), 10 * minute);
        assert_eq!(lifetime(None, hour), hour, "where it says nothing");
        assert_eq!(lifetime(Some(Duration::ZERO), hour), minute, "no server is asked all the time");
        assert_eq!(lifetime(Some(100 * 24 * hour), hour), 24 * hour, "nor never again");
    }

    #[test]
    fn keys_are_refreshed_at_four_fifths_of_their_life_or_a_little_sooner() {
        let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86_400));
        assert_eq!(ahead(hour, day), Duration::from_secs(2880));
        assert_eq!(ahead(day, hour), Duration::from_secs(1800), "well before they are stale");
        for chance in 0..=u8::MAX {
            let wait = jittered(hour, chance);
            assert!(wait <= hour && wait > hour.mul_f64(0.9), "{chance}: {wait:?}");
        }
        assert!(jittered(hour, 0) != jittered(hour, 255), "they are spread");
    }
}
