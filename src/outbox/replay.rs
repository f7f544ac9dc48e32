//! Sending again: what was made, as it was, or the record anew; and setting aside.

use super::book::{text, time};
use super::error::Error;
use super::ledger::Ledger;
use super::names::numbered;
use super::orders::{InRounds, Operator, ordered};
use super::state::{Change, State};
use super::watches::UNKNOWN;
use super::writer::now;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use std::collections::BTreeMap;

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

/// Rows of one commit: intents wait for it. And of one look: no more of them are held, however many are meant.
const ROUND: i64 = 5_000;

macro_rules! meant {
    ($and:literal) => {
        concat!(
            "(?1 IS NULL OR m.noun = ?1) AND (?2 IS NULL OR instr(m.document_id, ?2) > 0)
             AND (?3 IS NULL OR m.made >= ?3) AND (?4 IS NULL OR m.made < ?4)
             AND (?5 IS NULL OR d.point = ?5) AND (?6 IS NULL OR d.state = ?6) AND m.id <= ?7 ",
            $and
        )
    };
}

/// Deliveries that are meant, behind the one that was the last.
pub(super) const MEANT: &str = concat!(
    "SELECT d.message, d.point, d.state FROM messages m JOIN deliveries d ON d.message = m.id WHERE ",
    meant!("AND m.id >= ?8 AND (m.id > ?8 OR d.point > ?9) ORDER BY m.id, d.point LIMIT ?10")
);
/// Records of which a message is meant, or one of a division's own document.
pub(super) const RECORDS: &str = concat!(
    "SELECT r.id FROM documents r WHERE r.id > ?8 AND r.edition_of IS NULL AND EXISTS (SELECT 1 FROM messages m
        JOIN deliveries d ON d.message = m.id
        WHERE m.document IN (SELECT e.id FROM documents e WHERE e.id = r.id OR e.edition_of = r.id) AND ",
    meant!(") ORDER BY r.id LIMIT ?9")
);

