//! The outbox of a running gateway: intents are opened and settled here.

use super::coverage::{Coverage, Step};
use super::error::Error;
use super::intent::{Before, Due, Entry, EntryKind, Intent, Opened, Outcome, Pledge};
use super::ledger::Ledger;
use super::status::Status;
use super::tidy::Ages;
use super::writer::{Answer, Line, Order, Settled, Writer, migrate, now};
use crate::model::{FieldName, Place, is_sensitive};
use crate::store::{Store, write_private};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use aws_lc_rs::{hmac, rand};
use futures_util::future::BoxFuture;
use prometheus::IntCounterVec;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot};

#[derive(Debug, Clone)]
pub struct Settings {
    /// A database of its own: it is written with every write, and others are not to be woken by that.
    pub folder: PathBuf,
    /// A write whose intent can't be kept is refused; else it is made, and told by nobody.
    pub required: bool,
    /// How long an Idempotency-Key holds.
    pub key_lifetime: Duration,
    /// How long what is settled and delivered is kept for whoever asks.
    pub retention: Duration,
    /// How long what is parked or failed on its way is kept for somebody to look at; after that it is given up.
    pub parked: Duration,
    /// More than so many bytes it does not take on: what is owed is told first.
    pub most_bytes: u64,
}

/// Looks at a record that is about to be deleted.
pub type Look = Arc<dyn Fn(Due, Place) -> BoxFuture<'static, Before> + Send + Sync>;

impl Settings {
    pub fn under(folder: PathBuf) -> Self {
        let (day, week) = (Duration::from_secs(86_400), Duration::from_secs(7 * 86_400));
        Self { folder, required: true, key_lifetime: day, retention: week, parked: 90 * day, most_bytes: MOST_BYTES }
    }

    pub fn ages(&self) -> Ages {
        Ages { over: self.retention, stuck: self.parked, keys: self.key_lifetime }
    }
}

/// Clones share one outbox.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    settings: Settings,
    coverage: Coverage,
    store: Store,
    orders: mpsc::Sender<Order>,
    status: Arc<Status>,
    next: AtomicI64,
    secret: hmac::Key,
    intents: IntCounterVec,
    look: OnceLock<Look>,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("folder", &self.0.settings.folder).finish_non_exhaustive()
    }
}

/// Intents that wait for the disk. One is about a kilobyte.
const QUEUE: usize = 4_096;
const SECRET: &str = "fingerprint.key";
const MOST_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// How long a delete waits for a look at what it deletes.
const LOOKS: Duration = Duration::from_secs(5);

impl Outbox {
    /// What an earlier run left open is unknown from here on.
    pub async fn start(
        settings: Settings,
        coverage: Coverage,
        metrics: &Metrics,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let store = Store::open(&settings.folder).await?;
        migrate(&store).await?;
        let mut write = store.write().await?;
        sqlx::query("UPDATE intents SET state = 'unknown', next_try = ? WHERE state = 'open'")
            .bind(now())
            .execute(&mut *write)
            .await?;
        let (last,): (i64,) = sqlx::query_as("SELECT coalesce(max(id), 0) FROM intents").fetch_one(&mut *write).await?;
        write.commit().await.map_err(Error::from)?;
        let secret = secret(&settings.folder.join(SECRET))?;
        let status = Arc::new(Status::new(metrics));
        let (orders, taken) = mpsc::channel(QUEUE);
        let (key_lifetime, panics) = (settings.key_lifetime, metrics.panics.clone());
        tasks.spawn(Writer::new(store.clone(), status.clone(), taken, key_lifetime, panics).run());
        let (next, intents) = (AtomicI64::new(last + 1), metrics.outbox_intents.clone());
        let look = OnceLock::new();
        let inner = Inner { settings, coverage, store, orders, status, next, secret, intents, look };
        let outbox = Self(Arc::new(inner));
        outbox.weigh().await?;
        Ok(outbox)
    }

    /// From now on what is to be deleted is looked at before.
    pub fn looks_with(&self, look: Look) {
        let _ = self.0.look.set(look);
    }

    /// Whether there is still room. The bound is looked at and not enforced by the store: what is owed has to be told and
    /// written down even where nothing new is taken on.
    pub async fn weigh(&self) -> Result<(), Error> {
        self.0.status.weigh(self.ledger().bytes().await?, self.0.settings.most_bytes);
        Ok(())
    }

