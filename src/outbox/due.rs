//! What the relay reads and writes of records: documents that are due, and what became of them.
//!
//! Invariant: a document stays due until one of a later reading is kept.

use super::error::Error;
use super::evidence::Seen;
use super::ledger::{Ledger, company, division, millis, until};
use super::message::Made;
use super::seal::{ANYWHERE, Seal};
use super::state::State;
use super::writer::now;
use crate::model::{Company, Division};
use serde_json::json;
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
    pub told_at: Vec<String>,
    /// Its documents of divisions, as they were told before.
    pub editions: Vec<Known>,
}

/// A division's own document of a record that is of the whole company, as it was told last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub division: String,
    pub location: Option<String>,
    /// The points that have it.
    pub told_at: Vec<String>,
}

/// One of the documents that a reading of a record gives.
#[derive(Debug, Clone)]
pub struct Edition {
    /// `Some`: one of a record that has a document for each division. In its own order, and with its own number.
    pub division: Option<String>,
    /// One, and where a record leaves a filter another behind it.
    pub messages: Vec<Message>,
    /// The points that have the record now.
    pub told_at: Vec<String>,
}

/// A document, and the points that it goes to; and those that it does not go to, with the rule that keeps it away.
#[derive(Debug, Clone)]
pub struct Message {
    pub made: Box<Made>,
    pub points: Vec<(String, Option<String>)>,
}

impl DueDocument {
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

/// Of those that waited longest, so many are asked when the next one is due: a look is never long.
const SOONEST: i64 = 1_000;

pub(super) const DUE: &str = "SELECT * FROM documents WHERE since IS NOT NULL AND parked = 0 AND next_try <= ?1
    AND (last <= ?2 OR since <= ?3) ORDER BY since LIMIT ?4";
pub(super) const UNTIL_DUE: &str = "SELECT min(max(next_try, min(last + ?1, since + ?2))) FROM
    (SELECT next_try, last, since FROM documents WHERE since IS NOT NULL AND parked = 0 ORDER BY since LIMIT ?3)";
/// Called as what is set aside when one of them can't be read.
pub(super) const EDITIONS: &str = "SELECT edition_of AS id, known_division, known_location, told_at FROM documents
    WHERE edition_of IN (SELECT value FROM json_each(?1)) AND edition_of IS NOT NULL";
const DAMAGED: &str = "UPDATE documents SET parked = 1, reason = ?1 WHERE id = ?2";

impl Ledger {
    /// Documents whose record has been left alone for `quiet`, or that have waited for `most_wait`.
    pub async fn due(&self, quiet: Duration, most_wait: Duration, most: u32) -> Result<Vec<DueDocument>, Error> {
        let rows = sqlx::query(DUE)
            .bind(now())
            .bind(now().saturating_sub(millis(quiet)))
            .bind(now().saturating_sub(millis(most_wait)))
            .bind(most)
            .fetch_all(self.store.read())
            .await?;
        let mut documents = Vec::new();
        for row in &rows {
            match due_document(row, &self.seal) {
                Ok(document) => documents.push(document),
                // One that can't be read holds up none of the others.
                Err(error) => self.set_aside(DAMAGED, row, &error).await?,
            }
        }
        self.with_editions(documents).await
    }

    async fn with_editions(&self, mut documents: Vec<DueDocument>) -> Result<Vec<DueDocument>, Error> {
        let ids: Vec<i64> = documents.iter().map(|due| due.id).collect();
        if ids.is_empty() {
            return Ok(documents);
        }
        for row in &sqlx::query(EDITIONS).bind(json!(ids).to_string()).fetch_all(self.store.read()).await? {
            let of: i64 = row.try_get("id")?;
            match known(row) {
                Ok(known) => {
                    documents.iter_mut().filter(|due| due.id == of).for_each(|due| due.editions.push(known.clone()));
                }
                Err(error) => {
                    self.set_aside(DAMAGED, row, &error).await?;
                    documents.retain(|due| due.id != of);
                }
            }
        }
        Ok(documents)
    }

