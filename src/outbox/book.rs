//! The outbox as people see it: from the command line, in a process of its own, and at the operations door.

use super::desk::Settings;
use super::entries::shown;
use super::error::Error;
use super::ledger::Ledger;
use super::names::numbered;
use super::reseal::expect;
use super::theirs;
use super::writer::migrate;
use crate::store::Store;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// What is looked for; nothing said is everything.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of a message ([`super::State`]) or `no-route`, of one in shadow also `shadow`, `same` or `different`, of one of M3's own
    /// publisher `waiting`, of a document `due` or `parked`, of a write `open`, `unknown` or `parked`.
    pub state: Option<String>,
    pub noun: Option<String>,
    /// A part of the record's key.
    pub key: Option<String>,
    /// Begun, due, handed over, come or made at or after, and before; milliseconds since 1970.
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub most: u32,
}

/// What tells of a write: the messages that it caused, and of each document that it made due those of the next reading.
pub(super) const TELLING: &str = "SELECT m.bod_id FROM messages m WHERE m.cause = ?1 OR m.id IN
        (SELECT n.id FROM told t JOIN documents d ON d.id = t.document OR d.edition_of = t.document
         JOIN messages n ON n.document = d.id WHERE t.intent = ?2 AND n.marks = (SELECT min(f.marks) FROM messages f
            WHERE f.document IN (SELECT e.id FROM documents e WHERE e.id = t.document OR e.edition_of = t.document)
                AND f.marks >= t.marks))
    ORDER BY m.id";

impl Ledger {
    /// Of a gateway that may be running.
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        let store = Store::open(&settings.folder).await?;
        migrate(&store).await?;
        expect(&store, &settings.seal).await?;
        Ok(Self { store, seal: settings.seal.clone() })
    }

    pub async fn close(&self) {
        self.store.close().await;
    }

    /// Writes that are not settled, documents that are not made, and messages by point, the newest first.
    pub async fn list(&self, wanted: &Wanted) -> Result<Vec<Value>, Error> {
        let mut found = Vec::new();
        let writes = sqlx::query(
            "SELECT name, state, program, transaction_name, company, division, opened, reason FROM intents
             WHERE state IN ('open', 'unknown', 'parked') AND (?1 IS NULL OR state = ?1) AND ?2 IS NULL AND ?3 IS NULL
                AND (?5 IS NULL OR opened >= ?5) AND (?6 IS NULL OR opened < ?6)
             ORDER BY id DESC LIMIT ?4",
        );
        for row in bound(writes, wanted).fetch_all(self.store.read()).await? {
            found.push(json!({
                "kind": "write", "id": text(&row, "name")?, "state": text(&row, "state")?,
                "call": format!("{}/{}", text(&row, "program")?, text(&row, "transaction_name")?),
                "company": row.try_get::<i64, _>("company")?, "division": text(&row, "division")?,
                "since": time(row.try_get("opened")?), "reason": row.try_get::<Option<String>, _>("reason")?,
            }));
        }
        let documents = sqlx::query(
            "SELECT * FROM (SELECT id, noun, verb, company, record, since, reason, 'due' AS state FROM documents
                WHERE since IS NOT NULL AND parked = 0
                UNION ALL SELECT id, noun, verb, company, record, since, reason, 'parked' AS state FROM documents
                WHERE parked = 1 AND since IS NOT NULL)
             WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR noun = ?2) AND (?3 IS NULL OR instr(record, ?3) > 0)
                AND (?5 IS NULL OR since >= ?5) AND (?6 IS NULL OR since < ?6)
             ORDER BY since DESC LIMIT ?4",
        );
        for row in bound(documents, wanted).fetch_all(self.store.read()).await? {
            found.push(document(&row)?);
        }
        let entries = sqlx::query(
            "SELECT * FROM watches WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR noun = ?2)
             AND (?3 IS NULL OR instr(record, ?3) > 0 OR batch = ?3)
             AND (?5 IS NULL OR since >= ?5) AND (?6 IS NULL OR since < ?6) ORDER BY id DESC LIMIT ?4",
        );
        for row in bound(entries, wanted).fetch_all(self.store.read()).await? {
            found.push(shown(&row, time)?);
        }
        let waiting = sqlx::query(
            "SELECT * FROM theirs WHERE (?1 IS NULL OR ?1 = 'waiting') AND (?2 IS NULL OR noun = ?2)
             AND (?3 IS NULL OR instr(document_id, ?3) > 0)
             AND (?5 IS NULL OR at >= ?5) AND (?6 IS NULL OR at < ?6) ORDER BY id DESC LIMIT ?4",
        );
        for row in bound(waiting, wanted).fetch_all(self.store.read()).await? {
            found.push(theirs::shown(&row)?);
        }
        let messages = sqlx::query(
            "SELECT m.bod_id, m.noun, m.verb, m.action, m.company, m.entity, m.document_id, m.variation, m.made, m.cause,
                d.point, d.tries, d.reference, coalesce(d.state, 'no-route') AS state,
                coalesce(d.reason, c.many || ' places differ from ' || c.lid) AS reason,
                CASE m.shadow WHEN 1 THEN coalesce(c.result, 'shadow') END AS compared
             FROM messages m LEFT JOIN deliveries d ON d.message = m.id
                LEFT JOIN comparisons c ON c.id = m.id AND m.shadow = 1
             WHERE (?1 IS NULL OR coalesce(d.state, 'no-route') = ?1
                OR (m.shadow = 1 AND coalesce(c.result, 'shadow') = ?1)) AND (?2 IS NULL OR m.noun = ?2)
                AND (?3 IS NULL OR instr(m.document_id, ?3) > 0)
                AND (?5 IS NULL OR m.made >= ?5) AND (?6 IS NULL OR m.made < ?6)
             ORDER BY m.id DESC, d.point LIMIT ?4",
        );
        for row in bound(messages, wanted).fetch_all(self.store.read()).await? {
            found.push(json!({
                "kind": "message", "id": text(&row, "bod_id")?, "state": text(&row, "state")?,
                "document": format!("{}.{}", text(&row, "verb")?, text(&row, "noun")?),
                "action": text(&row, "action")?, "company": text(&row, "company")?, "entity": text(&row, "entity")?,
                "document_id": text(&row, "document_id")?, "variation": row.try_get::<i64, _>("variation")?,
                "cause": text(&row, "cause")?, "since": time(row.try_get("made")?),
                "point": row.try_get::<Option<String>, _>("point")?, "tries": row.try_get::<Option<i64>, _>("tries")?,
                "reference": row.try_get::<Option<String>, _>("reference")?,
                "reason": row.try_get::<Option<String>, _>("reason")?,
                "compared": row.try_get::<Option<String>, _>("compared")?,
            }));
        }
        Ok(found)
    }

    /// One message with its attempts and its text, or one write.
    pub async fn show(&self, id: &str) -> Result<Value, Error> {
        if let Some(row) = sqlx::query("SELECT * FROM messages WHERE bod_id = ? ORDER BY id DESC LIMIT 1")
            .bind(id)
            .fetch_optional(self.store.read())
            .await?
        {
            return self.message(&row).await;
        }
        if let Some(theirs) = self.waiting(id).await? {
            return Ok(theirs);
        }
        let row = sqlx::query("SELECT * FROM intents WHERE name = ? ORDER BY id DESC LIMIT 1")
            .bind(id)
            .fetch_optional(self.store.read())
            .await?;
        let Some(row) = row else { return self.numbered(id).await };
        let bods =
            sqlx::query(TELLING).bind(id).bind(row.try_get::<i64, _>("id")?).fetch_all(self.store.read()).await?;
        let bods: Result<Vec<String>, Error> = bods.iter().map(|row| text(row, "bod_id")).collect();
        let number = row.try_get::<i64, _>("id")?.to_string();
        let opened = |column, text| self.seal.open((column, &number), text).map(|text| read(&text));
        Ok(json!({
            "kind": "write", "id": id, "state": text(&row, "state")?, "client": text(&row, "client")?,
            "issuer": text(&row, "issuer")?, "m3_user": text(&row, "m3_user")?,
            "call": format!("{}/{}", text(&row, "program")?, text(&row, "transaction_name")?),
            "company": row.try_get::<i64, _>("company")?, "division": text(&row, "division")?,
            "fields": opened("fields", text(&row, "fields")?)?, "opened": time(row.try_get("opened")?),
            "settled": row.try_get::<Option<i64>, _>("settled")?.map(time),
            "outcome": row.try_get::<Option<String>, _>("outcome")?.map(|text| opened("outcome", text)).transpose()?,
            "reason": row.try_get::<Option<String>, _>("reason")?, "messages": bods?,
        }))
    }
}

