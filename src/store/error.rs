//! What can go wrong with the state on the disk, and what to do about it.

use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot use the state folder {path}: {source}; make it writable for this user or set state.dir")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("cannot open the database {path}: {source}; check that this user may write it and that the disk has room")]
    Open { path: PathBuf, source: sqlx::Error },
    /// An empty one in its place would forget what it owes.
    #[error(
        "the database {path} is damaged ({source}); restore a copy, or rescue what it holds with `sqlite3 {path} .recover`"
    )]
    Corrupt { path: PathBuf, source: sqlx::Error },
    #[error(
        "migration {number} of {owner} in {path} was applied with another text; \
         this file belongs to another version of the gateway: use that version, or another state.dir"
    )]
    Changed { path: PathBuf, owner: &'static str, number: usize },
    #[error(
        "{path} holds {found} migrations of {owner} and this version knows {known}; \
         use the newer gateway, or another state.dir"
    )]
    Newer { path: PathBuf, owner: &'static str, found: usize, known: usize },
    #[error("the database failed: {0}")]
    Query(sqlx::Error),
    /// While it is open.
    #[error(
        "the database is damaged ({0}); end the gateway, and restore a copy, or rescue what gateway.db holds with \
         `sqlite3 gateway.db .recover`"
    )]
    Broken(sqlx::Error),
    #[error("the database holds a {what} that cannot be read")]
    Damaged { what: &'static str },
}

impl From<sqlx::Error> for Error {
    fn from(source: sqlx::Error) -> Self {
        if is_damage(&source) { Self::Broken(source) } else { Self::Query(source) }
    }
}

fn is_damage(error: &sqlx::Error) -> bool {
    // 11 is SQLITE_CORRUPT, and 26 SQLITE_NOTADB.
    matches!(code(error), Some(11 | 26))
}

impl Error {
    pub(super) fn opening(path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        if is_damage(&source) { Self::Corrupt { path, source } } else { Self::Open { path, source } }
    }

    /// A busy or locked database may be free a moment later; nothing was written.
    pub fn may_repeat(&self) -> bool {
        match self {
            Self::Query(sqlx::Error::PoolTimedOut) => true,
            // 5 is SQLITE_BUSY and 6 SQLITE_LOCKED; the rest of the number is SQLite's extended reason.
            Self::Query(error) => matches!(code(error), Some(5 | 6)),
            _ => false,
        }
    }
}

/// SQLite's own number, without its extension.
fn code(error: &sqlx::Error) -> Option<u32> {
    let sqlx::Error::Database(error) = error else { return None };
    error.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff)
}