    /// The documents that this write is told by.
    pub fn coverage(&self) -> &Coverage {
        &self.0.coverage
    }

    pub fn is_required(&self) -> bool {
        self.0.settings.required
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Rings when something was settled.
    pub fn due(&self) -> Arc<Notify> {
        self.0.status.due.clone()
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.0.store.clone())
    }

    /// Whether intents can be kept; the reason is for readiness.
    pub fn status(&self) -> Result<(), String> {
        if !self.0.settings.required {
            return Ok(());
        }
        if self.0.orders.is_closed() {
            return Err("the outbox can't be written: its writer has ended".to_owned());
        }
        self.0.status.told()
    }

    /// Returns once the intent is on the disk, or with what stands there under its key.
    pub async fn open(&self, intent: &Intent) -> Result<Opened, Error> {
        if let Some(why) = self.0.status.full() {
            return Err(Error::TooLarge(why));
        }
        let looked;
        let intent = if intent.due.iter().any(|due| due.deletes) {
            looked = self.looked_at(intent.clone()).await;
            &looked
        } else {
            intent
        };
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (told, answer) = oneshot::channel();
        let line = self.line(id, intent);
        let fingerprint = line.fingerprint.clone();
        self.0.orders.try_send(Order::Open { row: line, told }).map_err(|error| match error {
            TrySendError::Full(_) => Error::Full,
            TrySendError::Closed(_) => Error::Unwritten("its writer has ended".to_owned()),
        })?;
        let mut waits = Opening { id, outbox: self, answer };
        let answer = (&mut waits.answer).await;
        match answer {
            Ok(Ok(Answer::New)) => {
                self.count("opened");
                let (due, keyed) = (intent.due.clone(), intent.key.is_some());
                Ok(Opened::New(Pledge { id, outbox: self.clone(), due, keyed, open: true }))
            }
            Ok(Ok(Answer::Before { name, state, outcome, fingerprint: before })) => {
                self.count("repeated");
                if before != fingerprint {
                    return Ok(Opened::OtherRequest);
                }
                Ok(match state.as_str() {
                    "open" => Opened::InFlight,
                    "committed" | "refused" => {
                        let outcome = outcome.and_then(|text| serde_json::from_str(&text).ok());
                        Opened::Settled(outcome.ok_or(Error::Damaged("outcome"))?)
                    }
                    _ => Opened::Unknown(name),
                })
            }
            Ok(Err(why)) => Err(Error::Unwritten(why)),
            Err(_) => Err(Error::Unwritten("its writer met a bug, or the gateway is going down".to_owned())),
        }
    }

    /// With what is about to be deleted; without the document of what is not there.
    async fn looked_at(&self, mut intent: Intent) -> Intent {
        let Some(look) = self.0.look.get() else { return intent };
        let mut due = Vec::new();
        for mut one in std::mem::take(&mut intent.due) {
            if one.deletes && one.is_known() {
                let seen = tokio::time::timeout(LOOKS, look(one.clone(), intent.place)).await;
                match seen.unwrap_or(Before::Unseen) {
                    Before::Image(image) => one.before = Some(image),
                    Before::Absent => continue,
                    Before::Unseen => {}
                }
            }
            due.push(one);
        }
        Intent { due, ..intent }
    }

    fn line(&self, id: i64, intent: &Intent) -> Line {
        let (program, transaction) = (intent.program.as_str(), intent.transaction.as_str());
        let whole = intent.fields.iter().all(|(name, _)| !is_sensitive(name.as_str()));
        let fields: Vec<(&str, &str)> = intent
            .fields
            .iter()
            .filter(|(name, _)| !is_sensitive(name.as_str()))
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        let fields = serde_json::to_string(&fields).unwrap_or_default();
        let due = serde_json::to_string(&intent.due).unwrap_or_default();
        let fingerprint = intent.key.is_some().then(|| self.fingerprint(intent));
        let (key, ordinal) = intent.key.as_ref().map_or((None, 0), |key| (Some(key.text()), key.ordinal()));
        let (issuer, client) = (&*intent.client.issuer, &*intent.client.id);
        let values = json!([
            id,
            intent.name,
            issuer,
            client,
            key,
            ordinal,
            fingerprint,
            intent.user.as_str(),
            program,
            transaction,
            intent.place.company.number(),
            intent.place.division.as_str(),
            fields,
            i64::from(whole),
            due,
        ]);
        let key = key.map(|key| (issuer.to_owned(), client.to_owned(), key.to_owned(), ordinal));
        Line { id, values, key, fingerprint }
    }

