//! Which files may decide: the folder's, a kept set's that somebody went back to, or the last good ones.

use super::active::Settings;
use super::bundle::Trust;
use super::files::{Error, Files, read_trusted};
use super::gate::{Against, Asked, Good, pass};
use super::kept::{self, Kept};
use std::path::{Path, PathBuf};

/// Where the set in force is to come from: the folder, or a kept set that somebody went back to.
pub(super) struct Whence {
    pub(super) dir: PathBuf,
    /// The id of the kept set.
    pub(super) rollback: Option<String>,
}

impl Whence {
    pub(super) fn now(settings: &Settings) -> Result<Self, Error> {
        let rollback = settings.kept.as_ref().map_or(Ok(None), Kept::rollback)?;
        Ok(match (rollback, &settings.kept) {
            (Some(rollback), Some(kept)) => Self { dir: kept.folder(&rollback.to), rollback: Some(rollback.to) },
            _ => Self { dir: settings.dir.clone(), rollback: None },
        })
    }
}

/// A bundle never follows one of a higher version, nor another one of its own; who goes back says so.
pub(super) fn may_follow(settings: &Settings, files: &Files, version: u64, rolled_back: bool) -> Result<(), Error> {
    let Some(kept) = settings.kept.as_ref().filter(|_| files.sealed.is_some() && !rolled_back) else { return Ok(()) };
    match kept.highest()? {
        Some(highest) if version < highest.version => Err(Error::Older { found: version, active: highest.version }),
        Some(highest) if version == highest.version && kept::id(files) != highest.id => Err(Error::Same { version }),
        _ => Ok(()),
    }
}

/// A kept set is what it was when it was kept, or it is none.
pub(super) fn found(dir: &Path, kept: Option<&str>, trust: &Trust) -> Result<Files, Error> {
    let files = read_trusted(dir, trust)?;
    match kept.is_some_and(|id| files.embedded || kept::id(&files) != id) {
        true => Err(Error::Altered { path: dir.to_owned() }),
        false => Ok(files),
    }
}

/// What these files have to prove. Those that were in force before go on past their last day.
pub(super) fn asked(settings: &Settings, files: &Files, rolled_back: bool, in_force: Option<&str>) -> Asked {
    match rolled_back {
        true => Asked::OF_KEPT,
        false => Asked { gate: settings.gate, in_time: in_force != Some(&*kept::id(files)) },
    }
}

/// The id of the newest that was kept: what the last run had from the folder.
pub(super) fn last_kept(settings: &Settings) -> Option<String> {
    Some(settings.kept.as_ref()?.sets().ok()?.pop()?.id)
}

/// The newest that was kept.
pub(super) fn last_good(settings: &Settings, against: &Against, now: u64) -> Option<(Good, Files)> {
    let (kept, last) = (settings.kept.as_ref()?, last_kept(settings)?);
    let files = found(&kept.folder(&last), Some(&last), &settings.trust).ok()?;
    let good = pass(&files, Asked::OF_KEPT, against, now).ok()?;
    Some((good, files))
}
