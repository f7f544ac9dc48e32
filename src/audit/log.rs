//! The way into the log: from any thread, without waiting unless the settings say so.

use super::decision::{Decision, DecisionId, now};
use super::error::Error;
use super::key::Key;
use super::prune::{Keep, Prefix, Pruned};
use super::refusals::{Refusal, Refusals};
use super::settings::{Required, Settings};
use super::shared::Shared;
use super::steady::{Doubted, Steady};
use super::ticket::{Outcome, Ticket, Unwritten};
use super::writer::{Message, Writer};
use crate::clock::unix_seconds;
use crate::model::Effect;
use crate::telemetry::Metrics;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, thread};
use tokio::sync::oneshot;

/// Lines that wait for the disk. A line is about 600 bytes.
const QUEUE: usize = 8_192;

/// How long the end waits for room in a queue that is full.
const AGAIN: Duration = Duration::from_millis(10);

/// Clones share one log.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    key: Arc<Key>,
    queue: SyncSender<Message>,
    thread: thread::JoinHandle<()>,
    shared: Arc<Shared>,
    refusals: Refusals,
    steady: Mutex<Steady>,
    /// One removal at a time, an operator's or the settings'.
    pruning: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("dir", &self.inner.settings.dir).finish_non_exhaustive()
    }
}

impl Log {
    /// Takes up the chain where the last run left it. Blocks; meant for the start.
    pub fn start(settings: Settings, metrics: &Metrics) -> Result<Self, Error> {
        Self::start_for("gateway", settings, metrics)
    }

    /// For whom it is opened stands in the first line.
    pub fn start_for(whom: &str, settings: Settings, metrics: &Metrics) -> Result<Self, Error> {
        let key = Arc::new(Key::ensure(&settings.key)?);
        let shared = Arc::new(Shared::new(metrics));
        let (queue, messages) = sync_channel(QUEUE);
        let writer = Writer::open(&settings, Arc::clone(&key), Arc::clone(&shared), whom)?;
        let steady = Mutex::new(Steady::new(writer.last, unix_seconds(), Instant::now()));
        // A thread, not a task: a disk blocks, and no worker of the runtime may.
        let run = move || writer.run(&messages);
        let thread = thread::Builder::new().name("audit".into()).spawn(run).map_err(Error::Thread)?;
        let (refusals, pruning) = (Refusals::default(), Arc::default());
        Ok(Self { inner: Arc::new(Inner { settings, key, queue, thread, shared, refusals, steady, pruning }) })
    }

    /// Writes a decision down. The ticket of an allowed write tells its outcome later.
    pub fn record(&self, decision: &Decision<'_>) -> Ticket {
        let id = DecisionId::new();
        let write = decision.allowed && decision.effect.is_some_and(Effect::is_write);
        let waits = decision.allowed
            && match self.inner.settings.required {
                Required::Writes => write,
                Required::All => true,
                Required::Nothing => false,
            };
        let words = decision.words(id, &self.inner.settings, &self.inner.key);
        let mut kept = None;
        if waits {
            let (told, wait) = oneshot::channel();
            kept = Some(wait);
            self.send(words, Some(told));
        } else {
            self.write(words);
        }
        Ticket { id, log: self.clone(), kept, so_far: write.then_some(Outcome::NotSent) }
    }

    /// Writes down that a limit refused a call, or counts it for a later line. Gives the id of its line.
    pub fn refused(&self, refusal: &Refusal<'_>) -> DecisionId {
        self.inner.refusals.note(refusal, Instant::now(), |line| self.write(line))
    }

    /// Writes down refusals that were counted and wait for their line; to be called every few seconds.
    pub fn tell_refusals(&self) {
        self.inner.refusals.tell(Instant::now(), false, |line| self.write(line));
    }

    /// Writes down what an operator did, besides decisions: its kind, and members that name no secret.
    pub fn note(&self, kind: &str, members: Map<String, Value>) {
        self.write(noted(kind, members));
    }

