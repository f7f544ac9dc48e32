//! The counters of all clients, and the task that writes them down: many at once, off the way of a call.
//!
//! Invariant: the number of counters in memory is bounded; one that goes has been written.

use super::book::{Book, Used};
use super::calendar::{Calendar, Per};
use super::counter::{At, Caps, Counter, Took};
use super::verdict::{Policy, Verdict};
use crate::clock::unix_seconds;
use crate::model::ClientId;
use crate::store::{Error, Store};
use arc_swap::ArcSwapOption;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a call waits for its counter to be written.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a client has used can't be counted at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what the client has used of its quota can't be counted at the moment")]
pub struct Uncounted;

#[derive(Debug)]
pub(super) struct Usage {
    counters: Mutex<HashMap<ClientId, Arc<Counter>>>,
    /// Counters in memory.
    most: usize,
    calendar: ArcSwapOption<Calendar>,
    /// `None` keeps nothing.
    book: Option<Book>,
    wanted: Mutex<Vec<Arc<Counter>>>,
    wake: Notify,
    /// One writing at a time, from what is to be written to where it holds.
    writing: tokio::sync::Mutex<()>,
}

/// What quotas say of a call.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) said: Vec<Verdict>,
    pub(super) shadows: Vec<Policy>,
    /// What was counted, to be given back.
    pub(super) counter: Option<Arc<Counter>>,
}

