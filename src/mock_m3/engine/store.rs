//! The records: by kind, company and key, each behind an `Arc`, with a journal of what was changed.

use super::Row;
use super::table::Kind;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

type Key = (Kind, u16, Vec<String>);

#[derive(Debug)]
pub(super) struct Store {
    rows: RwLock<BTreeMap<Key, Arc<Row>>>,
    journal: Option<Mutex<PathBuf>>,
    /// Records that somebody else has open.
    locked: Mutex<BTreeSet<Key>>,
}

/// One changed record; without a row it is gone.
#[derive(Serialize, Deserialize)]
struct Line {
    kind: usize,
    company: u16,
    key: Vec<String>,
    row: Option<Row>,
}

impl Store {
    pub(super) fn new(journal: Option<PathBuf>) -> Self {
        Self { rows: RwLock::default(), journal: journal.map(Mutex::new), locked: Mutex::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Key, Arc<Row>>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Key, Arc<Row>>> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, kind: Kind, company: u16, key: &[String]) -> Option<Arc<Row>> {
        self.read().get(&(kind, company, key.to_vec())).cloned()
    }

    /// All of a kind in a company, in key order; a snapshot of pointers.
    pub(super) fn rows(&self, kind: Kind, company: u16) -> Vec<Arc<Row>> {
        let from = (kind, company, Vec::new());
        let rows = self.read();
        rows.range(from..)
            .take_while(|((k, c, _), _)| (*k, *c) == (kind, company))
            .map(|(_, row)| row.clone())
            .collect()
    }

    pub(super) fn lock(&self, kind: Kind, company: u16, key: Vec<String>) {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, company, key));
    }

    pub(super) fn unlock(&self) {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn is_locked(&self, kind: Kind, company: u16, key: &[String]) -> bool {
        let locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        !locked.is_empty() && locked.contains(&(kind, company, key.to_vec()))
    }

    /// Puts a record of the seeded world: not a change.
    pub(super) fn seed(&self, kind: Kind, company: u16, row: Row) {
        let key = key_of(kind, &row);
        self.write().insert((kind, company, key), Arc::new(row));
    }

    /// Adds under the next number of a numbered key, both under one lock; gives the row as it was added.
    pub(super) fn insert_numbered(&self, kind: Kind, company: u16, mut row: Row, field: &str, first: u64) -> Row {
        let at = kind.key().iter().position(|key| *key == field).unwrap_or_default();
        let mut rows = self.write();
        let front = &key_of(kind, &row)[..at];
        let number = next_number(&rows, kind, company, front, first);
        row.insert(field.to_owned(), number.to_string());
        let key = key_of(kind, &row);
        self.note(kind, company, &key, Some(&row));
        rows.insert((kind, company, key), Arc::new(row.clone()));
        row
    }

    /// Adds unless the key is taken; says whether it was added.
    pub(super) fn insert(&self, kind: Kind, company: u16, row: Row) -> bool {
        let key = key_of(kind, &row);
        let mut rows = self.write();
        let place = (kind, company, key.clone());
        if rows.contains_key(&place) {
            return false;
        }
        self.note(kind, company, &key, Some(&row));
        rows.insert(place, Arc::new(row));
        true
    }

    /// Changes one record under the lock; says whether there was one.
    pub(super) fn change(&self, kind: Kind, company: u16, key: &[String], change: impl FnOnce(&mut Row)) -> bool {
        let mut rows = self.write();
        let Some(held) = rows.get_mut(&(kind, company, key.to_vec())) else { return false };
        let mut row = Row::clone(held);
        change(&mut row);
        self.note(kind, company, key, Some(&row));
        *held = Arc::new(row);
        true
    }

    pub(super) fn remove(&self, kind: Kind, company: u16, key: &[String]) -> bool {
        let gone = self.write().remove(&(kind, company, key.to_vec())).is_some();
        if gone {
            self.note(kind, company, key, None);
        }
        gone
    }

    fn note(&self, kind: Kind, company: u16, key: &[String], row: Option<&Row>) {
        let Some(journal) = &self.journal else { return };
        let kind = Kind::ALL.iter().position(|known| *known == kind).unwrap_or_default();
        let line = Line { kind, company, key: key.to_vec(), row: row.cloned() };
        let path = journal.lock().unwrap_or_else(PoisonError::into_inner);
        let written = OpenOptions::new().create(true).append(true).open(&*path).and_then(|mut file| {
            let mut text = serde_json::to_vec(&line)?;
            text.push(b'\n');
            file.write_all(&text)
        });
        if let Err(error) = written {
            tracing::warn!(file = %path.display(), %error, "the mock's journal was not written; a restart forgets this change");
        }
    }

    /// Takes over what a journal says; a torn last line is what a kill leaves, and is passed over.
    pub(super) fn replay(&self) {
        let Some(journal) = &self.journal else { return };
        let path = journal.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(text) = std::fs::read(&*path) else { return };
        let mut last = BTreeMap::new();
        for line in text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Line>(line).ok()) {
            last.insert((line.kind, line.company, line.key.clone()), line);
        }
        if let Err(error) = shorten(&path, last.values()) {
            tracing::warn!(file = %path.display(), %error, "the mock's journal was not shortened");
        }
        let mut rows = self.write();
        for line in last.into_values() {
            let Some(kind) = Kind::ALL.get(line.kind) else { continue };
            let place = (*kind, line.company, line.key);
            match line.row {
                Some(row) => rows.insert(place, Arc::new(row)),
                None => rows.remove(&place),
            };
        }
    }
}

/// One line for each record that was changed, however often: a journal grows with the world, not with its age.
fn shorten<'a>(path: &Path, lines: impl Iterator<Item = &'a Line>) -> io::Result<()> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}

/// One above the highest number there is, of all that share the front of the key.
fn next_number(rows: &BTreeMap<Key, Arc<Row>>, kind: Kind, company: u16, front: &[String], first: u64) -> u64 {
    let from = (kind, company, front.to_vec());
    let numbers = rows
        .range(from..)
        .take_while(|((k, c, key), _)| (*k, *c) == (kind, company) && key.starts_with(front))
        .filter_map(|((_, _, key), _)| key.get(front.len())?.parse::<u64>().ok())
        .filter(|number| *number >= first);
    numbers.max().map_or(first, |highest| highest + 1)
}

pub(super) fn key_of(kind: Kind, row: &Row) -> Vec<String> {
    kind.key().iter().map(|field| row.get(*field).cloned().unwrap_or_default()).collect()
}
