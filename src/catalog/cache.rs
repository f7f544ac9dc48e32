//! The cache in front of `fetch`, and the errors of the room.

use super::fetch::{Fetch, ProgramFacts, TransactionFacts};
use super::saved;
use crate::m3;
use crate::model::{Effect, ProgramName, TransactionLayout, TransactionName};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use futures_util::FutureExt;
use moka::future::Cache;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, Clone)]
pub struct Settings {
    /// An older entry is still served, and refreshed behind the caller's back.
    pub fresh_for: Duration,
    /// How long "M3 does not know it" is believed.
    pub negative_for: Duration,
    pub most_transactions: u64,
    /// The copy on disk; `None` keeps none.
    pub file: Option<PathBuf>,
    /// How long M3 may take for a list of fields.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fresh_for: Duration::from_secs(900),
            negative_for: Duration::from_secs(10),
            most_transactions: 20_000,
            file: None,
            patience: Duration::from_secs(30),
        }
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("M3 has no program {0}")]
    ProgramNotFound(ProgramName),
    #[error("program {program} has no transaction {transaction}")]
    TransactionNotFound { program: ProgramName, transaction: TransactionName },
    /// M3 could not be asked; not the caller's fault, and worth another try.
    #[error("the layout of {program}/{transaction} could not be fetched: {source}")]
    Unavailable { program: ProgramName, transaction: TransactionName, source: Arc<m3::Error> },
}

#[derive(Debug, Clone)]
pub struct Catalog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    fetch: Fetch,
    layouts: Cache<Key, Arc<Entry>>,
    programs: Cache<ProgramName, Arc<Vec<TransactionFacts>>>,
    /// One entry: the names of all programs.
    names: Cache<(), Arc<Vec<ProgramFacts>>>,
    unknown: Cache<Key, Error>,
    metrics: Arc<Metrics>,
    tasks: Tasks,
    /// Something to write to disk.
    changed: tokio::sync::Notify,
    learnt: AtomicBool,
}

type Key = (ProgramName, TransactionName);

#[derive(Debug)]
struct Entry {
    layout: Arc<TransactionLayout>,
    since: Instant,
    /// From disk, or older than it should be: served, and asked for again.
    old: AtomicBool,
    refreshing: AtomicBool,
}

impl Entry {
    fn new(layout: TransactionLayout, old: bool) -> Arc<Self> {
        let (old, refreshing) = (AtomicBool::new(old), AtomicBool::new(false));
        Arc::new(Self { layout: Arc::new(layout), since: Instant::now(), old, refreshing })
    }
}

const MOST_UNKNOWN: u64 = 10_000;
const MOST_PROGRAMS: u64 = 2_000;
/// Writes to disk are gathered for this long.
const GATHER: Duration = Duration::from_secs(2);

impl Catalog {
    /// Reads the copy on disk; a copy that can't be read is said and left behind, for M3 has the truth.
    pub async fn new(settings: Settings, m3: m3::Client, metrics: Arc<Metrics>, tasks: Tasks) -> Self {
        let catalog = Self(Arc::new(Inner {
            fetch: Fetch::new(m3, settings.patience),
            layouts: Cache::new(settings.most_transactions),
            programs: Cache::builder().max_capacity(MOST_PROGRAMS).time_to_live(settings.fresh_for).build(),
            names: Cache::builder().max_capacity(1).time_to_live(settings.fresh_for).build(),
            unknown: Cache::builder().max_capacity(MOST_UNKNOWN).time_to_live(settings.negative_for).build(),
            changed: tokio::sync::Notify::new(),
            learnt: AtomicBool::new(false),
            settings,
            metrics,
            tasks,
        }));
        catalog.load().await;
        catalog.save_when_changed();
        catalog
    }

    pub async fn layout(
        &self,
        program: ProgramName,
        transaction: TransactionName,
    ) -> Result<Arc<TransactionLayout>, Error> {
        let key = (program, transaction);
        if let Some(entry) = self.0.layouts.get(&key).await {
            let stale = entry.old.load(Ordering::Relaxed) || entry.since.elapsed() > self.0.settings.fresh_for;
            self.0.metrics.catalog.with_label_values(&[if stale { "stale" } else { "hit" }]).inc();
            if stale {
                self.refresh(key, &entry);
            }
            return Ok(entry.layout.clone());
        }
        if let Some(error) = self.0.unknown.get(&key).await {
            self.0.metrics.catalog.with_label_values(&["negative"]).inc();
            return Err(error);
        }
        self.0.metrics.catalog.with_label_values(&["miss"]).inc();
        let fetched = Box::pin(self.0.layouts.try_get_with(key, self.fetch(key))).await;
        match fetched {
            Ok(entry) => {
                self.0.changed.notify_one();
                self.0.learnt.store(true, Ordering::Relaxed);
                Ok(entry.layout.clone())
            }
            Err(error) => {
                if !matches!(*error, Error::Unavailable { .. }) {
                    self.0.unknown.insert(key, (*error).clone()).await;
                }
                Err((*error).clone())
            }
        }
    }

    /// Every program that M3 has, by name.
    pub async fn programs(&self) -> Result<Arc<Vec<ProgramFacts>>, Arc<m3::Error>> {
        self.0.names.try_get_with((), async { self.0.fetch.programs().await.map(Arc::new) }).await
    }

