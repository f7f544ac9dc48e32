//! The thread that owns the files: many lines, one write, one sync, then everybody is told.
//!
//! Invariant: the chain moves only when its lines are on the file; what a failed write left behind is cut off before
//! the next one.

use super::chain::{Link, hex};
use super::cut::{self, Gone};
use super::decision::now;
use super::error::Error;
use super::key::Key;
use super::resume::left;
use super::settings::Settings;
use super::shared::Shared;
use super::verify::{HEAD, Head};
use crate::store;
use serde_json::json;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

pub(super) enum Message {
    /// The words of one line, and who waits for it to be on the disk.
    Line { words: Vec<u8>, told: Option<oneshot::Sender<bool>> },
    /// The words of one line, signed and on the disk before anybody acts on it.
    Signed { words: Vec<u8>, told: oneshot::Sender<bool> },
    /// Somebody has looked into what is gone; says whether anything was.
    Acknowledge { by: String, reason: String, told: oneshot::Sender<Result<bool, Error>> },
    /// Sign what there is and end; says whether that is on the disk.
    End(oneshot::Sender<bool>),
}

/// Lines of one write.
const TOGETHER: usize = 1_024;
const LOCK: &str = "lock";
/// How long nothing need happen before the thread looks at its clock.
const IDLE: Duration = Duration::from_millis(500);
/// The longest line there is: what is looked at for the end of the last run.
pub(super) const LONGEST: u64 = 1024 * 1024;