impl Usage {
    pub(super) fn new(book: Option<Book>, most: usize) -> Self {
        Self {
            counters: Mutex::default(),
            most,
            calendar: ArcSwapOption::empty(),
            book,
            wanted: Mutex::default(),
            wake: Notify::new(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    pub(super) async fn ask(
        &self,
        client: &ClientId,
        zone: &TimeZone,
        caps: [Caps; 2],
        units: u32,
        at: At,
        really: bool,
    ) -> Result<Counted, Uncounted> {
        let calendar = self.calendar(at.wall, zone);
        let asked = async {
            loop {
                let counter = self.counter(client, zone).await?;
                let reserved = counter.reserved.notified();
                tokio::pin!(reserved);
                reserved.as_mut().enable();
                match counter.take(&calendar, caps, units, at, really) {
                    Took::Said(said, shadows, low) => {
                        if low {
                            self.want(&counter);
                        }
                        let counter = really.then_some(counter.clone());
                        return Ok(Counted { said, shadows, counter });
                    }
                    Took::Closed => tokio::task::yield_now().await,
                    Took::Wait if self.book.is_none() => counter.written(&counter.wanted()),
                    Took::Wait => {
                        self.want(&counter);
                        reserved.await;
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(Uncounted))
    }

    fn calendar(&self, now: u64, zone: &TimeZone) -> Arc<Calendar> {
        if let Some(known) = self.calendar.load_full().filter(|known| known.holds(now, zone)) {
            return known;
        }
        let made = Arc::new(Calendar::at(now, zone));
        self.calendar.store(Some(Arc::clone(&made)));
        made
    }

    fn known(&self, client: &ClientId) -> Option<Arc<Counter>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).get(client).cloned()
    }

    async fn counter(&self, client: &ClientId, zone: &TimeZone) -> Result<Arc<Counter>, Uncounted> {
        if let Some(known) = self.known(client) {
            return Ok(known);
        }
        let rows = match &self.book {
            None => Vec::new(),
            Some(book) => book.of(client).await.map_err(|error| {
                tracing::error!(%error, client = %client.id, "the usage of a client can't be read");
                Uncounted
            })?,
        };
        {
            let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
            if counters.len() < self.most || counters.contains_key(client) {
                let made = || Arc::new(Counter::new(client.clone(), &rows, zone));
                return Ok(Arc::clone(counters.entry(client.clone()).or_insert_with(made)));
            }
        }
        // All are written and begin again from the store: rare, and simpler than to ask which is the oldest.
        self.close(self.most).await.map_err(|_| Uncounted)?;
        Box::pin(self.counter(client, zone)).await
    }

    fn want(&self, counter: &Arc<Counter>) {
        if counter.asks() {
            self.wanted.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(counter));
            self.wake.notify_one();
        }
    }

    /// Writes what is wanted, as long as the house stands.
    pub(super) async fn keep(&self) {
        loop {
            self.wake.notified().await;
            if let Err(error) = self.write().await {
                tracing::error!(%error, "the usage of clients can't be written; calls that need it are refused");
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.wake.notify_one();
            }
        }
    }

    pub(super) async fn write(&self) -> Result<(), Error> {
        let Some(book) = &self.book else { return Ok(()) };
        let _one = self.writing.lock().await;
        let wanted = std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        let rows: Vec<Vec<Used>> = wanted.iter().map(|counter| counter.wanted()).collect();
        let done = book.write(&rows.concat(), unix_seconds()).await;
        for (counter, rows) in wanted.iter().zip(&rows) {
            match &done {
                Ok(()) => counter.written(rows),
                Err(_) => self.want(counter),
            }
        }
        done
    }

    /// Writes everything exactly, at the end.
    pub(super) async fn settle(&self) -> Result<(), Error> {
        self.close(0).await
    }

    /// All counters go, where there are so many. They leave the map in the turn in which they are written: of one that
    /// took a client up again meanwhile the higher reservation would be written over with what the old one had used.
    async fn close(&self, from: usize) -> Result<(), Error> {
        let _one = self.writing.lock().await;
        let all = {
            let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
            if counters.len() < from { HashMap::new() } else { std::mem::take(&mut *counters) }
        };
        let Some(book) = &self.book else { return Ok(()) };
        let rows: Vec<Used> = all.values().flat_map(|counter| counter.close()).collect();
        book.write(&rows, unix_seconds()).await
    }

    /// Of one client, or of all that the store or the memory knows.
    pub(super) async fn used(&self, client: Option<&ClientId>) -> Result<Vec<Used>, Error> {
        let kept = match (&self.book, client) {
            (None, _) => Vec::new(),
            (Some(book), None) => book.list().await?,
            (Some(book), Some(client)) => book.of(client).await?,
        };
        let live = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Used> = kept.into_iter().filter(|row| !live.contains_key(&row.client)).collect();
        all.extend(
            live.values().filter(|one| client.is_none_or(|wanted| *wanted == one.client)).flat_map(|one| one.used()),
        );
        all.sort_by(|one, other| {
            let key = |row: &Used| (row.client.issuer.clone(), row.client.id.clone(), row.per.word());
            key(one).cmp(&key(other))
        });
        Ok(all)
    }

    /// What was used until now counts no more. Gives what it was.
    pub(super) async fn reset(&self, client: &ClientId, zone: &TimeZone, per: Option<Per>) -> Result<Vec<Used>, Error> {
        let before = self.used(Some(client)).await?;
        let Ok(counter) = self.counter(client, zone).await else {
            return Err(Error::Damaged { what: "client's usage" });
        };
        let _one = self.writing.lock().await;
        if let Some(book) = &self.book {
            // First the store: what could not be written is not forgotten either.
            book.write(&counter.anew(per), unix_seconds()).await?;
        }
        counter.reset(per);
        Ok(before.into_iter().filter(|row| per.is_none_or(|per| per == row.per)).collect())
    }
}

/// The book of a store, for whoever has one.
pub(super) async fn book(store: &Store) -> Result<Book, Error> {
    Book::open(store, unix_seconds()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: &str) -> ClientId {
        ClientId { issuer: "https://here".into(), id: id.into() }
    }

    const AT: At = At { wall: 1_800_000_000, steady: 0 };

    async fn used(usage: &Usage, of: &str) -> Result<Counted, Uncounted> {
        let caps = [Caps { real: Some(100), shadow: None }, Caps::default()];
        usage.ask(&client(of), &TimeZone::UTC, caps, 1, AT, true).await
    }

    #[tokio::test]
    async fn no_counter_makes_room_before_it_can_be_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("a store");
        let book = Book::open(&store, AT.wall).await.expect("a book");
        let usage = Usage::new(Some(book), 1);
        let asked = async { used(&usage, "a").await.expect("counted") };
        tokio::select! { _ = asked => {}, () = usage.keep() => {} }
        let first = usage.known(&client("a")).expect("it is counted");

        let turn = usage.writing.lock().await;
        let more = used(&usage, "b");
        assert!(tokio::time::timeout(Duration::from_millis(200), more).await.is_err(), "b waits for its place");
        let still = usage.known(&client("a")).expect("another counter would begin beside the one that is not written");
        assert!(Arc::ptr_eq(&first, &still));
        drop(turn);
        tokio::select! { more = used(&usage, "b") => { more.expect("counted"); }, () = usage.keep() => {} }
        let kept = usage.book.as_ref().expect("a book").of(&client("a")).await.expect("rows");
        assert_eq!((kept[0].used, kept[0].reserved), (1, 1), "and what a used is exact");
    }
}
