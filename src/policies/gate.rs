//! What a set must pass before it can be active: its manifest, Cedar's check, and the promises that stand beside it.

use super::active::Layouts;
use super::cases;
use super::files::{Error, Files};
use super::manifest::Manifest;
use crate::policy::{Set, Site};

/// How much a set must prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gate {
    /// It loads, and every one of its own tests comes out as it says.
    #[default]
    Tests,
    /// It loads.
    Syntax,
}

/// A set that may be active.
#[derive(Debug)]
pub(super) struct Good {
    pub(super) set: Set,
    pub(super) manifest: Manifest,
}

/// Blocks, for as long as a large set takes: never on a thread that serves requests.
pub(super) fn pass(
    files: &Files,
    gate: Gate,
    site: &Site,
    layouts: &Layouts,
    unix_seconds: u64,
) -> Result<Good, Error> {
    let manifest = match &files.manifest {
        None => Manifest::default(),
        Some(source) => Manifest::parse(source).map_err(Error::Faults)?,
    };
    if manifest.is_over(unix_seconds) {
        return Err(Error::Over { name: manifest.name });
    }
    let set = Set::load(&files.cedar, site, &**layouts).map_err(Error::Faults)?;
    if gate == Gate::Tests {
        let cases = cases::read(&files.cases).map_err(Error::Faults)?;
        let tested = cases::run(&set, &cases, site, &**layouts, unix_seconds);
        let broken: Vec<String> = tested.broken().map(|(name, spot, why)| format!("{spot}: {name}: {why}")).collect();
        if !broken.is_empty() {
            return Err(Error::Tests(broken));
        }
    }
    Ok(Good { set, manifest })
}
