//! What the relay reads and writes of messages: where each stands on its way to each point.
//!
//! Invariant: of one document one message at a time is on its way to one point, the oldest first.

use super::error::Error;
use super::ledger::{Ledger, millis};
use super::message::{Attempt, Delivery, Kept, Made};
use super::state::State;
use super::writer::now;
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use std::time::Duration;

/// How much there is of one document on its way to one point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    pub point: String,
    /// `Sync.ItemMaster`.
    pub document: String,
    pub waiting: i64,
    /// Parked or failed.
    pub parked: i64,
    pub expired: i64,
    /// Seconds since the oldest that waits was made.
    pub oldest: i64,
}

/// Rows that one round of tidying takes out.
const ROUND: i64 = 5_000;

impl Ledger {
    /// Writes down what came of attempts, and takes what may go to this point now: the oldest waiting message of each
    /// document, none of `busy`. All in one commit, so that who is answered before he knows it finds it sent.
    pub async fn turn(
        &self,
        point: &str,
        ended: &[Attempt],
        busy: &[i64],
        most: usize,
    ) -> Result<Vec<Delivery>, Error> {
        let busy = json!(busy).to_string();
        // Whoever only looks keeps nobody from writing.
        if ended.is_empty() && (most == 0 || waiting(self.store.read(), point, &busy, 1).await?.is_empty()) {
            return Ok(Vec::new());
        }
        let mut write = self.store.write().await?;
        for attempt in ended {
            self.tried(&mut write, point, attempt).await?;
        }
        let rows = if most == 0 { Vec::new() } else { waiting(&mut *write, point, &busy, most).await? };
        let taken: Result<Vec<Delivery>, Error> = rows.iter().map(delivery).collect();
        let taken = taken?;
        if !taken.is_empty() {
            let ids: Vec<i64> = taken.iter().map(|one| one.kept.id).collect();
            sqlx::query(
                "UPDATE deliveries SET state = 'sent', sent = coalesce(sent, ?1), changed = ?1
                 WHERE point = ?2 AND message IN (SELECT value FROM json_each(?3))",
            )
            .bind(now())
            .bind(point)
            .bind(json!(ids).to_string())
            .execute(&mut *write)
            .await?;
        }
        write.commit().await?;
        Ok(taken)
    }

    /// What may go to this point now.
    pub async fn pending(&self, point: &str, busy: &[i64], most: usize) -> Result<Vec<Delivery>, Error> {
        self.turn(point, &[], busy, most).await
    }

    /// What came of attempts.
    pub async fn attempted(&self, point: &str, attempts: &[Attempt]) -> Result<(), Error> {
        self.turn(point, attempts, &[], 0).await.map(drop)
    }

    async fn tried(
        &self,
        write: &mut Transaction<'static, Sqlite>,
        point: &str,
        attempt: &Attempt,
    ) -> Result<(), Error> {
        let at = now();
        let before: Option<(String,)> = sqlx::query_as("SELECT state FROM deliveries WHERE message = ? AND point = ?")
            .bind(attempt.message)
            .bind(point)
            .fetch_optional(&mut **write)
            .await?;
        // Taken out meanwhile: there is nothing to tell any more.
        let Some((before,)) = before else { return Ok(()) };
        let before = State::parse(&before).ok_or(Error::Damaged("state"))?;
        let after = attempt.state.attempted().and_then(|change| before.after(change));
        let arrived = attempt.state == State::Delivered;
        let answer_by = attempt.answer_within.filter(|_| after == Some(State::Delivered));
        // An answer that came first, or an operator, has said what it is now; what was tried is kept all the same.
        sqlx::query(
            "UPDATE deliveries SET state = ?1, tries = tries + 1, next_try = CASE WHEN ?2 THEN ?3 ELSE next_try END,
                changed = CASE WHEN ?2 THEN ?4 ELSE changed END, answer_by = CASE WHEN ?2 THEN ?5 ELSE answer_by END,
                reference = CASE WHEN ?6 THEN ?7 WHEN ?2 THEN NULL ELSE reference END,
                reason = CASE WHEN ?2 THEN CASE WHEN ?6 THEN NULL ELSE ?7 END ELSE reason END
             WHERE message = ?8 AND point = ?9",
        )
        .bind(after.unwrap_or(before).as_str())
        .bind(after.is_some())
        .bind(at.saturating_add(millis(attempt.wait)))
        .bind(at)
        .bind(answer_by.map(|within| at.saturating_add(millis(within))))
        .bind(arrived)
        .bind(attempt.words.clone())
        .bind(attempt.message)
        .bind(point)
        .execute(&mut **write)
        .await?;
        sqlx::query("INSERT INTO attempts (message, point, at, took_ms, arrived, words, state) VALUES (?,?,?,?,?,?,?)")
            .bind(attempt.message)
            .bind(point)
            .bind(at)
            .bind(millis(attempt.took))
            .bind(i64::from(arrived))
            .bind(attempt.words.clone())
            .bind(attempt.state.as_str())
            .execute(&mut **write)
            .await?;
        Ok(())
    }

