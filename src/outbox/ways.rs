//! What the relay reads and writes of messages: where each stands on its way to each point.
//!
//! Invariant: of one document one message at a time is on its way to one point, the oldest first.

use super::error::Error;
use super::ledger::{Ledger, millis};
use super::message::{Attempt, Delivery, Kept, Made, State};
use super::writer::now;
use serde_json::json;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::time::Duration;

/// Rows that one round of tidying takes out.
const ROUND: i64 = 5_000;

impl Ledger {
    /// What may go to this point now: the oldest pending message of each document, none of `busy`.
    pub async fn pending(&self, point: &str, busy: &[i64], most: usize) -> Result<Vec<Delivery>, Error> {
        let rows = sqlx::query(
            "SELECT d.message, d.document, d.tries, m.* FROM deliveries d INDEXED BY deliveries_in_order JOIN messages m ON m.id = d.message
             WHERE d.point = ?1 AND d.state = 'pending' AND d.next_try <= ?2
             AND d.document NOT IN (SELECT value FROM json_each(?3))
             AND NOT EXISTS (SELECT 1 FROM deliveries o WHERE o.point = d.point AND o.document = d.document
                AND o.state = 'pending' AND o.message < d.message)
             ORDER BY d.message LIMIT ?4",
        )
        .bind(point)
        .bind(now())
        .bind(json!(busy).to_string())
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(self.store.read())
        .await?;
        rows.iter().map(delivery).collect()
    }

    /// How long until something may go to this point: `None` while nothing waits.
    pub async fn until_pending(&self, point: &str) -> Result<Option<Duration>, Error> {
        let (at,): (Option<i64>,) =
            sqlx::query_as("SELECT min(next_try) FROM deliveries WHERE point = ? AND state = 'pending'")
                .bind(point)
                .fetch_one(self.store.read())
                .await?;
        Ok(at.map(|at| Duration::from_millis(u64::try_from(at - now()).unwrap_or(0))))
    }

    /// What came of attempts, all in one commit.
    pub async fn attempted(&self, point: &str, attempts: &[Attempt]) -> Result<(), Error> {
        let at = now();
        let mut write = self.store.write().await?;
        for attempt in attempts {
            let (reference, reason) = match attempt.state {
                State::Delivered => (Some(attempt.words.clone()), None),
                _ => (None, Some(attempt.words.clone())),
            };
            sqlx::query(
                "UPDATE deliveries SET state = ?1, tries = tries + 1, next_try = ?2, changed = ?3, reference = ?4, reason = ?5
                 WHERE message = ?6 AND point = ?7",
            )
            .bind(attempt.state.as_str())
            .bind(at.saturating_add(millis(attempt.wait)))
            .bind(at)
            .bind(reference)
            .bind(reason)
            .bind(attempt.message)
            .bind(point)
            .execute(&mut *write)
            .await?;
            sqlx::query("INSERT INTO attempts (message, point, at, took_ms, arrived, words) VALUES (?,?,?,?,?,?)")
                .bind(attempt.message)
                .bind(point)
                .bind(at)
                .bind(millis(attempt.took))
                .bind(i64::from(attempt.state == State::Delivered))
                .bind(attempt.words.clone())
                .execute(&mut *write)
                .await?;
        }
        Ok(write.commit().await?)
    }

    /// By point: how many are pending and parked, and how old the oldest pending one is in seconds.
    pub async fn depths(&self) -> Result<Vec<(String, i64, i64, i64)>, Error> {
        let rows: Vec<(String, i64, i64, Option<i64>)> = sqlx::query_as(
            "SELECT d.point, sum(d.state = 'pending'), sum(d.state IN ('parked', 'failed')),
                min(CASE d.state WHEN 'pending' THEN m.made END)
             FROM deliveries d JOIN messages m ON m.id = d.message
             WHERE d.state IN ('pending', 'parked', 'failed') GROUP BY d.point",
        )
        .fetch_all(self.store.read())
        .await?;
        let age = |made: Option<i64>| made.map_or(0, |made| (now() - made).max(0) / 1_000);
        Ok(rows.into_iter().map(|(point, pending, parked, made)| (point, pending, parked, age(made))).collect())
    }

    /// Parked writes and parked documents.
    pub async fn parked(&self) -> Result<(i64, i64), Error> {
        Ok(sqlx::query_as(
            "SELECT (SELECT count(*) FROM intents WHERE state = 'parked'), (SELECT count(*) FROM documents WHERE parked = 1)",
        )
        .fetch_one(self.store.read())
        .await?)
    }

    /// Takes out what is over for longer than `retention`, a round at a time; says whether there was more.
    pub async fn tidy(&self, retention: Duration, key_lifetime: Duration) -> Result<bool, Error> {
        let (old, expired) = (now().saturating_sub(millis(retention)), now().saturating_sub(millis(key_lifetime)));
        let mut write = self.store.write().await?;
        let keys = "UPDATE intents SET idem_key = NULL WHERE idem_key IS NOT NULL AND opened < ?1
            AND state IN ('committed', 'refused')";
        sqlx::query(keys).bind(expired).execute(&mut *write).await?;
        let mut gone = 0;
        for statement in [
            "DELETE FROM intents WHERE id IN (SELECT id FROM intents WHERE settled < ?1 AND idem_key IS NULL LIMIT ?2)",
            "DELETE FROM messages WHERE id IN (SELECT id FROM messages m WHERE made < ?1 AND NOT EXISTS
                (SELECT 1 FROM deliveries d WHERE d.message = m.id AND d.state IN ('pending', 'parked', 'failed')) LIMIT ?2)",
        ] {
            gone += sqlx::query(statement).bind(old).bind(ROUND).execute(&mut *write).await?.rows_affected();
        }
        write.commit().await?;
        Ok(gone >= ROUND.cast_unsigned())
    }
}

fn delivery(row: &SqliteRow) -> Result<Delivery, Error> {
    let text = |name: &str| row.try_get::<String, _>(name);
    Ok(Delivery {
        document: row.try_get("document")?,
        tries: row.try_get("tries")?,
        kept: Kept {
            id: row.try_get("message")?,
            noun: text("noun")?,
            verb: text("verb")?,
            company: text("company")?,
            cause: text("cause")?,
            made_at: row.try_get("made")?,
            made: Made {
                bod_id: text("bod_id")?,
                action: text("action")?,
                variation: row.try_get::<i64, _>("variation")?.cast_unsigned(),
                tenant: text("tenant")?,
                lid: text("lid")?,
                division: text("division")?,
                entity: text("entity")?,
                location: text("location")?,
                document_id: text("document_id")?,
                created: text("created")?,
                xml: text("xml")?,
            },
        },
    })
}
