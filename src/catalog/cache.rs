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
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// M3's lists and its sessions say different things; asked again shortly.
    #[error("M3's lists of fields and its sessions disagree about {program}/{transaction}")]
    Disagreement { program: ProgramName, transaction: TransactionName },
}

#[derive(Debug, Clone)]
pub struct Catalog(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    settings: Settings,
    fetch: Fetch,
    pub(super) layouts: Cache<Key, Arc<Entry>>,
    pub(super) programs: Cache<ProgramName, Arc<Listed>>,
    /// Programs that M3 lists nothing for, or refuses to: believed as briefly as `unknown`.
    pub(super) empty: Cache<ProgramName, ()>,
    /// One entry: the names of all programs.
    names: Cache<(), Arc<Vec<ProgramFacts>>>,
    pub(super) unknown: Cache<Key, Error>,
    metrics: Arc<Metrics>,
    tasks: Tasks,
    /// Something to write to disk.
    pub(super) changed: tokio::sync::Notify,
    /// Held while the copy is written.
    writing: tokio::sync::Mutex<()>,
    pub(super) learnt: AtomicBool,
    pub(super) moved: AtomicBool,
}

type Key = (ProgramName, TransactionName);

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) layout: Arc<TransactionLayout>,
    since: Instant,
    /// From disk: served, and asked for again.
    old: bool,
    refreshing: AtomicBool,
    /// Milliseconds after `since`: a refresh that failed is not tried again before.
    pause: AtomicU64,
}

impl Entry {
    pub(super) fn new(layout: impl Into<Arc<TransactionLayout>>, old: bool) -> Arc<Self> {
        let (refreshing, pause) = (AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Self { layout: layout.into(), since: Instant::now(), old, refreshing, pause })
    }

