//! Sending again: what was made, as it was, or the record anew; and setting aside.

use super::answers::change;
use super::book::{text, time, unknown};
use super::error::Error;
use super::ledger::Ledger;
use super::orders::{Operator, ordered};
use super::state::{Change, State};
use super::writer::now;
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

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

    /// All that is meant, in one commit; says how many.
    pub async fn replay_all(&self, meant: &Selection, fresh: bool, who: &Operator) -> Result<u64, Error> {
        let mut write = self.store.write().await?;
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
        .fetch_all(&mut *write)
        .await?;
        let changed = if fresh {
            let ids: Result<Vec<i64>, _> = rows.iter().map(|row| row.try_get("document")).collect();
            let again = sqlx::AssertSqlSafe(format!("{AGAIN} IN (SELECT value FROM json_each(?2)))"));
            let ids = json!(ids?).to_string();
            sqlx::query(again).bind(now()).bind(ids).execute(&mut *write).await?.rows_affected()
        } else {
            moved(&mut write, &rows, Change::Replay, "an operator sends it again").await?
        };
        let Selection { noun, key, since, until, point, state } = meant;
        let about = json!({
            "noun": noun, "key": key, "since": since.map(time), "until": until.map(time), "point": point, "state": state,
            "fresh": fresh, "changed": changed,
        });
        ordered(&mut write, "replay", about, who).await?;
        write.commit().await?;
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
        if messages + writes.rows_affected() == 0 {
            return Err(unknown(id));
        }
        ordered(&mut write, "park", json!({ "entry": id }), who).await?;
        Ok(write.commit().await?)
    }
}

/// Those of the rows that the change means something for; tells how many.
pub(super) async fn moved(
    write: &mut Transaction<'static, Sqlite>,
    rows: &[SqliteRow],
    by: Change,
    words: &str,
) -> Result<u64, Error> {
    let mut moved = 0;
    for row in rows {
        let state = State::parse(&text(row, "state")?).ok_or(Error::Damaged("state"))?;
        let Some(after) = state.after(by) else { continue };
        let (message, point): (i64, String) = (row.try_get("message")?, row.try_get("point")?);
        change(write, message, &point, after, words).await?;
        if after == State::Replayed {
            sqlx::query("UPDATE deliveries SET tries = 0, reason = NULL WHERE message = ? AND point = ?")
                .bind(message)
                .bind(point)
                .execute(&mut **write)
                .await?;
        }
        moved += 1;
    }
    Ok(moved)
}
