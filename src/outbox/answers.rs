//! What receivers say of messages that they were sent, and what comes of their silence.
//!
//! Invariants: a word counts for a message that was sent to its speaker's point and for no other; the first final one
//! wins; a message that comes again, by its sender's own id, changes nothing.

use super::error::Error;
use super::ledger::Ledger;
use super::message::Made;
use super::seal::Seal;
use super::state::{Change, State};
use super::theirs::{Theirs, keep};
use super::writer::now;
use crate::model::ClientId;
use serde_json::json;
use sqlx::{Row, Sqlite, Transaction};

/// Of one message of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub bod_id: String,
    /// The noun of the request that is acknowledged; `None`: it speaks of any document.
    pub request: Option<String>,
    /// It could be used.
    pub good: bool,
    pub words: String,
}

/// A message of somebody who answers for a point.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    pub client: &'a ClientId,
    /// As its sender calls it.
    pub message: &'a str,
    /// Of its content: the same id stands for the same message.
    pub digest: &'a str,
    /// `Confirm.BOD`.
    pub document: &'a str,
    /// Where what it speaks of was sent.
    pub point: &'a str,
    pub words: &'a [Word],
    /// What comes of it, in a word.
    pub outcome: &'a str,
    /// What its sender is told in return.
    pub own: Option<Own<'a>>,
    /// It is a document of M3's own publisher, to be compared.
    pub theirs: Option<Theirs<'a>>,
}

/// A ConfirmBOD of ours, to be sent to the point.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    pub made: &'a Made,
    /// The request that brought what it speaks of.
    pub cause: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    Now(Vec<Answered>),
    /// It has been here before.
    Again {
        outcome: String,
    },
    /// Its id stands for another message.
    Other,
    /// It speaks of something that was not sent there.
    NotTheirs {
        bod_id: String,
    },
}

/// What a word, or silence, did to one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub point: String,
    /// `Sync.ItemMaster`.
    pub document: String,
    pub bod_id: String,
    /// The write that caused it.
    pub cause: String,
    /// `confirmed`, `failed`, `expired`, or `late` for a word that changed nothing.
    pub result: &'static str,
}

/// Entries of one delivery's history that late words may add.
const MOST_LATE: i64 = 50;
const ROUND: i64 = 1_000;
/// The noun and the verb of what the gateway says of documents of others.
const NOUN: &str = "BOD";
const VERB: &str = "Confirm";

struct Spoken {
    message: i64,
    state: State,
    answered: Answered,
}

impl Ledger {
    /// All of it or nothing.
    pub async fn receive(&self, arrival: &Arrival<'_>) -> Result<Taken, Error> {
        let mut write = self.store.write().await?;
        if let Some(before) = before(&mut write, arrival).await? {
            return Ok(before);
        }
        let mut answered = Vec::new();
        for word in arrival.words {
            let Some(spoken) = of(&mut write, arrival.point, word).await? else {
                return Ok(Taken::NotTheirs { bod_id: word.bod_id.clone() });
            };
            answered.push(apply(&mut write, spoken, word, arrival).await?);
        }
        let (issuer, client) = (&*arrival.client.issuer, &*arrival.client.id);
        sqlx::query(
            "INSERT INTO inbound (issuer, client, message, digest, document, outcome, at) VALUES (?,?,?,?,?,?,?)",
        )
        .bind(issuer)
        .bind(client)
        .bind(arrival.message)
        .bind(arrival.digest)
        .bind(arrival.document)
        .bind(arrival.outcome)
        .bind(now())
        .execute(&mut *write)
        .await?;
        if let Some(own) = &arrival.own {
            say((&mut write, &self.seal), own, &json!([issuer, client]).to_string(), arrival.point).await?;
        }
        if let Some(theirs) = &arrival.theirs {
            keep((&mut write, &self.seal), theirs, arrival).await?;
        }
        write.commit().await?;
        Ok(Taken::Now(answered))
    }

    /// Those whose receivers had time to answer and did not.
    pub async fn expire(&self) -> Result<Vec<Answered>, Error> {
        const SILENT: &str = "SELECT d.message, d.point, m.verb, m.noun, m.bod_id, m.cause FROM deliveries d
            JOIN messages m ON m.id = d.message
            WHERE d.state = 'delivered' AND d.answer_by IS NOT NULL AND d.answer_by <= ? ORDER BY d.answer_by LIMIT ?";
        let at = now();
        if sqlx::query(SILENT).bind(at).bind(1).fetch_optional(self.store.read()).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut write = self.store.write().await?;
        let rows = sqlx::query(SILENT).bind(at).bind(ROUND).fetch_all(&mut *write).await?;
        let mut expired = Vec::new();
        for row in &rows {
            let (message, point): (i64, String) = (row.try_get("message")?, row.try_get("point")?);
            let Some(state) = State::Delivered.after(Change::Expire) else { continue };
            change(&mut write, message, &point, state, "no answer came in its time").await?;
            expired.push(Answered {
                point,
                document: format!("{}.{}", row.try_get::<String, _>("verb")?, row.try_get::<String, _>("noun")?),
                bod_id: row.try_get("bod_id")?,
                cause: row.try_get("cause")?,
                result: state.as_str(),
            });
        }
        write.commit().await?;
        Ok(expired)
    }
}

async fn before(write: &mut Transaction<'static, Sqlite>, arrival: &Arrival<'_>) -> Result<Option<Taken>, Error> {
    let row: Option<(String, String)> =
        sqlx::query_as("SELECT digest, outcome FROM inbound WHERE issuer = ? AND client = ? AND message = ?")
            .bind(&*arrival.client.issuer)
            .bind(&*arrival.client.id)
            .bind(arrival.message)
            .fetch_optional(&mut **write)
            .await?;
    Ok(row.map(|(digest, outcome)| if digest == arrival.digest { Taken::Again { outcome } } else { Taken::Other }))
}

