//! Documents of M3's own publisher, kept until they were compared with those that are made here in shadow.
//!
//! One of theirs is compared with the newest documents of its record, and again with each that is made later, until one says
//! the same or its time is over. What came of it stands with the document that was made here.
//! Invariant: a document that says the same as one of theirs is never told to differ from a later one of them.
//! Does not know: how documents are compared.

use super::answers::Arrival;
use super::book::{text, time};
use super::error::Error;
use super::ledger::{Ledger, millis};
use super::seal::Seal;
use super::writer::now;
use crate::telemetry::Metrics;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use std::time::Duration;

/// One of theirs, as it came.
#[derive(Debug, Clone, Copy)]
pub struct Theirs<'a> {
    pub document_id: &'a str,
    pub entity: &'a str,
    pub bod_id: &'a str,
    /// Who made it.
    pub lid: &'a str,
    pub xml: &'a str,
}

/// One of theirs, and what was made here of the same record.
#[derive(Debug, Clone)]
pub struct Pair {
    pub id: i64,
    pub noun: String,
    pub verb: String,
    pub document_id: String,
    pub entity: String,
    pub bod_id: String,
    pub lid: String,
    pub xml: String,
    /// The newest first.
    pub ours: Vec<Ours>,
}

#[derive(Debug, Clone)]
pub struct Ours {
    pub message: i64,
    /// One of theirs says what it says.
    pub settled: bool,
    pub xml: String,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// This message says what theirs does.
    Same(i64),
    /// The newest message that no other of theirs agrees with differs in so many places; the first of them as JSON.
    Different { message: i64, many: usize, found: Value },
    /// Each that is there agrees with another of theirs: one of a later state may follow.
    Later,
    /// It can't be compared; why.
    Never(String),
}

/// One of theirs that is waited for no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmatched {
    pub document: String,
    pub document_id: String,
    pub entity: String,
    pub bod_id: String,
    /// `different`; `alone`: nothing was made here that it could be of; or `given-up`: room was short before its time was over.
    pub result: &'static str,
}

impl Unmatched {
    /// Counts it, and says which it is.
    pub fn tell(&self, metrics: &Metrics) {
        let Self { document, document_id, entity, bod_id, result } = self;
        metrics.publishing.compared.with_label_values(&[document, *result]).inc();
        tracing::warn!(
            document,
            entity,
            document_id,
            bod_id,
            result,
            "no document that was made here says what M3's own does"
        );
    }
}

/// Of one record so many are looked at: a publisher that is behind speaks of one before the newest.
const BESIDE: i64 = 4;
/// Of theirs that wait; beyond these the oldest are given up.
const MOST: i64 = 10_000;
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// And of what the outbox may hold one part of so many: they are only compared, and what is owed needs the room.
const SHARE: u64 = 16;
const ROUND: i64 = 1_000;

pub(super) const TO_COMPARE: &str = "SELECT * FROM theirs t WHERE EXISTS (SELECT 1 FROM messages m WHERE m.shadow = 1
    AND m.noun = t.noun AND m.verb = t.verb AND m.entity = t.entity AND m.document_id = t.document_id
    AND m.id > t.compared) ORDER BY id LIMIT ?1";
pub(super) const CANDIDATES: &str = "SELECT m.id, m.bod_id, m.xml, coalesce(c.result, '') AS result FROM messages m
    LEFT JOIN comparisons c ON c.id = m.id WHERE m.shadow = 1 AND m.noun = ?1 AND m.verb = ?2 AND m.entity = ?3
    AND m.document_id = ?4 ORDER BY m.id DESC LIMIT ?5";
/// What waits for too long, and the oldest of what is too much.
pub(super) const OVER: &str = "SELECT id, noun, verb, entity, document_id, bod_id, result, at FROM theirs
    WHERE at < ?1 OR id IN (SELECT id FROM
    (SELECT id, row_number() OVER newest AS many, sum(bytes) OVER newest AS held FROM theirs
     WINDOW newest AS (ORDER BY id DESC)) WHERE many > ?2 OR held > ?3) ORDER BY id LIMIT ?4";
const OLDEST: &str = "SELECT id, noun, verb, entity, document_id, bod_id, result, at FROM theirs ORDER BY id LIMIT ?1";

type Write = Transaction<'static, Sqlite>;

