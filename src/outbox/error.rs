//! Why the outbox can't keep what it is given.

use crate::store;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Store(#[from] store::Error),
    #[error("{path}: {source}; make the folder of the outbox writable, or name another with state.dir", path = path.display())]
    Key { path: PathBuf, source: std::io::Error },
    /// More wait for the disk than may wait.
    #[error("too many writes wait for the outbox")]
    Full,
    /// It holds as much as it may.
    #[error("the outbox is full: {0}")]
    TooLarge(String),
    /// The commit failed; the reason stands in the log and in readiness.
    #[error("the outbox can't be written: {0}")]
    Unwritten(String),
    #[error("the outbox holds a {0} that can't be read")]
    Damaged(&'static str),
    /// Under a secret that the settings don't have.
    #[error(
        "the outbox holds content that was sealed with another secret ({by}); name that one as \
         outbox.encryption.former.NAME: without it the content is lost"
    )]
    Sealed { by: String },
    #[error(
        "the content of the outbox is not sealed as [outbox.encryption] says; start the gateway once with these settings, \
         and it is sealed anew"
    )]
    OtherSeal,
    #[error("nothing in the outbox is called {name}; see `mi-gateway outbox list`")]
    Unknown { name: String },
    /// It is there, and the order means nothing for it.
    #[error("{name} is {is}, and this order changes nothing of it; {fits}")]
    Unfit { name: String, is: String, fits: String },
    #[error(
        "M3 gave the record its number and the answer was lost: look up {names} in M3 and say it with --key NAME=VALUE \
         (key), or settle the write without a document with --no-document (no_document)"
    )]
    Unnamed { names: String },
    #[error("no document of this write is still to be named by {name}, or its value is blank")]
    NoSuchPart { name: String },
    #[error("this entry is of one record, and the parts of its name are said once each")]
    OneRecord,
}

impl Error {
    /// What was ordered is wrong; the store is well.
    pub fn is_of_the_order(&self) -> bool {
        matches!(
            self,
            Self::Unknown { .. }
                | Self::Unfit { .. }
                | Self::Unnamed { .. }
                | Self::NoSuchPart { .. }
                | Self::OneRecord
        )
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}
