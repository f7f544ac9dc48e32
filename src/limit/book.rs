//! What clients have used, in the store: how much was known when it was written, and how much may be used before it is
//! written again.

use super::calendar::Per;
use crate::model::ClientId;
use crate::store::{Error, Store};
use jiff::civil::Date;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

const STEPS: &[&str] = &["
    CREATE TABLE usage (
        issuer TEXT NOT NULL, client TEXT NOT NULL, per TEXT NOT NULL, first TEXT NOT NULL,
        used INTEGER NOT NULL, reserved INTEGER NOT NULL, written INTEGER NOT NULL,
        PRIMARY KEY (issuer, client, per)
    ) STRICT;
"];

/// Rows of clients that nobody has heard of for so long are forgotten.
const KEPT: u64 = 400 * 24 * 3_600;

/// The used of one client over one day or month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    pub client: ClientId,
    pub per: Per,
    /// The first day of what is counted over.
    pub first: Date,
    /// No less than this.
    pub used: u64,
    /// No more than this; a crash makes it the number that counts.
    pub reserved: u64,
}

#[derive(Debug, Clone)]
pub struct Book {
    store: Store,
}

impl Book {
    pub async fn open(store: &Store, now: u64) -> Result<Self, Error> {
        store.migrate("usage", STEPS).await?;
        let mut write = store.write().await?;
        sqlx::query("DELETE FROM usage WHERE written < ?")
            .bind(now.saturating_sub(KEPT).cast_signed())
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        Ok(Self { store: store.clone() })
    }

    /// All of them or none; written twice they are what they are.
    pub(super) async fn write(&self, all: &[Used], now: u64) -> Result<(), Error> {
        let mut write = self.store.write().await?;
        for one in all {
            sqlx::query(
                "INSERT INTO usage (issuer, client, per, first, used, reserved, written) VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (issuer, client, per) DO UPDATE SET first = excluded.first, used = excluded.used,
                 reserved = excluded.reserved, written = excluded.written",
            )
            .bind(one.client.issuer.to_string())
            .bind(one.client.id.to_string())
            .bind(one.per.word())
            .bind(one.first.to_string())
            .bind(one.used.cast_signed())
            .bind(one.reserved.cast_signed())
            .bind(now.cast_signed())
            .execute(&mut *write)
            .await?;
        }
        Ok(write.commit().await?)
    }

    pub(super) async fn of(&self, client: &ClientId) -> Result<Vec<Used>, Error> {
        let rows = sqlx::query("SELECT * FROM usage WHERE issuer = ? AND client = ?")
            .bind(client.issuer.to_string())
            .bind(client.id.to_string())
            .fetch_all(self.store.read())
            .await?;
        rows.iter().map(used).collect()
    }

    /// Of all clients, by name.
    pub async fn list(&self) -> Result<Vec<Used>, Error> {
        let rows = sqlx::query("SELECT * FROM usage ORDER BY issuer, client, per").fetch_all(self.store.read()).await?;
        rows.iter().map(used).collect()
    }
}

fn used(row: &SqliteRow) -> Result<Used, Error> {
    let damaged = || Error::Damaged { what: "client's usage" };
    let word = |column: &str| row.try_get::<String, _>(column);
    let number = |column: &str| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    Ok(Used {
        client: ClientId { issuer: word("issuer")?.into(), id: word("client")?.into() },
        per: Per::parse(&word("per")?).ok_or_else(damaged)?,
        first: word("first")?.parse().map_err(|_| damaged())?,
        used: number("used")?,
        reserved: number("reserved")?,
    })
}
