//! What is over goes, and what waits for nobody is set aside.
//!
//! Invariant: what is on its way is never given up. What there is to do is looked for without the write lock: intents
//! wait for that.

use super::error::Error;
use super::ledger::{Ledger, millis};
use super::replay::moved;
use super::state::Change;
use super::theirs::Unmatched;
use super::writer::now;
use serde_json::json;
use sqlx::{Sqlite, Transaction};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a round did.
#[derive(Debug, PartialEq, Eq)]
pub struct Tidied {
    /// There is more to do.
    pub more: bool,
    /// Messages that nobody will get, by point.
    pub dropped: BTreeMap<String, u64>,
}

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    /// What is settled and delivered.
    pub over: Duration,
    /// What is parked or failed, for somebody to look at.
    pub stuck: Duration,
    pub keys: Duration,
    /// What was entered under a batch that nobody hands over, since somebody last entered something there.
    pub entries: Duration,
}

/// Rows that one round takes out.
const ROUND: i64 = 5_000;
/// And where room is short: not much more than has to go.
const PRESSED: i64 = 500;
const NO_POINT: &str = "no point of this name is in the settings";
const FORGOTTEN: &str = "nobody looked after it in time";

pub(super) const OLD_KEYS: &str = "SELECT id FROM intents WHERE idem_key IS NOT NULL AND opened < ?1
    AND state IN ('committed', 'refused') LIMIT ?2";
pub(super) const OLD_INTENTS: &str = "SELECT id FROM intents WHERE settled < ?1 AND idem_key IS NULL
    ORDER BY settled LIMIT ?2";
pub(super) const OLD_MESSAGES: &str = "SELECT id FROM messages m WHERE made < ?1 AND NOT EXISTS
    (SELECT 1 FROM deliveries d WHERE d.message = m.id AND (d.answer_by > unixepoch() * 1000
        OR d.state IN ('pending', 'replayed', 'sent', 'parked', 'failed'))) ORDER BY made LIMIT ?2";
pub(super) const STUCK: &str =
    "SELECT rowid FROM deliveries WHERE state IN ('parked', 'failed') AND changed < ?1 LIMIT ?2";
const OLD_INBOUND: &str = "SELECT 1 FROM inbound WHERE at < ?1 LIMIT ?2";
/// A batch that was handed over keeps what was entered until it is over.
const OLD_ENTRIES: &str = "SELECT id FROM entries e WHERE at < ?1 AND NOT EXISTS
    (SELECT 1 FROM watches w WHERE (w.noun, w.company, w.batch) = (e.noun, e.company, e.batch)) AND NOT EXISTS
    (SELECT 1 FROM entries n WHERE (n.noun, n.company, n.batch) = (e.noun, e.company, e.batch) AND n.at >= ?1) LIMIT ?2";
const OLD_HANDED: &str = "SELECT id FROM handed WHERE at < ?1 LIMIT ?2";
const OLD_WATCHES: &str = "SELECT id FROM watches WHERE state = 'expired' AND next_try < ?1 LIMIT ?2";
const OLD_ORDERS: &str = "SELECT id FROM orders WHERE noted = 1 AND at < ?1 LIMIT ?2";

