//! `policy test`: the cases that stand beside the rules.

use super::super::failure::Failure;
use super::super::show;
use super::{Bench, HERE, moment, tests_of, user};
use crate::clock::unix_seconds;
use crate::model::{Company, Division};
use crate::policies::{Answer, Question, read_call};
use crate::policy::Set;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    case: Vec<Case>,
}

/// One promise of a set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// A client's name, or `id@issuer`.
    client: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    /// As it stands behind `execute/`.
    call: String,
    /// Where it runs when the call does not say.
    company: Option<u16>,
    division: Option<String>,
    m3_user: Option<String>,
    address: Option<IpAddr>,
    /// RFC 3339; the moment of the test where it is left out.
    at: Option<String>,
    expect: Expect,
    /// The word of the reason, where it matters why.
    reason: Option<String>,
    /// A rule that must be among those that decide.
    rule: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Allow,
    Deny,
}

const MOST_BYTES: u64 = 4 * 1024 * 1024;

pub(super) fn test(bench: &Bench, dir: Option<&Path>, as_json: bool) -> Result<ExitCode, Failure> {
    let (set, _) = bench.set(dir)?;
    let folder = tests_of(&bench.settings, dir);
    let cases = read(&folder)?;
    let mut deciding: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut failed = 0;
    for case in &cases {
        let wrong = run(bench, &set, case, &mut deciding).err();
        failed += usize::from(wrong.is_some());
        if as_json {
            show::line(&json!({ "case": case.name, "passed": wrong.is_none(), "wrong": wrong }).to_string());
        } else if let Some(wrong) = wrong {
            show::fault(&format!("{}: {wrong}", case.name));
        }
    }
    let silent: Vec<&str> = set.ids().filter(|id| !deciding.contains(*id)).map(|id| &**id).collect();
    if as_json {
        show::line(
            &json!({ "cases": cases.len(), "failed": failed, "rules": set.rules(), "undecided": silent }).to_string(),
        );
    } else {
        show::line(&format!("{} of {} cases as expected", cases.len() - failed, cases.len()));
        let covered = set.rules() - silent.len();
        show::line(&format!("{covered} of {} rules decide some case", set.rules()));
        if !silent.is_empty() {
            show::note(&format!("no case is decided by: {}", silent.join(", ")));
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(folder: &Path) -> Result<Vec<Case>, Failure> {
    let unreadable = |path: &Path, error: &dyn Display| Failure::begin(format!("{}: {error}", path.display()));
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let length = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?.len();
        if length > MOST_BYTES {
            return Err(Failure::begin(format!("{}: larger than a file of cases should be", path.display())));
        }
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        let file: File = toml::from_str(&text).map_err(|error| unreadable(&path, &error))?;
        cases.extend(file.case);
    }
    if cases.is_empty() {
        return Err(Failure::begin(format!(
            "{} has no cases: write [[case]] into a .toml file there",
            folder.display()
        )));
    }
    Ok(cases)
}

/// The words say what is otherwise than expected.
fn run(bench: &Bench, set: &Set, case: &Case, deciding: &mut BTreeSet<Arc<str>>) -> Result<(), String> {
    let mut caller = bench.caller(&case.client, &case.groups, &case.scopes);
    if let Some(company) = case.company {
        caller.company = Some(Company::new(company).map_err(|fault| fault.to_string())?);
    }
    if let Some(division) = &case.division {
        caller.division = Some(Division::parse(division).map_err(|fault| fault.to_string())?);
    }
    if let Some(name) = &case.m3_user {
        caller.user = Some(user(name).ok_or("m3_user is no M3 user")?);
    }
    let unix_seconds = match &case.at {
        Some(text) => moment(text).map_err(|_| format!("at: {text:?} is no moment of RFC 3339"))?,
        None => unix_seconds(),
    };
    let asked = read_call(&case.call).map_err(|wrong| wrong.to_string())?;
    let question = Question { caller, asked, address: case.address.unwrap_or(HERE), unix_seconds };
    let Answer { decision, .. } = bench.ask(set, &question).map_err(|wrong| wrong.to_string())?;
    deciding.extend(decision.rules.iter().cloned());
    let got = if decision.allowed { Expect::Allow } else { Expect::Deny };
    let rules = || decision.rules.iter().map(|id| &**id).collect::<Vec<_>>().join(", ");
    let why = decision.reason.word();
    if got != case.expect {
        let verdict = if decision.allowed { "allowed" } else { "refused" };
        return Err(format!("it is {verdict} ({why}; {})", rules()));
    }
    match (&case.reason, &case.rule) {
        (Some(wanted), _) if wanted != why => Err(format!("the reason is {why}, not {wanted}")),
        (_, Some(wanted)) if !decision.rules.iter().any(|id| **id == **wanted) => {
            Err(format!("{wanted} is not among the rules that decide: {}", rules()))
        }
        _ => Ok(()),
    }
}
