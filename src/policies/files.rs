//! What lies in the policy folder or in a signed bundle, or was compiled in.

use super::bundle::{self, Kind, MAX_BUNDLE, Sealed, Trust};
use crate::policy::{FACTS, Fault, Source};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// All texts of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// `*.cedar`, by name.
    pub cedar: Vec<Source>,
    pub limits: Source,
    /// `manifest.toml`, where there is one.
    pub manifest: Option<Source>,
    /// `facts.toml`, where there is one.
    pub facts: Option<Source>,
    /// `tests/*.toml`, by name.
    pub cases: Vec<Source>,
    /// The folder doesn't exist; these are the defaults.
    pub embedded: bool,
    /// They came as a bundle.
    pub sealed: Option<Sealed>,
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
    #[error(
        "version {version} was active with other content; a bundle that differs has a version of its own: count it up in its manifest.toml"
    )]
    Same { version: u64 },
    #[error("the bundle {path} can't be used: {why}", path = path.display())]
    Bundle {
        path: PathBuf,
        #[source]
        why: bundle::Fault,
    },
    #[error("{path} is no signed bundle, and policy.trusted_keys asks for one", path = path.display())]
    Unsigned { path: PathBuf },
}

pub(super) const MAX_FILE: u64 = 4 * 1024 * 1024;
pub(super) const MAX_FILES: usize = 256;

/// The limits' file; its absence from a folder means the default limits.
const LIMITS: &str = "limits.toml";
const MANIFEST: &str = "manifest.toml";
/// The folder of a set's own tests.
const TESTS: &str = "tests";
/// The bundle of a kept set, in its folder.
pub(super) const SEALED: &str = "set.bundle";

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
    /// Whatever a set is judged by: everything but its limits. A signed set is one with them: with others it is another
    /// set, and needs a version of its own.
    pub(super) fn same_rules(&self, other: &Self) -> bool {
        let limits = (self.sealed.is_none() && other.sealed.is_none()) || self.limits == other.limits;
        let manifest = self.manifest == other.manifest && self.facts == other.facts;
        self.cedar == other.cedar && manifest && self.cases == other.cases && limits
    }

    /// Every file, in one order whatever the disk's.
    pub fn all(&self) -> impl Iterator<Item = &Source> {
        self.cedar.iter().chain([&self.limits]).chain(&self.manifest).chain(&self.facts).chain(&self.cases)
    }

    /// What decides: the Cedar files, and which records they look at.
    pub fn rules(&self) -> Vec<Source> {
        self.cedar.iter().chain(&self.facts).cloned().collect()
    }

    pub fn embedded() -> Self {
        let source = |(name, text): (&str, &str)| Source { name: name.into(), text: text.into() };
        Self { cedar: CEDAR.map(source).into(), limits: default_limits(), embedded: true, ..Self::nothing() }
    }

    pub(super) fn nothing() -> Self {
        let limits = Source { name: LIMITS.into(), text: String::new() };
        Self {
            cedar: Vec::new(),
            limits,
            manifest: None,
            facts: None,
            cases: Vec::new(),
            embedded: false,
            sealed: None,
        }
    }

    /// What a file of this name is in a set; nothing for one that belongs to none.
    pub(super) fn kind(name: &str) -> Option<Kind> {
        let plain = |name: &str, ending: &str| {
            let fits = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'\\') || b == b' ';
            !name.starts_with('.') && name.len() <= 200 && name.ends_with(ending) && name.bytes().all(fits)
        };
        match name {
            LIMITS => Some(Kind::Limits),
            MANIFEST => Some(Kind::Manifest),
            FACTS => Some(Kind::Facts),
            name if plain(name, ".cedar") => Some(Kind::Rules),
            name => {
                let case = name.strip_prefix(TESTS).and_then(|rest| rest.strip_prefix('/'));
                case.filter(|case| plain(case, ".toml")).map(|_| Kind::Cases)
            }
        }
    }
}

fn default_limits() -> Source {
    Source { name: LIMITS.into(), text: include_str!("../../policies/limits.toml").into() }
}

/// Reads a folder or a bundle, whoever signed it: for questions about a set, not for deciding with it. Blocks.
pub fn read(path: &Path) -> Result<Files, Error> {
    if path.is_file() { sealed(path, &Trust::default()) } else { folder(path) }
}

/// The same where nothing but what `trust` lets in may decide. A kept set has its bundle in its folder.
pub(super) fn read_trusted(path: &Path, trust: &Trust) -> Result<Files, Error> {
    let inside = path.join(SEALED);
    if path.is_file() {
        sealed(path, trust)
    } else if !trust.is_asked() {
        folder(path)
    } else if inside.is_file() {
        sealed(&inside, trust)
    } else if path.exists() {
        Err(Error::Unsigned { path: path.into() })
    } else {
        Err(Error::Gone { path: path.into() })
    }
}

fn sealed(path: &Path, trust: &Trust) -> Result<Files, Error> {
    let unreadable = |why| Error::Unreadable { path: path.into(), why };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_BUNDLE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    bundle::open(bytes, trust).map_err(|why| Error::Bundle { path: path.into(), why })
}

/// One that doesn't exist means the embedded files.
fn folder(dir: &Path) -> Result<Files, Error> {
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
    let facts = file_or_none(dir, FACTS)?;
    Ok(Files { cedar, limits, manifest, facts, cases: cases(dir)?, embedded: false, sealed: None })
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
