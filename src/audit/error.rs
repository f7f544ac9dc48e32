//! Why the log can't be begun or read. All of these are the operator's to mend.

use jiff::Timestamp;
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the audit folder {path} can't be used: {source}; make it writable, or name another with audit.dir", path = path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("the audit log {path} can't be read: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the key {path} of the audit log can't be used: {source}", path = path.display())]
    Key { path: PathBuf, source: io::Error },
    #[error(
        "the end of {path} is no line of an audit log: {why}; move the folder away to begin another, and keep it for whoever looks into this", path = path.display()
    )]
    Foreign { path: PathBuf, why: String },
    #[error(
        "another gateway writes the audit log in {path}; stop it, or give this one a folder of its own with audit.dir", path = .0.display()
    )]
    Taken(PathBuf),
    #[error(
        "{file}:{line}: {what}; the log is not as it was written: nothing was removed, see `mi-gateway audit verify`", file = file.display()
    )]
    NotWhole { file: PathBuf, line: u64, what: String },
    #[error("files of the audit log could not be removed: {0}; `mi-gateway audit prune` tries it again")]
    NotRemoved(io::Error),
    #[error("the audit log takes no lines at the moment; nothing was removed")]
    Closed,
    #[error(
        "the clock says {now}, and by the last line of the audit log it should be about {expected}: nothing is removed for its age until the clock is right, or has gone on from there for a day; `mi-gateway audit prune --keep-mib` removes by size"
    )]
    Clock { now: Timestamp, expected: Timestamp },
    #[error("the audit log's thread can't be started: {0}")]
    Thread(io::Error),
}
