//! What was handed over in a batch entry, and what M3 makes of it.
//!
//! Invariant: it is watched until M3 has created it, or until its days are over, and is shown all the while.

use super::book::unknown;
use super::error::Error;
use super::ledger::{Ledger, company, division, millis};
use super::orders::{Operator, Resolution, ordered};
use super::writer::now;
use crate::model::Place;
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use std::time::Duration;

/// A record that was handed over.
#[derive(Debug, Clone)]
pub struct Watched {
    pub id: i64,
    pub noun: String,
    pub place: Place,
    /// The call that handed it over, as `PROGRAM/Transaction`.
    pub call: String,
    pub batch: String,
    /// The key that it will have; empty while nobody knows.
    pub record: Vec<String>,
    /// The key that it is asked for with.
    pub asked: Vec<String>,
    /// What was entered of it by itself.
    pub parts: Vec<String>,
    pub cause: String,
    pub tries: u32,
    /// Milliseconds since 1970.
    pub since: i64,
}

/// What M3 said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// It is there: its document is due.
    Created,
    Later(Duration),
    /// M3 gave a reason why not. Somebody may mend it, so that it is asked again.
    Failed {
        why: String,
        wait: Duration,
    },
    Expired,
}

const DAMAGED: &str = "UPDATE watches SET state = 'expired', reason = ?1 WHERE id = ?2";

impl Ledger {
    /// What was handed over and may be asked about now.
    pub async fn watched(&self, most: u32) -> Result<Vec<Watched>, Error> {
        let rows =
            sqlx::query("SELECT * FROM watches WHERE state <> 'expired' AND next_try <= ? ORDER BY next_try LIMIT ?")
                .bind(now())
                .bind(most)
                .fetch_all(self.store.read())
                .await?;
        let mut found = Vec::new();
        for row in &rows {
            match watched(row) {
                Ok(watched) => found.push(watched),
                // One that can't be read holds up none of the others.
                Err(error) => self.set_aside(DAMAGED, row, &error).await?,
            }
        }
        Ok(found)
    }

    pub async fn polled(&self, watched: &Watched, polled: &Polled) -> Result<(), Error> {
        let at = now();
        let mut write = self.store.write().await?;
        let changed = |state: &'static str, wait: Duration, why: Option<String>| {
            sqlx::query("UPDATE watches SET state = ?1, tries = tries + 1, next_try = ?2, reason = ?3 WHERE id = ?4")
                .bind(state)
                .bind(at.saturating_add(millis(wait)))
                .bind(why)
                .bind(watched.id)
        };
        match polled {
            Polled::Created => {
                created(&mut write, watched.id, None, at).await?;
                over(&mut write, watched.id).await?;
            }
            Polled::Later(wait) => {
                changed("watched", *wait, None).execute(&mut *write).await?;
            }
            Polled::Failed { why, wait } => {
                changed("failed", *wait, Some(why.clone())).execute(&mut *write).await?;
            }
            Polled::Expired => {
                let why = "M3 has not created it in its time".to_owned();
                changed("expired", Duration::ZERO, Some(why)).execute(&mut *write).await?;
            }
        }
        Ok(write.commit().await?)
    }

    /// Somebody looked, and knows what became of what was handed over, and under which number.
    pub(super) async fn settle_entry(&self, entry: i64, resolution: &Resolution, who: &Operator) -> Result<(), Error> {
        let (id, at) = (format!("entry:{entry}"), now());
        let mut write = self.store.write().await?;
        let known: Option<(String, String)> = sqlx::query_as("SELECT record, names FROM watches WHERE id = ?")
            .bind(entry)
            .fetch_optional(&mut *write)
            .await?;
        let (record, names) = known.ok_or_else(|| unknown(&id))?;
        let outcome = match resolution {
            Resolution::Committed { key } => {
                let named = named(&record, &names, key)?;
                created(&mut write, entry, Some(&named), at).await?;
                "committed"
            }
            Resolution::Untold => "committed",
            Resolution::Refused => "refused",
        };
        over(&mut write, entry).await?;
        ordered(&mut write, "resolve", json!({ "entry": id, "outcome": outcome }), who).await?;
        Ok(write.commit().await?)
    }

    /// How long until something that was handed over is asked about.
    pub async fn until_watched(&self) -> Result<Option<Duration>, Error> {
        let (at,): (Option<i64>,) = sqlx::query_as("SELECT min(next_try) FROM watches WHERE state <> 'expired'")
            .fetch_one(self.store.read())
            .await?;
        Ok(at.map(|at| Duration::from_millis(u64::try_from(at - now()).unwrap_or(0))))
    }

    /// Handed over, and failed or expired since.
    pub async fn stranded(&self) -> Result<i64, Error> {
        let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM watches WHERE state IN ('failed', 'expired')")
            .fetch_one(self.store.read())
            .await?;
        Ok(count)
    }
}

