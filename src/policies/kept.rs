//! The last sets that were active, kept on disk: what a gateway starts with when its folder has a fault, and what a
//! rollback goes back to.
//!
//! A kept set lies under its own hash and never changes; a small file tells their order, another which one was rolled
//! back to. Both are replaced whole.

use super::files::{Error, Files, SEALED};
use crate::store::write_private;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One set that was active once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSet {
    /// Of all its files, limits and tests too.
    pub id: String,
    pub name: String,
    pub version: u64,
    /// Seconds since 1970.
    pub since: u64,
}

/// The highest version of a bundle that was ever active: nothing lower follows it, over a restart too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Highest {
    pub(super) version: u64,
    pub(super) id: String,
}

/// A set that was gone back to, until somebody says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    pub to: String,
    /// Seconds since 1970.
    pub at: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    dir: PathBuf,
}

const MOST: usize = 10;
const ORDER: &str = "kept.json";
const ROLLBACK: &str = "rollback.json";
const HIGHEST: &str = "highest.json";
const MAX_LIST: u64 = 1024 * 1024;

impl Kept {
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The newest last.
    pub fn sets(&self) -> Result<Vec<KeptSet>, Error> {
        Ok(self.read(ORDER)?.unwrap_or_default())
    }

    pub fn rollback(&self) -> Result<Option<Rollback>, Error> {
        self.read(ROLLBACK)
    }

    /// Where the files of a kept set lie.
    pub fn folder(&self, id: &str) -> PathBuf {
        self.dir.join("sets").join(id)
    }

    /// From now on this set, whatever the folder says.
    pub fn go_back(&self, rollback: &Rollback) -> Result<(), Error> {
        self.write(ROLLBACK, rollback)
    }

    /// The folder counts again.
    pub fn resume(&self) -> Result<bool, Error> {
        let path = self.dir.join(ROLLBACK);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(why) => Err(Error::Unreadable { path, why }),
        }
    }

    pub(super) fn highest(&self) -> Result<Option<Highest>, Error> {
        self.read(HIGHEST)
    }

    pub(super) fn rise(&self, version: u64, id: String) -> Result<(), Error> {
        self.write(HIGHEST, &Highest { version, id })
    }

    /// A set became active: its files are kept, and the oldest beyond a few are dropped.
    pub(super) fn keep(&self, files: &Files, name: &str, version: u64, since: u64) -> Result<(), Error> {
        let id = id(files);
        let folder = self.folder(&id);
        if !folder.is_dir() {
            self.store(files, &folder)?;
        }
        // With its signatures: whoever takes it up again has to believe it anew.
        if let Some(sealed) = &files.sealed {
            let path = folder.join(SEALED);
            write_private(&path, &sealed.bytes).map_err(|why| Error::Unreadable { path, why })?;
        }
        let mut sets = self.sets()?;
        if sets.last().is_some_and(|last| last.id == id) {
            return Ok(());
        }
        sets.retain(|known| known.id != id);
        sets.push(KeptSet { id, name: name.to_owned(), version, since });
        let over = sets.len().saturating_sub(MOST);
        let old: Vec<KeptSet> = sets.drain(..over).collect();
        self.write(ORDER, &sets)?;
        for set in old {
            // What is left of it takes a little room and does no harm.
            let _ = fs::remove_dir_all(self.folder(&set.id));
        }
        Ok(())
    }

    /// Beside its place first: a folder that is there is whole.
    fn store(&self, files: &Files, folder: &Path) -> Result<(), Error> {
        let beside = self.dir.join("sets").join(format!(".{}", std::process::id()));
        let at = |why| Error::Unreadable { path: beside.clone(), why };
        let _ = fs::remove_dir_all(&beside);
        fs::create_dir_all(beside.join("tests")).map_err(at)?;
        for source in files.all() {
            write_private(&beside.join(&source.name), source.text.as_bytes()).map_err(at)?;
        }
        fs::rename(&beside, folder).map_err(|why| Error::Unreadable { path: folder.to_owned(), why })
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, Error> {
        let path = self.dir.join(name);
        let unreadable = |why| Error::Unreadable { path: path.clone(), why };
        match fs::metadata(&path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(unreadable(why)),
            Ok(found) if found.len() > MAX_LIST => return Err(Error::TooLarge { path }),
            Ok(_) => {}
        }
        let bytes = fs::read(&path).map_err(unreadable)?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|why| unreadable(io::Error::new(io::ErrorKind::InvalidData, why)))
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let path = self.dir.join(name);
        let written = || {
            fs::create_dir_all(&self.dir)?;
            write_private(&path, &serde_json::to_vec_pretty(value).map_err(io::Error::other)?)
        };
        written().map_err(|why| Error::Unreadable { path: path.clone(), why })
    }
}

/// SHA-256 over the names and texts of all files, in hex.
pub(super) fn id(files: &Files) -> String {
    let mut bytes = Vec::new();
    for source in files.all() {
        for part in [&source.name, &source.text] {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part.as_bytes());
        }
    }
    digest(&SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
