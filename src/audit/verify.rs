//! Is the log whole? Every line hangs on the one before, every signature is the key's, and the newest one is reached.
//!
//! A log that does not begin with line 1 must hold a signed record that says where it was pruned.
//! What is removed, changed, put in or moved breaks the chain at that line. What was written behind the last signature
//! can be made anew by whoever may write the files; how many lines that are is said.

use super::chain::{Hash, Line, Link, hex, next, parse, unhex};
use super::cut::{self, Cut};
use super::error::Error;
use super::key::PublicKey;
use super::prune::{ends, not_said};
use super::writer::LONGEST;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The newest signature, beside the files.
pub(super) const HEAD: &str = "head.json";

/// Where a log stood when it was signed; a copy kept elsewhere shows that the end was cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub seq: u64,
    pub chain: String,
    pub signature: String,
}

impl Head {
    /// The one beside the files; `None` where there is none.
    pub fn beside(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join(HEAD)).ok()?).ok()
    }

    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub fn is_signed_by(&self, key: PublicKey) -> bool {
        unhex(&self.chain).is_some_and(|hash| key.signed(Link { seq: self.seq, hash }, &self.signature))
    }
}

/// Lines that no signature is behind. The gateway signs after a thousand lines at the latest, and writes no more than
/// about another thousand in one go: beyond this they are not its own.
pub(super) const MOST_UNSIGNED: u64 = 4_096;

/// Cuts that nobody has looked into, by the line that tells of them.
pub(super) type Cuts = BTreeMap<u64, Cut>;

/// A log that is whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    pub files: u64,
    pub lines: u64,
    /// Of the first line that is here; what came earlier was pruned.
    pub first: u64,
    pub last: u64,
    pub decisions: u64,
    pub checkpoints: u64,
    /// The newest record of lines that were pruned: up to which, when and by whom.
    pub pruned: Option<Record>,
    /// Lines that are gone, and that somebody has looked into.
    pub cuts: Vec<Cut>,
    /// Behind the last signature.
    pub unsigned: u64,
    /// Decisions that could not be kept, as the log itself counts them.
    pub lost: u64,
    /// Writes that were allowed and have no outcome: under way, or at M3 when the gateway was killed.
    pub open_writes: u64,
}

/// What a record of pruned lines says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    pub last: u64,
    pub time: String,
    pub by: String,
}

fn words_of(words: &Value) -> Record {
    let text = |name: &str| words[name].as_str().unwrap_or_default().to_owned();
    Record { last: words["last"].as_u64().unwrap_or_default(), time: text("time"), by: text("by") }
}

/// What is no read may have changed something in M3: a query over any table too. It has a line that says what became of it.
pub(super) fn awaits_outcome(decision: &Value) -> bool {
    decision["verdict"] == "allow" && decision["effect"].as_str().is_some_and(|effect| effect != "read")
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    pub file: PathBuf,
    /// From 1; 0 speaks of the whole file.
    pub line: u64,
    pub what: String,
}

/// Files of the log, the oldest first.
pub(super) fn files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Unreadable { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("decisions-") && name.ends_with(".jsonl") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Each whole line of the files in turn, with its file and its number there; ends early where `see` says so.
pub(super) fn each_line<E>(
    dir: &Path,
    see: impl FnMut(&Path, u64, &[u8]) -> Result<(), E>,
) -> Result<Result<(), E>, Error> {
    each_line_of(&files(dir)?, see)
}

pub(super) fn each_line_of<E>(
    files: &[PathBuf],
    mut see: impl FnMut(&Path, u64, &[u8]) -> Result<(), E>,
) -> Result<Result<(), E>, Error> {
    for path in files {
        let failed = |source| Error::Unreadable { path: path.clone(), source };
        let mut reader = BufReader::with_capacity(256 * 1024, File::open(path).map_err(failed)?);
        let (mut line, mut number) = (Vec::new(), 0);
        loop {
            line.clear();
            number += 1;
            let read = reader.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(failed)?;
            if read == 0 {
                break;
            }
            if line.pop() != Some(b'\n') {
                // Being written this moment, or torn by a kill: never told to anybody.
                break;
            }
            if let Err(end) = see(path, number, &line) {
                return Ok(Err(end));
            }
        }
    }
    Ok(Ok(()))
}

/// Reads the whole log. `head`: where it stood once, from beside the files or from a copy; a log without one may end
/// anywhere, and is not whole.
pub fn verify(dir: &Path, key: PublicKey, head: Option<&Head>) -> Result<Result<Verified, Broken>, Error> {
    let whole = |what: &str| Broken { file: dir.to_owned(), line: 0, what: what.to_owned() };
    if head.is_some_and(|head| !head.is_signed_by(key)) {
        return Ok(Err(whole("the newest signature beside the files is not this key's")));
    }
    let mut reading = Reading::new(key, head);
    if let Err(broken) = each_line(dir, |path, number, line| {
        reading.line(path, line).map_err(|what| Broken { file: path.to_owned(), line: number, what })
    })? {
        return Ok(Err(broken));
    }
    if let Some(head) = head.filter(|head| head.seq > reading.found.last) {
        let what = format!("the log ends with line {}, and line {} was signed", reading.found.last, head.seq);
        return Ok(Err(Broken { file: dir.to_owned(), line: 0, what }));
    }
    if let Some(begin) =
        reading.begin.filter(|(first, before)| *first > 1 && !reading.pruned.contains(&(first - 1, *before)))
    {
        return Ok(Err(whole(&not_said(begin.0))));
    }
    if let Some((line, cut)) = reading.cuts.first_key_value() {
        return Ok(Err(whole(&cut.told(*line))));
    }
    if reading.found.lines > 0 && reading.found.checkpoints == 0 {
        return Ok(Err(whole("no line is signed: whoever may write the files can have written all of them")));
    }
    if reading.found.lines > 0 && head.is_none() {
        return Ok(Err(whole(
            "the newest signature, head.json, is missing, so nobody can know what was cut off the end; give a copy with --head",
        )));
    }
    reading.found.open_writes = reading.open.len() as u64;
    Ok(Ok(reading.found))
}

pub(super) struct Reading<'a> {
    key: PublicKey,
    head: Option<&'a Head>,
    at: Option<Link>,
    file: Option<PathBuf>,
    /// The first line's number, and what it hangs on.
    begin: Option<(u64, Hash)>,
    /// Where files ended that signed records say were pruned.
    pruned: BTreeSet<(u64, Hash)>,
    cuts: Cuts,
    open: BTreeSet<String>,
    found: Verified,
}