    /// Keyed: a PIN among the fields is not found out from the file by trying.
    fn fingerprint(&self, intent: &Intent) -> String {
        let place = (intent.place.company.number(), intent.place.division.as_str());
        let fields: Vec<(&str, &str)> =
            intent.fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let said = json!([intent.program.as_str(), intent.transaction.as_str(), place, fields]).to_string();
        let tag = hmac::sign(&self.0.secret, said.as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) async fn settle(&self, settled: Settled, awaited: bool) {
        self.counted(&settled);
        let (told, kept) = oneshot::channel();
        let order = Order::Settle { settled, told: awaited.then_some(told) };
        // Waits while the queue is full: an outcome is not thrown away.
        if self.0.orders.send(order).await.is_ok() && awaited {
            let _ = kept.await;
        }
    }

    /// Without waiting, for one who can't. It needs no place in the queue: while that is full the writer is at work, and
    /// looks here before its next commit.
    pub(super) fn put(&self, settled: Settled) {
        self.counted(&settled);
        self.0.status.say(settled);
        let _ = self.0.orders.try_send(Order::Wake);
    }

    fn counted(&self, settled: &Settled) {
        self.count(match settled {
            Settled::Known { outcome: Outcome::Done { .. }, .. } => "committed",
            Settled::Known { .. } => "refused",
            Settled::Unknown { .. } => "unknown",
            Settled::Withdrawn { .. } => "withdrawn",
        });
    }

    fn count(&self, what: &str) {
        self.0.intents.with_label_values(&[what]).inc();
    }

    /// Writes what waits and ends; the store stays open for whoever delivers.
    pub async fn finish(&self, limit: Duration) -> bool {
        let (told, ended) = oneshot::channel();
        self.0.orders.send(Order::End(told)).await.is_ok() && tokio::time::timeout(limit, ended).await.is_ok()
    }

    #[cfg(test)]
    pub(super) fn meet_bug(&self) {
        let _ = self.0.orders.try_send(Order::Bug);
    }

    pub async fn close(&self) {
        self.0.store.close().await;
    }
}

/// Who waits for his intent to be written, and may go away meanwhile.
struct Opening<'a> {
    id: i64,
    outbox: &'a Outbox,
    answer: oneshot::Receiver<Result<Answer, String>>,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        // From here on the writer can't tell him any more, and takes the intent back itself; what it told already and
        // nobody heard is taken back here.
        self.answer.close();
        if matches!(self.answer.try_recv(), Ok(Ok(Answer::New))) {
            self.outbox.put(Settled::Withdrawn { id: self.id });
        }
    }
}

fn secret(path: &Path) -> Result<hmac::Key, Error> {
    let failed = |source| Error::Key { path: path.to_owned(), source };
    let bytes = match std::fs::read(path) {
        Ok(bytes) if bytes.len() == 32 => bytes,
        Ok(_) => return Err(failed(std::io::Error::other("it is not 32 bytes long"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut bytes = vec![0; 32];
            rand::fill(&mut bytes).map_err(|_| failed(std::io::Error::other("no random numbers")))?;
            write_private(path, &bytes).map_err(failed)?;
            bytes
        }
        Err(error) => return Err(failed(error)),
    };
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

impl Due {
    /// With the values that the call has.
    pub fn of(told: &super::Told, value: impl Fn(&str) -> Option<String>) -> Self {
        let entry = |kind, field: &FieldName| {
            let batch = value(field.as_str()).unwrap_or_default();
            Some(Entry { kind, batch, call: told.call.to_string() })
        };
        let entry = match &told.step {
            Step::Writes => None,
            Step::Enters(field) => entry(EntryKind::Enters, field),
            Step::HandsOver(field) => entry(EntryKind::HandsOver, field),
            Step::Confirms(field) => entry(EntryKind::Confirms, field),
        };
        // What is confirmed gets another number: the call's own is not the record's.
        let in_reply = matches!(told.step, Step::Confirms(_));
        let key = told.key.iter().map(|field| {
            let value = value(field.as_str()).filter(|_| !in_reply);
            (field.to_string(), value)
        });
        let key = key.collect();
        Self {
            noun: told.noun.to_string(),
            verb: told.verb.to_string(),
            key,
            deletes: told.deletes,
            by_division: told.by_division,
            before: None,
            entry,
        }
    }
}
