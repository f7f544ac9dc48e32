//! `policy check`: everything that can be said of a folder of rules before it goes live, for people and for pipelines.

use super::super::args;
use super::super::failure::Failure;
use super::super::show;
use super::Bench;
use crate::limit::{self, Plan};
use crate::model::{Effect, ProgramName, TransactionName};
use crate::policies::{self, Caller, Check, Files};
use crate::policy::{Fault, Finding, Severity};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// All that is to be said of a set, and the set in a line.
pub(super) fn findings(bench: &Bench, dir: &Path) -> Result<(Vec<Finding>, String), Failure> {
    let folder = policies::Settings { dir: dir.to_owned(), ..policies::Settings::default() };
    let layouts = bench.layouts.clone();
    let at_hand: policies::Layouts = Arc::new(move |program, name| super::layout(&layouts, program, name));
    Ok(match policies::check(&folder, &bench.site, &at_hand, &known(bench)) {
        Ok(Check { files, manifest, hash, rules, findings }) => {
            let findings = findings.into_iter().chain(limits(&files, bench)).collect::<Vec<_>>();
            let cases = if files.cases.is_empty() { ", no tests" } else { "" };
            let name = if manifest.name.is_empty() { String::new() } else { format!("{} ", manifest.name) };
            (findings, format!("{name}version {}: {rules} rules{cases}, {hash}", manifest.version))
        }
        Err(policies::Error::Faults(faults)) => {
            (faults.into_iter().map(Finding::error).collect(), "the set does not load".to_owned())
        }
        Err(error) => return Err(Failure::begin(error.to_string())),
    })
}

fn known(bench: &Bench) -> Vec<(ProgramName, TransactionName)> {
    let mut known: Vec<_> = bench.layouts.keys().copied().collect();
    known.sort_unstable();
    known
}

pub(super) fn check(bench: &Bench, words: &args::PolicyCheck) -> Result<ExitCode, Failure> {
    let dir = words.dir.as_deref().unwrap_or(&bench.settings.policies);
    let (mut findings, summary) = findings(bench, dir)?;
    if words.strict {
        let warnings = findings.iter_mut().filter(|finding| finding.severity == Severity::Warning);
        warnings.for_each(|finding| finding.severity = Severity::Error);
    }
    findings.sort_by(|one, other| (one.severity, &one.fault).cmp(&(other.severity, &other.fault)));
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    for finding in &findings {
        tell(finding, words.json);
    }
    if words.classes && !words.json {
        classes(&known(bench));
    }
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    if words.json {
        show::line(&json!({ "errors": errors, "warnings": warnings, "summary": summary }).to_string());
    } else {
        show::line(&summary);
        show::line(&format!("{}, {}", count(errors, "error"), count(warnings, "warning")));
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The limits stand beside the rules and are checked with them.
fn limits(files: &Files, bench: &Bench) -> Vec<Finding> {
    let source = &files.limits;
    let faults = match Plan::parse(&source.name, &source.text, &bench.site.issuer) {
        Ok(plan) => return limit::review(&plan, source, &people(bench)),
        Err(faults) => faults,
    };
    let fault = |fault: limit::Fault| {
        Finding::error(Fault { spot: fault.spot, code: "limit", message: fault.message, hint: fault.hint })
    };
    faults.into_iter().map(fault).collect()
}

/// Who is registered here or named in the settings, and what M3 is known to have.
fn people(bench: &Bench) -> limit::Known {
    let own = |caller: &&Caller| *caller.client.issuer == *bench.site.issuer;
    limit::Known {
        // Without any client this is a folder by itself, and not the gateway's own.
        issuers: bench.callers.iter().find(own).map(|_| bench.site.issuer.clone()).into_iter().collect(),
        clients: bench.callers.iter().map(|caller| caller.client.clone()).collect(),
        groups: bench.callers.iter().flat_map(|caller| &caller.groups).map(|group| (**group).to_owned()).collect(),
        calls: bench.layouts.keys().copied().collect(),
    }
}

fn tell(finding: &Finding, as_json: bool) {
    let Fault { spot, code, message, hint } = &finding.fault;
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    if as_json {
        let shown = json!({ "severity": severity, "code": code, "file": spot.file, "line": spot.line,
            "column": spot.column, "message": message, "hint": hint });
        return show::line(&shown.to_string());
    }
    let line = format!("{spot}: {severity} [{code}] {message}");
    if finding.severity == Severity::Error {
        show::fault(&line)
    } else {
        show::note(&line)
    }
    if let Some(hint) = hint {
        show::note(&format!("    {hint}"));
    }
}

/// Whether a transaction reads or writes, and why: a write that looks like a read is seen here.
fn classes(known: &[(ProgramName, TransactionName)]) {
    for (program, name) in known {
        let why = Effect::reason(*program, *name);
        show::line(&format!("{program}/{name}: {}, {why}", Effect::of(*program, *name)));
    }
}
