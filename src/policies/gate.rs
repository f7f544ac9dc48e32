//! What a set must pass before it can be active: its manifest, Cedar's check, its limits, and the promises that stand
//! beside it.

use super::cases;
use super::files::{Error, Files};
use super::manifest::Manifest;
use crate::model::{ProgramName, TransactionLayout, TransactionName};
use crate::policy::{Fault, Set, Site, Source};
use std::sync::Arc;

/// How much a set must prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gate {
    /// It loads, and every one of its own tests comes out as it says.
    #[default]
    Tests,
    /// It loads.
    Syntax,
}

/// Layouts of the transactions that rules name, as the saved catalog knows them. Called while loading; may read a file.
pub type Layouts = Arc<dyn Fn(ProgramName, TransactionName) -> Option<Arc<TransactionLayout>> + Send + Sync>;

/// Whether the limits of a set can be used. What a limit means is not known here.
pub type LimitsCheck = Arc<dyn Fn(&Source) -> Result<(), Vec<Fault>> + Send + Sync>;

/// What a set is held against.
#[derive(Clone)]
pub(super) struct Against {
    pub(super) site: Site,
    pub(super) layouts: Layouts,
    pub(super) limits: LimitsCheck,
}

/// What is asked of a set besides that it loads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) gate: Gate,
    /// Its last day isn't over. One that was in force already stays: to deny everything would be an outage.
    pub(super) in_time: bool,
}

impl Asked {
    /// A kept set passed once; what it promised about itself then is not asked again, for the catalog may know less now.
    pub(super) const OF_KEPT: Self = Self { gate: Gate::Syntax, in_time: false };
}

/// A set that may be active.
#[derive(Debug)]
pub(super) struct Good {
    pub(super) set: Set,
    pub(super) manifest: Manifest,
}

/// Blocks, for as long as a large set takes: never on a thread that serves requests.
pub(super) fn pass(files: &Files, asked: Asked, against: &Against, unix_seconds: u64) -> Result<Good, Error> {
    let Against { site, layouts, limits } = against;
    let manifest = match &files.manifest {
        None => Manifest::default(),
        Some(source) => Manifest::parse(source).map_err(Error::Faults)?,
    };
    if asked.in_time && manifest.is_over(unix_seconds) {
        return Err(Error::Over { name: manifest.name });
    }
    let set = Set::load(&files.rules(), site, &**layouts).map_err(Error::Faults)?;
    limits(&files.limits).map_err(Error::Faults)?;
    if asked.gate == Gate::Tests {
        let cases = cases::read(&files.cases).map_err(Error::Faults)?;
        let tested = cases::run(&set, &cases, site, &**layouts, unix_seconds);
        let broken: Vec<String> = tested.broken().map(|(name, spot, why)| format!("{spot}: {name}: {why}")).collect();
        if !broken.is_empty() {
            return Err(Error::Tests(broken));
        }
    }
    Ok(Good { set, manifest })
}
