//! What an operator orders besides sending again: to give up, and what became of a write that nobody knows of; and the
//! book of all his orders.
//!
//! Invariant: an order and what it changes are one commit, of one that takes rounds each round; the running gateway takes
//! each into its audit log.

use super::book::time;
use super::entries::tell;
use super::error::Error;
use super::intent::{Due, Outcome};
use super::ledger::Ledger;
use super::names::numbered;
use super::replay::moved;
use super::round::{Settlement, settle};
use super::state::Change;
use super::watches::over;
use super::writer::now;
use serde_json::{Map, Value, json};
use sqlx::{Row, Sqlite, Transaction};
use uuid::Uuid;

/// Who orders it, and why.
#[derive(Debug, Clone)]
pub struct Operator {
    pub by: String,
    pub reason: String,
}

/// What an operator says became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Its documents follow. `key`: the parts of their names that M3 gave and nobody heard, by field.
    Committed {
        key: Vec<(String, String)>,
    },
    /// And nothing is told of it.
    Untold,
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dropped {
    /// A message on all its ways, `document:N`, or `entry:N`.
    One(String),
    /// All that is parked, failed or expired on the way to this point.
    Of(String),
}

/// As the audit log tells it.
#[derive(Debug)]
pub struct Order {
    pub id: i64,
    pub kind: String,
    pub members: Map<String, Value>,
}

/// An order about much, which takes rounds: each that changed something writes it down, with what it changed and a name
/// that is the same in all of them. Interrupted, what was done stands there.
pub(super) struct InRounds<'a> {
    word: &'static str,
    about: Value,
    who: &'a Operator,
}

const MOST: i64 = 1_000;

impl<'a> InRounds<'a> {
    pub(super) fn new(word: &'static str, mut about: Value, who: &'a Operator) -> Self {
        about["order"] = Uuid::now_v7().to_string().into();
        Self { word, about, who }
    }

    pub(super) async fn ordered(&self, write: &mut Transaction<'static, Sqlite>, changed: u64) -> Result<(), Error> {
        let mut about = self.about.clone();
        about["changed"] = changed.into();
        ordered(write, self.word, about, self.who).await
    }
}

impl Ledger {
    /// Nobody will get it: it is over, and goes with its message. Says how many ways that ends.
    pub async fn discard(&self, what: &Dropped, who: &Operator) -> Result<u64, Error> {
        let id = match what {
            Dropped::Of(point) => return self.discard_all(point, who).await,
            Dropped::One(id) => id,
        };
        let mut write = self.store.write().await?;
        let changed = match (numbered(id, "document"), numbered(id, "entry")) {
            (Some(document), _) => {
                let query = "UPDATE documents SET since = NULL, parked = 0, tries = 0, reason = NULL
                    WHERE id = ? AND since IS NOT NULL";
                sqlx::query(query).bind(document).execute(&mut *write).await?.rows_affected()
            }
            (None, Some(entry)) => u64::from(over(&mut write, entry).await?),
            (None, None) => {
                let rows = sqlx::query(
                    "SELECT d.message, d.point, d.state FROM deliveries d JOIN messages m ON m.id = d.message
                     WHERE m.bod_id = ?",
                );
                let rows = rows.bind(id.clone()).fetch_all(&mut *write).await?;
                moved(&mut write, &rows, Change::Drop, &who.reason).await?
            }
        };
        if changed == 0 {
            write.rollback().await?;
            return Err(self.unfit(id).await);
        }
        ordered(&mut write, "drop", json!({ "entry": id }), who).await?;
        write.commit().await?;
        Ok(changed)
    }

    /// In rounds, as `replay_all`.
    async fn discard_all(&self, point: &str, who: &Operator) -> Result<u64, Error> {
        let (mut changed, order) = (0, InRounds::new("drop", json!({ "point": point }), who));
        // Each by its own index.
        for query in [
            "SELECT message, point, state FROM deliveries WHERE state IN ('parked', 'failed') AND point = ?1 LIMIT ?3",
            "SELECT message, point, state FROM deliveries WHERE state = 'expired' AND point = ?1 LIMIT ?3",
        ] {
            changed += self.move_while(query, [point, ""], (Change::Drop, &who.reason), Some(&order)).await?;
        }
        if changed == 0 { Err(self.unfit_point(point).await) } else { Ok(changed) }
    }

