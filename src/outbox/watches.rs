//! What was handed over in a batch entry, and what M3 makes of it.
//!
//! Invariants: it is watched until M3 has created it, or until its days are over, and is shown all the while; an id is
//! never used again, so that what is said of one batch never falls on another.

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
    /// It is not there yet; `why` M3 could not be asked, where it could not.
    Later {
        why: Option<String>,
        wait: Duration,
    },
    /// M3 gave a reason why not. Somebody may mend it, so that it is asked again.
    Failed {
        why: String,
        wait: Duration,
    },
    Expired,
}

/// Nothing is known of it that M3 could be asked for.
pub(super) const UNKNOWN: &str = "[]";
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

    /// Of what was given up, parked or handed over anew meanwhile it says nothing any more.
    pub async fn polled(&self, watched: &Watched, polled: &Polled) -> Result<(), Error> {
        let at = now();
        let mut write = self.store.write().await?;
        let still = sqlx::query("SELECT 1 FROM watches WHERE id = ? AND since = ? AND state <> 'expired'")
            .bind(watched.id)
            .bind(watched.since)
            .fetch_optional(&mut *write)
            .await?;
        if still.is_none() {
            return Ok(write.rollback().await?);
        }
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
            Polled::Later { why, wait } => {
                changed("watched", *wait, why.clone()).execute(&mut *write).await?;
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
        let known: Option<(String, String, String)> =
            sqlx::query_as("SELECT record, names, asked FROM watches WHERE id = ?")
                .bind(entry)
                .fetch_optional(&mut *write)
                .await?;
        let Some((record, names, asked)) = known else {
            write.rollback().await?;
            return Err(self.unfit(&id).await);
        };
        let outcome = match resolution {
            Resolution::Committed { key } => {
                // A batch of which nothing is known may have made more than one.
                let named = named(&record, &names, key)?;
                if named.len() > 1 && asked != UNKNOWN {
                    return Err(Error::OneRecord);
                }
                for record in &named {
                    created(&mut write, entry, Some(record), at).await?;
                }
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

/// It is watched no longer, and with the last of its batch goes what was entered before it was handed over. Tells whether
/// it was watched.
pub(super) async fn over(write: &mut Transaction<'static, Sqlite>, watch: i64) -> Result<bool, Error> {
    let mut gone = 0;
    for statement in [
        "DELETE FROM entries WHERE (noun, company, batch) = (SELECT noun, company, batch FROM watches WHERE id = ?1)
         AND NOT EXISTS (SELECT 1 FROM watches w WHERE (w.noun, w.company, w.batch) =
            (entries.noun, entries.company, entries.batch) AND w.id <> ?1)
         AND at <= (SELECT since FROM watches WHERE id = ?1)",
        "DELETE FROM watches WHERE id = ?1",
    ] {
        gone = sqlx::query(statement).bind(watch).execute(&mut **write).await?.rows_affected();
    }
    Ok(gone > 0)
}

/// The record's name: as it was known, else as the operator says it, part by part; of several each part as often.
fn named(record: &str, names: &str, key: &[(String, String)]) -> Result<Vec<String>, Error> {
    let record: Vec<String> = serde_json::from_str(record).map_err(|_| Error::Damaged("key"))?;
    let mut names: Vec<String> = serde_json::from_str(names).map_err(|_| Error::Damaged("key"))?;
    if let ([], [], [(name, _), rest @ ..]) = (record.as_slice(), names.as_slice(), key)
        && rest.iter().all(|(other, _)| other == name)
    {
        // Written down by a release that did not say how its parts are called: of one part that is no question.
        names.push(name.clone());
    }
    if let Some((name, _)) = key.iter().find(|(name, value)| value.is_empty() || !names.contains(name)) {
        return Err(Error::NoSuchPart { name: name.clone() });
    }
    if key.is_empty() && !record.is_empty() {
        return Ok(vec![json!(record).to_string()]);
    }
    let said = |name: &str| key.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect();
    let parts: Vec<Vec<&str>> = names.iter().map(|name| said(name)).collect();
    let many = parts.iter().map(Vec::len).max().unwrap_or_default();
    let missing = names.iter().zip(&parts).filter(|(_, said)| said.len() < many.max(1));
    let missing: Vec<&str> = missing.map(|(name, _)| name.as_str()).collect();
    if many == 0 || !missing.is_empty() {
        let names = if names.is_empty() { "each part of the record's key".to_owned() } else { missing.join(", ") };
        return Err(Error::Unnamed { names });
    }
    Ok((0..many).map(|at| json!(parts.iter().map(|said| said[at]).collect::<Vec<_>>()).to_string()).collect())
}