    /// How long until something may go to this point: `None` while nothing waits.
    pub async fn until_pending(&self, point: &str) -> Result<Option<Duration>, Error> {
        let (at,): (Option<i64>,) = sqlx::query_as(
            "SELECT min(next_try) FROM deliveries WHERE point = ? AND state IN ('pending', 'replayed', 'sent')",
        )
        .bind(point)
        .fetch_one(self.store.read())
        .await?;
        Ok(at.map(|at| Duration::from_millis(u64::try_from(at - now()).unwrap_or(0))))
    }

    /// By point and document: what waits, what somebody has to look at, and how old the oldest is that waits.
    pub async fn depths(&self) -> Result<Vec<Depth>, Error> {
        let rows: Vec<(String, String, i64, i64, i64, Option<i64>)> = sqlx::query_as(
            "SELECT d.point, m.verb || '.' || m.noun, sum(d.state IN ('pending', 'replayed', 'sent')),
                sum(d.state IN ('parked', 'failed')), sum(d.state = 'expired'),
                min(CASE WHEN d.state IN ('pending', 'replayed', 'sent') THEN m.made END)
             FROM deliveries d JOIN messages m ON m.id = d.message
             WHERE d.state IN ('pending', 'replayed', 'sent') OR d.state IN ('parked', 'failed') OR d.state = 'expired'
             GROUP BY 1, 2",
        )
        .fetch_all(self.store.read())
        .await?;
        let age = |made: Option<i64>| made.map_or(0, |made| (now() - made).max(0) / 1_000);
        let depth = |(point, document, waiting, parked, expired, made)| Depth {
            point,
            document,
            waiting,
            parked,
            expired,
            oldest: age(made),
        };
        Ok(rows.into_iter().map(depth).collect())
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
                (SELECT 1 FROM deliveries d WHERE d.message = m.id AND (d.answer_by > unixepoch() * 1000
                    OR d.state IN ('pending', 'replayed', 'sent', 'parked', 'failed'))) LIMIT ?2)",
            "DELETE FROM inbound WHERE (issuer, client, message) IN
                (SELECT issuer, client, message FROM inbound WHERE at < ?1 LIMIT ?2)",
        ] {
            gone += sqlx::query(statement).bind(old).bind(ROUND).execute(&mut *write).await?.rows_affected();
        }
        write.commit().await?;
        Ok(gone >= ROUND.cast_unsigned())
    }
}

/// The oldest waiting message of each document that is not busy, as far as it may go now.
async fn waiting<'c>(
    from: impl sqlx::Executor<'c, Database = Sqlite>,
    point: &str,
    busy: &str,
    most: usize,
) -> Result<Vec<SqliteRow>, Error> {
    let rows = sqlx::query(
        "SELECT d.message, d.document, d.tries, m.* FROM deliveries d INDEXED BY deliveries_in_order JOIN messages m ON m.id = d.message
         WHERE d.point = ?1 AND d.state IN ('pending', 'replayed', 'sent') AND d.next_try <= ?2
         AND d.document NOT IN (SELECT value FROM json_each(?3))
         AND NOT EXISTS (SELECT 1 FROM deliveries o WHERE o.point = d.point AND o.document = d.document
            AND o.state IN ('pending', 'replayed', 'sent') AND o.message < d.message)
         ORDER BY d.message LIMIT ?4",
    )
    .bind(point.to_owned())
    .bind(now())
    .bind(busy.to_owned())
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(from)
    .await?;
    Ok(rows)
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
