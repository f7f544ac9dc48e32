//! Why an entry could not be made, lifted or read.

use crate::store;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the database failed: {0}")]
    Query(#[from] sqlx::Error),
    #[error("there is no live entry {0}; the list shows those that hold")]
    NoSuchEntry(String),
    #[error("{what} must be at most {most} characters without control characters")]
    Text { what: &'static str, most: usize },
    #[error("the end lies in the past")]
    Over,
    #[error("the token has expired; there is nothing to take back")]
    Expired,
    #[error(
        "there are {most} entries already; end a client's or an issuer's tokens up to an instant instead of one by one"
    )]
    Full { most: usize },
    #[error("the system gives no random numbers")]
    Random,
}

impl Error {
    /// Whose fault it is: whoever gave the order can mend it.
    pub fn is_of_the_order(&self) -> bool {
        match self {
            Self::NoSuchEntry(_) | Self::Text { .. } | Self::Over | Self::Expired | Self::Full { .. } => true,
            Self::Store(_) | Self::Query(_) | Self::Random => false,
        }
    }
}
