//! Files that are taken off the log's old end, and the signed record that says so.
//!
//! Whole files go, the oldest first, never the one that is written, and only those that were found whole just before.
//! What went is a line of the log itself, with a signature of its own: from where to where, the hash at the end of each
//! file, when and by whom. Whoever removes a file in another way can't say so, and `verify` finds that it is gone.
//! Nothing is removed unless the settings or an operator ask for it.

use super::chain::{Hash, hex, unhex};
use super::cut;
use super::decision::now;
use super::error::Error;
use super::key::{Key, PublicKey};
use super::resume::seconds;
use super::verify::{Broken, Cuts, Reading, each_line_of, files};
use crate::clock::unix_seconds;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How much of the log stays; nothing is removed for a bound that is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// A file goes once its newest line is older than so many days.
    pub days: Option<u64>,
    /// The oldest files go while all together are larger than this.
    pub bytes: Option<u64>,
}

impl Keep {
    pub fn everything(self) -> bool {
        self == Self::default()
    }
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    pub files: Vec<PathBuf>,
    /// Numbers of the first and the last line that went.
    pub first: u64,
    pub last: u64,
}

/// The old end of a log, read and found whole.
#[derive(Debug)]
pub(super) struct Prefix {
    pub(super) pruned: Pruned,
    /// Where each file ends.
    ends: Vec<(u64, Hash)>,
}

impl Prefix {
    /// What may go; `None`: nothing.
    pub(super) fn find(dir: &Path, key: PublicKey, keep: Keep) -> Result<Option<Self>, Error> {
        let files = files(dir)?;
        let many = old(&files, keep)?;
        let Some((old, rest)) = files.split_at_checked(many).filter(|(old, _)| !old.is_empty()) else {
            return Ok(None);
        };
        let mut reading = Reading::new(key, None);
        let (mut ends, mut begin) = (Vec::new(), None);
        // Of the file behind them the first line alone: that it hangs on them.
        for path in old.iter().chain(rest.first()) {
            let last = rest.first() == Some(path);
            let read = each_line_of(std::slice::from_ref(path), |path, number, line| {
                let broken = |what| Some(Broken { file: path.to_owned(), line: number, what });
                reading.line(path, line).map_err(broken)?;
                if last { Err(None) } else { Ok(()) }
            })?;
            if let Err(Some(Broken { file, line, what })) = read {
                return Err(Error::NotWhole { file, line, what });
            }
            begin = begin.or(reading.begin());
            ends.extend(reading.stands().filter(|_| !last).map(|link| (link.seq, link.hash)));
        }
        let Some((first, before)) = begin else { return Ok(None) };
        if let Some(what) = said(&files, key, (first, before), reading.open_cuts())? {
            return Err(Error::NotWhole { file: old[0].clone(), line: 1, what });
        }
        let last = ends.last().map_or(0, |(last, _)| *last);
        Ok(Some(Self { pruned: Pruned { files: old.to_vec(), first, last }, ends }))
    }

    /// The words of the record.
    pub(super) fn record(&self, by: &str, key: &Key) -> Vec<u8> {
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let ends = self.ends.iter().zip(&self.pruned.files);
        let files: Vec<Value> =
            ends.map(|((last, hash), path)| json!({ "file": name(path), "last": last, "hash": hex(hash) })).collect();
        let Pruned { first, last, .. } = self.pruned;
        let mut words =
            json!({ "kind": "pruned", "time": now(), "by": by, "first": first, "last": last, "files": files });
        words["signature"] = key.sign_words(&statement(&words)).into();
        words.to_string().into_bytes()
    }

    /// The oldest first: wherever this stops, the log begins where a file of the record ended.
    pub(super) fn remove(&self) -> io::Result<()> {
        for file in &self.pruned.files {
            match fs::remove_file(file) {
                // Somebody who was asked the same was faster.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match self.pruned.files.first().and_then(|file| file.parent()) {
            Some(dir) => fs::File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    }
}

pub(super) fn not_said(first: u64) -> String {
    format!("lines 1 to {} are not here, and no signed record says that they were pruned", first - 1)
}

/// What is signed: the record as it stands, but for what the log puts around it.
fn statement(words: &Value) -> String {
    format!("mi-gateway audit pruned {}", cut::bare(words))
}

/// Where files ended that this record says were pruned; `None`: it is not the key's.
pub(super) fn ends(words: &Value, key: PublicKey) -> Option<Vec<(u64, Hash)>> {
    if !key.signed_words(&statement(words), words["signature"].as_str()?) {
        return None;
    }
    let files = words["files"].as_array()?;
    files.iter().map(|file| Some((file["last"].as_u64()?, file["hash"].as_str().and_then(unhex)?))).collect()
}

/// Files of one record, whose line must not be longer than a line may be.
const MOST: usize = 1_000;

/// How many of the oldest files may go; never all.
fn old(files: &[PathBuf], keep: Keep) -> Result<usize, Error> {
    let spare = files.len().saturating_sub(1).min(MOST);
    let mut many = 0;
    if let Some(bytes) = keep.bytes {
        let failed = |path: &PathBuf| {
            let path = path.clone();
            |source| Error::Unreadable { path, source }
        };
        let sizes: Result<Vec<u64>, _> =
            files.iter().map(|path| fs::metadata(path).map(|found| found.len()).map_err(failed(path))).collect();
        let sizes = sizes?;
        let mut all: u64 = sizes.iter().sum();
        while many < spare && all > bytes {
            all -= sizes[many];
            many += 1;
        }
    }
    if let Some(days) = keep.days {
        let since = unix_seconds().saturating_sub(days.saturating_mul(24 * 3_600));
        // No line of a file is newer than the first one of the next.
        while many < spare && begun(&files[many + 1])?.is_some_and(|begun| begun < since) {
            many += 1;
        }
    }
    Ok(many)
}

fn begun(path: &PathBuf) -> Result<Option<u64>, Error> {
    let mut begun = None;
    let read = each_line_of(std::slice::from_ref(path), |_, _, line| {
        let words: Option<Value> = serde_json::from_slice(line).ok();
        begun = words.as_ref().and_then(seconds);
        Err(())
    })?;
    debug_assert!(read.is_err() || begun.is_none());
    Ok(begun)
}

/// What the log's records leave unsaid of its old end: where it begins, or a cut that nobody has looked into. Every
/// record counts: a later one may have been written whose files are still here.
fn said(files: &[PathBuf], key: PublicKey, begin: (u64, Hash), cuts: &Cuts) -> Result<Option<String>, Error> {
    const KINDS: [&[u8]; 2] = [b"\"kind\":\"pruned\"", b"\"kind\":\"acknowledged\""];
    let (first, before) = begin;
    let mut told = first <= 1;
    let mut open = cuts.clone();
    for path in files.iter().rev() {
        if told && open.is_empty() {
            break;
        }
        let read: Result<(), ()> = each_line_of(std::slice::from_ref(path), |_, _, line| {
            if !KINDS.iter().any(|kind| line.windows(kind.len()).take(64).any(|part| part == *kind)) {
                return Ok(());
            }
            let Ok(words) = serde_json::from_slice::<Value>(line) else { return Ok(()) };
            if words["kind"] == "pruned" {
                told |= ends(&words, key).is_some_and(|ends| ends.contains(&(first - 1, before)));
            } else if let Some(to) = cut::reaches(&words, key) {
                open.retain(|line, _| *line > to);
            }
            Ok(())
        })?;
        debug_assert!(read.is_ok());
    }
    if !told {
        return Ok(Some(not_said(first)));
    }
    Ok(open.first_key_value().map(|(line, cut)| cut.told(*line)))
}
