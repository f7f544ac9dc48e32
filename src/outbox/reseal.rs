//! Content from under one seal to another: when encryption is switched on or off, or its secret is another.
//!
//! Invariant: the store names every seal that its content may be under, before any of it is; a change that is cut short
//! goes on at the next start.

use super::error::Error;
use super::intent::Due;
use super::seal::{ANYWHERE, Place, Seal};
use crate::store::Store;
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Row, Sqlite, Transaction};

/// Where content stands: table, what names its row when it is sealed, column.
const CONTENT: [(&str, &str, &str); 6] = [
    ("intents", "CAST(id AS TEXT)", "fields"),
    ("intents", "CAST(id AS TEXT)", "outcome"),
    ("documents", "''", "before"),
    ("messages", "bod_id", "xml"),
    ("theirs", "bod_id", "xml"),
    ("comparisons", "CAST(id AS TEXT)", "found"),
];
/// At once, so that memory stays flat: rows, and bytes of them.
const ROWS: usize = 500;
const BYTES: usize = 4 * 1024 * 1024;

/// The gateway that writes: all content is under this seal when it returns.
pub(super) async fn take_on(store: &Store, seal: &Seal) -> Result<(), Error> {
    if is_under(store, seal).await? {
        return Ok(());
    }
    tracing::info!("the content of the outbox is sealed anew, as the settings of its encryption are others");
    let mut write = store.write().await?;
    sqlx::query("INSERT OR IGNORE INTO seals (name) VALUES (?)")
        .bind(seal.name().to_owned())
        .execute(&mut *write)
        .await?;
    write.commit().await?;
    for (table, row, column) in CONTENT {
        let mut last = i64::MIN;
        while let Some(next) = part(store, seal, (table, row, column), last).await? {
            last = next;
        }
        tracing::info!(table, column, "sealed anew");
    }
    images(store, seal).await?;
    // What it was before stands in pages that are free now, and in the journal. Until they are gone it is not done.
    store.write_at_once(sqlx::query("VACUUM")).await?;
    store.write_at_once(sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")).await?;
    let mut write = store.write().await?;
    sqlx::query("DELETE FROM seals WHERE name <> ?").bind(seal.name().to_owned()).execute(&mut *write).await?;
    Ok(write.commit().await?)
}

/// Whoever reads beside a gateway, and changes nothing of this.
pub(super) async fn expect(store: &Store, seal: &Seal) -> Result<(), Error> {
    if is_under(store, seal).await? { Ok(()) } else { Err(Error::OtherSeal) }
}

async fn is_under(store: &Store, seal: &Seal) -> Result<bool, Error> {
    let seals: Vec<(String,)> = sqlx::query_as("SELECT name FROM seals").fetch_all(store.read()).await?;
    Ok(matches!(seals.as_slice(), [(name,)] if name == seal.name()))
}

/// A part of a column in a commit of its own; the last row of it, while there are more.
async fn part(
    store: &Store,
    seal: &Seal,
    (table, row, column): (&str, &str, &'static str),
    behind: i64,
) -> Result<Option<i64>, Error> {
    let mut write = store.write().await?;
    let (mut last, mut held, mut found) = (None, 0, Vec::new());
    {
        let query = format!(
            "SELECT id, {row} AS row, {column} AS text FROM {table} WHERE id > ? AND {column} IS NOT NULL ORDER BY id LIMIT {ROWS}"
        );
        let mut rows = sqlx::query(AssertSqlSafe(query)).bind(behind).fetch(&mut *write);
        while let Some(one) = rows.try_next().await? {
            let (id, row, text): (i64, String, String) =
                (one.try_get("id")?, one.try_get("row")?, one.try_get("text")?);
            last = Some(id);
            held += text.len();
            if !seal.is_own(&text) && text != "[]" {
                found.push((id, anew(seal, (column, &row), text)?));
            }
            if held >= BYTES {
                break;
            }
        }
    }
    for (id, text) in found {
        let query = AssertSqlSafe(format!("UPDATE {table} SET {column} = ? WHERE id = ?"));
        sqlx::query(query).bind(text).bind(id).execute(&mut *write).await?;
    }
    write.commit().await?;
    Ok(last)
}

fn anew(seal: &Seal, place: Place<'_>, text: String) -> Result<String, Error> {
    let text = seal.open(place, text)?;
    Ok(seal.close(place, &text)?.into_owned())
}

/// Of records that are about to be deleted: they stand inside of what their intents tell.
async fn images(store: &Store, seal: &Seal) -> Result<(), Error> {
    let mut write = store.write().await?;
    let rows: Vec<(i64,)> =
        sqlx::query_as("SELECT id FROM intents WHERE instr(told, '\"before\"') > 0").fetch_all(&mut *write).await?;
    for (id,) in rows {
        image(&mut write, seal, id).await?;
    }
    Ok(write.commit().await?)
}

async fn image(write: &mut Transaction<'static, Sqlite>, seal: &Seal, id: i64) -> Result<(), Error> {
    let (told,): (String,) =
        sqlx::query_as("SELECT told FROM intents WHERE id = ?").bind(id).fetch_one(&mut **write).await?;
    let mut due: Vec<Due> = serde_json::from_str(&told).map_err(|_| Error::Damaged("write"))?;
    for before in due.iter_mut().filter_map(|due| due.before.as_mut()) {
        if !seal.is_own(before) {
            *before = anew(seal, ("before", ANYWHERE), std::mem::take(before))?;
        }
    }
    let told = serde_json::to_string(&due).unwrap_or_default();
    sqlx::query("UPDATE intents SET told = ? WHERE id = ?").bind(told).bind(id).execute(&mut **write).await?;
    Ok(())
}