    /// The same before it is done: comes back once it is on the disk, unless the settings ask for no line at all.
    pub async fn note_first(&self, kind: &str, members: Map<String, Value>) -> Result<(), Unwritten> {
        if self.inner.settings.required == Required::Nothing {
            self.note(kind, members);
            return Ok(());
        }
        let (told, kept) = oneshot::channel();
        self.send(noted(kind, members), Some(told));
        self.told(kept).await
    }

    /// No call waits for longer than the settings say: a disk that hangs tells nobody.
    pub(super) async fn told(&self, kept: oneshot::Receiver<bool>) -> Result<(), Unwritten> {
        match tokio::time::timeout(self.inner.settings.patience, kept).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false) | Err(_)) | Err(_) => Err(Unwritten),
        }
    }

    pub(super) fn write(&self, words: Vec<u8>) {
        self.send(words, None);
    }

    /// A full queue refuses: whoever waits is told so by the end of his channel, the others are counted.
    fn send(&self, words: Vec<u8>, told: Option<oneshot::Sender<bool>>) {
        self.inner.shared.waits();
        if self.inner.queue.try_send(Message::Line { words, told }).is_err() {
            self.inner.shared.lost(1);
        }
    }

    /// Removes what `keep` does not ask for, and leaves a signed record of it, which is on the disk before anything goes.
    pub async fn prune(&self, keep: Keep, by: &str) -> Result<Pruned, Error> {
        let one = Arc::clone(&self.inner.pruning).lock_owned().await;
        let keep = self.believed(keep)?;
        let (dir, key) = (self.inner.settings.dir.clone(), self.inner.key.public());
        // Files are read whole: never on a thread of the runtime, and not on the one that others wait for.
        let found = tokio::task::spawn_blocking(move || Prefix::find(&dir, key, keep)).await;
        let Some(prefix) = found.map_err(|_| Error::Closed)?? else { return Ok(Pruned::default()) };
        let (told, done) = oneshot::channel();
        let order = Message::Signed { words: prefix.record(by, &self.inner.key), told };
        self.inner.queue.try_send(order).map_err(|_| Error::Closed)?;
        if done.await != Ok(true) {
            return Err(Error::Closed);
        }
        let removed = tokio::task::spawn_blocking(move || {
            // Until all are gone, whoever waits for the answer or not.
            let _one = one;
            prefix.remove().map(|()| prefix.pruned).map_err(Error::NotRemoved)
        });
        removed.await.map_err(|_| Error::Closed)?
    }

    /// What may be asked of the clock as it stands: by age nothing where it can't be believed, by size as always.
    fn believed(&self, keep: Keep) -> Result<Keep, Error> {
        if keep.days.is_none() {
            return Ok(keep);
        }
        let looked =
            self.inner.steady.lock().unwrap_or_else(PoisonError::into_inner).look(unix_seconds(), Instant::now());
        let Err(Doubted(now, expected)) = looked else { return Ok(keep) };
        let time = |seconds: u64| {
            i64::try_from(seconds).ok().and_then(|at| Timestamp::from_second(at).ok()).unwrap_or(Timestamp::MAX)
        };
        let error = Error::Clock { now: time(now), expected: time(expected) };
        if keep.bytes.is_none() {
            return Err(error);
        }
        tracing::error!(%error, "the audit log is pruned by size alone");
        Ok(Keep { days: None, ..keep })
    }

    /// Writes down that somebody has looked into lines that are gone; `false` where nothing waits for that.
    pub async fn acknowledge(&self, by: &str, reason: &str) -> Result<bool, Error> {
        let (told, done) = oneshot::channel();
        let order = Message::Acknowledge { by: by.to_owned(), reason: reason.to_owned(), told };
        self.inner.queue.try_send(order).map_err(|_| Error::Closed)?;
        done.await.map_err(|_| Error::Closed)?
    }

    /// Whether lines can be kept; the reason is for readiness.
    pub fn status(&self) -> Result<(), String> {
        let moves = self.inner.shared.moves(self.inner.settings.patience, self.inner.thread.is_finished());
        match self.inner.settings.required {
            // A log that nobody asks for keeps nobody out; the metric tells.
            Required::Nothing => Ok(()),
            Required::Writes | Required::All => moves.and_then(|()| self.inner.shared.status()),
        }
    }

    /// Signs the end and puts it on the disk; the folder is free for the next run then. Whoever has something to write
    /// after this has lost it, so it comes behind the last write.
    pub async fn close(&self, limit: Duration) -> bool {
        self.inner.refusals.tell(Instant::now(), true, |line| self.write(line));
        let (told, ended) = oneshot::channel();
        let end = async {
            let mut end = Message::End(told);
            // A queue that is full now has room once some of its lines are written.
            while let Err(TrySendError::Full(again)) = self.inner.queue.try_send(end) {
                end = again;
                tokio::time::sleep(AGAIN).await;
            }
            ended.await
        };
        matches!(tokio::time::timeout(limit, end).await, Ok(Ok(true)))
    }
}

