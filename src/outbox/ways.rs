//! What the relay reads and writes of messages: where each stands on its way to each point.
//!
//! Invariant: of one document one message at a time is on its way to one point, the oldest first.

use super::error::Error;
use super::ledger::{Ledger, millis};
use super::message::{Attempt, Delivery, Kept, Made};
use super::state::State;
use super::writer::now;
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use std::collections::HashMap;
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
    /// document, none of `busy`; neither `most` nor `bytes` is gone beyond by more than one, and it is said whether there
    /// may be more. All in one commit, so that who is answered before he knows it finds it sent.
    pub async fn turn(
        &self,
        point: &str,
        ended: &[Attempt],
        busy: &[i64],
        (most, bytes): (usize, usize),
    ) -> Result<(Vec<Delivery>, bool), Error> {
        let busy = json!(busy).to_string();
        // Whoever only looks keeps nobody from writing.
        if ended.is_empty() && (most == 0 || waiting(self.store.read(), point, &busy, (1, 0)).await?.0.is_empty()) {
            return Ok((Vec::new(), false));
        }
        let mut write = self.store.write().await?;
        tried(&mut write, point, ended).await?;
        let room = (most, bytes);
        let taken = if most == 0 { (Vec::new(), false) } else { waiting(&mut *write, point, &busy, room).await? };
        if !taken.0.is_empty() {
            let ids: Vec<i64> = taken.0.iter().map(|one| one.kept.id).collect();
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
        Ok(self.turn(point, &[], busy, (most, usize::MAX)).await?.0)
    }

    /// What came of attempts.
    pub async fn attempted(&self, point: &str, attempts: &[Attempt]) -> Result<(), Error> {
        self.turn(point, attempts, &[], (0, 0)).await.map(drop)
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

    /// By point and document: what waits, what somebody has to look at, and how old the oldest is that waits. Over
    /// indexes, one row of another table for each record that something waits of.
    pub async fn depths(&self) -> Result<Vec<Depth>, Error> {
        let waiting: Vec<(String, String, i64, Option<i64>)> = sqlx::query_as(
            "SELECT g.point, g.name, g.many, (SELECT made FROM messages WHERE id = g.first) FROM
                (SELECT w.point AS point, d.verb || '.' || d.noun AS name, sum(w.many) AS many, min(w.first) AS first
                 FROM (SELECT point, document, count(*) AS many, min(message) AS first FROM deliveries
                    INDEXED BY deliveries_waiting WHERE state IN ('pending', 'replayed', 'sent')
                    GROUP BY point, document) w
                 JOIN documents d ON d.id = w.document GROUP BY 1, 2) g",
        )
        .fetch_all(self.store.read())
        .await?;
        let ended: Vec<(String, String, i64, i64)> = sqlx::query_as(
            "SELECT e.point, d.verb || '.' || d.noun, sum(e.parked), sum(1 - e.parked)
             FROM (SELECT point, document, 1 AS parked FROM deliveries WHERE state IN ('parked', 'failed')
                UNION ALL SELECT point, document, 0 FROM deliveries WHERE state = 'expired') e
             JOIN documents d ON d.id = e.document GROUP BY 1, 2",
        )
        .fetch_all(self.store.read())
        .await?;
        let age = |made: Option<i64>| made.map_or(0, |made| (now() - made).max(0) / 1_000);
        let depth =
            |point, document, waiting, oldest| Depth { point, document, waiting, parked: 0, expired: 0, oldest };
        let mut depths: Vec<Depth> =
            waiting.into_iter().map(|(point, document, many, made)| depth(point, document, many, age(made))).collect();
        for (point, document, parked, expired) in ended {
            let known = depths.iter().position(|depth| depth.point == point && depth.document == document);
            let at = known.unwrap_or_else(|| {
                depths.push(depth(point, document, 0, 0));
                depths.len() - 1
            });
            (depths[at].parked, depths[at].expired) = (parked, expired);
        }
        Ok(depths)
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

/// What came of attempts, in one statement for all of them.
async fn tried(write: &mut Transaction<'static, Sqlite>, point: &str, attempts: &[Attempt]) -> Result<(), Error> {
    if attempts.is_empty() {
        return Ok(());
    }
    let at = now();
    let ids: Vec<i64> = attempts.iter().map(|attempt| attempt.message).collect();
    let before: Vec<(i64, String)> = sqlx::query_as(
        "SELECT message, state FROM deliveries WHERE point = ? AND message IN (SELECT value FROM json_each(?))",
    )
    .bind(point)
    .bind(json!(ids).to_string())
    .fetch_all(&mut **write)
    .await?;
    let before: HashMap<i64, String> = before.into_iter().collect();
    let mut rows = Vec::new();
    for attempt in attempts {
        // Taken out meanwhile: there is nothing to tell any more.
        let Some(before) = before.get(&attempt.message) else { continue };
        let before = State::parse(before).ok_or(Error::Damaged("state"))?;
        let after = attempt.state.attempted().and_then(|change| before.after(change));
        let arrived = attempt.state == State::Delivered;
        let answer_by = attempt.answer_within.filter(|_| after == Some(State::Delivered));
        rows.push(json!([
            attempt.message,
            after.unwrap_or(before).as_str(),
            i64::from(after.is_some()),
            at.saturating_add(millis(attempt.wait)),
            answer_by.map(|within| at.saturating_add(millis(within))),
            i64::from(arrived),
            attempt.words,
            millis(attempt.took),
            attempt.state.as_str(),
        ]));
    }
    let rows = Value::from(rows).to_string();
    // An answer that came first, or an operator, has said what it is now; what was tried is kept all the same.
    sqlx::query(
        "UPDATE deliveries SET state = j.value->>1, tries = tries + 1,
            next_try = CASE j.value->>2 WHEN 1 THEN j.value->>3 ELSE next_try END,
            changed = CASE j.value->>2 WHEN 1 THEN ?1 ELSE changed END,
            answer_by = CASE j.value->>2 WHEN 1 THEN j.value->>4 ELSE answer_by END,
            reference = CASE WHEN j.value->>5 = 1 THEN j.value->>6 WHEN j.value->>2 = 1 THEN NULL ELSE reference END,
            reason = CASE WHEN j.value->>2 = 0 THEN reason WHEN j.value->>5 = 1 THEN NULL ELSE j.value->>6 END
         FROM json_each(?2) AS j WHERE deliveries.message = j.value->>0 AND deliveries.point = ?3",
    )
    .bind(at)
    .bind(rows.clone())
    .bind(point)
    .execute(&mut **write)
    .await?;
    sqlx::query(
        "INSERT INTO attempts (message, point, at, took_ms, arrived, words, state)
         SELECT value->>0, ?1, ?2, value->>7, value->>5, value->>6, value->>8 FROM json_each(?3)",
    )
    .bind(point)
    .bind(at)
    .bind(rows)
    .execute(&mut **write)
    .await?;
    Ok(())
}

/// The oldest waiting message of each document that is not busy, as far as it may go now; and whether there may be more.
async fn waiting<'c>(
    from: impl sqlx::Executor<'c, Database = Sqlite>,
    point: &str,
    busy: &str,
    (most, bytes): (usize, usize),
) -> Result<(Vec<Delivery>, bool), Error> {
    let mut rows = sqlx::query(
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
    .fetch(from);
    let (mut found, mut held) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        let delivery = delivery(&row)?;
        held += delivery.kept.made.xml.len();
        found.push(delivery);
        if held >= bytes {
            return Ok((found, true));
        }
    }
    let more = found.len() >= most;
    Ok((found, more))
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
