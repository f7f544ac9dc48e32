//! The settings file and the environment as one table of keys, each with its place.
//!
//! A key is taken once, by its path; what nobody took is unknown and a fault. The environment wins over the file:
//! `edge.listen` is `MI_GATEWAY__EDGE__LISTEN`. Does not know which keys there are (see `parse`).

use super::fault::Faults;
use crate::model::Spot;
use secrecy::{ExposeSecret, SecretString};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) const PREFIX: &str = "MI_GATEWAY__";
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Keys whose values are secrets themselves. They may stand in the environment and nowhere else.
fn is_secret(path: &str) -> bool {
    matches!(path.rsplit('.').next(), Some("password" | "secret" | "token")) || path.starts_with("m3.passwords.")
}

/// One value as written, and where. Not shown: it may be a secret.
#[derive(Clone)]
struct Given {
    /// One element, or the elements of a list.
    words: Vec<String>,
    list: bool,
    place: String,
    /// A secret from the environment, whole; it has no words.
    secret: Option<SecretString>,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("place", &self.place).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Reader {
    /// Where systemd puts the credentials of the unit.
    credentials: Option<PathBuf>,
    given: BTreeMap<String, Given>,
    /// Every key asked for, for the suggestion behind an unknown one.
    asked: BTreeSet<String>,
    taken: BTreeSet<String>,
    /// Files that hold secrets, by the keys that name them.
    pub(super) secret_files: Vec<(String, PathBuf)>,
    pub(super) faults: Faults,
}

impl Reader {
    pub(super) fn new(file: Option<(&str, &str)>, environment: impl Iterator<Item = (String, String)>) -> Self {
        let mut reader = Self {
            credentials: None,
            given: BTreeMap::new(),
            asked: BTreeSet::new(),
            taken: BTreeSet::new(),
            secret_files: Vec::new(),
            faults: Faults::default(),
        };
        if let Some((name, text)) = file {
            reader.read_file(name, text);
        }
        for (name, value) in environment {
            if name == CREDENTIALS {
                reader.credentials = Some(value.into());
                continue;
            }
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let path = rest.split("__").map(str::to_ascii_lowercase).collect::<Vec<_>>().join(".");
            if is_secret(&path) {
                let (place, secret) = (format!("environment {name}"), Some(value.into()));
                reader.given.insert(path, Given { words: Vec::new(), list: false, place, secret });
                continue;
            }
            // A list in the environment has commas.
            let words = value.split(',').map(|word| word.trim().to_owned()).collect();
            let list = value.contains(',');
            reader.given.insert(path, Given { words, list, place: format!("environment {name}"), secret: None });
        }
        reader
    }

    fn read_file(&mut self, name: &str, text: &str) {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            self.faults.add(
                Spot::at(name, text, error.span().map_or(0, |span| span.start)).to_string(),
                "the file",
                error.message().replace('\n', ", "),
                "correct the TOML",
            );
        }
        let place = |span: Range<usize>| Spot::at(name, text, span.start).to_string();
        self.flatten("", table.get_ref(), &place);
    }

    fn flatten(&mut self, prefix: &str, table: &DeTable<'_>, place: &dyn Fn(Range<usize>) -> String) {
        for (key, value) in table {
            let path =
                if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
            self.value(path, value, place);
        }
    }

    fn value(&mut self, path: String, value: &Spanned<DeValue<'_>>, place: &dyn Fn(Range<usize>) -> String) {
        let here = place(value.span());
        match value.get_ref() {
            DeValue::Table(table) => self.flatten(&path, table, place),
            DeValue::Array(array) if array.iter().any(|item| item.get_ref().is_table()) => {
                for (at, item) in array.iter().enumerate() {
                    self.value(format!("{path}.{at}"), item, place);
                }
            }
            DeValue::Array(array) => {
                let words = array.iter().map(|item| scalar(item.get_ref())).collect();
                self.given.insert(path, Given { words, list: true, place: here, secret: None });
            }
            other => {
                self.given.insert(path, Given { words: vec![scalar(other)], list: false, place: here, secret: None });
            }
        }
    }

    fn take(&mut self, path: &str) -> Option<Given> {
        self.asked.insert(path.to_owned());
        self.taken.insert(path.to_owned());
        self.given.get(path).cloned()
    }

