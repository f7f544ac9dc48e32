//! Batch entries: what was entered under a batch, and what M3 makes of it once it was handed over.
//!
//! Invariant: no document is due of a record that M3 has not created; what was handed over is watched until it is, or
//! until its days are over, and is shown all the while.

use super::error::Error;
use super::intent::{Due, EntryKind};
use super::ledger::{Ledger, company, division, millis};
use super::writer::{mark_rows, now};
use crate::model::Place;
use serde_json::{Value, json};
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
    /// The key that it will have.
    pub record: Vec<String>,
    /// The key that it is asked for with.
    pub asked: Vec<String>,
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

/// What became of these writes' documents: marked as due, entered, or watched from now on.
pub(super) async fn tell(write: &mut Transaction<'static, Sqlite>, due: &[(i64, &Due)], at: i64) -> Result<(), Error> {
    let marks = marks(due);
    if !marks.is_empty() {
        mark_rows(write, &marks, at).await?;
    }
    enter(write, due, at).await
}

/// Rows of the documents that are due at once.
pub(super) fn marks(due: &[(i64, &Due)]) -> Vec<Value> {
    due.iter().filter(|(_, due)| due.entry.is_none()).filter_map(|(intent, due)| due.mark(*intent)).collect()
}

/// What is entered under a batch, and what is handed over with one.
pub(super) async fn enter(write: &mut Transaction<'static, Sqlite>, due: &[(i64, &Due)], at: i64) -> Result<(), Error> {
    for (intent, due) in due {
        let Some(entry) = &due.entry else { continue };
        let Some(record) = due.record() else { continue };
        let statement = match entry.kind {
            EntryKind::Enters => {
                "INSERT INTO entries (noun, company, batch, record, at)
                 SELECT ?1, company, ?2, ?3, ?4 FROM intents WHERE id = ?5 AND ?6 <> '' ON CONFLICT DO NOTHING"
            }
            // Handed over twice is watched once.
            EntryKind::HandsOver => {
                "INSERT INTO watches (noun, company, division, call, batch, record, asked, cause, since, state, next_try)
                 SELECT e.noun, e.company, i.division, ?6, e.batch, e.record, e.record, i.name, ?4, 'watched', ?4
                 FROM intents i JOIN entries e ON e.company = i.company AND e.noun = ?1 AND e.batch = ?2
                 WHERE i.id = ?5 AND ?3 <> '' ON CONFLICT DO NOTHING"
            }
            EntryKind::Confirms => {
                "INSERT INTO watches (noun, company, division, call, batch, record, asked, cause, since, state, next_try)
                 SELECT ?1, company, division, ?6, ?2, ?3, json_array(?2), name, ?4, 'watched', ?4
                 FROM intents WHERE id = ?5 ON CONFLICT DO NOTHING"
            }
        };
        sqlx::query(statement)
            .bind(due.noun.clone())
            .bind(entry.batch.clone())
            .bind(record)
            .bind(at)
            .bind(*intent)
            .bind(entry.call.clone())
            .execute(&mut **write)
            .await?;
    }
    Ok(())
}

impl Ledger {
    /// What was handed over and may be asked about now.
    pub async fn watched(&self, most: u32) -> Result<Vec<Watched>, Error> {
        let rows =
            sqlx::query("SELECT * FROM watches WHERE state <> 'expired' AND next_try <= ? ORDER BY next_try LIMIT ?")
                .bind(now())
                .bind(most)
                .fetch_all(self.store.read())
                .await?;
        rows.iter().map(watched).collect()
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
                sqlx::query(
                    "INSERT INTO documents (noun, verb, company, record, division, deletes, cause, since, last)
                     SELECT noun, 'Sync', company, record, division, 0, cause, ?1, ?1 FROM watches WHERE id = ?2
                     ON CONFLICT (noun, verb, company, record) DO UPDATE SET marks = marks + 1, division = excluded.division,
                        cause = excluded.cause, since = coalesce(since, excluded.since), last = excluded.last,
                        tries = 0, next_try = 0, parked = 0, reason = NULL",
                )
                .bind(at)
                .bind(watched.id)
                .execute(&mut *write)
                .await?;
                sqlx::query("DELETE FROM watches WHERE id = ?").bind(watched.id).execute(&mut *write).await?;
                sqlx::query(
                    "DELETE FROM entries WHERE noun = ?1 AND company = ?2 AND batch = ?3
                     AND NOT EXISTS (SELECT 1 FROM watches WHERE noun = ?1 AND company = ?2 AND batch = ?3)",
                )
                .bind(watched.noun.clone())
                .bind(i64::from(watched.place.company.number()))
                .bind(watched.batch.clone())
                .execute(&mut *write)
                .await?;
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
        cause: text("cause")?,
        tries: row.try_get("tries")?,
        since: row.try_get("since")?,
    })
}

/// As people see it.
pub(super) fn shown(row: &SqliteRow, time: impl Fn(i64) -> String) -> Result<Value, Error> {
    let text = |name: &str| row.try_get::<String, _>(name);
    let key: Value = serde_json::from_str(&text("record")?).unwrap_or(Value::Null);
    Ok(json!({
        "kind": "entry", "id": format!("entry:{}", row.try_get::<i64, _>("id")?), "state": text("state")?,
        "document": format!("Sync.{}", text("noun")?), "call": text("call")?, "batch": text("batch")?, "key": key,
        "company": row.try_get::<i64, _>("company")?, "since": time(row.try_get("since")?),
        "reason": row.try_get::<Option<String>, _>("reason")?,
    }))
}
