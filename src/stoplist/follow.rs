//! The running gateway's list: read at the start, followed from then on, whoever writes to it.

use super::book::Book;
use super::entry::{Entry, Order};
use super::error::Error;
use super::view::Stops;
use crate::clock::unix_seconds;
use crate::store::{Store, Watch};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use prometheus::IntGauge;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Interval;

/// How often what is over is looked for.
const TIDY: Duration = Duration::from_secs(10);
/// How often what is long over is forgotten.
const FORGET: u64 = 3_600;

/// What was seen to have changed.
#[derive(Debug, Clone)]
pub enum Change {
    Made(Arc<Entry>),
    /// Lifted, if somebody lifted it, or over.
    Ended(Entry),
}

/// A clone is the same list.
#[derive(Debug, Clone)]
pub struct Stoplist {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    book: Book,
    stops: Stops,
    store: Store,
    blocks: IntGauge,
    revocations: IntGauge,
    /// One reading at a time, so that an older one never replaces a newer.
    reading: Mutex<()>,
    told: Mutex<HashMap<Arc<str>, Arc<Entry>>>,
    watch: Mutex<Option<Watch>>,
}

impl Stoplist {
    /// What holds, before anybody is let in.
    pub async fn open(store: &Store, metrics: &Metrics) -> Result<Self, Error> {
        let book = Book::open(store).await?;
        // Before the first reading: a commit in between is seen as a change.
        let watch = Mutex::new(Some(store.watch().await?));
        let (blocks, revocations) = (metrics.blocks_active.clone(), metrics.revocations_active.clone());
        let (stops, store) = (Stops::default(), store.clone());
        let (reading, told) = (Mutex::default(), Mutex::default());
        let inner = Arc::new(Inner { book, stops, store, blocks, revocations, reading, told, watch });
        inner.read().await?;
        // What holds already is no news.
        *inner.told.lock().await = inner.named();
        Ok(Self { inner })
    }

    pub fn stops(&self) -> Stops {
        self.inner.stops.clone()
    }

    /// Follows the store; every change is told once, those that held at the start are not.
    pub fn follow(&self, tasks: &Tasks, tell: impl Fn(Change) + Send + Sync + 'static) {
        let inner = Arc::clone(&self.inner);
        tasks.spawn_until_stop(async move { inner.follow(&tell).await });
    }

    /// In force when it returns.
    pub async fn add(&self, order: Order) -> Result<Vec<Entry>, Error> {
        let made = self.inner.book.add(order, unix_seconds()).await?;
        self.inner.read().await?;
        Ok(made)
    }

    /// Lifted when it returns. `blocks`: whether a block or a revocation is meant.
    pub async fn end(&self, id: &str, blocks: bool, who: &str) -> Result<Entry, Error> {
        let ended = self.inner.book.end(id, blocks, who, unix_seconds()).await?;
        self.inner.read().await?;
        Ok(ended)
    }

    pub async fn list(&self) -> Result<Vec<Entry>, Error> {
        self.inner.book.list(unix_seconds()).await
    }
}

impl Inner {
    /// Reads the store and puts what holds in place.
    async fn read(&self) -> Result<(), Error> {
        let _one = self.reading.lock().await;
        let now = unix_seconds();
        let entries: Vec<Arc<Entry>> = self.book.list(now).await?.into_iter().map(Arc::new).collect();
        self.stops.replace(entries);
        let (blocks, revocations) = self.stops.held().counts(now);
        self.blocks.set(i64::try_from(blocks).unwrap_or(i64::MAX));
        self.revocations.set(i64::try_from(revocations).unwrap_or(i64::MAX));
        Ok(())
    }

    fn named(&self) -> HashMap<Arc<str>, Arc<Entry>> {
        self.stops.held().entries().iter().map(|entry| (Arc::clone(&entry.id), Arc::clone(entry))).collect()
    }

    async fn tell(&self, tell: &(dyn Fn(Change) + Send + Sync)) -> Result<(), Error> {
        let mut told = self.told.lock().await;
        let now = self.named();
        for (id, entry) in &now {
            if !told.contains_key(id) {
                tell(Change::Made(Arc::clone(entry)));
            }
        }
        for (id, entry) in told.iter().filter(|(id, _)| !now.contains_key(*id)) {
            tell(Change::Ended(self.book.one(id).await?.unwrap_or_else(|| Entry::clone(entry))));
        }
        *told = now;
        Ok(())
    }

    async fn follow(&self, tell: &(dyn Fn(Change) + Send + Sync)) {
        let mut tidy = tokio::time::interval(TIDY);
        let mut forgot = 0;
        let mut watch = self.watch.lock().await.take();
        loop {
            if let Err(error) = self.look(&mut watch, &mut tidy, &mut forgot, tell).await {
                tracing::error!(%error, "the list of revocations and blocks could not be read; what was known holds on");
                tokio::time::sleep(Duration::from_secs(1)).await;
                watch = None;
            }
        }
    }

    /// Waits for a change, or for something to be over, and takes it in.
    async fn look(
        &self,
        watch: &mut Option<Watch>,
        tidy: &mut Interval,
        forgot: &mut u64,
        tell: &(dyn Fn(Change) + Send + Sync),
    ) -> Result<(), Error> {
        match watch {
            Some(watch) => tokio::select! {
                changed = watch.changed() => changed?,
                _ = tidy.tick() => {}
            },
            // What was committed in the meantime would not be seen as a change: it is read at once.
            None => *watch = Some(self.store.watch().await?),
        }
        let now = unix_seconds();
        if now >= *forgot + FORGET {
            *forgot = now;
            self.book.tidy(now).await?;
        }
        self.read().await?;
        self.tell(tell).await
    }
}
