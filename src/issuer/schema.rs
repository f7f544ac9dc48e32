//! The issuer's tables. A step that was released is never changed; a new one is added.

use crate::orders;
use crate::store::{Error, Store};

const STEPS: &[&str] = &[
    "
    CREATE TABLE clients (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, tenant TEXT NOT NULL,
        secret_hash TEXT NOT NULL, saak TEXT NOT NULL UNIQUE, sask_hash TEXT NOT NULL,
        scopes TEXT NOT NULL, client_groups TEXT NOT NULL,
        m3_user TEXT, company INTEGER, division TEXT,
        generation INTEGER NOT NULL, created_at INTEGER NOT NULL, rotated_at INTEGER, revoked_at INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX clients_by_name ON clients (name) WHERE revoked_at IS NULL;
    CREATE TABLE signing_keys (
        kid TEXT PRIMARY KEY, algorithm TEXT NOT NULL, pkcs8 BLOB NOT NULL,
        created_at INTEGER NOT NULL, retired_at INTEGER
    ) STRICT;
    CREATE TABLE ended_families (family TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT;
",
    "
    ALTER TABLE clients ADD COLUMN companies TEXT NOT NULL DEFAULT '';
    ALTER TABLE clients ADD COLUMN divisions TEXT NOT NULL DEFAULT '';
    ALTER TABLE clients ADD COLUMN run_as TEXT NOT NULL DEFAULT '';
",
    "ALTER TABLE clients ADD COLUMN language TEXT",
    "ALTER TABLE clients ADD COLUMN dpop INTEGER NOT NULL DEFAULT 0",
    "
    ALTER TABLE clients ADD COLUMN auth TEXT NOT NULL DEFAULT 'secret';
    ALTER TABLE clients ADD COLUMN auth_with TEXT;
    ALTER TABLE clients ADD COLUMN bound INTEGER NOT NULL DEFAULT 0;
",
    "ALTER TABLE clients ADD COLUMN rid_is_key INTEGER NOT NULL DEFAULT 0",
    // The longest life that a token was ever given; under the settings of before it was a year at the most.
    "
    CREATE TABLE lifetimes (one INTEGER PRIMARY KEY CHECK (one = 1), longest INTEGER NOT NULL) STRICT;
    INSERT INTO lifetimes SELECT 1, 31536000 WHERE EXISTS (SELECT 1 FROM clients);
",
];

pub(super) async fn prepare(store: &Store) -> Result<(), Error> {
    orders::prepare(store).await?;
    store.migrate("issuer", STEPS).await
}

/// How long the oldest token may live that was ever made, now that one may live so long.
pub(super) async fn longest_life(store: &Store, now: u64) -> Result<u64, Error> {
    let mut write = store.write().await?;
    let (longest,): (i64,) = sqlx::query_as(
        "INSERT INTO lifetimes VALUES (1, ?) ON CONFLICT DO UPDATE SET longest = max(longest, excluded.longest)
         RETURNING longest",
    )
    .bind(now.cast_signed())
    .fetch_one(&mut *write)
    .await?;
    write.commit().await?;
    Ok(longest.cast_unsigned())
}
