//! The signing keys in the store: the newest of an algorithm signs, older ones are published until what they signed
//! has expired.
//!
//! The private keys lie as PKCS#8 in the database, whose file and folder only this user can read.

use super::error::Error;
use super::schema;
use super::settings::SigningAlgorithm;
use super::signing::SigningKey;
use crate::orders;
use crate::store::{Error as StoreError, Store};
use serde_json::json;
use sqlx::{Sqlite, Transaction};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// What may be shown of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    pub kid: String,
    pub algorithm: SigningAlgorithm,
    pub created_at: u64,
    /// Since then it signs nothing any more.
    pub retired_at: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct SigningKeys {
    store: Store,
    /// Who changes them, for the audit log; `None` is this gateway itself.
    by: Option<Arc<str>>,
}

type Row = (String, String, Vec<u8>, i64, Option<i64>);

impl SigningKeys {
    pub async fn open(store: &Store) -> Result<Self, Error> {
        schema::prepare(store).await?;
        Ok(Self { store: store.clone(), by: None })
    }

    /// What is changed from here on is an operator's order, and stands in the audit log as his.
    pub fn by(self, who: &str) -> Self {
        Self { by: Some(who.into()), ..self }
    }

    /// Newest first.
    pub async fn list(&self) -> Result<Vec<KeyInfo>, Error> {
        Ok(self.rows().await?.into_iter().map(|(info, _)| info).collect())
    }

    /// A new key signs from now on. The old ones stay published, so no live token is lost.
    pub async fn rotate(&self, algorithm: SigningAlgorithm, now: u64) -> Result<KeyInfo, Error> {
        let (key, pkcs8) = generate(algorithm).await?;
        let mut write = self.store.write().await?;
        sqlx::query("UPDATE signing_keys SET retired_at = ? WHERE retired_at IS NULL")
            .bind(now.cast_signed())
            .execute(&mut *write)
            .await?;
        insert(&mut write, &key, &pkcs8, now).await?;
        if let Some(by) = &self.by {
            let members = json!({ "kid": key.kid, "algorithm": algorithm.as_str(), "by": &**by });
            let members = members.as_object().cloned().unwrap_or_default();
            orders::keep_with(&mut write, "keys-rotated", &members, now).await?;
        }
        write.commit().await?;
        Ok(KeyInfo { kid: key.kid, algorithm, created_at: now, retired_at: None })
    }

    /// Makes the first key of an algorithm. Keys of another one are retired: they only verify.
    pub(super) async fn ensure(&self, algorithm: SigningAlgorithm, now: u64) -> Result<(), Error> {
        let live = |info: &KeyInfo| info.retired_at.is_none();
        let keys = self.list().await?;
        if keys.iter().any(|info| live(info) && info.algorithm == algorithm) {
            return Ok(());
        }
        self.rotate(algorithm, now).await.map(drop)
    }

    /// Forgets keys whose last token has expired.
    pub(super) async fn purge(&self, retired_before: u64) -> Result<(), Error> {
        let mut write = self.store.write().await?;
        sqlx::query("DELETE FROM signing_keys WHERE retired_at < ?")
            .bind(retired_before.cast_signed())
            .execute(&mut *write)
            .await?;
        Ok(write.commit().await?)
    }

    /// Every key, newest first; those that are known already are not parsed again.
    pub(super) async fn load(
        &self,
        known: &HashMap<String, Arc<SigningKey>>,
    ) -> Result<Vec<(KeyInfo, Arc<SigningKey>)>, Error> {
        let mut keys = Vec::new();
        for (info, pkcs8) in self.rows().await? {
            let key = match known.get(&info.kid) {
                Some(key) => Arc::clone(key),
                None => Arc::new(SigningKey::read(info.algorithm, &pkcs8)?),
            };
            keys.push((info, key));
        }
        Ok(keys)
    }

    async fn rows(&self) -> Result<Vec<(KeyInfo, zeroize::Zeroizing<Vec<u8>>)>, Error> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT kid, algorithm, pkcs8, created_at, retired_at FROM signing_keys ORDER BY created_at DESC, rowid DESC",
        )
        .fetch_all(self.store.read())
        .await?;
        let read = |(kid, algorithm, pkcs8, created_at, retired_at): Row| {
            let damaged = StoreError::Damaged { what: "signing key" };
            let algorithm = SigningAlgorithm::parse(&algorithm).ok_or(damaged)?;
            let (created_at, retired_at) = (created_at.cast_unsigned(), retired_at.map(i64::cast_unsigned));
            Ok((KeyInfo { kid, algorithm, created_at, retired_at }, pkcs8.into()))
        };
        rows.into_iter().map(read).collect()
    }
}

async fn generate(algorithm: SigningAlgorithm) -> Result<(SigningKey, zeroize::Zeroizing<Vec<u8>>), Error> {
    spawn_blocking(move || SigningKey::generate(algorithm)).await.map_err(|_| Error::Task)?
}

async fn insert(
    write: &mut Transaction<'static, Sqlite>,
    key: &SigningKey,
    pkcs8: &[u8],
    now: u64,
) -> Result<(), Error> {
    sqlx::query("INSERT INTO signing_keys (kid, algorithm, pkcs8, created_at) VALUES (?, ?, ?, ?)")
        .bind(&key.kid)
        .bind(key.algorithm.as_str())
        .bind(pkcs8.to_vec())
        .bind(now.cast_signed())
        .execute(&mut **write)
        .await?;
    Ok(())
}