    /// Somebody looked, and knows what became of a write, or of a batch entry (`entry:N`): its documents follow, and who asks again with its key is told.
    pub async fn resolve(&self, id: &str, resolution: &Resolution, who: &Operator) -> Result<(), Error> {
        if let Some(entry) = numbered(id, "entry") {
            return self.settle_entry(entry, resolution, who).await;
        }
        let mut write = self.store.write().await?;
        let row = sqlx::query(
            "SELECT id, told, outcome FROM intents WHERE name = ? AND state IN ('unknown', 'parked') ORDER BY id DESC LIMIT 1",
        )
        .bind(id)
        .fetch_optional(&mut *write)
        .await?;
        let Some(row) = row else {
            write.rollback().await?;
            return Err(self.unfit(id).await);
        };
        let (intent, told): (i64, String) = (row.try_get("id")?, row.try_get("told")?);
        let mut due = Vec::new();
        if let Resolution::Committed { key } = resolution {
            due = serde_json::from_str(&told).map_err(|_| Error::Damaged("write"))?;
            named(&mut due, key)?;
        }
        let (state, outcome) = match resolution {
            Resolution::Committed { .. } | Resolution::Untold => {
                ("committed", Outcome::Done { reported: true, records: Vec::new() })
            }
            Resolution::Refused => {
                let message = "An operator found that M3 did not do it".to_owned();
                ("refused", Outcome::Refused { message, id: String::new(), field: None })
            }
        };
        let at = now();
        // What M3 answered is known where only the record's name was not.
        let known: Option<String> = row.try_get("outcome")?;
        let outcome = match known.filter(|_| state == "committed") {
            Some(known) => known,
            None => self.outcome(intent, &outcome)?,
        };
        sqlx::query("UPDATE intents SET reason = ?1 WHERE id = ?2")
            .bind(format!("{}: {}", who.by, who.reason))
            .bind(intent)
            .execute(&mut *write)
            .await?;
        let told: Vec<(i64, &Due)> = due.iter().map(|due| (intent, due)).collect();
        tell(&mut write, &told, at).await?;
        settle(&mut write, Settlement::new(intent, state, Some(outcome)), at).await?;
        let documents: Vec<String> = due.iter().map(|due| format!("{}.{}", due.verb, due.noun)).collect();
        let about = json!({ "intent": id, "outcome": state, "documents": documents });
        ordered(&mut write, "resolve", about, who).await?;
        Ok(write.commit().await?)
    }

    /// What the audit log doesn't have yet, the oldest first.
    pub async fn orders(&self) -> Result<Vec<Order>, Error> {
        type Row = (i64, i64, String, String, String, String);
        let rows: Vec<Row> =
            sqlx::query_as("SELECT id, at, word, about, who, reason FROM orders WHERE noted = 0 ORDER BY id LIMIT ?")
                .bind(MOST)
                .fetch_all(self.store.read())
                .await?;
        let order = |(id, at, word, about, who, reason): Row| {
            let mut members: Map<String, Value> = serde_json::from_str(&about).unwrap_or_default();
            members.insert("by".into(), who.into());
            members.insert("reason".into(), reason.into());
            members.insert("ordered".into(), time(at).into());
            Order { id, kind: format!("outbox-{word}"), members }
        };
        Ok(rows.into_iter().map(order).collect())
    }

    /// The audit log has all up to this one.
    pub async fn noted(&self, last: i64) -> Result<(), Error> {
        let mut write = self.store.write().await?;
        sqlx::query("UPDATE orders SET noted = 1 WHERE noted = 0 AND id <= ?").bind(last).execute(&mut *write).await?;
        Ok(write.commit().await?)
    }
}

/// Fills in what is missing of the records' names. A document that can't be named is no document that follows: that is
/// said, and not passed over.
fn named(due: &mut [Due], key: &[(String, String)]) -> Result<(), Error> {
    for (name, value) in key {
        let mut some = false;
        for (field, known) in due.iter_mut().flat_map(|due| &mut due.key) {
            let fits = known.as_ref().is_none_or(|known| known == value) && !value.is_empty();
            if field == name && fits {
                *known = Some(value.clone());
                some = true;
            }
        }
        if !some {
            return Err(Error::NoSuchPart { name: name.clone() });
        }
    }
    let missing = due.iter().flat_map(|due| &due.key).filter(|(_, known)| known.is_none());
    let mut missing: Vec<&str> = missing.map(|(field, _)| field.as_str()).collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() { Ok(()) } else { Err(Error::Unnamed { names: missing.join(", ") }) }
}

pub(super) async fn ordered(
    write: &mut Transaction<'static, Sqlite>,
    word: &str,
    about: Value,
    who: &Operator,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO orders (at, word, about, who, reason) VALUES (?,?,?,?,?)")
        .bind(now())
        .bind(word)
        .bind(about.to_string())
        .bind(who.by.clone())
        .bind(who.reason.clone())
        .execute(&mut **write)
        .await?;
    Ok(())
}
