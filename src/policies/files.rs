//! What lies in the policy folder, or was compiled in.

use crate::policy::{Fault, Source};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// All texts of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// `*.cedar`, by name.
    pub cedar: Vec<Source>,
    pub limits: Source,
    /// `manifest.toml`, where there is one.
    pub manifest: Option<Source>,
    /// `tests/*.toml`, by name.
    pub cases: Vec<Source>,
    /// The folder doesn't exist; these are the defaults.
    pub embedded: bool,
}

/// All of these are the operator's to mend; reading may be repeated at any time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {why}", path = path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        why: io::Error,
    },
    #[error("{path} is larger than {MAX_FILE} bytes", path = path.display())]
    TooLarge { path: PathBuf },
    #[error("{path} holds more than {MAX_FILES} policy files", path = path.display())]
    TooMany { path: PathBuf },
    #[error("{path} holds no *.cedar file: nothing would be permitted; remove the folder to use the defaults", path = path.display())]
    Empty { path: PathBuf },
    #[error("the policy folder {path} is gone", path = path.display())]
    Gone { path: PathBuf },
    #[error("{} in the policy files, the first: {}", count(.0.len()), first(.0))]
    Faults(Vec<Fault>),
    /// The set loads, and doesn't do what its own tests say.
    #[error("{} of the set's own tests fail, the first: {}", .0.len(), .0.first().map(String::as_str).unwrap_or_default())]
    Tests(Vec<String>),
    #[error("the kept set in {path} is not what it was; go to another with `mi-gateway policy rollback --to`, or take the folder up again with `mi-gateway policy resume`", path = path.display())]
    Altered { path: PathBuf },
    #[error("the set {name} was to be used until a day that is over; give it a later `expires` in its manifest.toml")]
    Over { name: String },
    #[error(
        "version {found} is older than version {active}, which is active; to go back, say `mi-gateway policy rollback`"
    )]
    Older { found: u64, active: u64 },
}

const MAX_FILE: u64 = 4 * 1024 * 1024;
const MAX_FILES: usize = 256;

/// The limits' file; its absence from a folder means the default limits.
const LIMITS: &str = "limits.toml";
const MANIFEST: &str = "manifest.toml";
/// The folder of a set's own tests.
const TESTS: &str = "tests";

const CEDAR: [(&str, &str); 3] = [
    ("00-guardrails.cedar", include_str!("../../policies/00-guardrails.cedar")),
    ("10-demo.cedar", include_str!("../../policies/10-demo.cedar")),
    ("20-readers.cedar", include_str!("../../policies/20-readers.cedar")),
];

fn count(faults: usize) -> String {
    if faults == 1 { "a fault".to_owned() } else { format!("{faults} faults") }
}

fn first(faults: &[Fault]) -> String {
    faults.first().map(ToString::to_string).unwrap_or_default()
}

impl Error {
    /// Every fault a line, or the error itself.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::Faults(faults) => faults.iter().map(ToString::to_string).collect(),
            Self::Tests(broken) => broken.clone(),
            other => vec![other.to_string()],
        }
    }
}

impl Files {
    /// Whatever a set is judged by: everything but its limits.
    pub(super) fn same_rules(&self, other: &Self) -> bool {
        self.cedar == other.cedar && self.manifest == other.manifest && self.cases == other.cases
    }

    /// Every file, in one order whatever the disk's.
    pub(super) fn all(&self) -> impl Iterator<Item = &Source> {
        self.cedar.iter().chain([&self.limits]).chain(&self.manifest).chain(&self.cases)
    }

    pub fn embedded() -> Self {
        let source = |(name, text): (&str, &str)| Source { name: name.into(), text: text.into() };
        let (manifest, cases) = (None, Vec::new());
        Self { cedar: CEDAR.map(source).into(), limits: default_limits(), manifest, cases, embedded: true }
    }
}

fn default_limits() -> Source {
    Source { name: LIMITS.into(), text: include_str!("../../policies/limits.toml").into() }
}

/// Reads a folder; one that doesn't exist means the embedded files. Blocks.
pub fn read(dir: &Path) -> Result<Files, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Files::embedded()),
        Err(why) => return Err(Error::Unreadable { path: dir.into(), why }),
    };
    let names = named(dir, entries, ".cedar")?;
    if names.is_empty() {
        return Err(Error::Empty { path: dir.into() });
    }
    let cedar = names.into_iter().map(|name| file(dir, &name)).collect::<Result<_, _>>()?;
    let limits = file_or_none(dir, LIMITS)?.unwrap_or_else(default_limits);
    let manifest = file_or_none(dir, MANIFEST)?;
    Ok(Files { cedar, limits, manifest, cases: cases(dir)?, embedded: false })
}

fn cases(dir: &Path) -> Result<Vec<Source>, Error> {
    let tests = dir.join(TESTS);
    let entries = match fs::read_dir(&tests) {
        Ok(entries) => entries,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(Error::Unreadable { path: tests, why }),
    };
    named(&tests, entries, ".toml")?.into_iter().map(|name| file(dir, &format!("{TESTS}/{name}"))).collect()
}

fn named(dir: &Path, entries: fs::ReadDir, ending: &str) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|why| Error::Unreadable { path: dir.into(), why })?;
        // A name that isn't text has no such ending; editors' own files start with a dot.
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
            && name.ends_with(ending)
        {
            names.push(name);
        }
        if names.len() > MAX_FILES {
            return Err(Error::TooMany { path: dir.into() });
        }
    }
    names.sort();
    Ok(names)
}

fn file_or_none(dir: &Path, name: &str) -> Result<Option<Source>, Error> {
    match file(dir, name) {
        Err(Error::Unreadable { why, .. }) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn file(dir: &Path, name: &str) -> Result<Source, Error> {
    let path = dir.join(name);
    let unreadable = |why| Error::Unreadable { path: path.clone(), why };
    if fs::metadata(&path).map_err(unreadable)?.len() > MAX_FILE {
        return Err(Error::TooLarge { path });
    }
    let text = fs::read_to_string(&path).map_err(unreadable)?;
    Ok(Source { name: name.to_owned(), text })
}
