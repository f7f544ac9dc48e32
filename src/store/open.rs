//! Opening the file: modes of folder and files, durability, one writer and a few readers.

use super::error::Error;
use super::watch::Watch;
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool, Transaction};
use std::fs::{DirBuilder, OpenOptions, Permissions, set_permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE: &str = "gateway.db";
const READERS: u32 = 4;
/// How long a statement waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

/// The open database. A clone is the same database.
#[derive(Debug, Clone)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    path: PathBuf,
}

impl Store {
    /// Opens `gateway.db` in this folder; makes both when they are missing.
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        prepare(folder, &path).map_err(|source| Error::Folder { path: folder.to_owned(), source })?;
        let options = options(&path);
        let failed = |source| Error::opening(&path, source);
        // The writer first: it turns the journal to WAL before a reader looks.
        // A connection here is a file and a thread of this process: there is nothing to test before it is used.
        let pool = |most| SqlitePoolOptions::new().max_connections(most).test_before_acquire(false);
        let writer = pool(1).connect_with(options.clone()).await.map_err(failed)?;
        let readers = pool(READERS).connect_lazy_with(options);
        Ok(Self { writer, readers, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A transaction that holds the write lock from its start, so that what it read is still true when it commits.
    pub async fn write(&self) -> Result<Transaction<'static, Sqlite>, Error> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// `BEGIN IMMEDIATE`, statements and `COMMIT` in one text: one way to the store's thread and back, where a
    /// transaction's parts are one each. All of it holds, or nothing of it.
    pub async fn write_at_once(&self, all: Query<'_, Sqlite, SqliteArguments>) -> Result<(), Error> {
        let mut begun = Begun(Some(self.writer.acquire().await?));
        let Some(connection) = &mut begun.0 else { return Ok(()) };
        let done = all.execute(&mut **connection).await;
        if done.is_err() {
            // There is nothing to take back where it could not even begin.
            let _ = sqlx::query("ROLLBACK").execute(&mut **connection).await;
        }
        begun.0 = None;
        done?;
        Ok(())
    }

    /// Connections for reading.
    pub fn read(&self) -> &SqlitePool {
        &self.readers
    }

    /// Tells when anybody, in this process or another, has committed a change.
    pub async fn watch(&self) -> Result<Watch, Error> {
        let failed = |source| Error::Open { path: self.path.clone(), source };
        let connection = SqliteConnection::connect_with(&options(&self.path)).await.map_err(failed)?;
        Watch::over(connection).await
    }

    /// Finishes what is under way and folds the journal into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A connection on which a transaction may be half-way: whoever gives it up there has it closed, and nobody goes on in it.
struct Begun(Option<PoolConnection<Sqlite>>);

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}

/// Pages of the journal before they are folded into the file, which whoever commits then waits for.
const FOLDED_AT: &str = "8192";

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .pragma("trusted_schema", "OFF")
        .pragma("wal_autocheckpoint", FOLDED_AT)
}

/// The file is made here and not by SQLite, so that it never was readable for others; its journals take its mode.
fn prepare(folder: &Path, file: &Path) -> std::io::Result<()> {
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mode = folder.metadata()?.permissions().mode();
    // A folder such as /tmp belongs to everybody: closing it would break the machine.
    if mode & 0o1000 != 0 {
        return Err(std::io::Error::other("it is shared by all users; choose a folder of the gateway's own"));
    }
    if mode & 0o777 != 0o700 {
        set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(file)?;
    if file.metadata()?.permissions().mode() & 0o777 != 0o600 {
        set_permissions(file, Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().expect("the path exists").permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn nobody_else_can_read_the_state() {
        let base = tempfile::tempdir().expect("a folder");
        let folder = base.path().join("state");
        let store = Store::open(&folder).await.expect("opens");
        store.migrate("test", &["CREATE TABLE t (a INTEGER)"]).await.expect("migrates");
        assert_eq!(mode(&folder), 0o700);
        for name in [FILE, "gateway.db-wal", "gateway.db-shm"] {
            assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
        }
    }

    #[tokio::test]
    async fn a_loose_mode_is_tightened() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(FILE);
        std::fs::write(&file, b"").expect("writes");
        set_permissions(&file, Permissions::from_mode(0o644)).expect("a mode");
        Store::open(folder.path()).await.expect("opens");
        assert_eq!(mode(&file), 0o600);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_named() {
        let base = tempfile::NamedTempFile::new().expect("a file");
        let folder = base.path().join("state");
        let error = Store::open(&folder).await.expect_err("a file is no folder");
        assert!(error.to_string().contains(&folder.display().to_string()), "{error}");
    }

    #[tokio::test]
    async fn a_folder_shared_by_all_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        set_permissions(folder.path(), Permissions::from_mode(0o1777)).expect("a mode");
        assert!(matches!(Store::open(folder.path()).await, Err(Error::Folder { .. })));
        assert_eq!(mode(folder.path()), 0o777);
    }

    #[tokio::test]
    async fn what_is_written_at_once_holds_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("a store");
        let write = async |all: &'static str| store.write_at_once(sqlx::query(all)).await;
        write("BEGIN IMMEDIATE; CREATE TABLE t (n INTEGER UNIQUE) STRICT; INSERT INTO t VALUES (1); COMMIT")
            .await
            .unwrap();
        let twice = "BEGIN IMMEDIATE; INSERT INTO t VALUES (2); INSERT INTO t VALUES (1); COMMIT";
        write(twice).await.expect_err("one that is there already");
        // Given up wherever it was: nobody finds himself in what another began.
        for polls in 0..8 {
            let mut given_up =
                Box::pin(write("BEGIN IMMEDIATE; INSERT INTO t VALUES (3); INSERT INTO t VALUES (1); COMMIT"));
            for _ in 0..polls {
                if futures_util::poll!(given_up.as_mut()).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(given_up);
            write("BEGIN IMMEDIATE; DELETE FROM t WHERE n = 4; INSERT INTO t VALUES (4); COMMIT")
                .await
                .expect("its own");
        }
        let found: Vec<(i64,)> = sqlx::query_as("SELECT n FROM t ORDER BY n").fetch_all(store.read()).await.unwrap();
        assert_eq!(found, [(1,), (4,)]);
    }

    #[tokio::test]
    async fn commits_are_durable() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("opens");
        let mut connection = store.writer.acquire().await.expect("a connection");
        let (journal,): (String,) =
            sqlx::query_as("PRAGMA journal_mode").fetch_one(&mut *connection).await.expect("a row");
        let (synchronous,): (i64,) =
            sqlx::query_as("PRAGMA synchronous").fetch_one(&mut *connection).await.expect("a row");
        assert_eq!((journal.as_str(), synchronous), ("wal", 2));
    }
}
