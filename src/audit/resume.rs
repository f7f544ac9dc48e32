//! Where the last run left the log, and whether everything that it signed is still there.
//!
//! The newest signature is kept beside the files, and written only once its lines are on the disk: no crash leaves it
//! ahead of them. So a log that ends before it, or has another line in its place, was cut, put back or exchanged.
//! Does not know: what is done about that.

use super::chain::{Link, hex, parse};
use super::cut::{Gone, reaches};
use super::error::Error;
use super::key::PublicKey;
use super::verify::{HEAD, Head, each_line_of, files};
use super::writer::LONGEST;
use jiff::Timestamp;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Where the last run left the log.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) link: Link,
    /// The last file with a whole line, and how much of it is good.
    pub(super) file: Option<(PathBuf, u64)>,
    /// Files behind it in which no line is whole.
    pub(super) empty: Vec<PathBuf>,
    /// Bytes of a line without its end.
    pub(super) torn: u64,
    /// The last line's time, in seconds since 1970.
    pub(super) time: Option<u64>,
    /// The line of a cut that nobody has looked into.
    pub(super) cut: Option<u64>,
    /// What was signed and is not there.
    pub(super) gone: Option<Gone>,
    /// Neither a line nor a signature: nothing was ever written here.
    pub(super) fresh: bool,
}

pub(super) fn left(dir: &Path, key: PublicKey) -> Result<Left, Error> {
    let unreadable = |source| Error::Unreadable { path: dir.join(HEAD), source };
    // Bytes that are no text are no signature either, and evidence all the same.
    let head = match fs::read(dir.join(HEAD)) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(error)),
    };
    let (mut left, mut earlier) = (
        Left {
            link: Link::START,
            file: None,
            empty: Vec::new(),
            torn: 0,
            time: None,
            cut: None,
            gone: None,
            fresh: false,
        },
        files(dir)?,
    );
    while let Some(path) = earlier.last() {
        let Some(end) = end_of(path)? else {
            left.empty.extend(earlier.pop());
            continue;
        };
        (left.link, left.torn, left.time) = (end.link, end.behind, end.time);
        left.file = Some((path.clone(), end.good));
        left.cut = open_cut(path, key)?;
        break;
    }
    left.fresh = left.file.is_none() && head.is_none();
    left.gone = gone(&earlier, key, left.link, head)?;
    Ok(left)
}

/// What the newest signature says of where the log ends now.
fn gone(files: &[PathBuf], key: PublicKey, at: Link, head: Option<String>) -> Result<Option<Gone>, Error> {
    let found = |to, why, head| Ok(Some(Gone { from: at.seq + 1, to, why, head }));
    let Some(text) = head else {
        return if at == Link::START {
            Ok(None)
        } else {
            found(None, "the newest signature, head.json, is missing", None)
        };
    };
    let Some(head) = Head::parse(&text).filter(|head| head.is_signed_by(key)) else {
        return found(None, "head.json holds no signature of this key", Some(text));
    };
    if head.seq > at.seq {
        return found(Some(head.seq), "they had been signed", Some(text));
    }
    match line(files, head.seq)? {
        // Behind what was pruned: a signature that could not be renewed for long.
        None => Ok(None),
        Some(chain) if chain == head.chain => Ok(None),
        Some(_) => {
            let why = "other lines stand in the place of those that had been signed";
            // Nobody can know where they begin to be others: at the line that was signed at the latest.
            Ok(Some(Gone { from: head.seq, to: Some(at.seq), why, head: Some(text) }))
        }
    }
}

/// The hash that a line bears. The last file that begins before it has it.
fn line(files: &[PathBuf], seq: u64) -> Result<Option<String>, Error> {
    let start = format!("{{\"seq\":{seq},");
    for path in files.iter().rev() {
        let (mut begins_before, mut found) = (false, None);
        let read = each_line_of(std::slice::from_ref(path), |_, number, text| {
            if number == 1 {
                begins_before = parse(text).is_ok_and(|line| line.seq <= seq);
            }
            if text.starts_with(start.as_bytes()) {
                found = parse(text).ok().map(|line| hex(&line.hash));
            }
            if begins_before && found.is_none() { Ok(()) } else { Err(()) }
        })?;
        debug_assert!(read.is_err() || found.is_none());
        if begins_before {
            // A line of that number that is not to be read is another one than was signed.
            return Ok(Some(found.unwrap_or_default()));
        }
    }
    Ok(None)
}

/// The newest cut that nobody has looked into. Each file's first line carries on one of the file before.
fn open_cut(path: &PathBuf, key: PublicKey) -> Result<Option<u64>, Error> {
    const KINDS: [&[u8]; 3] = [b"\"kind\":\"file\"", b"\"kind\":\"cut\"", b"\"kind\":\"acknowledged\""];
    let mut open = None;
    let read: Result<(), ()> = each_line_of(std::slice::from_ref(path), |_, _, text| {
        if !KINDS.iter().any(|kind| text.windows(kind.len()).take(64).any(|part| part == *kind)) {
            return Ok(());
        }
        let Ok(words) = serde_json::from_slice::<Value>(text) else { return Ok(()) };
        match words["kind"].as_str() {
            Some("file") => open = open.max(words["cut"].as_u64()),
            Some("cut") => open = words["seq"].as_u64(),
            Some("acknowledged") if reaches(&words, key) >= open => open = None,
            _ => {}
        }
        Ok(())
    })?;
    debug_assert!(read.is_ok());
    Ok(open)
}

struct End {
    link: Link,
    /// The length of what is good, and what lies behind it.
    good: u64,
    behind: u64,
    time: Option<u64>,
}

/// `None`: no whole line.
fn end_of(path: &Path) -> Result<Option<End>, Error> {
    let failed = |source| Error::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let from = length.saturating_sub(2 * LONGEST);
    file.seek(SeekFrom::Start(from)).map_err(failed)?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).map_err(failed)?;
    // A line without its end was never told to anybody.
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else { return Ok(None) };
    let start = tail[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = parse(&tail[start..end]).map_err(|why| Error::Foreign { path: path.to_owned(), why: why.to_owned() })?;
    let good = from + end as u64 + 1;
    let (link, time) = (Link { seq: line.seq, hash: line.hash }, seconds(&line.words));
    Ok(Some(End { link, good, behind: length - good, time }))
}

/// A line's time, in seconds since 1970.
pub(super) fn seconds(words: &Value) -> Option<u64> {
    let time: Timestamp = words["time"].as_str()?.parse().ok()?;
    u64::try_from(time.as_second()).ok()
}