impl Ledger {
    /// Takes out what is over for longer than it is kept, a round at a time.
    pub async fn tidy(&self, ages: Ages) -> Result<Tidied, Error> {
        let before = |age: Duration| now().saturating_sub(millis(age));
        let (old, stuck) = (before(ages.over), before(ages.stuck));
        let ids = async |query: &'static str, before: i64| -> Result<Vec<i64>, Error> {
            let rows: Vec<(i64,)> = sqlx::query_as(query).bind(before).bind(ROUND).fetch_all(self.store.read()).await?;
            Ok(rows.into_iter().map(|(id,)| id).collect())
        };
        let (abandoned, inbound) = (ids(STUCK, stuck).await?, ids(OLD_INBOUND, old).await?);
        let keys = ids(OLD_KEYS, before(ages.keys)).await?;
        let (intents, messages, orders) =
            (ids(OLD_INTENTS, old).await?, ids(OLD_MESSAGES, old).await?, ids(OLD_ORDERS, old).await?);
        let (entries, watches) = (ids(OLD_ENTRIES, before(ages.entries)).await?, ids(OLD_WATCHES, stuck).await?);
        let handed = ids(OLD_HANDED, before(ages.entries)).await?;
        let all = [&keys, &intents, &messages, &orders, &abandoned, &inbound, &entries, &watches, &handed];
        let more = all.iter().any(|ids| ids.len() >= usize::try_from(ROUND).unwrap_or(usize::MAX));
        let mut dropped = BTreeMap::new();
        if all.iter().all(|ids| ids.is_empty()) {
            return Ok(Tidied { more, dropped });
        }
        let mut write = self.store.write().await?;
        take_out(&mut write, &intents, &messages).await?;
        for (statement, ids) in [
            ("UPDATE intents SET idem_key = NULL WHERE id IN (SELECT value FROM json_each(?1))", &keys),
            ("DELETE FROM orders WHERE id IN (SELECT value FROM json_each(?1))", &orders),
            ("DELETE FROM entries WHERE id IN (SELECT value FROM json_each(?1))", &entries),
            ("DELETE FROM watches WHERE id IN (SELECT value FROM json_each(?1))", &watches),
            ("DELETE FROM handed WHERE id IN (SELECT value FROM json_each(?1))", &handed),
        ] {
            sqlx::query(statement).bind(json!(ids).to_string()).execute(&mut *write).await?;
        }
        if !inbound.is_empty() {
            let statement = "DELETE FROM inbound WHERE (issuer, client, message) IN
                (SELECT issuer, client, message FROM inbound WHERE at < ?1 LIMIT ?2)";
            sqlx::query(statement).bind(old).bind(ROUND).execute(&mut *write).await?;
        }
        let rows = sqlx::query(
            "SELECT message, point, state FROM deliveries WHERE rowid IN (SELECT value FROM json_each(?1))
                AND state IN ('parked', 'failed')",
        );
        let rows = rows.bind(json!(abandoned).to_string()).fetch_all(&mut *write).await?;
        moved(&mut write, &rows, Change::Drop, FORGOTTEN).await?;
        write.commit().await?;
        if !watches.is_empty() {
            tracing::error!(
                entries = watches.len(),
                "batch entries were given up that M3 had not created: nobody looked after them in time"
            );
        }
        for row in &rows {
            *dropped.entry(super::book::text(row, "point")?).or_insert(0) += 1;
        }
        Ok(Tidied { more, dropped })
    }

    /// While more than four fifths of `most` are held, what is over goes however young it is, the oldest first: what was
    /// delivered keeps nobody from writing, and where nothing is over what only waits to be compared goes. What is owed stays.
    /// `true`: something went, and more may after so many rounds.
    pub async fn make_room(&self, most: u64, rounds: usize) -> Result<(bool, Vec<Unmatched>), Error> {
        let mut given_up = Vec::new();
        for _ in 0..rounds {
            if self.bytes().await? <= most / 5 * 4 {
                return Ok((false, given_up));
            }
            let (mut intents, mut messages) = (Vec::new(), Vec::new());
            for (query, ids) in [(OLD_INTENTS, &mut intents), (OLD_MESSAGES, &mut messages)] {
                let rows: Vec<(i64,)> =
                    sqlx::query_as(query).bind(i64::MAX).bind(PRESSED).fetch_all(self.store.read()).await?;
                ids.extend(rows.into_iter().map(|(id,)| id));
            }
            if intents.is_empty() && messages.is_empty() {
                let theirs = self.oldest_of_theirs(PRESSED).await?;
                if theirs.is_empty() {
                    return Ok((false, given_up));
                }
                given_up.extend(theirs);
                continue;
            }
            let mut write = self.store.write().await?;
            take_out(&mut write, &intents, &messages).await?;
            write.commit().await?;
        }
        Ok((true, given_up))
    }

    /// What waits for a point that is not among these waits for nobody: it is parked, until the point is there again.
    pub async fn only(&self, points: &[String]) -> Result<u64, Error> {
        let mut changed = 0;
        for (query, change) in [
            (
                "SELECT message, point, state FROM deliveries WHERE state IN ('pending', 'replayed', 'sent')
                    AND point NOT IN (SELECT value FROM json_each(?1)) LIMIT ?3",
                Change::Park,
            ),
            (
                "SELECT message, point, state FROM deliveries WHERE state IN ('parked', 'failed') AND state = 'parked'
                    AND reason = ?2 AND point IN (SELECT value FROM json_each(?1)) LIMIT ?3",
                Change::Replay,
            ),
        ] {
            changed += self.move_while(query, [&json!(points).to_string(), NO_POINT], (change, NO_POINT), None).await?;
        }
        Ok(changed)
    }
}

async fn take_out(write: &mut Transaction<'static, Sqlite>, intents: &[i64], messages: &[i64]) -> Result<(), Error> {
    for (statement, ids) in [
        ("DELETE FROM intents WHERE idem_key IS NULL AND id IN (SELECT value FROM json_each(?1))", intents),
        (
            // A word of an operator may have come in between.
            "DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?1)) AND NOT EXISTS
                (SELECT 1 FROM deliveries d WHERE d.message = messages.id
                    AND d.state IN ('pending', 'replayed', 'sent', 'parked', 'failed'))",
            messages,
        ),
    ] {
        sqlx::query(statement).bind(json!(ids).to_string()).execute(&mut **write).await?;
    }
    Ok(())
}
