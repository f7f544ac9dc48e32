//! What the relay reads and writes of records: questions about unknown writes, and documents that are due.
//!
//! Invariant: a document stays due until one of a later reading is kept.

use super::error::Error;
use super::intent::{Due, Outcome};
use super::message::Made;
use super::state::State;
use super::writer::{mark_rows, now, settle_rows};
use crate::model::{Company, Division, Place, ProgramName, TransactionName};
use crate::store::Store;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::time::Duration;

/// A clone reads and writes the same.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(super) store: Store,
}

/// A write of which nobody knows what became of it.
#[derive(Debug, Clone)]
pub struct Question {
    pub id: i64,
    pub name: String,
    pub program: ProgramName,
    pub transaction: TransactionName,
    pub place: Place,
    pub fields: Vec<(String, String)>,
    /// All that was sent stands in `fields`.
    pub whole: bool,
    pub due: Vec<Due>,
    pub tries: u32,
    /// Milliseconds since 1970.
    pub opened: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Committed,
    Refused,
    /// Somebody has to decide. `state`: the documents are told all the same, for they are true whatever happened.
    Parked {
        why: String,
        state: bool,
    },
    Later {
        why: String,
        wait: Duration,
    },
}

/// A record whose document has to be made.
#[derive(Debug, Clone)]
pub struct DueDocument {
    pub id: i64,
    pub noun: String,
    pub verb: String,
    pub company: Company,
    /// The parts of its key, and the division behind them where that is one.
    pub record: Vec<String>,
    /// Where the last write was made.
    pub division: Division,
    pub deletes: bool,
    pub cause: String,
    pub marks: i64,
    pub variation: u64,
    pub tries: u32,
    /// As the last document had it.
    pub known_division: Option<String>,
    pub known_location: Option<String>,
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Ledger {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Unknown writes that may be asked about now: of those that M3 may still be at, none.
    pub async fn questions(&self, rest: Duration, most: u32) -> Result<Vec<Question>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM intents WHERE state = 'unknown' AND next_try <= ? AND opened <= ? ORDER BY id LIMIT ?",
        )
        .bind(now())
        .bind(now().saturating_sub(millis(rest)))
        .bind(most)
        .fetch_all(self.store.read())
        .await?;
        rows.iter().map(question).collect()
    }

    /// `due`: the documents that are to be made now.
    pub async fn answer(&self, question: &Question, verdict: &Verdict) -> Result<(), Error> {
        let at = now();
        let mut write = self.store.write().await?;
        let mut marks = false;
        match verdict {
            Verdict::Committed => {
                let outcome = Outcome::Done { reported: true, records: Vec::new() };
                let outcome = serde_json::to_string(&outcome).unwrap_or_default();
                settle_rows(&mut write, &[json!([question.id, "committed", outcome])], at).await?;
                marks = true;
            }
            Verdict::Refused => {
                let message = "M3 did not do it: the record was read back".to_owned();
                let outcome = Outcome::Refused { message, id: String::new(), field: None };
                let outcome = serde_json::to_string(&outcome).unwrap_or_default();
                settle_rows(&mut write, &[json!([question.id, "refused", outcome])], at).await?;
            }
            Verdict::Parked { why, state } => {
                sqlx::query("UPDATE intents SET state = 'parked', reason = ? WHERE id = ? AND state = 'unknown'")
                    .bind(why.clone())
                    .bind(question.id)
                    .execute(&mut *write)
                    .await?;
                marks = *state;
            }
            Verdict::Later { why, wait } => {
                sqlx::query("UPDATE intents SET tries = tries + 1, next_try = ?, reason = ? WHERE id = ?")
                    .bind(at.saturating_add(millis(*wait)))
                    .bind(why.clone())
                    .bind(question.id)
                    .execute(&mut *write)
                    .await?;
            }
        }
        let rows: Vec<Value> = question
            .due
            .iter()
            .filter(|_| marks)
            .filter_map(|due| {
                let (deletes, by_division) = (i64::from(due.deletes), i64::from(due.by_division));
                Some(json!([question.id, due.noun, due.verb, due.record()?, deletes, by_division]))
            })
            .collect();
        if !rows.is_empty() {
            mark_rows(&mut write, &rows, at).await?;
        }
        Ok(write.commit().await?)
    }

    /// Documents whose record has been left alone for `quiet`, or that have waited for `most_wait`.
    pub async fn due(&self, quiet: Duration, most_wait: Duration, most: u32) -> Result<Vec<DueDocument>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM documents WHERE since IS NOT NULL AND parked = 0 AND next_try <= ?1
             AND (last <= ?2 OR since <= ?3) ORDER BY since LIMIT ?4",
        )
        .bind(now())
        .bind(now().saturating_sub(millis(quiet)))
        .bind(now().saturating_sub(millis(most_wait)))
        .bind(most)
        .fetch_all(self.store.read())
        .await?;
        rows.iter().map(due_document).collect()
    }

    /// How long until something is due: `None` while nothing waits.
    pub async fn until_due(
        &self,
        quiet: Duration,
        most_wait: Duration,
        rest: Duration,
    ) -> Result<Option<Duration>, Error> {
        let (document, question): (Option<i64>, Option<i64>) = sqlx::query_as(
            "SELECT (SELECT min(max(next_try, min(last + ?1, since + ?2))) FROM documents
                WHERE since IS NOT NULL AND parked = 0),
             (SELECT min(max(next_try, opened + ?3)) FROM intents WHERE state = 'unknown')",
        )
        .bind(millis(quiet))
        .bind(millis(most_wait))
        .bind(millis(rest))
        .fetch_one(self.store.read())
        .await?;
        let first = document.into_iter().chain(question).min();
        Ok(first.map(|at| Duration::from_millis(u64::try_from(at - now()).unwrap_or(0))))
    }

    /// The document is made: it goes to these points, and to those not, with the rule that keeps it away.
    pub async fn made(&self, due: &DueDocument, made: &Made, points: &[(String, Option<String>)]) -> Result<(), Error> {
        let at = now();
        let mut write = self.store.write().await?;
        let id = sqlx::query(
            "INSERT INTO messages (document, bod_id, noun, verb, action, variation, tenant, lid, company, division, entity,
                location, document_id, created, cause, made, xml) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        )
        .bind(due.id)
        .bind(made.bod_id.clone())
        .bind(due.noun.clone())
        .bind(due.verb.clone())
        .bind(made.action.clone())
        .bind(made.variation.cast_signed())
        .bind(made.tenant.clone())
        .bind(made.lid.clone())
        .bind(due.company.to_string())
        .bind(made.division.clone())
        .bind(made.entity.clone())
        .bind(made.location.clone())
        .bind(made.document_id.clone())
        .bind(made.created.clone())
        .bind(due.cause.clone())
        .bind(at)
        .bind(made.xml.clone())
        .execute(&mut *write)
        .await?
        .last_insert_rowid();
        for (point, kept_away) in points {
            let state = if kept_away.is_some() { State::Filtered } else { State::Pending };
            sqlx::query(
                "INSERT INTO deliveries (message, point, document, state, changed, reason) VALUES (?,?,?,?,?,?)",
            )
            .bind(id)
            .bind(point.clone())
            .bind(due.id)
            .bind(state.as_str())
            .bind(at)
            .bind(kept_away.clone())
            .execute(&mut *write)
            .await?;
        }
        // A write that came meanwhile causes another document: it waits for its own quiet time.
        sqlx::query(
            "UPDATE documents SET variation = ?1, known_division = ?2, known_location = ?3, tries = 0, next_try = 0,
                reason = NULL, since = CASE WHEN marks = ?4 THEN NULL ELSE last END WHERE id = ?5",
        )
        .bind(made.variation.cast_signed())
        .bind(made.division.clone())
        .bind(made.location.clone())
        .bind(due.marks)
        .bind(due.id)
        .execute(&mut *write)
        .await?;
        Ok(write.commit().await?)
    }

    /// There is nothing to tell: the document is switched off, or records like this one have none.
    pub async fn nothing_to_tell(&self, due: &DueDocument, why: &str) -> Result<(), Error> {
        let mut write = self.store.write().await?;
        sqlx::query(
            "UPDATE documents SET since = CASE WHEN marks = ?1 THEN NULL ELSE last END, tries = 0, reason = ?2 WHERE id = ?3",
        )
        .bind(due.marks)
        .bind(why)
        .bind(due.id)
        .execute(&mut *write)
        .await?;
        Ok(write.commit().await?)
    }

    /// It could not be made; `None` parks it until the record is written again or somebody says so.
    pub async fn not_made(&self, due: &DueDocument, why: &str, wait: Option<Duration>) -> Result<(), Error> {
        let mut write = self.store.write().await?;
        sqlx::query(
            "UPDATE documents SET tries = tries + 1, reason = ?1, next_try = ?2, parked = ?3 WHERE id = ?4 AND marks = ?5",
        )
        .bind(why)
        .bind(now().saturating_add(wait.map_or(0, millis)))
        .bind(i64::from(wait.is_none()))
        .bind(due.id)
        .bind(due.marks)
        .execute(&mut *write)
        .await?;
        Ok(write.commit().await?)
    }
}