/// Documents of M3's records; what the gateway says of documents of others is not told anew. A record is read once for
/// all of its divisions: what is read anew is told to all of them.
const AGAIN: &str = "UPDATE documents SET parked = 0, tries = 0, next_try = 0, since = coalesce(since, ?1), last = ?1,
    marks = marks + 1 WHERE noun <> 'BOD' AND id IN (SELECT coalesce(edition_of, id) FROM documents WHERE id";

impl Ledger {
    /// Sends a message again as it was, or tells its record anew with a new number. A document that could not be made is
    /// tried again.
    pub async fn replay(&self, id: &str, fresh: bool, who: &Operator) -> Result<(), Error> {
        let mut write = self.store.write().await?;
        if let Some(entry) = numbered(id, "entry") {
            let asked = "UPDATE watches SET state = 'watched', tries = 0, next_try = 0, since = ?1
                WHERE id = ?2 AND asked <> ?3";
            let asked = sqlx::query(asked).bind(now()).bind(entry).bind(UNKNOWN).execute(&mut *write).await?;
            if asked.rows_affected() == 0 {
                write.rollback().await?;
                return Err(self.unfit(id).await);
            }
            ordered(&mut write, "replay", json!({ "entry": id }), who).await?;
            return Ok(write.commit().await?);
        }
        let changed = if let Some(document) = numbered(id, "document") {
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
            write.rollback().await?;
            return Err(self.unfit(id).await);
        }
        ordered(&mut write, "replay", json!({ "entry": id, "fresh": fresh }), who).await?;
        Ok(write.commit().await?)
    }

    /// All that is meant, in rounds: nobody waits for long to write. Says how many. Each round that changes something
    /// writes the order down; one that changes nothing at all is written down once.
    pub async fn replay_all(&self, meant: &Selection, fresh: bool, who: &Operator) -> Result<u64, Error> {
        // What is made from now on is not meant: of a record that is told anew there would be no end.
        let (last,): (i64,) =
            sqlx::query_as("SELECT coalesce(max(id), 0) FROM messages").fetch_one(self.store.read()).await?;
        let Selection { noun, key, since, until, point, state } = meant;
        let about = json!({
            "noun": noun, "key": key, "since": since.map(time), "until": until.map(time), "point": point, "state": state,
            "fresh": fresh,
        });
        let order = InRounds::new("replay", about, who);
        let changed = if fresh {
            self.tell_anew(meant, last, &order).await?
        } else {
            self.send_again(meant, last, &order).await?
        };
        if changed == 0 {
            let mut write = self.store.write().await?;
            order.ordered(&mut write, 0).await?;
            write.commit().await?;
        }
        Ok(changed)
    }

    /// As they were, those up to this message.
    async fn send_again(&self, meant: &Selection, last: i64, order: &InRounds<'_>) -> Result<u64, Error> {
        let (mut changed, mut behind) = (0, (i64::MIN, String::new()));
        loop {
            let (message, point) = behind.clone();
            let rows = bound(sqlx::query(MEANT), meant).bind(last).bind(message).bind(point).bind(ROUND);
            let rows = rows.fetch_all(self.store.read()).await?;
            let Some(end) = rows.last() else { return Ok(changed) };
            behind = (end.try_get("message")?, text(end, "point")?);
            changed += self.move_all(&rows, (Change::Replay, "an operator sends it again"), Some(order)).await?;
        }
    }

    /// The records of those up to this message, each once.
    async fn tell_anew(&self, meant: &Selection, last: i64, order: &InRounds<'_>) -> Result<u64, Error> {
        let again = format!("{AGAIN} IN (SELECT value FROM json_each(?2)))");
        let (mut changed, mut behind) = (0, i64::MIN);
        loop {
            let rows = bound(sqlx::query(RECORDS), meant).bind(last).bind(behind).bind(ROUND);
            let rows = rows.fetch_all(self.store.read()).await?;
            let Some(end) = rows.last() else { return Ok(changed) };
            behind = end.try_get("id")?;
            let ids = rows.iter().map(|row| row.try_get("id")).collect::<Result<Vec<i64>, _>>()?;
            let mut write = self.store.write().await?;
            let again = sqlx::query(sqlx::AssertSqlSafe(again.clone())).bind(now()).bind(json!(ids).to_string());
            let told = again.execute(&mut *write).await?.rows_affected();
            if told > 0 {
                order.ordered(&mut write, told).await?;
            }
            write.commit().await?;
            changed += told;
        }
    }

    /// A round of them (the query's third), while there are any: what is moved is not among them any more.
    pub(super) async fn move_while(
        &self,
        query: &'static str,
        about: [&str; 2],
        by: (Change, &str),
        order: Option<&InRounds<'_>>,
    ) -> Result<u64, Error> {
        let mut changed = 0;
        loop {
            let [one, other] = about.map(str::to_owned);
            let rows = sqlx::query(query).bind(one).bind(other).bind(ROUND).fetch_all(self.store.read()).await?;
            let moved = self.move_all(&rows, by, order).await?;
            if moved == 0 {
                return Ok(changed);
            }
            changed += moved;
        }
    }

    /// Those of the rows of one round that stand as they stood when they were looked for.
    async fn move_all(
        &self,
        rows: &[SqliteRow],
        (by, words): (Change, &str),
        order: Option<&InRounds<'_>>,
    ) -> Result<u64, Error> {
        if rows.is_empty() {
            return Ok(0);
        }
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
        let changed = moved(&mut write, &still, by, words).await?;
        if let Some(order) = order.filter(|_| changed > 0) {
            order.ordered(&mut write, changed).await?;
        }
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
        let mut records = 0;
        for (kind, statement) in [
            ("document", "UPDATE documents SET parked = 1, reason = ?1 WHERE id = ?2 AND since IS NOT NULL"),
            ("entry", "UPDATE watches SET state = 'expired', reason = ?1, next_try = ?3 WHERE id = ?2"),
        ] {
            let Some(number) = numbered(id, kind) else { continue };
            let parked = sqlx::query(statement).bind(who.reason.clone()).bind(number).bind(now());
            records += parked.execute(&mut *write).await?.rows_affected();
        }
        if messages + writes.rows_affected() + records == 0 {
            write.rollback().await?;
            return Err(self.unfit(id).await);
        }
        ordered(&mut write, "park", json!({ "entry": id }), who).await?;
        Ok(write.commit().await?)
    }
}

type Query = sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments>;

fn bound(query: Query, meant: &Selection) -> Query {
    let Selection { noun, key, since, until, point, state } = meant.clone();
    query.bind(noun).bind(key).bind(since).bind(until).bind(point).bind(state)
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
