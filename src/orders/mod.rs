//! What operators did from the command line, kept until the running gateway has taken it into its audit log: that log has
//! one writer, and whoever gives an order is another process.
//!
//! Invariant: an order is kept in the transaction that carries it out, or before it; it is taken twice after a crash,
//! rather than never.
//! Does not know: the audit log, or what an order means.

#[cfg(test)]
mod tests;

use crate::store::{Error, Store};
use serde_json::{Map, Value};
use sqlx::{Sqlite, Transaction};

const STEPS: &[&str] = &["
    CREATE TABLE operator_orders (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind TEXT NOT NULL, members TEXT NOT NULL
    ) STRICT;
"];

/// Of one reading.
const MOST: i64 = 1_000;

/// What is to be written down: its kind, and members that name no secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub id: i64,
    /// When it was given, in seconds since 1970.
    pub at: u64,
    pub kind: String,
    pub members: Map<String, Value>,
}

#[derive(Debug, Clone)]
pub struct Orders {
    store: Store,
}

impl Orders {
    pub async fn open(store: &Store) -> Result<Self, Error> {
        prepare(store).await?;
        Ok(Self { store: store.clone() })
    }

    /// One that is carried out outside of the store: kept before it is.
    pub async fn keep(&self, kind: &str, members: &Map<String, Value>, now: u64) -> Result<(), Error> {
        let mut write = self.store.write().await?;
        keep_with(&mut write, kind, members, now).await?;
        Ok(write.commit().await?)
    }

    /// Those that nobody has taken yet, the oldest first.
    pub async fn waiting(&self) -> Result<Vec<Order>, Error> {
        let rows: Vec<(i64, i64, String, String)> =
            sqlx::query_as("SELECT id, at, kind, members FROM operator_orders ORDER BY id LIMIT ?")
                .bind(MOST)
                .fetch_all(self.store.read())
                .await?;
        let order = |(id, at, kind, members): (i64, i64, String, String)| {
            let members = serde_json::from_str(&members).map_err(|_| Error::Damaged { what: "operator's order" })?;
            Ok(Order { id, at: at.cast_unsigned(), kind, members })
        };
        rows.into_iter().map(order).collect()
    }

    /// They are in the audit log, up to and with this one.
    pub async fn taken(&self, last: i64) -> Result<(), Error> {
        let mut write = self.store.write().await?;
        sqlx::query("DELETE FROM operator_orders WHERE id <= ?").bind(last).execute(&mut *write).await?;
        Ok(write.commit().await?)
    }
}

/// For whoever keeps orders with what they change.
pub async fn prepare(store: &Store) -> Result<(), Error> {
    store.migrate("orders", STEPS).await
}

/// In the transaction that carries it out.
pub async fn keep_with(
    write: &mut Transaction<'static, Sqlite>,
    kind: &str,
    members: &Map<String, Value>,
    now: u64,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO operator_orders (at, kind, members) VALUES (?, ?, ?)")
        .bind(now.cast_signed())
        .bind(kind)
        .bind(Value::Object(members.clone()).to_string())
        .execute(&mut **write)
        .await?;
    Ok(())
}