    /// One value, parsed; `right` says what would be right. `None`: not given, or a fault that is noted.
    pub(super) fn one<T>(&mut self, path: &str, right: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let given = self.take(path)?;
        if given.list {
            self.faults.add(given.place, path, "is a list", format!("write {right}"));
            return None;
        }
        let word = given.words.first().map(String::as_str).unwrap_or_default();
        let parsed = parse(word);
        if parsed.is_none() {
            // The value may be a secret that landed under the wrong key: it is not repeated.
            self.faults.add(given.place, path, "has a value that can't be used", format!("write {right}"));
        }
        parsed
    }

    pub(super) fn many<T>(&mut self, path: &str, right: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        let mut given = self.take(path)?;
        given.words.retain(|word| !word.is_empty());
        self.each(path, right, given, parse)
    }

    /// What narrows: a list that lost a word would be another bound, and one that is empty would be none.
    pub(super) fn every<T>(&mut self, path: &str, right: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        let given = self.take(path)?;
        if given.words.is_empty() {
            self.faults.add(
                given.place,
                path,
                "is empty and binds to nothing",
                format!("write {right}, or leave it out"),
            );
            return None;
        }
        self.each(path, right, given, parse)
    }

    fn each<T>(&mut self, path: &str, right: &str, given: Given, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        let all: Option<Vec<T>> = given.words.iter().map(|word| parse(word)).collect();
        if all.is_none() {
            let hint = format!("write a list of {right}");
            self.faults.add(given.place, path, "has an element that can't be used", hint);
        }
        all
    }

    /// A secret by itself: from the environment. In the file it would be read by whoever reads the file.
    pub(super) fn secret(&mut self, path: &str) -> Option<SecretString> {
        let given = self.take(path)?;
        let name = format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "__"));
        let found = given.secret.filter(|secret| !secret.expose_secret().is_empty());
        if found.is_none() {
            let hint =
                format!("name a file or a credential instead (see deploy/gateway.example.toml), or give it as {name}");
            let fault = if given.place.starts_with("environment") {
                "is empty"
            } else {
                "is a secret, and a secret does not stand in the settings"
            };
            self.faults.add(given.place, path, fault, hint);
        }
        found
    }

    pub(super) fn secret_file(&mut self, key: &str, file: &Path) {
        self.secret_files.push((key.to_owned(), file.to_owned()));
    }

    /// A path, or `credential:NAME` for what systemd hands over under that name.
    pub(super) fn file(&mut self, path: &str) -> Option<PathBuf> {
        let named = self.one(path, "a path, or credential:NAME", |text| (!text.is_empty()).then(|| text.to_owned()))?;
        let Some(name) = named.strip_prefix("credential:") else { return Some(named.into()) };
        let plain = !name.is_empty() && name != ".." && name != "." && !name.contains('/');
        match &self.credentials {
            Some(folder) if plain => Some(folder.join(name)),
            folder => {
                let (fault, hint) = match folder {
                    Some(_) => ("names no credential", "write credential:NAME with the NAME of LoadCredential="),
                    None => (
                        "names a credential, and there are none",
                        "start it by systemd with LoadCredential=, or name a file",
                    ),
                };
                let place = self.place(path);
                self.faults.add(place, path, fault, hint);
                None
            }
        }
    }

    /// Where a key was given, for faults found later.
    pub(super) fn place(&self, path: &str) -> String {
        self.given.get(path).map_or_else(|| "settings".to_owned(), |given| given.place.clone())
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.given.contains_key(path)
    }

    /// The next words of the paths below `prefix`: names of users, numbers of issuers.
    pub(super) fn below(&self, prefix: &str) -> Vec<String> {
        let start = format!("{prefix}.");
        let names: BTreeSet<&str> = self
            .given
            .keys()
            .filter_map(|path| path.strip_prefix(&start))
            .filter_map(|rest| rest.split('.').next())
            .collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// Every key that nobody took is a fault, with the nearest known one as a hint.
    pub(super) fn finish(mut self) -> Faults {
        for (path, given) in &self.given {
            if self.taken.contains(path) {
                continue;
            }
            let nearest = self.asked.iter().map(|known| (distance(path, known), known)).min();
            let hint = match nearest {
                Some((far, known)) if far <= 3 => format!("did you mean {known}?"),
                _ => "take it out, or see deploy/gateway.example.toml for every key".to_owned(),
            };
            self.faults.add(&given.place, path, "is no key of the settings", hint);
        }
        self.faults
    }
}

fn scalar(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        // A list of lists or of tables: nothing that any key takes.
        DeValue::Array(_) | DeValue::Table(_) => String::new(),
    }
}

/// Levenshtein's, over short keys.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let cost = corner + usize::from(x != *y);
            let here = cost.min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], here);
        }
    }
    row[b.len()]
}
