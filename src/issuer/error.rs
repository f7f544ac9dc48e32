//! What can go wrong with clients and keys, as the operator sees it.

use crate::auth::BadKeySet;
use crate::store;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the database failed: {0}")]
    Query(#[from] sqlx::Error),
    #[error("there is a client named {0} already; revoke it first, or choose another name")]
    NameTaken(String),
    #[error("there is no live client named {0}")]
    NoSuchClient(String),
    #[error("{word:?} is no {what}: 1 to 64 visible characters without blanks, quotes and backslashes")]
    Word { what: &'static str, word: String },
    #[error("a client may have at most {most} {what}")]
    TooMany { what: &'static str, most: usize },
    #[error("{name} is no {what}: write it out, without wildcards and control characters")]
    Name { what: &'static str, name: String },
    #[error(
        "{0} has no secrets: it proves itself by a key or a certificate, of which another can be registered for it"
    )]
    NoSecret(String),
    #[error("{name} proves itself by {method}, and goes on so; for another way register another client")]
    OtherMethod { name: String, method: &'static str },
    #[error("the system gives no random numbers")]
    Random,
    #[error("a secret could not be hashed: {0}")]
    Hash(argon2::password_hash::Error),
    #[error("a signing key could not be made, read or used")]
    Key,
    #[error("the key set could not be read back: {0}")]
    KeySet(#[from] BadKeySet),
    #[error("a task ended early")]
    Task,
    #[error("cannot write {path}: {source}")]
    File { path: std::path::PathBuf, source: std::io::Error },
}