fn noted(kind: &str, members: Map<String, Value>) -> Vec<u8> {
    let mut words = json!({ "kind": kind, "time": now() });
    if let Some(words) = words.as_object_mut() {
        words.extend(members);
    }
    words.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    /// A log whose thread does as it is told here, and what it is sent.
    fn log_over(
        folder: &std::path::Path,
        run: impl FnOnce() + Send + 'static,
    ) -> (Log, std::sync::mpsc::Receiver<Message>) {
        let patience = Duration::from_millis(50);
        let settings = Settings { patience, ..Settings::under(folder.join("audit"), folder.join("audit.key")) };
        let key = Arc::new(Key::ensure(&settings.key).expect("a key"));
        let (queue, messages) = sync_channel(QUEUE);
        let thread = thread::spawn(run);
        let steady = Mutex::new(Steady::new(None, unix_seconds(), Instant::now()));
        let shared = Arc::new(Shared::new(&Metrics::new()));
        let (refusals, pruning) = (Refusals::default(), Arc::default());
        (Log { inner: Arc::new(Inner { settings, key, queue, thread, shared, refusals, steady, pruning }) }, messages)
    }

    #[tokio::test]
    async fn a_disk_that_hangs_refuses_who_waits_for_it_and_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let (end, hangs) = sync_channel::<()>(0);
        let (log, messages) = log_over(folder.path(), move || {
            let _ = hangs.recv();
        });
        assert_eq!(log.status(), Ok(()), "nothing waits");
        assert_eq!(log.note_first("quota-reset", Map::new()).await, Err(Unwritten));
        let told = log.status().expect_err("a line waits");
        assert!(told.contains("disk hangs"), "{told}");
        assert_eq!(log.inner.shared.trouble(), Ok(()), "no write has failed");
        drop((messages, end));
    }

    #[tokio::test]
    async fn the_end_comes_behind_a_queue_that_is_full() {
        let folder = tempfile::tempdir().expect("a folder");
        let (log, messages) = log_over(folder.path(), || ());
        (0..QUEUE).for_each(|_| log.write(b"{}".to_vec()));
        let mut end = Box::pin(log.close(Duration::from_secs(60)));
        assert!((&mut end).now_or_never().is_none(), "there is no room for it");
        let writer = thread::spawn(move || {
            let mut lines = 0;
            for message in messages {
                match message {
                    Message::Line { .. } => lines += 1,
                    Message::End(told) => return (lines, told.send(true)),
                    Message::Signed { .. } | Message::Acknowledge { .. } => {}
                }
            }
            (lines, Ok(()))
        });
        assert!(end.await);
        assert_eq!(writer.join().expect("it ends"), (QUEUE, Ok(())));
    }

    #[tokio::test]
    async fn a_thread_that_has_ended_is_told_before_anybody_writes() {
        let folder = tempfile::tempdir().expect("a folder");
        let (log, messages) = log_over(folder.path(), || ());
        while !log.inner.thread.is_finished() {
            thread::yield_now();
        }
        let told = log.status().expect_err("nobody writes");
        assert!(told.contains("restart the gateway"), "{told}");
        drop(messages);
    }
}