/// A gateway writes the log in this folder at the moment.
pub fn is_written(dir: &Path) -> bool {
    File::open(dir.join(LOCK)).is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

pub(super) struct Writer {
    settings: Settings,
    key: Arc<Key>,
    shared: Arc<Shared>,
    link: Link,
    file: Option<Open>,
    /// Lines since the last signature, and when the first of them came.
    unsigned: u64,
    since: Instant,
    /// The line of a cut that nobody has looked into.
    cut: Option<u64>,
    /// When the run before this one wrote its last line, in seconds since 1970.
    pub(super) last: Option<u64>,
    /// Held as long as the thread lives.
    _lock: File,
}

struct Open {
    file: File,
    path: PathBuf,
    inode: u64,
    /// What is good of it.
    length: u64,
    /// A write failed part way.
    torn: bool,
}

/// A new file's name is on the disk, too: a signature that outlives a power cut without its lines would look like a cut log.
fn named(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

impl Open {
    /// One that is not there yet: what somebody else left under the name is not written over.
    fn begin(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let named = file.metadata().and_then(|meta| named(&path).map(|()| meta.ino()));
        // The next try has the same name: an empty file that was left behind would be in its way for good.
        let inode = named.inspect_err(|_| drop(fs::remove_file(&path)))?;
        Ok(Self { file, path, inode, length: 0, torn: false })
    }

    /// The last run's, up to the end of its last whole line.
    fn again(path: PathBuf, length: u64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open(&path)?;
        let inode = file.metadata()?.ino();
        Ok(Self { file, path, inode, length, torn: true })
    }

    /// Lines that go into a file without a name are lost: it must still be where it was.
    fn in_place(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode && found.len() >= self.length)
    }

    fn write(&mut self, text: &[u8], sync: bool) -> io::Result<()> {
        if std::mem::replace(&mut self.torn, true) {
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
        }
        self.file.write_all(text)?;
        if sync {
            self.file.sync_data()?;
        }
        self.length += text.len() as u64;
        self.torn = false;
        Ok(())
    }
}

impl Writer {
    pub(super) fn open(settings: &Settings, key: Arc<Key>, shared: Arc<Shared>, whom: &str) -> Result<Self, Error> {
        let failed = |source| Error::Folder { path: settings.dir.clone(), source };
        folder(&settings.dir).map_err(failed)?;
        // Two chains in one folder would be none.
        let lock = File::create(settings.dir.join(LOCK)).map_err(failed)?;
        if lock.try_lock().is_err() {
            return Err(Error::Taken(settings.dir.clone()));
        }
        let left = left(&settings.dir, key.public())?;
        let mut writer = Self {
            key,
            shared,
            link: left.link,
            file: None,
            unsigned: 0,
            since: Instant::now(),
            cut: left.cut,
            settings: settings.clone(),
            last: left.time,
            _lock: lock,
        };
        if left.fresh {
            // Before the first line: a log without a signature beside it has always lost it.
            writer.beside(Link::START).map_err(failed)?;
        }
        for path in left.empty {
            // The last run ended while it began this file: no line of it is whole.
            fs::remove_file(&path).map_err(|source| Error::Folder { path, source })?;
        }
        if let Some((path, length)) = left.file {
            let failed = |source| Error::Folder { path: path.clone(), source };
            writer.file = Some(Open::again(path.clone(), length).map_err(failed)?);
        }
        let start = json!({ "kind": "start", "time": now(), "for": whom, "version": env!("CARGO_PKG_VERSION"),
            "torn_bytes": left.torn });
        let mut words = vec![start.to_string().into_bytes()];
        words.extend(left.gone.as_ref().map(Gone::words));
        // Signed at once: what the last run could sign no more is covered by this, and what it signed and is gone is
        // told before the signature that says so is written over.
        writer.append(&words, true).map_err(failed)?;
        if let Some(Gone { from, to, why, .. }) = left.gone {
            writer.cut = Some(writer.link.seq);
            tracing::error!(from, to, why, dir = %settings.dir.display(), "lines of the audit log are gone; see `mi-gateway audit verify`");
        }
        writer.sign().map_err(failed)?;
        writer.shared.cut(writer.cut);
        Ok(writer)
    }

    /// Until somebody ends it, or nobody is left who could send.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        let mut ended = None;
        while ended.is_none() {
            let (mut lines, mut waiting, mut signing, mut looked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let mut next = match messages.recv_timeout(IDLE) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            // A sender may have said so a moment before the last look; a signature waits for the disk as well.
            self.shared.waits();
            while let Some(message) = next {
                match message {
                    Message::Line { words, told } => {
                        lines.push(words);
                        waiting.extend(told);
                    }
                    Message::Signed { words, told } => {
                        lines.push(words);
                        signing.push(told);
                    }
                    Message::Acknowledge { by, reason, told } => looked.push((by, reason, told)),
                    Message::End(told) => ended = Some(told),
                }
                next = if lines.len() < TOGETHER && ended.is_none() { messages.try_recv().ok() } else { None };
            }
            let kept = self.keep(lines, !waiting.is_empty() || !signing.is_empty());
            for told in waiting {
                // Whoever waits no longer has gone away, and nothing of his is sent.
                let _ = told.send(kept);
            }
            if !signing.is_empty() {
                let signed = kept && self.signed();
                for told in signing {
                    let _ = told.send(signed);
                }
            }
            for (by, reason, told) in looked {
                let _ = told.send(self.acknowledge(&by, &reason));
            }
            if self.is_due() {
                self.signed();
            }
            self.shared.waits_no_more();
        }
        let signed = self.signed();
        // Whoever hears of the end may begin anew at once.
        drop(self);
        if let Some(told) = ended {
            let _ = told.send(signed);
        }
    }

    fn acknowledge(&mut self, by: &str, reason: &str) -> Result<bool, Error> {
        let Some(line) = self.cut else { return Ok(false) };
        let words = cut::acknowledged(line, by, reason, &self.key);
        if !self.keep(vec![words], true) {
            return Err(Error::Closed);
        }
        // It bears a signature of its own: files that begin from here on need not tell of the cut any more.
        self.cut = None;
        self.shared.cut(None);
        self.signed();
        Ok(true)
    }

    fn is_due(&self) -> bool {
        let waited = self.unsigned > 0 && self.since.elapsed() >= self.settings.checkpoint_every;
        waited || self.unsigned >= self.settings.checkpoint_lines
    }

    fn signed(&mut self) -> bool {
        let signed = self.sign();
        self.noted(signed)
    }

    /// Writes these lines, and before them how many could not be kept. While there is trouble it is tried without lines
    /// as well, so that readiness comes back without a caller's help.
    fn keep(&mut self, mut lines: Vec<Vec<u8>>, sync: bool) -> bool {
        let count = lines.len() as u64;
        let missing = self.shared.take_missing();
        if missing > 0 {
            let words = json!({ "kind": "lost", "time": now(), "lines": missing });
            lines.insert(0, words.to_string().into_bytes());
        }
        if lines.is_empty() {
            return true;
        }
        let written = self.append(&lines, sync);
        if written.is_ok() {
            self.shared.kept(count);
        } else {
            self.shared.missed(missing);
            self.shared.lost(count);
        }
        self.noted(written)
    }

    /// The same trouble is told once.
    fn noted(&self, done: io::Result<()>) -> bool {
        let was_well = self.shared.trouble().is_ok();
        match done {
            Ok(()) if was_well => true,
            Ok(()) => {
                tracing::info!("the audit log can be written again");
                self.shared.set(None);
                true
            }
            Err(error) => {
                if was_well {
                    tracing::error!(%error, dir = %self.settings.dir.display(), "the audit log can't be written");
                }
                self.shared.set(Some(format!("the audit log can't be written: {error}")));
                false
            }
        }
    }

    fn append(&mut self, words: &[Vec<u8>], sync: bool) -> io::Result<()> {
        self.place()?;
        self.put(words, sync)
    }

    /// A file that takes lines: the one there is, or where that has ended, was taken away or never was, another, whose
    /// first line says what it hangs on.
    fn place(&mut self) -> io::Result<()> {
        let usable = self.file.take().filter(|open| open.in_place() && open.length < self.settings.file_bytes);
        let open = match usable {
            Some(open) => open,
            None => {
                folder(&self.settings.dir)?;
                Open::begin(self.settings.dir.join(format!("decisions-{:012}.jsonl", self.link.seq + 1)))?
            }
        };
        let begun = open.length > 0;
        self.file = Some(open);
        if begun {
            return Ok(());
        }
        let mut words = json!({ "kind": "file", "time": now(), "before": hex(&self.link.hash) });
        if let Some(line) = self.cut {
            // Carried on, so that the next start need not read every file to know of it.
            words["cut"] = line.into();
        }
        self.put(&[words.to_string().into_bytes()], false)
    }

    fn put(&mut self, words: &[Vec<u8>], sync: bool) -> io::Result<()> {
        let Some(open) = &mut self.file else { return Err(io::Error::other("no file is open")) };
        let (mut text, mut link) = (Vec::new(), self.link);
        for one in words {
            link = link.write(one, &mut text);
        }
        open.write(&text, sync)?;
        if self.unsigned == 0 {
            self.since = Instant::now();
        }
        self.unsigned += link.seq - self.link.seq;
        self.link = link;
        Ok(())
    }

    /// A signature over where the chain stands, as a line of it and beside it.
    fn sign(&mut self) -> io::Result<()> {
        if self.unsigned == 0 {
            return Ok(());
        }
        // First the file, then the signature: it is over the very line before its own.
        self.place()?;
        let at = self.link;
        let signature = self.key.sign(at);
        let words = json!({
            "kind": "checkpoint", "time": now(), "key": self.key.public().to_string(), "signature": signature,
        });
        self.put(&[words.to_string().into_bytes()], true)?;
        self.unsigned = 0;
        if let Err(error) = self.beside(at) {
            tracing::warn!(%error, "the newest signature could not be kept beside the audit log");
        }
        Ok(())
    }

    fn beside(&self, at: Link) -> io::Result<()> {
        let head = Head { seq: at.seq, chain: hex(&at.hash), signature: self.key.sign(at) };
        store::write_private(&self.settings.dir.join(HEAD), head.text().as_bytes())
    }
}

fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
