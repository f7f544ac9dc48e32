//! Where the log lies, what must be in it before a call goes on, and what of a call it tells.

use super::prune::Keep;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Whose line must be on the disk before M3 is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Required {
    /// A write that can't be written down is refused; a read goes on, and is counted when its line is lost.
    Writes,
    /// Reads wait as well.
    All,
    /// Nobody waits, and nothing is refused on the log's account.
    Nothing,
}

/// Which inputs of a call stand in its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fields {
    /// Those that name a record: item, customer, order …
    Keys,
    All,
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub dir: PathBuf,
    /// The seed of the signing key; made when it is missing.
    pub key: PathBuf,
    pub required: Required,
    pub fields: Fields,
    /// Fields besides the sensitive ones whose values are hashed.
    pub hashed: BTreeSet<String>,
    /// A file is ended once it is this long.
    pub file_bytes: u64,
    /// A signature at least every so many lines, and so long after a line.
    pub checkpoint_lines: u64,
    pub checkpoint_every: Duration,
    /// How long a line may wait for the disk: then its call is refused, and the log is no longer ready.
    pub patience: Duration,
    /// What is removed again; everything stays unless this says otherwise.
    pub keep: Keep,
}

impl Settings {
    pub fn under(dir: PathBuf, key: PathBuf) -> Self {
        Self {
            dir,
            key,
            required: Required::Writes,
            fields: Fields::Keys,
            hashed: BTreeSet::new(),
            file_bytes: 64 * 1024 * 1024,
            checkpoint_lines: 1_000,
            checkpoint_every: Duration::from_secs(10),
            patience: Duration::from_secs(10),
            keep: Keep::default(),
        }
    }
}
