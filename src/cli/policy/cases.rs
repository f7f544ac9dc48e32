//! `policy test`: the cases that stand beside the rules.

use super::super::failure::Failure;
use super::super::show;
use super::Bench;
use crate::clock::unix_seconds;
use crate::policies::{Outcome, read_cases, run_cases};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

pub(super) fn test(bench: &Bench, dir: Option<&Path>, as_json: bool) -> Result<ExitCode, Failure> {
    let (set, files) = bench.set(dir)?;
    let cases = read_cases(&files.cases)
        .map_err(|faults| Failure::begin(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    if cases.is_empty() {
        let folder = dir.unwrap_or(&bench.settings.policies).join("tests");
        return Err(Failure::begin(format!(
            "{} has no cases: write [[case]] into a .toml file there",
            folder.display()
        )));
    }
    let tested = run_cases(&set, &cases, &bench.site, &|program, name| bench.layout(program, name), unix_seconds());
    let mut failed = 0;
    for (name, _, outcome) in &tested.outcomes {
        let wrong = match outcome {
            Outcome::Kept => None,
            // Here somebody asks to know: what could not be asked has not passed.
            Outcome::Broken(why) | Outcome::Unverified(why) => Some(why),
        };
        failed += usize::from(wrong.is_some());
        if as_json {
            show::line(&json!({ "case": name, "passed": wrong.is_none(), "wrong": wrong }).to_string());
        } else if let Some(wrong) = wrong {
            show::fault(&format!("{name}: {wrong}"));
        }
    }
    let silent: Vec<&str> = tested.silent.iter().map(|id| &**id).collect();
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
