//! What the relay reads and writes of records: documents that are due, and what became of them.
//!
//! Invariant: a document stays due until one of a later reading is kept.

use super::editions::{Edition, Has, Known, row_of};
use super::error::Error;
use super::evidence::Seen;
use super::ledger::{Ledger, company, division, millis};
use super::message::Made;
use super::seal::{ANYWHERE, Seal};
use super::state::State;
use super::writer::now;
use crate::model::{Company, Division};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use std::time::Duration;

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
    /// The highest that a document of this record has, whatever its verb.
    pub variation: u64,
    pub tries: u32,
    /// Milliseconds since 1970: since when it waits.
    pub since: i64,
    /// As the last document had it.
    pub known_division: Option<String>,
    pub known_location: Option<String>,
    /// As it was before it was deleted.
    pub before: Option<String>,
    /// The points that have it.
    pub told_at: Vec<Has>,
    /// Its documents of divisions, as they were told before.
    pub editions: Vec<Known>,
}

/// A document, and the points that it goes to; and those that it does not go to, with the rule that keeps it away.
#[derive(Debug, Clone)]
pub struct Message {
    pub made: Box<Made>,
    pub points: Vec<(String, Option<String>)>,
    /// It is compared with what M3's own publisher sends, and goes nowhere.
    pub shadow: bool,
}

impl DueDocument {
    /// Whose document it is, whichever verb it has: of one record one is made at a time.
    pub fn whose(&self) -> (String, Company, Vec<String>) {
        (self.noun.clone(), self.company, self.record.clone())
    }

    /// How long it has waited.
    pub fn age(&self) -> Duration {
        Duration::from_millis(u64::try_from(now() - self.since).unwrap_or(0))
    }
}

/// What became of a document that was due.
#[derive(Debug, Clone)]
pub enum Ending {
    /// All that the reading gives, in one commit; and how the record was seen.
    Made { editions: Vec<Edition>, seen: Option<Seen> },
    /// There is nothing to tell: the document is switched off, or records like this one have none.
    Nothing(&'static str),
    /// It could not be made; `None` parks it until the record is written again or somebody says so. `counts`: it is one of
    /// the tries that a document has.
    Failed { why: String, wait: Option<Duration>, counts: bool },
}

type Write = Transaction<'static, Sqlite>;

/// All documents of a record are one after the other, whatever their verbs.
const DELIVERY: &str = "INSERT INTO deliveries (message, point, document, record, state, changed, reason, kind)
    SELECT ?1, ?2, ?3, min(r.id), ?4, ?5, ?6, d.verb || '.' || d.noun FROM documents d JOIN documents r ON r.noun = d.noun
        AND r.verb IN ('Process', 'Sync', d.verb) AND r.company = d.company AND r.record = d.record WHERE d.id = ?3";
pub(super) const DAMAGED: &str = "UPDATE documents SET parked = 1, reason = ?1 WHERE id = ?2";

impl Ledger {
    /// What became of these, all in one commit.
    pub async fn ended(&self, documents: &[(DueDocument, Ending)]) -> Result<(), Error> {
        let mut write = self.store.write().await?;
        for (due, ending) in documents {
            match ending {
                Ending::Made { editions, seen } => {
                    for edition in editions {
                        told((&mut write, &self.seal), due, edition).await?;
                    }
                    let numbers = editions.iter().flat_map(|edition| &edition.messages).map(|one| one.made.variation);
                    over(&mut write, due, numbers.max().unwrap_or(due.variation), seen.as_ref()).await?;
                }
                Ending::Nothing(why) => nothing_to_tell(&mut write, due, why).await?,
                Ending::Failed { why, wait, counts } => not_made(&mut write, due, why, *wait, *counts).await?,
            }
        }
        Ok(write.commit().await?)
    }
}

/// Its messages, and what is known of it from now on.
async fn told((write, seal): (&mut Write, &Seal), due: &DueDocument, edition: &Edition) -> Result<(), Error> {
    let (Some(first), Some(last)) = (edition.messages.first(), edition.messages.last()) else { return Ok(()) };
    let document = match &edition.division {
        Some(division) => row_of(write, due, division).await?,
        None => due.id,
    };
    for message in &edition.messages {
        keep((write, seal), due, document, message).await?;
    }
    let said = || (&first.made.division, &first.made.location);
    let (division, location) = edition.now.as_ref().map_or_else(said, |now| (&now.division, &now.location));
    sqlx::query(
        "UPDATE documents SET variation = ?1, known_division = ?2, known_location = ?3, told_at = ?4 WHERE id = ?5",
    )
    .bind(last.made.variation.cast_signed())
    // Where the record is now: what follows tells those whom it left of where it was.
    .bind(division.clone())
    .bind(location.clone())
    .bind(serde_json::to_string(&edition.told_at).unwrap_or_default())
    .bind(document)
    .execute(&mut **write)
    .await?;
    Ok(())
}

async fn keep(
    (write, seal): (&mut Write, &Seal),
    due: &DueDocument,
    document: i64,
    Message { made, points, shadow }: &Message,
) -> Result<(), Error> {
    let at = now();
    let id = sqlx::query(
        "INSERT INTO messages (document, bod_id, noun, verb, action, variation, tenant, lid, company, division, entity,
            location, document_id, created, cause, made, xml, marks, shadow) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    )
    .bind(document)
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
    .bind(seal.close(("xml", &made.bod_id), &made.xml)?.into_owned())
    .bind(due.marks)
    .bind(i64::from(*shadow))
    .execute(&mut **write)
    .await?
    .last_insert_rowid();
    for (point, kept_away) in points {
        let state = if kept_away.is_some() { State::Filtered } else { State::Pending };
        sqlx::query(DELIVERY)
            .bind(id)
            .bind(point.clone())
            .bind(document)
            .bind(state.as_str())
            .bind(at)
            .bind(kept_away.clone())
            .execute(&mut **write)
            .await?;
    }
    Ok(())
}