    /// How long until a document is due: `None` while none waits.
    pub async fn until_due(&self, quiet: Duration, most_wait: Duration) -> Result<Option<Duration>, Error> {
        let (at,): (Option<i64>,) = sqlx::query_as(UNTIL_DUE)
            .bind(millis(quiet))
            .bind(millis(most_wait))
            .bind(SOONEST)
            .fetch_one(self.store.read())
            .await?;
        Ok(at.map(until))
    }

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
    for Message { made, points } in &edition.messages {
        keep((write, seal), due, document, made, points).await?;
    }
    sqlx::query(
        "UPDATE documents SET variation = ?1, known_division = ?2, known_location = ?3, told_at = ?4 WHERE id = ?5",
    )
    .bind(last.made.variation.cast_signed())
    // Where the record is now: what follows tells those whom it left of where it was.
    .bind(first.made.division.clone())
    .bind(first.made.location.clone())
    .bind(serde_json::to_string(&edition.told_at).unwrap_or_default())
    .bind(document)
    .execute(&mut **write)
    .await?;
    Ok(())
}

/// The row of a division's document: made with the first of its messages, and the same for all that follow.
async fn row_of(write: &mut Write, due: &DueDocument, division: &str) -> Result<i64, Error> {
    let mut record: Vec<&str> = due.record.iter().map(String::as_str).collect();
    record.push(division);
    let row = sqlx::query(
        "INSERT INTO documents (noun, verb, company, record, division, deletes, cause, edition_of)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)
         ON CONFLICT (noun, verb, company, record) DO UPDATE SET cause = excluded.cause, edition_of = excluded.edition_of
         RETURNING id",
    )
    .bind(due.noun.clone())
    .bind(due.verb.clone())
    .bind(i64::from(due.company.number()))
    .bind(json!(record).to_string())
    .bind(division.to_owned())
    .bind(due.cause.clone())
    .bind(due.id)
    .fetch_one(&mut **write)
    .await?;
    Ok(row.try_get("id")?)
}

async fn keep(
    (write, seal): (&mut Write, &Seal),
    due: &DueDocument,
    document: i64,
    made: &Made,
    points: &[(String, Option<String>)],
) -> Result<(), Error> {
    let at = now();
    let id = sqlx::query(
        "INSERT INTO messages (document, bod_id, noun, verb, action, variation, tenant, lid, company, division, entity,
            location, document_id, created, cause, made, xml) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
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
    .execute(&mut **write)
    .await?
    .last_insert_rowid();
    for (point, kept_away) in points {
        let state = if kept_away.is_some() { State::Filtered } else { State::Pending };
        sqlx::query("INSERT INTO deliveries (message, point, document, state, changed, reason) VALUES (?,?,?,?,?,?)")
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
        "UPDATE documents SET since = CASE WHEN marks = ?1 THEN NULL ELSE last END, tries = 0, reason = ?2 WHERE id = ?3",
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

fn due_document(row: &SqliteRow, seal: &Seal) -> Result<DueDocument, Error> {
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
        since: row.try_get::<Option<i64>, _>("since")?.unwrap_or_default(),
        known_division: row.try_get("known_division")?,
        known_location: row.try_get("known_location")?,
        before: row.try_get::<Option<_>, _>("before")?.map(|text| seal.open(("before", ANYWHERE), text)).transpose()?,
        told_at: points(row)?,
        editions: Vec::new(),
    })
}

fn known(row: &SqliteRow) -> Result<Known, Error> {
    let division = row.try_get::<Option<String>, _>("known_division")?.ok_or(Error::Damaged("division"))?;
    Ok(Known { division, location: row.try_get("known_location")?, told_at: points(row)? })
}

fn points(row: &SqliteRow) -> Result<Vec<String>, Error> {
    let text: String = row.try_get("told_at")?;
    serde_json::from_str(&text).map_err(|_| Error::Damaged("list of points"))
}
