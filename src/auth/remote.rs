//! The keys of an issuer elsewhere: fetched ahead of need, and once more when a token names a key that isn't known.
//!
//! One task fetches; everybody else waits for it, never for long. Made-up key ids share one fetch and then a pause
//! of their own, which the task's own timetable doesn't know: a flood can't starve the refresh.
//! Invariant: a failed fetch never takes good keys away.
//! Does not know: tokens.

use super::error::Error;
use super::keys::{KeySet, Keys};
use crate::outbound;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use moka::sync::Cache;
use prometheus::IntCounterVec;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

#[derive(Debug, Clone)]
pub struct RemoteKeys {
    pub url: String,
    /// How long a set is good when the answer has no `max-age`; refreshed at four fifths of it.
    pub lifetime: Duration,
    /// The pause between two fetches that unknown keys may cause.
    pub pause: Duration,
    pub http: outbound::Settings,
    /// Where the last good document is kept, so that a restart needs no answer. The folder must be the gateway's own.
    pub saved: Option<PathBuf>,
}

impl RemoteKeys {
    pub fn at(url: &str) -> Self {
        let (lifetime, pause) = (Duration::from_secs(3600), Duration::from_secs(10));
        Self { url: url.to_owned(), lifetime, pause, http: outbound::Settings::default(), saved: None }
    }
}

const LIFETIMES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);
/// Key ids known to be unknown; the oldest make room.
const MOST_UNKNOWN: u64 = 1_000;

#[derive(Debug)]
pub(super) struct Remote {
    keys: Keys,
    gate: Mutex<Gate>,
    demand: Notify,
    /// Moves after every fetch, good or bad.
    done: watch::Sender<u64>,
    /// Key ids that the set of this epoch doesn't hold.
    unknown: Cache<Box<str>, u64>,
    pause: Duration,
    patience: Duration,
}

#[derive(Debug)]
struct Gate {
    in_flight: bool,
    wanted: bool,
    last_demand: Option<Instant>,
}

impl Remote {
    pub(super) fn start(settings: &RemoteKeys, metrics: &Metrics, tasks: &Tasks) -> Result<Arc<Self>, outbound::Error> {
        let client = outbound::Client::new(settings.http.clone())?;
        client.check(&settings.url)?;
        let remote = Arc::new(Self {
            keys: Keys::new(),
            // The first fetch is under way from the start, and whoever comes early waits for it.
            gate: Mutex::new(Gate { in_flight: true, wanted: false, last_demand: None }),
            demand: Notify::new(),
            done: watch::Sender::new(0),
            unknown: Cache::builder().max_capacity(MOST_UNKNOWN).time_to_live(settings.pause).build(),
            pause: settings.pause,
            // The fetch ends by its own limit; this one is for a task that is gone.
            patience: settings.http.timeout * 2,
        });
        let fetcher = Fetcher {
            remote: Arc::clone(&remote),
            client,
            url: settings.url.clone(),
            lifetime: settings.lifetime,
            saved: settings.saved.clone(),
            fetches: metrics.jwks_fetches.clone(),
        };
        tasks.spawn_until_stop(fetcher.run());
        Ok(remote)
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// After this the key is there, or it isn't to be had now.
    pub(super) async fn look_again(&self, kid: Option<&str>) -> Result<(), Error> {
        let epoch = self.keys.held().epoch;
        if let Some(kid) = kid
            && self.unknown.get(kid) == Some(epoch)
        {
            return Err(Error::UnknownKey);
        }
        if let Some(mut done) = self.join() {
            // Either way the keys are looked at again.
            let _ = tokio::time::timeout(self.patience, done.changed()).await;
        }
        if self.keys.is_empty() {
            return Err(Error::KeysUnavailable);
        }
        if let Some(kid) = kid
            && self.keys.held().epoch == epoch
        {
            self.unknown.insert(kid.into(), epoch);
        }
        Ok(())
    }

    /// The fetch under way, or a new one if the pause is over.
    fn join(&self) -> Option<watch::Receiver<u64>> {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.done.subscribe();
        if gate.in_flight {
            return Some(done);
        }
        let now = Instant::now();
        if gate.last_demand.is_some_and(|last| now.duration_since(last) < self.pause) {
            return None;
        }
        *gate = Gate { in_flight: true, wanted: true, last_demand: Some(now) };
        self.demand.notify_one();
        Some(done)
    }

    fn flight(&self, in_flight: bool) {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        gate.in_flight = in_flight;
        gate.wanted = false;
        if !in_flight {
            self.done.send_modify(|count| *count += 1);
        }
    }

    fn wanted(&self) -> bool {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).wanted
    }
}

