//! What the outbox itself knows that bears on a write of which nobody knows: how often its record had been changed when
//! it was last read, and whether a number that was found belongs to another write.
//!
//! Does not know: how M3 is asked, or what it said.

use super::error::Error;
use super::intent::Due;
use super::ledger::{Ledger, Question};
use super::seal::Seal;
use futures_util::TryStreamExt;
use serde_json::json;
use sqlx::{Row, SqliteConnection};

/// A record as its last document was read, so that a later question costs no write a read of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// M3's own count of the changes (CHNO).
    pub changes: String,
    /// Milliseconds since 1970, when the reading was over.
    pub at: i64,
}

/// Whatever its verb: a row is found by all that names it.
pub(super) const TOLD: &str =
    "SELECT 1 FROM documents WHERE noun = ? AND verb IN ('Process', 'Sync', ?) AND company = ? AND record = ?";
/// Each by an index of its own.
pub(super) const OTHERS: &str =
    "SELECT id, state, fields AS text FROM intents WHERE id <> ?1 AND company = ?2 AND program = ?3
        AND transaction_name = ?4 AND state IN ('open', 'unknown', 'parked')
    UNION ALL SELECT id, state, outcome AS text FROM intents WHERE id <> ?1 AND company = ?2 AND program = ?3
        AND transaction_name = ?4 AND state = 'committed' AND settled >= ?5";

impl Due {
    /// As `documents` calls it.
    fn row(&self, division: &str) -> Option<String> {
        let parts: Option<Vec<&str>> = self.key.iter().map(|(_, value)| value.as_deref()).collect();
        let mut parts = parts?;
        if self.by_division {
            parts.push(division);
        }
        Some(json!(parts).to_string())
    }
}

impl Ledger {
    /// How the record stood before this write was sent. What was read later says nothing: the write may be in it.
    pub async fn seen(&self, question: &Question, due: &Due) -> Result<Option<Seen>, Error> {
        let Some(record) = due.row(question.place.division.as_str()) else { return Ok(None) };
        let row: Option<(String, i64)> = sqlx::query_as(
            "SELECT seen_changes, seen_at FROM documents WHERE noun = ? AND verb = ? AND company = ? AND record = ?
                AND seen_changes IS NOT NULL AND seen_at < ?",
        )
        .bind(due.noun.clone())
        .bind(due.verb.clone())
        .bind(i64::from(question.place.company.number()))
        .bind(record)
        .bind(question.opened)
        .fetch_optional(self.store.read())
        .await?;
        Ok(row.map(|(changes, at)| Seen { changes, at }))
    }
}

/// Whether what was found by a caller's reference may as well be another write's: a document tells of it, M3 gave its
/// number to another call, or another call of which nobody knows has the same reference. `due`: with the number. `since`: of
/// what is settled only what was since then; the rest was looked through before, and keeps nobody from writing.
pub(super) async fn is_taken(
    (store, seal): (&mut SqliteConnection, &Seal),
    question: &Question,
    due: &[Due],
    (number, by): (&(String, String), &str),
    since: i64,
) -> Result<bool, Error> {
    let company = i64::from(question.place.company.number());
    for (due, record) in due.iter().filter_map(|due| Some((due, due.row(question.place.division.as_str())?))) {
        let told = sqlx::query(TOLD).bind(due.noun.clone()).bind(due.verb.clone()).bind(company).bind(record);
        if told.fetch_optional(&mut *store).await?.is_some() {
            return Ok(true);
        }
    }
    let reference = question.fields.iter().find(|(name, _)| name == by);
    let mut others = sqlx::query(OTHERS)
        .bind(question.id)
        .bind(company)
        .bind(question.program.as_str())
        .bind(question.transaction.as_str())
        .bind(since)
        .fetch(store);
    // As they are written down; sealed content can't be searched by the store.
    let (reference, number) = (json!(reference).to_string(), json!(number).to_string());
    while let Some(row) = others.try_next().await? {
        let (id, state): (i64, String) = (row.try_get("id")?, row.try_get("state")?);
        let (column, same) = if state == "committed" { ("outcome", &number) } else { ("fields", &reference) };
        let text: Option<String> = row.try_get("text")?;
        if seal.open((column, &id.to_string()), text.unwrap_or_default())?.contains(same) {
            return Ok(true);
        }
    }
    Ok(false)
}