fn watched(row: &SqliteRow) -> Result<Watched, Error> {
    let text = |name: &str| row.try_get::<String, _>(name);
    let key = |name: &str| -> Result<Vec<String>, Error> {
        serde_json::from_str(&text(name)?).map_err(|_| Error::Damaged("key"))
    };
    Ok(Watched {
        id: row.try_get("id")?,
        noun: text("noun")?,
        place: Place { company: company(row)?, division: division(&text("division")?)? },
        call: text("call")?,
        batch: text("batch")?,
        record: key("record")?,
        asked: key("asked")?,
        parts: key("parts")?,
        cause: text("cause")?,
        tries: row.try_get("tries")?,
        since: row.try_get("since")?,
    })
}

/// Its document is due, under the key that it was to have or under another.
async fn created(
    write: &mut Transaction<'static, Sqlite>,
    watch: i64,
    record: Option<&str>,
    at: i64,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO documents (noun, verb, company, record, division, deletes, cause, since, last)
         SELECT noun, 'Sync', company, coalesce(?3, record), division, 0, cause, ?1, ?1 FROM watches WHERE id = ?2
         ON CONFLICT (noun, verb, company, record) DO UPDATE SET marks = marks + 1, division = excluded.division,
            cause = excluded.cause, since = coalesce(since, excluded.since), last = excluded.last,
            tries = 0, next_try = 0, parked = 0, reason = NULL",
    )
    .bind(at)
    .bind(watch)
    .bind(record)
    .execute(&mut **write)
    .await?;
    Ok(())
}

/// It is watched no longer, and with the last of its batch goes what was entered before it was handed over.
async fn over(write: &mut Transaction<'static, Sqlite>, watch: i64) -> Result<(), Error> {
    for statement in [
        "DELETE FROM entries WHERE (noun, company, batch) = (SELECT noun, company, batch FROM watches WHERE id = ?1)
         AND NOT EXISTS (SELECT 1 FROM watches w WHERE (w.noun, w.company, w.batch) =
            (entries.noun, entries.company, entries.batch) AND w.id <> ?1)
         AND at <= (SELECT since FROM watches WHERE id = ?1)",
        "DELETE FROM watches WHERE id = ?1",
    ] {
        sqlx::query(statement).bind(watch).execute(&mut **write).await?;
    }
    Ok(())
}

/// The record's name: as it was known, else as the operator says it, part by part.
fn named(record: &str, names: &str, key: &[(String, String)]) -> Result<String, Error> {
    let record: Vec<String> = serde_json::from_str(record).map_err(|_| Error::Damaged("key"))?;
    let names: Vec<String> = serde_json::from_str(names).map_err(|_| Error::Damaged("key"))?;
    let said = |name: &str| key.iter().find(|(field, value)| field == name && !value.is_empty());
    if let Some((name, _)) = key.iter().find(|(name, value)| value.is_empty() || !names.contains(name)) {
        return Err(Error::NoSuchPart { name: name.clone() });
    }
    if key.is_empty() && !record.is_empty() {
        return Ok(json!(record).to_string());
    }
    let missing: Vec<&str> = names.iter().map(String::as_str).filter(|name| said(name).is_none()).collect();
    if names.is_empty() || !missing.is_empty() {
        return Err(Error::Unnamed { names: missing.join(", ") });
    }
    let parts: Vec<&str> = names.iter().filter_map(|name| said(name)).map(|(_, value)| value.as_str()).collect();
    Ok(json!(parts).to_string())
}
