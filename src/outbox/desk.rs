//! The outbox of a running gateway: intents are opened and settled here.

use super::bulks::{Bulk, Bulks};
use super::coverage::Coverage;
use super::error::Error;
use super::images::{Images, Look};
use super::intent::{IdempotencyKey, Intent, Opened, Outcome, Pledge};
use super::ledger::Ledger;
use super::reseal::take_on;
use super::round::Line;
use super::seal::{ANYWHERE, Seal};
use super::status::Status;
use super::tags::secret;
use super::theirs::Unmatched;
use super::tidy::Ages;
use super::writer::{Answer, HOLDER, Order, Settled, Writer, before, migrate, now};
use crate::model::{FieldName, ProgramName, Sensitive};
use crate::store::Store;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use aws_lc_rs::hmac;
use prometheus::IntCounterVec;
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
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
    /// How long what was entered under a batch is known, that nobody hands over.
    pub entries: Duration,
    /// More than so many bytes it does not take on: what is owed is told first.
    pub most_bytes: u64,
    /// What content is sealed with.
    pub seal: Seal,
    /// Fields that are never written down.
    pub sensitive: Sensitive,
}

impl Settings {
    pub fn under(folder: PathBuf) -> Self {
        let (day, week) = (Duration::from_secs(86_400), Duration::from_secs(7 * 86_400));
        let (parked, entries) = (90 * day, 90 * day);
        let (most_bytes, seal, sensitive) = (MOST_BYTES, Seal::default(), Sensitive::default());
        Self {
            folder,
            required: true,
            key_lifetime: day,
            retention: week,
            parked,
            entries,
            most_bytes,
            seal,
            sensitive,
        }
    }

    pub fn ages(&self) -> Ages {
        Ages { over: self.retention, stuck: self.parked, keys: self.key_lifetime, entries: self.entries }
    }
}

/// Clones share one outbox.
#[derive(Clone)]
pub struct Outbox(pub(super) Arc<Inner>);

