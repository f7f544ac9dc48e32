//! The keys of an issuer elsewhere: fetched ahead of need, and once more when a token names a key that isn't known.
//!
//! One task fetches (see `fetcher`); everybody else waits for it, never for long. Made-up key ids share one fetch and then
//! a pause of their own, which the task's own timetable doesn't know: a flood can't starve the refresh. The pause is
//! short: a key that is really new is found within it, flood or not.
//! Does not know: tokens.

use super::error::Error;
use super::fetcher::Fetcher;
use super::keys::Keys;
use super::metadata::Metadata;
use crate::outbound;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use arc_swap::ArcSwapOption;
use moka::sync::Cache;
use prometheus::IntCounter;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

#[derive(Debug, Clone)]
pub struct RemoteKeys {
    /// Where the keys are; without it the issuer's own metadata say it.
    pub url: Option<String>,
    /// The issuer's metadata are asked for something else besides.
    pub discover: bool,
    /// How long a set is good when the answer has no `max-age`; refreshed at four fifths of it.
    pub lifetime: Duration,
    /// The pause between two fetches that unknown keys may cause.
    pub pause: Duration,
    /// The pause between two looks at the issuer's metadata that unknown keys may cause: they may have moved.
    pub rediscover: Duration,
    pub http: outbound::Settings,
    /// Keys that nobody has confirmed for so long are used no more.
    pub stale: Duration,
    /// Where the last good document is kept, so that a restart needs no answer; what the issuer says of itself beside it.
    /// The folder must be the gateway's own.
    pub saved: Option<PathBuf>,
}

impl RemoteKeys {
    /// Keys at a place that is known.
    pub fn at(url: &str) -> Self {
        Self { url: Some(url.to_owned()), discover: false, ..Self::discovered() }
    }

    /// Keys where the issuer's metadata say.
    pub fn discovered() -> Self {
        Self {
            url: None,
            discover: true,
            lifetime: Duration::from_secs(3600),
            pause: Duration::from_millis(900),
            rediscover: Duration::from_secs(60),
            stale: Duration::from_secs(24 * 3600),
            http: outbound::Settings::default(),
            saved: None,
        }
    }
}

/// Key ids known to be unknown; the oldest make room.
const MOST_UNKNOWN: u64 = 1_000;

fn strangers(pause: Duration) -> Cache<Box<str>, u64> {
    Cache::builder().max_capacity(MOST_UNKNOWN).time_to_live(pause).build()
}

#[derive(Debug)]
pub(super) struct Remote {
    keys: Keys,
    gate: Mutex<Gate>,
    demand: Notify,
    /// Moves after every fetch, good or bad.
    done: watch::Sender<u64>,
    /// Key ids that the set of this epoch doesn't hold.
    unknown: Cache<Box<str>, u64>,
    /// What the issuer says of itself, where it was asked.
    metadata: ArcSwapOption<Metadata>,
    strangers: IntCounter,
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
    pub(super) fn start(
        issuer: &str,
        settings: &RemoteKeys,
        metrics: &Metrics,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, outbound::Error> {
        let client = outbound::Client::new(settings.http.clone())?;
        client.check(settings.url.as_deref().unwrap_or(issuer))?;
        let remote = Arc::new(Self {
            keys: Keys::new(),
            // The first fetch is under way from the start, and whoever comes early waits for it.
            gate: Mutex::new(Gate { in_flight: true, wanted: false, last_demand: None }),
            demand: Notify::new(),
            done: watch::Sender::new(0),
            unknown: strangers(settings.pause),
            metadata: ArcSwapOption::empty(),
            strangers: metrics.unknown_keys.with_label_values(&[issuer]),
            pause: settings.pause,
            // The fetch ends by its own limit; this one is for a task that is gone.
            patience: settings.http.timeout * 2,
        });
        let fetcher = Fetcher::new(issuer, settings.clone(), client, Arc::clone(&remote), metrics);
        tasks.spawn_until_stop(fetcher.run());
        Ok(remote)
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What the issuer says of itself; waits for a fetch where it is not known yet.
    pub(super) async fn metadata(&self) -> Option<Arc<Metadata>> {
        if self.metadata.load().is_none()
            && let Some(mut done) = self.join()
        {
            // Either way it is looked at again.
            let _ = tokio::time::timeout(self.patience, done.changed()).await;
        }
        self.metadata.load_full()
    }

    pub(super) fn known_metadata(&self) -> Option<Arc<Metadata>> {
        self.metadata.load_full()
    }

    pub(super) fn describe(&self, metadata: Metadata) {
        self.metadata.store(Some(Arc::new(metadata)));
    }

    /// After this the key is there, or it isn't to be had now.
    pub(super) async fn look_again(&self, kid: Option<&str>) -> Result<(), Error> {
        if !self.keys.is_empty() {
            self.strangers.inc();
        }
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

    pub(super) fn flight(&self, in_flight: bool) {
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

    /// Returns when somebody needs a fetch. A demand that an earlier one has answered leaves its signal behind.
    pub(super) async fn demanded(&self) {
        loop {
            self.demand.notified().await;
            if self.wanted() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_keys_are_made_up_few_are_remembered() {
        let unknown = strangers(Duration::from_secs(3600));
        for at in 0..20_000 {
            unknown.insert(format!("made-up-{at}").into(), 1);
        }
        unknown.run_pending_tasks();
        assert!((1..=MOST_UNKNOWN).contains(&unknown.entry_count()), "{}", unknown.entry_count());
    }
}
