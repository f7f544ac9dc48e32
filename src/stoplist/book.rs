//! The entries in the store. Used by the running gateway and, in a process of its own, by the command line.
//!
//! Invariant: an entry that was lifted or is over is kept for a week, for whoever asks what held.

use super::entry::{Entry, Order, What};
use super::error::Error;
use crate::store::{Error as StoreError, Store};
use aws_lc_rs::rand;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

const STEPS: &[&str] = &["
    CREATE TABLE stops (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, issuer TEXT, subject TEXT, not_before INTEGER,
        reason TEXT NOT NULL, who TEXT NOT NULL, made INTEGER NOT NULL, until INTEGER,
        ended INTEGER, ended_by TEXT
    ) STRICT;
    CREATE INDEX stops_by_end ON stops (ended, until);
"];

/// Those that hold at the same time. All of them are in memory.
const MOST: usize = 100_000;
/// How long what no longer holds can still be read.
const KEPT: u64 = 7 * 24 * 3_600;

#[derive(Debug, Clone)]
pub struct Book {
    store: Store,
}

impl Book {
    pub async fn open(store: &Store) -> Result<Self, Error> {
        store.migrate("stoplist", STEPS).await?;
        Ok(Self { store: store.clone() })
    }

    /// All of an order or nothing of it.
    pub async fn add(&self, order: Order, now: u64) -> Result<Vec<Entry>, Error> {
        let order = order.checked(now)?;
        let mut made = Vec::with_capacity(order.what.len());
        let mut write = self.store.write().await?;
        let (held,): (i64,) =
            sqlx::query_as("SELECT count(*) FROM stops WHERE ended IS NULL AND (until IS NULL OR until > ?)")
                .bind(now.cast_signed())
                .fetch_one(&mut *write)
                .await?;
        if usize::try_from(held).unwrap_or(usize::MAX).saturating_add(order.what.len()) > MOST {
            return Err(Error::Full { most: MOST });
        }
        for what in order.what {
            let (reason, who) = (order.reason.clone(), order.who.clone());
            let entry = Entry { id: id(&what)?.into(), what, reason, who, made: now, until: order.until, ended: None };
            sqlx::query(
                "INSERT INTO stops (id, kind, issuer, subject, not_before, reason, who, made, until)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(entry.id.to_string())
            .bind(entry.what.kind())
            .bind(entry.what.issuer().map(str::to_owned))
            .bind(entry.what.subject())
            .bind(entry.what.before().map(u64::cast_signed))
            .bind(entry.reason.clone())
            .bind(entry.who.clone())
            .bind(now.cast_signed())
            .bind(entry.until.map(u64::cast_signed))
            .execute(&mut *write)
            .await?;
            made.push(entry);
        }
        write.commit().await?;
        Ok(made)
    }

    /// What holds now, in the order in which it was made.
    pub async fn list(&self, now: u64) -> Result<Vec<Entry>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM stops WHERE ended IS NULL AND (until IS NULL OR until > ?) ORDER BY made, rowid",
        )
        .bind(now.cast_signed())
        .fetch_all(self.store.read())
        .await?;
        rows.iter().map(entry).collect()
    }

    /// One entry, whether it still holds or not.
    pub async fn one(&self, id: &str) -> Result<Option<Entry>, Error> {
        let row = sqlx::query("SELECT * FROM stops WHERE id = ?")
            .bind(id.to_owned())
            .fetch_optional(self.store.read())
            .await?;
        row.as_ref().map(entry).transpose()
    }

    /// Lifts a block, or makes tokens good again that were revoked. `blocks`: which of both is meant.
    pub async fn end(&self, id: &str, blocks: bool, who: &str, now: u64) -> Result<Entry, Error> {
        let known = self.one(id).await?.filter(|entry| entry.holds(now) && entry.what.is_block() == blocks);
        let Some(entry) = known else { return Err(Error::NoSuchEntry(id.to_owned())) };
        let mut write = self.store.write().await?;
        sqlx::query("UPDATE stops SET ended = ?, ended_by = ? WHERE id = ? AND ended IS NULL")
            .bind(now.cast_signed())
            .bind(who.to_owned())
            .bind(id.to_owned())
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        Ok(Entry { ended: Some((now, who.to_owned())), ..entry })
    }

    /// Forgets what has not held for a week.
    pub(super) async fn tidy(&self, now: u64) -> Result<(), Error> {
        let mut write = self.store.write().await?;
        sqlx::query("DELETE FROM stops WHERE ended < ?1 OR until < ?1")
            .bind(now.saturating_sub(KEPT).cast_signed())
            .execute(&mut *write)
            .await?;
        Ok(write.commit().await?)
    }
}

fn id(what: &What) -> Result<String, Error> {
    let mut chance = [0; 6];
    rand::fill(&mut chance).map_err(|_| Error::Random)?;
    let digits: String = chance.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{digits}", if what.is_block() { "b" } else { "r" }))
}

fn entry(row: &SqliteRow) -> Result<Entry, Error> {
    let number = |column: &str| row.try_get::<Option<i64>, _>(column).map(|number| number.map(i64::cast_unsigned));
    let word = |column: &str| row.try_get::<Option<String>, _>(column);
    let kind: String = row.try_get("kind")?;
    let damaged = || StoreError::Damaged { what: "revocation or block" };
    let what = What::read(&kind, word("issuer")?, word("subject")?, number("not_before")?).ok_or_else(damaged)?;
    Ok(Entry {
        id: row.try_get::<String, _>("id")?.into(),
        what,
        reason: row.try_get("reason")?,
        who: row.try_get("who")?,
        made: number("made")?.ok_or_else(damaged)?,
        until: number("until")?,
        ended: number("ended")?.zip(word("ended_by")?),
    })
}