/// The delivery that a word speaks of: to this point and to no other.
async fn of(write: &mut Transaction<'static, Sqlite>, point: &str, word: &Word) -> Result<Option<Spoken>, Error> {
    let row = sqlx::query(
        "SELECT d.message, d.state, m.verb, m.noun, m.cause FROM messages m JOIN deliveries d ON d.message = m.id
         WHERE m.bod_id = ? AND d.point = ? AND d.sent IS NOT NULL AND m.noun <> ? ORDER BY m.id DESC LIMIT 1",
    )
    .bind(word.bod_id.clone())
    .bind(point)
    // Nobody answers an answer.
    .bind(NOUN)
    .fetch_optional(&mut **write)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (verb, noun): (String, String) = (row.try_get("verb")?, row.try_get("noun")?);
    if word.request.as_ref().is_some_and(|request| verb != "Process" || *request != noun) {
        return Ok(None);
    }
    let answered = Answered {
        point: point.to_owned(),
        document: format!("{verb}.{noun}"),
        bod_id: word.bod_id.clone(),
        cause: row.try_get("cause")?,
        result: "late",
    };
    let state = State::parse(&row.try_get::<String, _>("state")?).ok_or(Error::Damaged("state"))?;
    Ok(Some(Spoken { message: row.try_get("message")?, state, answered }))
}

async fn apply(
    write: &mut Transaction<'static, Sqlite>,
    spoken: Spoken,
    word: &Word,
    arrival: &Arrival<'_>,
) -> Result<Answered, Error> {
    let Spoken { message, state, mut answered } = spoken;
    let said = if word.good { Change::Confirm } else { Change::Reject };
    let by = format!("{} ({} of {})", word.words, arrival.message, arrival.client.id);
    let by = by.trim_start();
    match state.after(said) {
        Some(after) => {
            change(write, message, arrival.point, after, by).await?;
            answered.result = after.as_str();
        }
        None => {
            let word = if word.good { "accepted" } else { "rejected" };
            sqlx::query(
                "INSERT INTO changes (message, point, at, state, words) SELECT ?1, ?2, ?3, ?4, ?5
                 WHERE (SELECT count(*) FROM changes WHERE message = ?1 AND point = ?2) < ?6",
            )
            .bind(message)
            .bind(arrival.point)
            .bind(now())
            .bind(state.as_str())
            .bind(format!("came late and changes nothing: {word} {by}"))
            .bind(MOST_LATE)
            .execute(&mut **write)
            .await?;
        }
    }
    Ok(answered)
}

/// Into the next state, with its line in the history.
pub(super) async fn change(
    write: &mut Transaction<'static, Sqlite>,
    message: i64,
    point: &str,
    state: State,
    words: &str,
) -> Result<(), Error> {
    let at = now();
    sqlx::query(
        "UPDATE deliveries SET state = ?1, changed = ?2, answer_by = NULL, next_try = ?2,
            reason = CASE ?1 WHEN 'confirmed' THEN NULL ELSE ?3 END WHERE message = ?4 AND point = ?5",
    )
    .bind(state.as_str())
    .bind(at)
    .bind(words)
    .bind(message)
    .bind(point)
    .execute(&mut **write)
    .await?;
    sqlx::query("INSERT INTO changes (message, point, at, state, words) VALUES (?,?,?,?,?)")
        .bind(message)
        .bind(point)
        .bind(at)
        .bind(state.as_str())
        .bind(words)
        .execute(&mut **write)
        .await?;
    Ok(())
}

/// What is said to one client goes in its order, as the documents of one record do.
async fn say(
    (write, seal): (&mut Transaction<'static, Sqlite>, &Seal),
    own: &Own<'_>,
    record: &str,
    point: &str,
) -> Result<(), Error> {
    let (made, at) = (own.made, now());
    let row = sqlx::query(
        "INSERT INTO documents (noun, verb, company, record, division, deletes, cause, variation)
         VALUES (?1, ?2, 0, ?3, '', 0, ?4, ?5)
         ON CONFLICT (noun, verb, company, record) DO UPDATE SET variation = max(variation + 1, excluded.variation),
            cause = excluded.cause
         RETURNING id, variation",
    )
    .bind(NOUN)
    .bind(VERB)
    .bind(record)
    .bind(own.cause)
    .bind(made.variation.cast_signed())
    .fetch_one(&mut **write)
    .await?;
    let (document, variation): (i64, i64) = (row.try_get("id")?, row.try_get("variation")?);
    let message = sqlx::query(
        "INSERT INTO messages (document, bod_id, noun, verb, action, variation, tenant, lid, company, division, entity,
            location, document_id, created, cause, made, xml) VALUES (?,?,?,?,'',?,?,?,'','','','',?,?,?,?,?)",
    )
    .bind(document)
    .bind(made.bod_id.clone())
    .bind(NOUN)
    .bind(VERB)
    .bind(variation)
    .bind(made.tenant.clone())
    .bind(made.lid.clone())
    .bind(made.document_id.clone())
    .bind(made.created.clone())
    .bind(own.cause)
    .bind(at)
    .bind(seal.close(("xml", &made.bod_id), &made.xml)?.into_owned())
    .execute(&mut **write)
    .await?
    .last_insert_rowid();
    sqlx::query(
        "INSERT INTO deliveries (message, point, document, record, state, changed, kind)
         VALUES (?1, ?2, ?3, ?3, 'pending', ?4, ?5)",
    )
    .bind(message)
    .bind(point)
    .bind(document)
    .bind(at)
    .bind(format!("{VERB}.{NOUN}"))
    .execute(&mut **write)
    .await?;
    Ok(())
}