pub(super) struct Inner {
    settings: Settings,
    coverage: Coverage,
    store: Store,
    orders: mpsc::Sender<Order>,
    status: Arc<Status>,
    next: AtomicI64,
    pub(super) secret: hmac::Key,
    intents: IntCounterVec,
    untold: IntCounterVec,
    pub(super) images: Images,
    bulks: Bulks,
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
        take_on(&store, &settings.seal).await?;
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
        let ledger = Ledger { store: store.clone(), seal: settings.seal.clone() };
        tasks.spawn(Writer::new(ledger, status.clone(), taken, key_lifetime, panics).run());
        let (next, intents) = (AtomicI64::new(last + 1), metrics.outbox_intents.clone());
        let (images, untold) = (Images::default(), metrics.publishing.untold.clone());
        let bulks = Bulks { known: Arc::default(), due: status.due.clone() };
        let inner = Inner { settings, coverage, store, orders, status, next, secret, intents, untold, images, bulks };
        let outbox = Self(Arc::new(inner));
        // Where something could be taken out, the tidying that begins at once takes out the rest and looks again.
        let (more, given_up) = outbox.ledger().make_room(outbox.0.settings.most_bytes, 1).await?;
        given_up.iter().for_each(|one| one.tell(metrics));
        if !more {
            outbox.weigh().await?;
        }
        Ok(outbox)
    }

    /// From now on what is to be deleted is looked at before.
    pub fn looks_with(&self, look: Look) {
        self.0.images.look_with(look);
    }

    /// Takes out what is over where room is short, and says whether anything is left to be done. The bound is looked at and
    /// not enforced by the store: what is owed has to be told and written down even where nothing new is taken on. Tells
    /// which documents of M3's own publisher went before their time.
    pub async fn make_room(&self) -> Result<Vec<Unmatched>, Error> {
        let (_, given_up) = self.ledger().make_room(self.0.settings.most_bytes, usize::MAX).await?;
        self.weigh().await?;
        Ok(given_up)
    }

    async fn weigh(&self) -> Result<(), Error> {
        self.0.status.weigh(self.ledger().bytes().await?, self.0.settings.most_bytes);
        Ok(())
    }

    /// The documents that this write is told by.
    pub fn coverage(&self) -> &Coverage {
        &self.0.coverage
    }

    /// A write that no document tells of, though documents are told.
    pub fn passes_by(&self, program: ProgramName) {
        if !self.0.coverage.is_empty() {
            self.0.untold.with_label_values(&[program.as_str()]).inc();
        }
    }

    pub fn is_required(&self) -> bool {
        self.0.settings.required
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// A bulk call of this name runs until what is given is dropped.
    pub fn bulk(&self, name: &str) -> Arc<Bulk> {
        Arc::new(self.0.bulks.begin(name))
    }

    pub fn bulks(&self) -> Bulks {
        self.0.bulks.clone()
    }

    /// Rings when something was settled.
    pub fn due(&self) -> Arc<Notify> {
        self.0.status.due.clone()
    }

    pub fn ledger(&self) -> Ledger {
        Ledger { store: self.0.store.clone(), seal: self.0.settings.seal.clone() }
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
            return self.answered(intent).await?.ok_or(Error::TooLarge(why));
        }
        let looked;
        let intent = if intent.due.iter().any(|due| due.deletes) {
            looked = self.0.images.looked_at(intent.clone()).await;
            &looked.0
        } else {
            intent
        };
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (told, answer) = oneshot::channel();
        let line = self.line(id, intent)?;
        self.0.orders.try_send(Order::Open { row: line, told }).map_err(|error| match error {
            TrySendError::Full(_) => Error::Full,
            TrySendError::Closed(_) => Error::Unwritten("its writer has ended".to_owned()),
        })?;
        let mut waits = Opening { id, outbox: self, answer };
        let answer = (&mut waits.answer).await;
        match answer {
            Ok(Ok(Answer::New)) => {
                self.count("opened");
                let mut due = intent.due.clone();
                // It is on the disk, and is not held until M3 has answered and the outcome is written.
                due.iter_mut().for_each(|due| due.before = None);
                let (keyed, bulk) = (intent.key.is_some(), intent.bulk.clone());
                Ok(Opened::New(Pledge { id, outbox: self.clone(), due, keyed, open: true, sent: false, bulk }))
            }
            Ok(Ok(before)) => self.again(before, intent),
            Ok(Err(why)) => self.answered(intent).await?.ok_or(Error::Unwritten(why)),
            Err(_) => Err(Error::Unwritten("its writer met a bug, or the gateway is going down".to_owned())),
        }
    }

    /// What stands there under the intent's key: it is told where nothing can be taken on, too, for that needs no room.
    async fn answered(&self, intent: &Intent) -> Result<Option<Opened>, Error> {
        let Some(key) = &intent.key else { return Ok(None) };
        let row = sqlx::query(HOLDER)
            .bind(&*intent.client.issuer)
            .bind(&*intent.client.id)
            .bind(key.text())
            .bind(i64::from(key.ordinal()))
            .fetch_optional(self.0.store.read())
            .await?;
        let Some(row) = row else { return Ok(None) };
        self.again(before(&row)?, intent).map(Some)
    }

    fn again(&self, before: Answer, intent: &Intent) -> Result<Opened, Error> {
        let Answer::Before { id, name, state, outcome, fingerprint: of_before } = before else {
            return Err(Error::Damaged("key"));
        };
        self.count("repeated");
        let same = of_before.is_some_and(|of| of == self.fingerprint(intent) || of == self.former_fingerprint(intent));
        if !same {
            return Ok(Opened::OtherRequest);
        }
        Ok(match state.as_str() {
            "open" => Opened::InFlight,
            // Parked with an outcome it is known what became of it, and not to which record.
            "committed" | "refused" | "parked" if state != "parked" || outcome.is_some() => {
                let outcome = outcome.ok_or(Error::Damaged("outcome"))?;
                let outcome = self.0.settings.seal.open(("outcome", &id.to_string()), outcome)?;
                Opened::Settled(serde_json::from_str(&outcome).map_err(|_| Error::Damaged("outcome"))?)
            }
            _ => Opened::Unknown(name),
        })
    }

    fn line(&self, id: i64, intent: &Intent) -> Result<Line, Error> {
        let secret = |name: &FieldName| self.0.settings.sensitive.has(*name);
        let whole = intent.fields.iter().all(|(name, _)| !secret(name));
        let fields: Vec<(&str, &str)> = intent
            .fields
            .iter()
            .filter(|(name, _)| !secret(name))
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        let fields = serde_json::to_string(&fields).unwrap_or_default();
        let seal = &self.0.settings.seal;
        let fields = seal.close(("fields", &id.to_string()), &fields)?;
        let mut due = Cow::Borrowed(&intent.due);
        if due.iter().any(|due| due.before.is_some()) {
            for before in due.to_mut().iter_mut().filter_map(|due| due.before.as_mut()) {
                *before = seal.close(("before", ANYWHERE), before)?.into_owned();
            }
        }
        let due = serde_json::to_string(&due).unwrap_or_default();
        let fingerprint = intent.key.is_some().then(|| self.fingerprint(intent));
        Ok(Line {
            id,
            name: intent.name.clone(),
            issuer: intent.client.issuer.to_string(),
            client: intent.client.id.to_string(),
            key: intent.key.as_ref().map(|key| key.text().to_owned()),
            ordinal: intent.key.as_ref().map_or(0, IdempotencyKey::ordinal),
            fingerprint,
            user: intent.user.as_str().to_owned(),
            program: intent.program,
            transaction: intent.transaction,
            company: intent.place.company.number(),
            division: intent.place.division.as_str().to_owned(),
            fields: fields.into_owned(),
            whole,
            told: due,
            bulk: intent.bulk.as_ref().map(|bulk| bulk.name().to_owned()),
        })
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
        self.0.orders.send(Order::End(told)).await.is_ok()
            && matches!(tokio::time::timeout(limit, ended).await, Ok(Ok(())))
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
