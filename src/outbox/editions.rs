//! Records of a whole company: each of its divisions may have a document of its own, as a row behind the record's.
//!
//! Invariant: one that can't be read sets its record aside, and no other.

use super::due::{DAMAGED, DueDocument, Message, points};
use super::error::Error;
use super::ledger::Ledger;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

/// A point that has a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Has {
    pub point: String,
    /// Where the record stood when it was told the last time; `None`: where it is known to be.
    pub stood: Option<Stood>,
}

/// A record's division and location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stood {
    pub division: String,
    pub location: String,
}

/// As it stands in the store: most are a name alone.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Here(String),
    There(String, String, String),
}

impl From<Written> for Has {
    fn from(written: Written) -> Self {
        match written {
            Written::Here(point) => Self { point, stood: None },
            Written::There(point, division, location) => Self { point, stood: Some(Stood { division, location }) },
        }
    }
}

impl From<Has> for Written {
    fn from(has: Has) -> Self {
        match has.stood {
            None => Self::Here(has.point),
            Some(Stood { division, location }) => Self::There(has.point, division, location),
        }
    }
}

/// A division's own document of a record that is of the whole company, as it was told last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub division: String,
    pub location: Option<String>,
    /// The points that have it.
    pub told_at: Vec<Has>,
}

/// One of the documents that a reading of a record gives.
#[derive(Debug, Clone)]
pub struct Edition {
    /// `Some`: one of a record that has a document for each division. In its own order, and with its own number.
    pub division: Option<String>,
    /// One, and where a record leaves a filter others behind it.
    pub messages: Vec<Message>,
    /// The points that have the record now.
    pub told_at: Vec<Has>,
    /// Where the record is; `None`: where the first message says.
    pub now: Option<Stood>,
}

/// Called as what is set aside when one of them can't be read.
pub(super) const EDITIONS: &str = "SELECT edition_of AS id, known_division, known_location, told_at FROM documents
    WHERE edition_of IN (SELECT value FROM json_each(?1)) AND edition_of IS NOT NULL";

impl Ledger {
    pub(super) async fn with_editions(&self, mut documents: Vec<DueDocument>) -> Result<Vec<DueDocument>, Error> {
        let ids: Vec<i64> = documents.iter().map(|due| due.id).collect();
        if ids.is_empty() {
            return Ok(documents);
        }
        for row in &sqlx::query(EDITIONS).bind(json!(ids).to_string()).fetch_all(self.store.read()).await? {
            let of: i64 = row.try_get("id")?;
            match known(row) {
                Ok(known) => {
                    documents.iter_mut().filter(|due| due.id == of).for_each(|due| due.editions.push(known.clone()));
                }
                Err(error) => {
                    self.set_aside(DAMAGED, row, &error).await?;
                    documents.retain(|due| due.id != of);
                }
            }
        }
        Ok(documents)
    }
}

/// The row of a division's document: made with the first of its messages, and the same for all that follow.
pub(super) async fn row_of(
    write: &mut Transaction<'static, Sqlite>,
    due: &DueDocument,
    division: &str,
) -> Result<i64, Error> {
    let mut record: Vec<&str> = due.record.iter().map(String::as_str).collect();
    record.push(division);
    let row = sqlx::query(
        "INSERT INTO documents (noun, verb, company, record, division, deletes, cause, edition_of)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)
         ON CONFLICT (noun, verb, company, record) DO UPDATE SET cause = excluded.cause, edition_of = excluded.edition_of
         RETURNING id",
    )
    .bind(due.noun.clone())
    .bind(due.verb.clone())
    .bind(i64::from(due.company.number()))
    .bind(json!(record).to_string())
    .bind(division.to_owned())
    .bind(due.cause.clone())
    .bind(due.id)
    .fetch_one(&mut **write)
    .await?;
    Ok(row.try_get("id")?)
}

fn known(row: &SqliteRow) -> Result<Known, Error> {
    let division = row.try_get::<Option<String>, _>("known_division")?.ok_or(Error::Damaged("division"))?;
    Ok(Known { division, location: row.try_get("known_location")?, told_at: points(row)? })
}