/// Nothing is owed any more of what was read.
async fn over(write: &mut Write, due: &DueDocument, variation: u64, seen: Option<&Seen>) -> Result<(), Error> {
    // A write that came meanwhile causes another document: it waits for its own quiet time.
    sqlx::query(
        "UPDATE documents SET variation = ?1, tries = 0, next_try = 0, reason = NULL,
            since = CASE WHEN marks = ?2 THEN NULL ELSE last END,
            parked = CASE WHEN marks = ?2 THEN 0 ELSE parked END,
            before = CASE WHEN marks = ?2 THEN NULL ELSE before END, seen_changes = ?3, seen_at = ?4 WHERE id = ?5",
    )
    .bind(variation.cast_signed())
    .bind(due.marks)
    .bind(seen.map(|seen| seen.changes.clone()))
    .bind(seen.map(|seen| seen.at))
    .bind(due.id)
    .execute(&mut **write)
    .await?;
    Ok(())
}

async fn nothing_to_tell(write: &mut Write, due: &DueDocument, why: &'static str) -> Result<(), Error> {
    sqlx::query(
        "UPDATE documents SET since = CASE WHEN marks = ?1 THEN NULL ELSE last END,
            parked = CASE WHEN marks = ?1 THEN 0 ELSE parked END, tries = 0, reason = ?2 WHERE id = ?3",
    )
    .bind(due.marks)
    .bind(why)
    .bind(due.id)
    .execute(&mut **write)
    .await?;
    Ok(())
}

async fn not_made(
    write: &mut Write,
    due: &DueDocument,
    why: &str,
    wait: Option<Duration>,
    counts: bool,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE documents SET tries = tries + ?6, reason = ?1, next_try = ?2, parked = ?3 WHERE id = ?4 AND marks = ?5",
    )
    .bind(why)
    .bind(now().saturating_add(wait.map_or(0, millis)))
    .bind(i64::from(wait.is_none()))
    .bind(due.id)
    .bind(due.marks)
    .bind(i64::from(counts))
    .execute(&mut **write)
    .await?;
    Ok(())
}

pub(super) fn due_document(row: &SqliteRow, seal: &Seal) -> Result<DueDocument, Error> {
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
        variation: row.try_get::<i64, _>("newest")?.cast_unsigned(),
        tries: row.try_get("tries")?,
        since: row.try_get::<Option<i64>, _>("since")?.unwrap_or_default(),
        known_division: row.try_get("known_division")?,
        known_location: row.try_get("known_location")?,
        before: row.try_get::<Option<_>, _>("before")?.map(|text| seal.open(("before", ANYWHERE), text)).transpose()?,
        told_at: points(row)?,
        editions: Vec::new(),
    })
}

pub(super) fn points(row: &SqliteRow) -> Result<Vec<Has>, Error> {
    let text: String = row.try_get("told_at")?;
    serde_json::from_str(&text).map_err(|_| Error::Damaged("list of points"))
}