/// With the message that brought it. Of a document that comes again under its own BODID one is kept.
pub(super) async fn keep(
    (write, seal): (&mut Write, &Seal),
    theirs: &Theirs<'_>,
    arrival: &Arrival<'_>,
) -> Result<(), Error> {
    let (verb, noun) = arrival.document.split_once('.').unwrap_or((arrival.document, ""));
    let sealed = seal.close(("xml", theirs.bod_id), theirs.xml)?.into_owned();
    sqlx::query("DELETE FROM theirs WHERE bod_id = ? AND lid = ?")
        .bind(theirs.bod_id)
        .bind(theirs.lid)
        .execute(&mut **write)
        .await?;
    sqlx::query(
        "INSERT INTO theirs (noun, verb, entity, document_id, bod_id, lid, at, bytes, xml) VALUES (?,?,?,?,?,?,?,?,?)",
    )
    .bind(noun)
    .bind(verb)
    .bind(theirs.entity)
    .bind(theirs.document_id)
    .bind(theirs.bod_id)
    .bind(theirs.lid)
    .bind(now())
    .bind(i64::try_from(sealed.len()).unwrap_or(i64::MAX))
    .bind(sealed)
    .execute(&mut **write)
    .await?;
    Ok(())
}

impl Ledger {
    /// Those of theirs of whose record something was made that they were not compared with.
    pub async fn to_compare(&self, most: u32) -> Result<Vec<Pair>, Error> {
        let mut pairs = Vec::new();
        for row in &sqlx::query(TO_COMPARE).bind(most).fetch_all(self.store.read()).await? {
            match self.pair(row).await {
                Ok(pair) => pairs.push(pair),
                // It holds up none of the others.
                Err(error @ (Error::Damaged(_) | Error::Sealed { .. })) => {
                    let id: i64 = row.try_get("id")?;
                    tracing::error!(%error, id, "a document of M3's own publisher can't be compared, and is given up");
                    self.give_up(id).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(pairs)
    }

    async fn give_up(&self, id: i64) -> Result<(), Error> {
        let mut write = self.store.write().await?;
        sqlx::query("DELETE FROM theirs WHERE id = ?").bind(id).execute(&mut *write).await?;
        Ok(write.commit().await?)
    }

    async fn pair(&self, row: &SqliteRow) -> Result<Pair, Error> {
        let (bod_id, noun, verb) = (text(row, "bod_id")?, text(row, "noun")?, text(row, "verb")?);
        let (entity, document_id) = (text(row, "entity")?, text(row, "document_id")?);
        let xml = self.seal.open(("xml", &bod_id), text(row, "xml")?)?;
        let query = sqlx::query(CANDIDATES).bind(noun.clone()).bind(verb.clone()).bind(entity.clone());
        let mut ours = Vec::new();
        for one in &query.bind(document_id.clone()).bind(BESIDE).fetch_all(self.store.read()).await? {
            let (own, settled) = (text(one, "bod_id")?, text(one, "result")? == "same");
            let xml = self.seal.open(("xml", &own), text(one, "xml")?)?;
            ours.push(Ours { message: one.try_get("id")?, settled, xml });
        }
        let (id, lid) = (row.try_get("id")?, text(row, "lid")?);
        Ok(Pair { id, noun, verb, document_id, entity, bod_id, lid, xml, ours })
    }

    /// `false`: it was over meanwhile.
    pub async fn compared(&self, pair: &Pair, found: &Compared) -> Result<bool, Error> {
        let mut write = self.store.write().await?;
        let newest = pair.ours.first().map_or(0, |one| one.message);
        let (message, result, many, places) = match found {
            Compared::Same(message) => (Some(*message), "same", 0, json!([])),
            Compared::Different { message, many, found } => (Some(*message), "different", *many, found.clone()),
            Compared::Later | Compared::Never(_) => (None, "", 0, Value::Null),
        };
        let done = matches!(found, Compared::Same(_) | Compared::Never(_));
        let touched = if done {
            sqlx::query("DELETE FROM theirs WHERE id = ?").bind(pair.id).execute(&mut *write).await?
        } else {
            sqlx::query(
                "UPDATE theirs SET compared = ?1, result = CASE ?2 WHEN '' THEN result ELSE ?2 END WHERE id = ?3",
            )
            .bind(newest)
            .bind(result)
            .bind(pair.id)
            .execute(&mut *write)
            .await?
        };
        if let Some(message) = message {
            let places = self.seal.close(("found", &message.to_string()), &places.to_string())?.into_owned();
            sqlx::query(
                "INSERT INTO comparisons (id, at, result, bod_id, lid, many, found)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS (SELECT 1 FROM messages WHERE id = ?1)
                 ON CONFLICT (id) DO UPDATE SET at = excluded.at, result = excluded.result, bod_id = excluded.bod_id,
                    lid = excluded.lid, many = excluded.many, found = excluded.found WHERE comparisons.result <> 'same'",
            )
            .bind(message)
            .bind(now())
            .bind(result)
            .bind(pair.bod_id.clone())
            .bind(pair.lid.clone())
            .bind(i64::try_from(many).unwrap_or(i64::MAX))
            .bind(places)
            .execute(&mut *write)
            .await?;
        }
        write.commit().await?;
        Ok(touched.rows_affected() > 0)
    }

    /// Takes out those of theirs that nothing agreed with in time, and the oldest of what is more than their share of the
    /// `most` bytes that are held of all.
    pub async fn unmatched(&self, within: Duration, most: u64) -> Result<Vec<Unmatched>, Error> {
        let before = now().saturating_sub(millis(within));
        let share = i64::try_from(MOST_BYTES.min(most / SHARE)).unwrap_or(i64::MAX);
        let over = sqlx::query(OVER).bind(before).bind(MOST).bind(share).bind(ROUND);
        let rows = over.fetch_all(self.store.read()).await?;
        self.taken_out(&rows, before).await
    }

    /// Takes out so many of theirs, whether their time is over or not.
    pub(super) async fn oldest_of_theirs(&self, most: i64) -> Result<Vec<Unmatched>, Error> {
        let rows = sqlx::query(OLDEST).bind(most).fetch_all(self.store.read()).await?;
        self.taken_out(&rows, i64::MIN).await
    }

    /// `before`: those that came earlier have had their time.
    async fn taken_out(&self, rows: &[SqliteRow], before: i64) -> Result<Vec<Unmatched>, Error> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ids = rows.iter().map(|row| row.try_get("id")).collect::<Result<Vec<i64>, _>>()?;
        let mut write = self.store.write().await?;
        sqlx::query("DELETE FROM theirs WHERE id IN (SELECT value FROM json_each(?))")
            .bind(json!(ids).to_string())
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        let unmatched = |row: &SqliteRow| -> Result<Unmatched, Error> {
            Ok(Unmatched {
                document: format!("{}.{}", text(row, "verb")?, text(row, "noun")?),
                document_id: text(row, "document_id")?,
                entity: text(row, "entity")?,
                bod_id: text(row, "bod_id")?,
                result: match text(row, "result")?.as_str() {
                    "different" => "different",
                    _ if row.try_get::<i64, _>("at")? < before => "alone",
                    _ => "given-up",
                },
            })
        };
        rows.iter().map(unmatched).collect()
    }

    /// One of theirs that waits, with its text.
    pub(super) async fn waiting(&self, bod_id: &str) -> Result<Option<Value>, Error> {
        let row = sqlx::query("SELECT * FROM theirs WHERE bod_id = ? ORDER BY id DESC LIMIT 1").bind(bod_id);
        let Some(row) = row.fetch_optional(self.store.read()).await? else { return Ok(None) };
        let mut told = shown(&row)?;
        told["xml"] = self.seal.open(("xml", bod_id), text(&row, "xml")?)?.into();
        Ok(Some(told))
    }

    /// What theirs said of a message that was made in shadow; `None` while there was none.
    pub(super) async fn comparison(&self, message: i64) -> Result<Option<Value>, Error> {
        let row = sqlx::query("SELECT * FROM comparisons WHERE id = ?").bind(message);
        let Some(row) = row.fetch_optional(self.store.read()).await? else { return Ok(None) };
        let found = self.seal.open(("found", &message.to_string()), text(&row, "found")?)?;
        Ok(Some(json!({
            "result": text(&row, "result")?, "at": time(row.try_get("at")?), "bod_id": text(&row, "bod_id")?,
            "logical_id": text(&row, "lid")?, "differences": row.try_get::<i64, _>("many")?,
            "first": serde_json::from_str::<Value>(&found).unwrap_or(Value::Null),
        })))
    }
}

/// One of theirs that waits, as people see it.
pub(super) fn shown(row: &SqliteRow) -> Result<Value, Error> {
    let differs = text(row, "result")? == "different";
    Ok(json!({
        "kind": "theirs", "id": text(row, "bod_id")?, "state": "waiting",
        "document": format!("{}.{}", text(row, "verb")?, text(row, "noun")?), "entity": text(row, "entity")?,
        "document_id": text(row, "document_id")?, "logical_id": text(row, "lid")?, "since": time(row.try_get("at")?),
        "reason": if differs { "it differs from what was made here so far" } else { "nothing was made here yet that it could be of" },
    }))
}