fn question(row: &SqliteRow) -> Result<Question, Error> {
    let damaged = |_| Error::Damaged("write");
    let text = |name: &str| row.try_get::<String, _>(name);
    Ok(Question {
        id: row.try_get("id")?,
        name: text("name")?,
        program: ProgramName::parse(&text("program")?).map_err(|_| Error::Damaged("program"))?,
        transaction: TransactionName::parse(&text("transaction_name")?).map_err(|_| Error::Damaged("transaction"))?,
        place: Place { company: company(row)?, division: division(&text("division")?)? },
        fields: serde_json::from_str(&text("fields")?).map_err(damaged)?,
        whole: row.try_get::<i64, _>("whole")? == 1,
        due: serde_json::from_str(&text("told")?).map_err(damaged)?,
        tries: row.try_get("tries")?,
        opened: row.try_get("opened")?,
    })
}

fn company(row: &SqliteRow) -> Result<Company, Error> {
    let number = u16::try_from(row.try_get::<i64, _>("company")?).ok().and_then(|number| Company::new(number).ok());
    number.ok_or(Error::Damaged("company"))
}

fn division(text: &str) -> Result<Division, Error> {
    if text.is_empty() { Ok(Division::BLANK) } else { Division::parse(text).map_err(|_| Error::Damaged("division")) }
}

fn due_document(row: &SqliteRow) -> Result<DueDocument, Error> {
    let text = |name: &str| row.try_get::<String, _>(name);
    Ok(DueDocument {
        id: row.try_get("id")?,
        noun: text("noun")?,
        verb: text("verb")?,
        company: company(row)?,
        record: serde_json::from_str(&text("record")?).map_err(|_| Error::Damaged("key"))?,
        division: division(&text("division")?)?,
        deletes: row.try_get::<i64, _>("deletes")? == 1,
        cause: text("cause")?,
        marks: row.try_get("marks")?,
        variation: row.try_get::<i64, _>("variation")?.cast_unsigned(),
        tries: row.try_get("tries")?,
        known_division: row.try_get("known_division")?,
        known_location: row.try_get("known_location")?,
    })
}