    /// What a program has, by name.
    pub async fn transactions(&self, program: ProgramName) -> Result<Arc<Vec<TransactionFacts>>, Arc<m3::Error>> {
        self.0.programs.try_get_with(program, async { self.0.fetch.transactions(program).await.map(Arc::new) }).await
    }

    /// A layout that is at hand, without asking M3: for schemas and checks.
    pub fn at_hand(&self, program: ProgramName, transaction: TransactionName) -> Option<Arc<TransactionLayout>> {
        // The cache answers a look-up without ever waiting.
        let found = self.0.layouts.get(&(program, transaction)).now_or_never().flatten();
        found.map(|entry| entry.layout.clone())
    }

    /// Whether anything was learnt since this was asked last.
    pub fn has_learnt(&self) -> bool {
        self.0.learnt.swap(false, Ordering::Relaxed)
    }

    /// Every layout at hand; a snapshot.
    pub fn all_at_hand(&self) -> Vec<Arc<TransactionLayout>> {
        self.0.layouts.iter().map(|(_, entry)| entry.layout.clone()).collect()
    }

    /// Drops what is known of one program, or of all: after a session saw another layout, or by an operations call.
    pub async fn forget(&self, program: Option<ProgramName>) {
        match program {
            None => {
                self.0.layouts.invalidate_all();
                self.0.programs.invalidate_all();
            }
            Some(program) => {
                self.0.programs.invalidate(&program).await;
                let keys: Vec<Key> =
                    self.0.layouts.iter().map(|(key, _)| *key).filter(|key| key.0 == program).collect();
                for key in keys {
                    self.0.layouts.invalidate(&key).await;
                }
            }
        }
        self.0.unknown.invalidate_all();
        self.0.changed.notify_one();
    }

    async fn fetch(&self, key: Key) -> Result<Arc<Entry>, Error> {
        let (program, transaction) = key;
        let unavailable = |source| {
            self.0.metrics.catalog.with_label_values(&["failed"]).inc();
            Error::Unavailable { program, transaction, source }
        };
        let home = technical_home(program, transaction);
        let known = self.transactions(home).await.map_err(unavailable)?;
        let found = known.iter().find(|facts| facts.name == transaction);
        let Some(facts) = found else {
            let empty = known.is_empty()
                || (home != program && self.transactions(program).await.map_err(unavailable)?.is_empty());
            return Err(if empty {
                Error::ProgramNotFound(program)
            } else {
                Error::TransactionNotFound { program, transaction }
            });
        };
        if home != program && self.transactions(program).await.map_err(unavailable)?.is_empty() {
            return Err(Error::ProgramNotFound(program));
        }
        let mut layout = self.0.fetch.layout(home, facts).await.map_err(|error| unavailable(Arc::new(error)))?;
        layout.program = program;
        Ok(Entry::new(layout, false))
    }

    /// One refresh at a time for each entry; a failed one leaves the old entry where it is.
    fn refresh(&self, key: Key, entry: &Arc<Entry>) {
        if entry.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (catalog, entry) = (self.clone(), entry.clone());
        self.0.tasks.spawn_until_stop(async move {
            catalog.0.programs.invalidate(&key.0).await;
            match catalog.fetch(key).await {
                Ok(fresh) => catalog.0.layouts.insert(key, fresh).await,
                Err(Error::Unavailable { source, .. }) => {
                    tracing::warn!(program = %key.0, transaction = %key.1, %source, "layout not refreshed; the old one stays");
                    entry.refreshing.store(false, Ordering::Release);
                    return;
                }
                Err(_) => catalog.0.layouts.invalidate(&key).await,
            }
            catalog.0.changed.notify_one();
        });
    }

    async fn load(&self) {
        let Some(file) = self.0.settings.file.clone() else { return };
        match saved::read(&file).await {
            Ok(layouts) => {
                for layout in layouts {
                    self.0.metrics.catalog.with_label_values(&["disk"]).inc();
                    self.0.layouts.insert((layout.program, layout.name), Entry::new(layout, true)).await;
                }
            }
            Err(error) => tracing::warn!(file = %file.display(), %error, "saved catalog not used; M3 will be asked"),
        }
    }

    fn save_when_changed(&self) {
        let Some(file) = self.0.settings.file.clone() else { return };
        let catalog = self.clone();
        self.0.tasks.spawn_until_stop(async move {
            loop {
                catalog.0.changed.notified().await;
                tokio::time::sleep(GATHER).await;
                if let Err(error) = saved::write(&file, catalog.all_at_hand()).await {
                    tracing::warn!(file = %file.display(), %error, "catalog not saved; a restart will ask M3 again");
                }
            }
        });
    }

    /// Writes the copy on disk now.
    pub async fn save(&self) -> std::io::Result<()> {
        match &self.0.settings.file {
            Some(file) => saved::write(file, self.all_at_hand()).await,
            None => Ok(()),
        }
    }
}

/// Technical transactions exist inside every program and are described in GENERAL alone.
fn technical_home(program: ProgramName, transaction: TransactionName) -> ProgramName {
    if Effect::is_technical(transaction) {
        ProgramName::parse("GENERAL").expect("a name of this file")
    } else {
        program
    }
}
