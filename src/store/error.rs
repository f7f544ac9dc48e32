//! What can go wrong with the state on the disk, and what to do about it.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot use the state folder {path}: {source}; make it writable for this user or set state.dir")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("cannot open the database {path}: {source}; check that this user may write it and that the disk has room")]
    Open { path: PathBuf, source: sqlx::Error },
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
    Query(#[from] sqlx::Error),
    #[error("the database holds a {what} that cannot be read")]
    Damaged { what: &'static str },
}

impl Error {
    /// A busy or locked database may be free a moment later; nothing was written.
    pub fn may_repeat(&self) -> bool {
        match self {
            Self::Query(sqlx::Error::PoolTimedOut) => true,
            // 5 is SQLITE_BUSY and 6 SQLITE_LOCKED; the rest of the number is SQLite's extended reason.
            Self::Query(sqlx::Error::Database(error)) => {
                error.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| matches!(code & 0xff, 5 | 6))
            }
            _ => false,
        }
    }
}
