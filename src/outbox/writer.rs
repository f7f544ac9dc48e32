//! The one task that writes intents down: what waits goes into one commit, and then everybody is told.
//!
//! Invariant: nobody hears "kept" before the commit; what was settled and could not be written is kept and tried again.

use super::bulks::Bulk;
use super::entries::{enter, marks};
use super::error::Error;
use super::intent::{Due, Outcome};
use super::ledger::Ledger;
use super::round::{Line, Round, Settlement};
use super::schema::STEPS;
use super::status::Status;
use crate::clock::unix_micros;
use crate::store::Store;
use futures_util::FutureExt;
use prometheus::IntCounter;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

const UNNAMED: &str = "it was done, and neither its call nor M3's reply names the record: see in M3 which one it is, and \
    resolve it as committed with --key, so that its document follows";
/// Intents of one commit.
const TOGETHER: usize = 512;
/// What could not be settled while the disk is full; beyond it the next start asks M3.
const MOST_LEFT: usize = 65_536;
const AGAIN: Duration = Duration::from_millis(500);
/// How long a `_rid` names a write, in milliseconds.
const RIDS: i64 = 600_000;

pub(super) enum Order {
    Open {
        row: Line,
        told: oneshot::Sender<Result<Answer, String>>,
    },
    Settle {
        settled: Settled,
        told: Option<oneshot::Sender<()>>,
    },
    /// Something was said without waiting for room in the queue.
    Wake,
    #[cfg(test)]
    Bug,
    End(oneshot::Sender<()>),
}

#[derive(Debug)]
pub(super) enum Answer {
    New,
    Before { id: i64, name: String, state: String, outcome: Option<String>, fingerprint: Option<String> },
}

#[derive(Debug)]
pub(super) enum Settled {
    /// `unnamed`: it was done, and nobody said to which record, so that somebody has to say.
    Known {
        id: i64,
        outcome: Outcome,
        due: Vec<Due>,
        unnamed: bool,
        /// Documents of it wait until this is written.
        #[expect(dead_code, reason = "when it goes is what counts")]
        bulk: Option<Arc<Bulk>>,
    },
    Unknown {
        id: i64,
    },
    Withdrawn {
        id: i64,
    },
}

pub(super) struct Writer {
    pub(super) ledger: Ledger,
    pub(super) status: Arc<Status>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) key_lifetime: Duration,
    panics: IntCounter,
    left: Vec<Settled>,
    ended: bool,
}

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    (unix_micros() / 1_000).cast_signed()
}

pub(super) async fn migrate(store: &Store) -> Result<(), Error> {
    Ok(store.migrate("outbox", STEPS).await?)
}