impl<'a> Reading<'a> {
    pub(super) fn new(key: PublicKey, head: Option<&'a Head>) -> Self {
        let (pruned, cuts, open, found) = (BTreeSet::new(), Cuts::new(), BTreeSet::new(), Verified::default());
        Self { key, head, at: None, file: None, begin: None, pruned, cuts, open, found }
    }

    pub(super) fn begin(&self) -> Option<(u64, Hash)> {
        self.begin
    }

    pub(super) fn open_cuts(&self) -> &Cuts {
        &self.cuts
    }

    /// The last line that was read.
    pub(super) fn stands(&self) -> Option<Link> {
        self.at
    }

    pub(super) fn line(&mut self, path: &Path, text: &[u8]) -> Result<(), String> {
        let line = parse(text).map_err(|why| format!("this is no line of the log: {why}"))?;
        let kind = line.words["kind"].as_str().unwrap_or_default();
        let begins = self.file.as_deref() != Some(path);
        let named = line.words["before"].as_str().and_then(unhex);
        if begins {
            if kind != "file" {
                return Err("the first line of the file is not its beginning: lines before it were removed".into());
            }
            self.file = Some(path.to_owned());
            self.found.files += 1;
        }
        let before = match (self.at, named) {
            (Some(at), _) => at,
            // What came earlier was pruned: the file itself says what it hangs on, and a record must say the same.
            (None, Some(hash)) => Link { seq: line.seq.saturating_sub(1), hash },
            (None, None) => return Err("the file does not say what it hangs on".into()),
        };
        if line.seq != before.seq + 1 {
            return Err(format!("line {} of the log should stand here, and it is line {}", before.seq + 1, line.seq));
        }
        if begins && named != Some(before.hash) {
            return Err("the file does not hang on the one before it".into());
        }
        if next(&before.hash, line.text) != line.hash {
            return Err(
                "the line does not hang on the one before it: one of them was changed, removed or put in".into()
            );
        }
        if self.found.lines == 0 {
            self.found.first = line.seq;
            self.begin = Some((line.seq, before.hash));
            // A cut of a file that was pruned: the files behind it carry it on until somebody has looked into it.
            self.cuts.extend(line.words["cut"].as_u64().map(|at| (at, Cut::read(&Value::Null))));
        }
        let at = Link { seq: line.seq, hash: line.hash };
        if let Some(head) = self.head.filter(|head| head.seq == at.seq)
            && head.chain != hex(&at.hash)
        {
            return Err("another line than this one was signed".into());
        }
        self.found.lines += 1;
        self.found.last = line.seq;
        self.found.unsigned += 1;
        self.means(kind, &line, before)?;
        if self.found.unsigned > MOST_UNSIGNED {
            return Err(format!("it is the last of {MOST_UNSIGNED} lines and more without a signature"));
        }
        self.at = Some(at);
        Ok(())
    }
    /// What the line tells of the log itself.
    fn means(&mut self, kind: &str, line: &Line<'_>, before: Link) -> Result<(), String> {
        match kind {
            "checkpoint" => {
                if !self.key.signed(before, line.words["signature"].as_str().unwrap_or_default()) {
                    return Err("the signature is not this key's".into());
                }
                self.found.checkpoints += 1;
                self.found.unsigned = 0;
            }
            "pruned" => {
                let ends =
                    ends(&line.words, self.key).ok_or("the record of pruned lines is not signed with this key")?;
                self.found.pruned = ends.last().map(|_| words_of(&line.words));
                self.pruned.extend(ends);
            }
            "cut" => {
                self.cuts.insert(line.seq, Cut::read(&line.words));
            }
            "acknowledged" => {
                let to = cut::reaches(&line.words, self.key)
                    .ok_or("the word that a cut was looked into is not signed with this key")?;
                let text = |name: &str| line.words[name].as_str().map(str::to_owned);
                let later = self.cuts.split_off(&(to + 1));
                let looked = std::mem::replace(&mut self.cuts, later);
                self.found.cuts.extend(looked.into_values().map(|cut| Cut {
                    by: text("by"),
                    reason: text("reason"),
                    ..cut
                }));
            }
            "lost" => self.found.lost += line.words["lines"].as_u64().unwrap_or(0),
            "decision" => {
                self.found.decisions += 1;
                if awaits_outcome(&line.words) {
                    self.open.extend(line.words["id"].as_str().map(str::to_owned));
                }
            }
            "outcome" => {
                self.open.remove(line.words["id"].as_str().unwrap_or_default());
            }
            _ => {}
        }
        Ok(())
    }
}
