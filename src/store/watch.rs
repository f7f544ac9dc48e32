//! Seeing that another connection committed something, by asking SQLite for its `data_version`.
//!
//! The connection that asks never writes, so it sees the commits of this process too.

use super::error::Error;
use sqlx::SqliteConnection;
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub struct Watch {
    connection: SqliteConnection,
    seen: i64,
}

impl Watch {
    pub(super) async fn over(mut connection: SqliteConnection) -> Result<Self, Error> {
        let seen = version(&mut connection).await?;
        Ok(Self { connection, seen })
    }

    /// Resolves after the next commit; several commits in between are one change. May be dropped and asked again.
    pub async fn changed(&mut self) -> Result<(), Error> {
        loop {
            let version = version(&mut self.connection).await?;
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

async fn version(connection: &mut SqliteConnection) -> Result<i64, Error> {
    let (version,): (i64,) = sqlx::query_as("PRAGMA data_version").fetch_one(connection).await?;
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::super::open::Store;
    use super::*;

    #[tokio::test]
    async fn a_commit_through_another_opening_of_the_file_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let ours = Store::open(folder.path()).await.expect("opens");
        ours.migrate("test", &["CREATE TABLE t (a INTEGER)"]).await.expect("migrates");
        let mut watch = ours.watch().await.expect("watches");
        let theirs = Store::open(folder.path()).await.expect("opens twice");
        let mut write = theirs.write().await.expect("a transaction");
        sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *write).await.expect("inserts");
        write.commit().await.expect("commits");
        let seen = tokio::time::timeout(Duration::from_secs(1), watch.changed()).await;
        assert!(matches!(seen, Ok(Ok(()))));
    }

    #[tokio::test]
    async fn without_a_commit_nothing_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("opens");
        let mut watch = store.watch().await.expect("watches");
        assert!(tokio::time::timeout(EVERY * 2, watch.changed()).await.is_err());
    }
}