/// What is written, and the documents that are due by it.
type Parts<'a> = (Vec<Round<'a>>, Vec<(i64, &'a Due)>);
type Opening = (Line, oneshot::Sender<Result<Answer, String>>);

impl Writer {
    pub(super) fn new(
        ledger: Ledger,
        status: Arc<Status>,
        orders: mpsc::Receiver<Order>,
        key_lifetime: Duration,
        panics: IntCounter,
    ) -> Self {
        Self { ledger, status, orders, key_lifetime, panics, left: Vec::new(), ended: false }
    }

    /// A bug costs the round that met it: whoever waited is refused, and what was settled stays for the next one.
    pub(super) async fn run(mut self) {
        while !self.ended {
            if AssertUnwindSafe(self.round()).catch_unwind().await.is_err() {
                self.panics.inc();
                self.status.set(Some("its writer met a bug; the log tells where".to_owned()));
            }
        }
    }

    async fn round(&mut self) {
        let first = if self.left.is_empty() && self.status.is_fine() {
            self.orders.recv().await
        } else {
            match tokio::time::timeout(AGAIN, self.orders.recv()).await {
                Ok(first) => first,
                Err(_) => return self.write(Vec::new(), Vec::new()).await,
            }
        };
        let (mut opening, mut waiting, mut ended) = (Vec::new(), Vec::new(), None);
        self.ended = first.is_none();
        let mut next = first;
        while let Some(order) = next {
            match order {
                Order::Open { row, told } => opening.push((row, told)),
                Order::Settle { settled, told } => {
                    self.left.push(settled);
                    waiting.extend(told);
                }
                Order::Wake => {}
                #[cfg(test)]
                Order::Bug => unreachable!("a test asks for it"),
                Order::End(told) => ended = Some(told),
            }
            let full = opening.len() + self.left.len() >= TOGETHER;
            next = if full || ended.is_some() { None } else { self.orders.try_recv().ok() };
        }
        self.write(opening, waiting).await;
        if let Some(told) = ended {
            self.ended = true;
            let _ = told.send(());
        }
    }

    async fn write(&mut self, mut opening: Vec<Opening>, waiting: Vec<oneshot::Sender<()>>) {
        // After the orders were taken: what was said before one of them was sent is among it.
        self.left.extend(self.status.take_said());
        // Nobody waits for these any longer, and nobody would ever end them.
        opening.retain(|(_, told)| !told.is_closed());
        let (rows, told): (Vec<Line>, Vec<_>) = opening.into_iter().unzip();
        match self.commit(&rows).await {
            Ok(answers) => {
                self.status.set(None);
                let due = self.left.drain(..).any(|one| !matches!(one, Settled::Withdrawn { .. }));
                for ((row, told), answer) in rows.iter().zip(told).zip(answers) {
                    let new = matches!(answer, Answer::New);
                    // Who went away during the commit sends nothing to M3; his intent is taken back with the next one.
                    if told.send(Ok(answer)).is_err() && new {
                        self.left.push(Settled::Withdrawn { id: row.id });
                    }
                }
                if due {
                    self.status.due.notify_one();
                }
            }
            Err(error) => {
                let why = error.to_string();
                self.status.set(Some(why.clone()));
                for told in told {
                    let _ = told.send(Err(why.clone()));
                }
                if self.left.len() > MOST_LEFT {
                    // They stay open, and the next start asks M3 what became of them.
                    self.left.drain(..self.left.len() - MOST_LEFT);
                }
            }
        }
        for told in waiting {
            // Written or kept for the next try: the caller has waited as long as it helps.
            let _ = told.send(());
        }
    }

    async fn commit(&self, rows: &[Line]) -> Result<Vec<Answer>, Error> {
        let at = now();
        let (parts, due) = self.parts(rows, at)?;
        let keyed = rows.iter().any(|row| row.key.is_some());
        let trial = rows.is_empty() && !self.status.is_fine();
        if let ([part], false, false) = (&*parts, keyed, trial)
            && due.iter().all(|(_, due)| due.entry.is_none())
        {
            if !part.is_empty() {
                self.ledger.store.write_at_once(part.whole()).await?;
            }
            return Ok(rows.iter().map(|_| Answer::New).collect());
        }
        let mut write = self.ledger.store.write().await?;
        if keyed {
            self.forget_keys(&mut write).await?;
        }
        for part in &parts {
            part.within(&mut write).await?;
        }
        enter(&mut write, &due, at).await?;
        if trial {
            try_out(&mut write).await?;
        }
        let mut answers = Vec::with_capacity(rows.len());
        for row in rows {
            answers.push(match &row.key {
                None => Answer::New,
                Some(key) => self.holder(&mut write, row, key).await?,
            });
        }
        write.commit().await?;
        Ok(answers)
    }

    /// All that one commit writes, each part no more than a statement has room for, and the documents of it. What is taken
    /// back comes first, for others may have the keys of it, and what is opened last.
    fn parts<'a>(&'a self, rows: &'a [Line], at: i64) -> Result<Parts<'a>, Error> {
        let part = || Round { at, ..Round::default() };
        let (mut parts, mut all) = (vec![part()], Vec::new());
        for one in &self.left {
            let mut settled = None;
            let begin = all.len();
            match one {
                Settled::Withdrawn { id } => parts[0].withdrawn.push(*id),
                Settled::Unknown { id } => settled = Some(Settlement::new(*id, "unknown", None)),
                Settled::Known { id, outcome, due: documents, unnamed, bulk: _ } => {
                    let (state, reason) = match outcome {
                        Outcome::Done { .. } if *unnamed => ("parked", Some(UNNAMED.into())),
                        Outcome::Done { .. } => ("committed", None),
                        Outcome::Refused { .. } => ("refused", None),
                    };
                    let outcome = Some(self.ledger.outcome(*id, outcome)?);
                    settled = Some(Settlement { intent: *id, state, outcome, reason });
                    all.extend(documents.iter().map(|due| (*id, due)));
                }
            }
            if parts.last().is_some_and(|last| !last.has_room(all.len() - begin)) {
                parts.push(part());
            }
            if let Some(last) = parts.last_mut() {
                last.settled.extend(settled);
                last.marks.extend(marks(&all[begin..]));
            }
        }
        if let Some(last) = parts.last_mut() {
            last.opened = rows;
        }
        Ok((parts, all))
    }

    async fn forget_keys(&self, write: &mut Transaction<'static, Sqlite>) -> Result<(), Error> {
        let too_old = now() - i64::try_from(self.key_lifetime.as_millis()).unwrap_or(i64::MAX);
        sqlx::query(
            "UPDATE intents SET idem_key = NULL WHERE idem_key IS NOT NULL AND opened < ?
             AND state IN ('committed', 'refused')",
        )
        .bind(too_old)
        .execute(&mut **write)
        .await?;
        sqlx::query(
            "UPDATE intents SET idem_key = NULL WHERE idem_key < ' ' AND opened < ? AND state IN ('committed', 'refused')",
        )
        .bind(now() - RIDS)
        .execute(&mut **write)
        .await?;
        Ok(())
    }

    /// Who has the key now: this very intent, or an earlier one.
    async fn holder(&self, write: &mut Transaction<'static, Sqlite>, line: &Line, key: &str) -> Result<Answer, Error> {
        let row = sqlx::query(HOLDER)
            .bind(line.issuer.clone())
            .bind(line.client.clone())
            .bind(key.to_owned())
            .bind(i64::from(line.ordinal))
            .fetch_one(&mut **write)
            .await?;
        if row.try_get::<i64, _>(0)? == line.id { Ok(Answer::New) } else { before(&row) }
    }
}

pub(super) const HOLDER: &str = "SELECT id, name, state, outcome, fingerprint FROM intents
    WHERE issuer = ? AND client = ? AND idem_key = ? AND ordinal = ?";

pub(super) fn before(row: &SqliteRow) -> Result<Answer, Error> {
    let (id, name, state, outcome) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
    Ok(Answer::Before { id, name, state, outcome, fingerprint: row.try_get(4)? })
}

/// Writes an intent of nobody's and takes it out again. A gateway that isn't ready gets no write that could show that
/// intents can be kept again.
async fn try_out(write: &mut Transaction<'static, Sqlite>) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO intents (id, name, issuer, client, ordinal, m3_user, program, transaction_name, company, division,
            fields, whole, told, opened, state)
         VALUES (-1, '', '', '', 0, '', '', '', 0, '', '[]', 1, '[]', 0, 'trial')",
    )
    .execute(&mut **write)
    .await?;
    sqlx::query("DELETE FROM intents WHERE id = -1").execute(&mut **write).await?;
    Ok(())
}