impl Ledger {
    /// What has no name but a number of the outbox's own.
    async fn numbered(&self, id: &str) -> Result<Value, Error> {
        const DOCUMENT: &str = "SELECT id, noun, verb, company, record, since, reason,
            CASE WHEN since IS NULL THEN 'over' WHEN parked = 1 THEN 'parked' ELSE 'due' END AS state
            FROM documents WHERE id = ?";
        let one = async |query: &'static str, number: i64| {
            let row = sqlx::query(query).bind(number).fetch_optional(self.store.read()).await?;
            row.ok_or_else(|| unknown(id))
        };
        if let Some(number) = numbered(id, "document") {
            return document(&one(DOCUMENT, number).await?);
        }
        let entry = numbered(id, "entry").ok_or_else(|| unknown(id))?;
        shown(&one("SELECT * FROM watches WHERE id = ?", entry).await?, time)
    }
}

/// A record's document, as people see it.
fn document(row: &SqliteRow) -> Result<Value, Error> {
    Ok(json!({
        "kind": "document", "id": format!("document:{}", row.try_get::<i64, _>("id")?), "state": text(row, "state")?,
        "document": format!("{}.{}", text(row, "verb")?, text(row, "noun")?),
        "company": row.try_get::<i64, _>("company")?, "key": read(&text(row, "record")?),
        "since": row.try_get::<Option<i64>, _>("since")?.map(time), "reason": row.try_get::<Option<String>, _>("reason")?,
    }))
}

type Query = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn bound(query: Query, wanted: &Wanted) -> Query {
    let Wanted { state, noun, key, since, until, most } = wanted.clone();
    query.bind(state).bind(noun).bind(key).bind(most).bind(since).bind(until)
}

pub(super) fn text(row: &SqliteRow, name: &str) -> Result<String, Error> {
    Ok(row.try_get(name)?)
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

pub(super) fn unknown(id: &str) -> Error {
    Error::Unknown { name: id.to_owned() }
}

pub(super) fn time(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map(|time| format!("{time:.3}")).unwrap_or_default()
}
