//! Sending again: what was made, as it was, or the record anew; and setting aside.

use super::book::{text, time, unknown};
use super::error::Error;
use super::ledger::Ledger;
use super::orders::{Operator, ordered};
use super::state::{Change, State};
use super::writer::now;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use std::collections::{BTreeMap, BTreeSet};

/// Which messages are meant; what is not said leaves none out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    pub noun: Option<String>,
    /// A part of the record's key.
    pub key: Option<String>,
    /// Made at or after, and before; milliseconds since 1970.
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub point: Option<String>,
    pub state: Option<String>,
}

impl Selection {
    /// Nothing is said: it would mean everything, and is meant by nobody.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Rows of one commit: intents wait for it.
pub(super) const ROUND: usize = 5_000;

/// Documents of M3's records; what the gateway says of documents of others is not told anew. A record is read once for
/// all of its divisions: what is read anew is told to all of them.
const AGAIN: &str = "UPDATE documents SET parked = 0, tries = 0, next_try = 0, since = coalesce(since, ?1), last = ?1,
    marks = marks + 1 WHERE noun <> 'BOD' AND id IN (SELECT coalesce(edition_of, id) FROM documents WHERE id";

impl Ledger {
    /// Sends a message again as it was, or tells its record anew with a new number. A document that could not be made is
    /// tried again.
    pub async fn replay(&self, id: &str, fresh: bool, who: &Operator) -> Result<(), Error> {
        let mut write = self.store.write().await?;
        if let Some(entry) = id.strip_prefix("entry:").and_then(|number| number.parse::<i64>().ok()) {
            let asked = "UPDATE watches SET state = 'watched', tries = 0, next_try = 0, since = ?1 WHERE id = ?2";
            let asked = sqlx::query(asked).bind(now()).bind(entry).execute(&mut *write).await?;
            if asked.rows_affected() == 0 {
                return Err(unknown(id));
            }
            ordered(&mut write, "replay", json!({ "entry": id }), who).await?;
            return Ok(write.commit().await?);
        }
        let document = id.strip_prefix("document:").and_then(|number| number.parse::<i64>().ok());
        let changed = if let Some(document) = document {
            let again = sqlx::AssertSqlSafe(format!("{AGAIN} = ?2)"));
            sqlx::query(again).bind(now()).bind(document).execute(&mut *write).await?.rows_affected()
        } else if fresh {
            let again = sqlx::AssertSqlSafe(format!("{AGAIN} IN (SELECT document FROM messages WHERE bod_id = ?2))"));
            sqlx::query(again).bind(now()).bind(id).execute(&mut *write).await?.rows_affected()
        } else {
            let rows = sqlx::query(
                "SELECT d.message, d.point, d.state FROM deliveries d JOIN messages m ON m.id = d.message WHERE m.bod_id = ?",
            );
            let rows = rows.bind(id).fetch_all(&mut *write).await?;
            moved(&mut write, &rows, Change::Replay, "an operator sends it again").await?
        };
        if changed == 0 {
            return Err(unknown(id));
        }
        ordered(&mut write, "replay", json!({ "entry": id, "fresh": fresh }), who).await?;
        Ok(write.commit().await?)
    }

    /// All that is meant, in rounds: nobody waits for long to write. Says how many; the order is written down behind the
    /// last of them, and given again it goes on where it was interrupted.
    pub async fn replay_all(&self, meant: &Selection, fresh: bool, who: &Operator) -> Result<u64, Error> {
        let rows = sqlx::query(
            "SELECT d.message, d.point, d.state, m.document FROM messages m JOIN deliveries d ON d.message = m.id
             WHERE (?1 IS NULL OR m.noun = ?1) AND (?2 IS NULL OR instr(m.document_id, ?2) > 0)
                AND (?3 IS NULL OR m.made >= ?3) AND (?4 IS NULL OR m.made < ?4)
                AND (?5 IS NULL OR d.point = ?5) AND (?6 IS NULL OR d.state = ?6) ORDER BY m.id",
        )
        .bind(meant.noun.clone())
        .bind(meant.key.clone())
        .bind(meant.since)
        .bind(meant.until)
        .bind(meant.point.clone())
        .bind(meant.state.clone())
        .fetch_all(self.store.read())
        .await?;
        let mut changed = 0;
        if fresh {
            let ids: Result<BTreeSet<i64>, _> = rows.iter().map(|row| row.try_get("document")).collect();
            for ids in Vec::from_iter(ids?).chunks(ROUND) {
                let again = sqlx::AssertSqlSafe(format!("{AGAIN} IN (SELECT value FROM json_each(?2)))"));
                let mut write = self.store.write().await?;
                let again = sqlx::query(again).bind(now()).bind(json!(ids).to_string());
                changed += again.execute(&mut *write).await?.rows_affected();
                write.commit().await?;
            }
        } else {
            changed = self.move_all(&rows, Change::Replay, "an operator sends it again").await?;
        }
        let Selection { noun, key, since, until, point, state } = meant;
        let about = json!({
            "noun": noun, "key": key, "since": since.map(time), "until": until.map(time), "point": point, "state": state,
            "fresh": fresh, "changed": changed,
        });
        let mut write = self.store.write().await?;
        ordered(&mut write, "replay", about, who).await?;
        write.commit().await?;
        Ok(changed)
    }

    /// In rounds, those of the rows that stand as they stood when they were looked for.
    pub(super) async fn move_all(&self, rows: &[SqliteRow], by: Change, words: &str) -> Result<u64, Error> {
        let mut changed = 0;
        for rows in rows.chunks(ROUND) {
            let mut meant = Vec::new();
            for row in rows {
                meant.push(json!([row.try_get::<i64, _>("message")?, text(row, "point")?, text(row, "state")?]));
            }
            let mut write = self.store.write().await?;
            let still = sqlx::query(
                "SELECT d.message, d.point, d.state FROM json_each(?) j JOIN deliveries d
                 ON d.message = j.value->>0 AND d.point = j.value->>1 AND d.state = j.value->>2",
            );
            let still = still.bind(json!(meant).to_string()).fetch_all(&mut *write).await?;
            changed += moved(&mut write, &still, by, words).await?;
            write.commit().await?;
        }
        Ok(changed)
    }

    /// Nothing more is tried with it until somebody replays or resolves it.
    pub async fn park(&self, id: &str, who: &Operator) -> Result<(), Error> {
        let mut write = self.store.write().await?;
        let rows = sqlx::query(
            "SELECT d.message, d.point, d.state FROM deliveries d JOIN messages m ON m.id = d.message WHERE m.bod_id = ?",
        );
        let rows = rows.bind(id).fetch_all(&mut *write).await?;
        let messages = moved(&mut write, &rows, Change::Park, &who.reason).await?;
        let writes =
            sqlx::query("UPDATE intents SET state = 'parked', reason = ?1 WHERE name = ?2 AND state = 'unknown'")
                .bind(who.reason.clone())
                .bind(id)
                .execute(&mut *write)
                .await?;
        let mut records = 0;
        for (kind, statement) in [
            ("document:", "UPDATE documents SET parked = 1, reason = ?1 WHERE id = ?2 AND since IS NOT NULL"),
            ("entry:", "UPDATE watches SET state = 'expired', reason = ?1, next_try = ?3 WHERE id = ?2"),
        ] {
            let Some(number) = id.strip_prefix(kind).and_then(|number| number.parse::<i64>().ok()) else { continue };
            let parked = sqlx::query(statement).bind(who.reason.clone()).bind(number).bind(now());
            records += parked.execute(&mut *write).await?.rows_affected();
        }
        if messages + writes.rows_affected() + records == 0 {
            return Err(unknown(id));
        }
        ordered(&mut write, "park", json!({ "entry": id }), who).await?;
        Ok(write.commit().await?)
    }
}

/// Those of the rows that the change means something for; tells how many. Two statements for each state that comes of it.
pub(super) async fn moved(
    write: &mut Transaction<'static, Sqlite>,
    rows: &[SqliteRow],
    by: Change,
    words: &str,
) -> Result<u64, Error> {
    let mut after: BTreeMap<&'static str, Vec<Value>> = BTreeMap::new();
    for row in rows {
        let state = State::parse(&text(row, "state")?).ok_or(Error::Damaged("state"))?;
        let Some(next) = state.after(by) else { continue };
        after.entry(next.as_str()).or_default().push(json!([row.try_get::<i64, _>("message")?, text(row, "point")?]));
    }
    let (mut moved, at) = (0, now());
    for (state, ways) in after {
        moved += ways.len() as u64;
        for statement in [
            "UPDATE deliveries SET state = ?1, changed = ?2, answer_by = NULL, next_try = ?2,
                tries = CASE ?1 WHEN 'replayed' THEN 0 ELSE tries END,
                reason = CASE WHEN ?1 IN ('confirmed', 'replayed') THEN NULL ELSE ?3 END
             FROM json_each(?4) AS j WHERE deliveries.message = j.value->>0 AND deliveries.point = j.value->>1",
            "INSERT INTO changes (message, point, at, state, words)
             SELECT value->>0, value->>1, ?2, ?1, ?3 FROM json_each(?4)",
        ] {
            sqlx::query(statement)
                .bind(state)
                .bind(at)
                .bind(words.to_owned())
                .bind(json!(ways).to_string())
                .execute(&mut **write)
                .await?;
        }
    }
    Ok(moved)
}
