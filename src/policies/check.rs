//! Everything that can be said of a set before it goes live.

use super::active::Settings;
use super::cases::{read as read_cases, run, strangers};
use super::files::{Error, Files, read, read_trusted};
use super::gate::Layouts;
use super::manifest::Manifest;
use crate::clock::unix_seconds;
use crate::model::{Effect, ProgramName, TransactionName};
use crate::policy::{Fault, Finding, Set, Site};
use std::collections::BTreeSet;

/// What a check of the files finds.
#[derive(Debug)]
pub struct Check {
    pub files: Files,
    pub manifest: Manifest,
    pub hash: String,
    pub rules: usize,
    pub findings: Vec<Finding>,
}

/// Reads, loads, tests and reviews, and keeps nothing. `known`: the transactions that M3 is known to have.
pub fn check(
    settings: &Settings,
    site: &Site,
    layouts: &Layouts,
    known: &[(ProgramName, TransactionName)],
) -> Result<Check, Error> {
    let trusted = settings.trust.is_asked();
    let files = if trusted { read_trusted(&settings.dir, &settings.trust)? } else { read(&settings.dir)? };
    let now = unix_seconds();
    let mut faults: Vec<Fault> = Vec::new();
    let manifest = files.manifest.as_ref().map_or_else(|| Ok(Manifest::default()), Manifest::parse);
    let manifest = manifest.unwrap_or_else(|found| {
        faults.extend(found);
        Manifest::default()
    });
    let cases = read_cases(&files.cases).unwrap_or_else(|found| {
        faults.extend(found);
        Vec::new()
    });
    let set = Set::load(&files.rules(), site, &**layouts).map_err(|found| {
        faults.extend(found);
        Error::Faults(std::mem::take(&mut faults))
    })?;
    let known = with_technical(known);
    let mut findings: Vec<Finding> = faults.into_iter().map(Finding::error).collect();
    findings.extend(set.review((&known, &**layouts), manifest.demands, now));
    findings.extend(strangers(&set, &cases).into_iter().map(Finding::error));
    let tested = run(&set, &cases, site, &**layouts, now);
    findings.extend(tested.broken().map(|(name, spot, why)| {
        let hint = Some("correct the rule or the case; a set that breaks its tests never becomes active".to_owned());
        Finding::error(Fault { spot: spot.clone(), code: "test-fails", message: format!("{name}: {why}"), hint })
    }));
    Ok(Check { hash: set.hash().to_owned(), rules: set.rules(), findings, manifest, files })
}

/// Technical transactions are in every program, and described in GENERAL alone.
fn with_technical(known: &[(ProgramName, TransactionName)]) -> Vec<(ProgramName, TransactionName)> {
    let technical: BTreeSet<_> =
        known.iter().map(|(_, name)| *name).filter(|name| Effect::is_technical(*name)).collect();
    let programs: BTreeSet<_> = known.iter().map(|(program, _)| *program).collect();
    let mut all: BTreeSet<_> = known.iter().copied().collect();
    all.extend(programs.iter().flat_map(|program| technical.iter().map(|name| (*program, *name))));
    all.into_iter().collect()
}