struct Fetcher {
    remote: Arc<Remote>,
    client: outbound::Client,
    url: String,
    lifetime: Duration,
    saved: Option<PathBuf>,
    fetches: IntCounterVec,
}

impl Fetcher {
    async fn run(self) {
        let mut retry = FIRST_RETRY;
        self.recall().await;
        loop {
            self.remote.flight(true);
            let lifetime = self.fetch().await;
            self.remote.flight(false);
            let wait = match lifetime {
                Some(lifetime) => {
                    retry = FIRST_RETRY;
                    lifetime.mul_f64(0.8)
                }
                None => {
                    let wait = retry;
                    retry = (retry * 2).min(LAST_RETRY);
                    wait
                }
            };
            let timer = tokio::time::sleep(jittered(wait));
            tokio::pin!(timer);
            loop {
                tokio::select! {
                    () = &mut timer => break,
                    // A demand that an earlier fetch has answered leaves its signal behind.
                    () = self.remote.demand.notified() => if self.remote.wanted() { break },
                }
            }
        }
    }

    /// How long the new set is good; `None` when there is no new set.
    async fn fetch(&self) -> Option<Duration> {
        let count = |outcome| self.fetches.with_label_values(&[outcome]).inc();
        let fetched = match self.client.fetch(&self.url, "application/jwk-set+json, application/json").await {
            Ok(fetched) => fetched,
            Err(error) => {
                count("failed");
                tracing::warn!(url = %self.url, %error, "a key set could not be fetched");
                return None;
            }
        };
        match KeySet::parse(&fetched.body) {
            Ok(set) if !set.is_empty() => {
                count("ok");
                self.remote.keys.replace(set);
                self.save(&fetched.body).await;
                Some(fetched.max_age.unwrap_or(self.lifetime).clamp(LIFETIMES.0, LIFETIMES.1))
            }
            Ok(_) => {
                count("empty");
                tracing::warn!(url = %self.url, "a key set holds no key that can be used");
                None
            }
            Err(error) => {
                count("unreadable");
                tracing::warn!(url = %self.url, %error, "a key set could not be read");
                None
            }
        }
    }
}

impl Fetcher {
    /// What an earlier run of this gateway fetched, until there is something newer.
    async fn recall(&self) {
        let Some(path) = &self.saved else { return };
        let Ok(document) = tokio::fs::read(path).await else { return };
        match KeySet::parse(&document) {
            Ok(set) => self.remote.keys.replace(set),
            Err(error) => tracing::warn!(path = %path.display(), %error, "a saved key set could not be read"),
        }
    }

    /// Written beside its place and moved there, so that it is whole or as it was.
    async fn save(&self, document: &[u8]) {
        let Some(path) = &self.saved else { return };
        let beside = path.with_extension("new");
        let written = async {
            tokio::fs::write(&beside, document).await?;
            tokio::fs::rename(&beside, path).await
        };
        if let Err(error) = written.await {
            tracing::warn!(path = %path.display(), %error, "a key set could not be saved; a restart will need its server");
        }
    }
}

/// Up to a tenth sooner, so that many gateways don't ask at once.
fn jittered(wait: Duration) -> Duration {
    let mut chance = [0];
    // Without randomness the time is just not spread.
    let _ = aws_lc_rs::rand::fill(&mut chance);
    wait.mul_f64(1.0 - f64::from(chance[0]) / 2560.0)
}