    fn age_in_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What M3 lists of one program.
#[derive(Debug)]
pub(super) struct Listed {
    facts: Arc<[TransactionFacts]>,
    since: Instant,
}

/// Why there is no list.
#[derive(Debug, Clone)]
enum NoList {
    Empty,
    Failed(Arc<m3::Error>),
}

const MOST_UNKNOWN: u64 = 10_000;
const MOST_PROGRAMS: u64 = 2_000;
/// Writes to disk are gathered for this long.
const GATHER: Duration = Duration::from_secs(2);
/// A refresh that failed is tried again after this long, or as long as "not known" is believed.
const REFRESH_PAUSE: Duration = Duration::from_secs(5);

impl Catalog {
    /// Reads the copy on disk; a copy that can't be read is said and left behind, for M3 has the truth.
    pub async fn new(settings: Settings, m3: m3::Client, metrics: Arc<Metrics>, tasks: Tasks) -> Self {
        let catalog = Self(Arc::new(Inner {
            fetch: Fetch::new(m3, settings.patience),
            layouts: Cache::new(settings.most_transactions),
            programs: Cache::builder().max_capacity(MOST_PROGRAMS).time_to_live(settings.fresh_for).build(),
            names: Cache::builder().max_capacity(1).time_to_live(settings.fresh_for).build(),
            empty: Cache::builder().max_capacity(MOST_UNKNOWN).time_to_live(settings.negative_for).build(),
            unknown: Cache::builder().max_capacity(MOST_UNKNOWN).time_to_live(settings.negative_for).build(),
            changed: tokio::sync::Notify::new(),
            writing: tokio::sync::Mutex::new(()),
            learnt: AtomicBool::new(false),
            moved: AtomicBool::new(false),
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
            let stale = entry.old || entry.since.elapsed() > self.0.settings.fresh_for;
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
        // On a task of its own: many may wait for this one answer, and none of them for whoever asked first.
        let catalog = self.clone();
        let fetched = self.0.tasks.spawn(async move { catalog.0.layouts.try_get_with(key, catalog.fetch(key)).await });
        let ended = |_| Error::Unavailable { program, transaction, source: Arc::new(m3::Error::interrupted()) };
        match fetched.await.map_err(ended)? {
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

    /// A session saw another layout: what is known of this transaction is dropped. With `again` it was fetched just now
    /// and is not asked for until the disagreement may have ended: not every call is to fetch it twice.
    pub async fn disagreed(&self, program: ProgramName, transaction: TransactionName, again: bool) {
        self.0.layouts.invalidate(&(program, transaction)).await;
        self.0.moved.store(true, Ordering::Relaxed);
        self.0.programs.invalidate(&technical_home(program, transaction)).await;
        if again {
            let disagreement = Error::Disagreement { program, transaction };
            self.0.unknown.insert((program, transaction), disagreement).await;
        }
    }

    /// Every program that M3 has, by name.
    pub async fn programs(&self) -> Result<Arc<Vec<ProgramFacts>>, Arc<m3::Error>> {
        self.0.names.try_get_with((), async { self.0.fetch.programs().await.map(Arc::new) }).await
    }

    /// What a program has, by name.
    pub async fn transactions(&self, program: ProgramName) -> Result<Arc<[TransactionFacts]>, Arc<m3::Error>> {
        Ok(self.listed(program).await?.map_or_else(|| Arc::from([]), |listed| listed.facts.clone()))
    }

    /// An empty list is remembered briefly: M3 says the same where it only could not tell.
    async fn listed(&self, program: ProgramName) -> Result<Option<Arc<Listed>>, Arc<m3::Error>> {
        if self.0.empty.get(&program).await.is_some() {
            return Ok(None);
        }
        let list = async {
            match self.0.fetch.transactions(program).await {
                Ok(facts) if facts.is_empty() => Err(NoList::Empty),
                Ok(facts) => Ok(Arc::new(Listed { facts: facts.into(), since: Instant::now() })),
                Err(error) => Err(NoList::Failed(Arc::new(error))),
            }
        };
        match self.0.programs.try_get_with(program, list).await {
            Ok(listed) => Ok(Some(listed)),
            Err(why) => match &*why {
                NoList::Empty => {
                    self.0.empty.insert(program, ()).await;
                    Ok(None)
                }
                NoList::Failed(error) => Err(error.clone()),
            },
        }
    }

    /// One row of a program's list. A list that lacks it and is not of just now is asked for again: a transaction that
    /// M3 got meanwhile is found as soon as one that was looked for before.
    async fn facts(
        &self,
        home: ProgramName,
        name: TransactionName,
    ) -> Result<(bool, Option<TransactionFacts>), Arc<m3::Error>> {
        for last in [false, true] {
            let Some(listed) = self.listed(home).await? else { return Ok((false, None)) };
            let found = listed.facts.iter().find(|facts| facts.name == name).cloned();
            if found.is_some() || last || listed.since.elapsed() < self.0.settings.negative_for {
                return Ok((true, found));
            }
            self.0.programs.invalidate(&home).await;
        }
        Ok((true, None))
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

    /// Whether a layout that was known became another since this was asked last.
    pub fn has_moved(&self) -> bool {
        self.0.moved.swap(false, Ordering::Relaxed)
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
                self.0.names.invalidate_all();
                self.0.fetch.forget().await;
            }
            Some(program) => {
                self.0.programs.invalidate(&program).await;
                // Where its technical transactions are described.
                self.0.programs.invalidate(&general()).await;
                let keys: Vec<Key> =
                    self.0.layouts.iter().map(|(key, _)| *key).filter(|key| key.0 == program).collect();
                for key in keys {
                    self.0.layouts.invalidate(&key).await;
                }
            }
        }
        self.0.unknown.invalidate_all();
        self.0.empty.invalidate_all();
        self.0.changed.notify_one();
    }

    pub(super) async fn fetch(&self, key: Key) -> Result<Arc<Entry>, Error> {
        let (program, transaction) = key;
        let unavailable = |source| {
            self.0.metrics.catalog.with_label_values(&["failed"]).inc();
            Error::Unavailable { program, transaction, source }
        };
        let home = technical_home(program, transaction);
        let (there, facts) = self.facts(home, transaction).await.map_err(unavailable)?;
        if !there || (home != program && self.listed(program).await.map_err(unavailable)?.is_none()) {
            return Err(Error::ProgramNotFound(program));
        }
        let Some(facts) = facts else { return Err(Error::TransactionNotFound { program, transaction }) };
        let mut layout = self.0.fetch.layout(home, &facts).await.map_err(|error| unavailable(Arc::new(error)))?;
        layout.program = program;
        Ok(Entry::new(layout, false))
    }

    /// One refresh at a time for each entry; a failed one leaves the old entry where it is, and the next one waits. Only
    /// a list of M3's that names others and not this one says that it is gone.
    fn refresh(&self, key: Key, entry: &Arc<Entry>) {
        let waits = entry.age_in_ms() < entry.pause.load(Ordering::Relaxed);
        if waits || entry.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (catalog, entry) = (self.clone(), entry.clone());
        self.0.tasks.spawn_until_stop(async move {
            match catalog.fetch(key).await {
                Ok(fresh) => {
                    // The same layout stays the same one: sessions that have confirmed it need not again.
                    let another = fresh.layout != entry.layout;
                    let entry = if another { fresh } else { Entry::new(entry.layout.clone(), false) };
                    catalog.0.layouts.insert(key, entry).await;
                    if another {
                        catalog.0.moved.store(true, Ordering::Relaxed);
                        catalog.0.changed.notify_one();
                    }
                }
                Err(Error::TransactionNotFound { .. }) => {
                    catalog.0.layouts.invalidate(&key).await;
                    catalog.0.changed.notify_one();
                }
                Err(error) => {
                    tracing::warn!(program = %key.0, transaction = %key.1, %error, "layout not refreshed; the old one stays");
                    let pause = catalog.0.settings.negative_for.max(REFRESH_PAUSE).as_millis() as u64;
                    entry.pause.store(entry.age_in_ms().saturating_add(pause), Ordering::Relaxed);
                    entry.refreshing.store(false, Ordering::Release);
                }
            }
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
                if let Err(error) = catalog.save().await {
                    tracing::warn!(file = %file.display(), %error, "catalog not saved; a restart will ask M3 again");
                }
            }
        });
    }

    /// Writes the copy on disk now.
    pub async fn save(&self) -> std::io::Result<()> {
        match &self.0.settings.file {
            Some(file) => {
                let _writing = self.0.writing.lock().await;
                saved::write(file, self.all_at_hand()).await
            }
            None => Ok(()),
        }
    }
}

/// Technical transactions exist inside every program and are described in GENERAL alone.
fn technical_home(program: ProgramName, transaction: TransactionName) -> ProgramName {
    if Effect::is_technical(transaction) { general() } else { program }
}

fn general() -> ProgramName {
    ProgramName::parse("GENERAL").expect("a name of this file")
}
