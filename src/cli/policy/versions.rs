//! `policy versions`, `rollback`, `resume`: the sets that were active, and going back to one of them.
//!
//! An order is kept for the audit log before it is carried out.

use super::super::args;
use super::super::failure::Failure;
use super::super::show;
use super::super::state::store;
use crate::clock::unix_seconds;
use crate::config::Settings;
use crate::orders::Orders;
use crate::policies::{Error, Kept, KeptSet, Rollback};
use crate::store::Error as StoreError;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::process::ExitCode;

fn failed(error: &Error) -> Failure {
    Failure::begin(error.to_string())
}

pub(super) fn moment(unix_seconds: u64) -> String {
    let at = i64::try_from(unix_seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map(|at| at.to_string()).unwrap_or_default()
}

/// Enough of a hash to tell sets apart by eye.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// The one that is in force: gone back to, or the newest.
fn active(kept: &Kept, sets: &[KeptSet]) -> Result<Option<String>, Failure> {
    let rollback = kept.rollback().map_err(|error| failed(&error))?;
    Ok(rollback.map(|rollback| rollback.to).or_else(|| sets.last().map(|set| set.id.clone())))
}

pub(super) fn versions(settings: &Settings, as_json: bool) -> Result<ExitCode, Failure> {
    let kept = settings.kept_policies();
    let sets = kept.sets().map_err(|error| failed(&error))?;
    let active = active(&kept, &sets)?;
    for set in sets.iter().rev() {
        let in_force = active.as_ref() == Some(&set.id);
        if as_json {
            let shown = json!({ "id": set.id, "name": set.name, "version": set.version, "since": moment(set.since),
                "active": in_force });
            show::line(&shown.to_string());
        } else {
            let mark = if in_force { '*' } else { ' ' };
            let KeptSet { id, name, version, since } = set;
            show::line(&format!("{mark} {}  version {version}  {name}  since {}", short(id), moment(*since)));
        }
    }
    if sets.is_empty() {
        show::note("No set was kept yet: a gateway that runs from a policy folder keeps those that were active.");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn rollback(settings: &Settings, words: &args::PolicyRollback) -> Result<ExitCode, Failure> {
    let kept = settings.kept_policies();
    let sets = kept.sets().map_err(|error| failed(&error))?;
    let active = active(&kept, &sets)?;
    let at = active.as_ref().and_then(|active| sets.iter().position(|set| set.id == *active));
    let to = match &words.to {
        // Versions first: a hash that looks like one is given with more of its digits.
        Some(word) => sets.iter().rev().find(|set| set.version.to_string() == *word).or_else(|| {
            let mut fitting = sets.iter().filter(|set| set.id.starts_with(word.as_str()));
            fitting.next().filter(|_| fitting.next().is_none())
        }),
        None => at.and_then(|at| at.checked_sub(1)).and_then(|at| sets.get(at)),
    };
    let Some(to) = to else {
        return Err(Failure::begin(match &words.to {
            Some(word) => format!("no kept set is {word}; `mi-gateway policy versions` lists them"),
            None => "there is no earlier set to go back to; `mi-gateway policy versions` lists what is kept".to_owned(),
        }));
    };
    let (was, by) = (active.as_deref(), words.by.name());
    let told = json!({ "to": to.id, "version": to.version, "name": to.name, "from": was, "by": by });
    order(settings, "policy-rollback", &told).await?;
    kept.go_back(&Rollback { to: to.id.clone(), at: unix_seconds() }).map_err(|error| failed(&error))?;
    show::line(&format!(
        "Back to version {} ({}). A running gateway follows within a second.",
        to.version,
        short(&to.id)
    ));
    show::note("Changes of the policy folder don't count until `mi-gateway policy resume`.");
    Ok(ExitCode::SUCCESS)
}

/// A running gateway takes it into its log within a second, another one at its next start.
async fn order(settings: &Settings, kind: &str, told: &Value) -> Result<(), Failure> {
    let store = store(settings).await?;
    let unkept = |error: StoreError| Failure::on_the_way(format!("nothing was changed: {error}"));
    let orders = Orders::open(&store).await.map_err(unkept)?;
    let members = told.as_object().cloned().unwrap_or_default();
    orders.keep(kind, &members, unix_seconds()).await.map_err(unkept)?;
    store.close().await;
    Ok(())
}

pub(super) async fn resume(settings: &Settings, by: &str) -> Result<ExitCode, Failure> {
    let kept = settings.kept_policies();
    if let Some(rollback) = kept.rollback().map_err(|error| failed(&error))? {
        order(settings, "policy-resume", &json!({ "from": rollback.to, "by": by })).await?;
    }
    let was = kept.resume().map_err(|error| failed(&error))?;
    show::line(if was { "The policy folder counts again." } else { "Nothing was rolled back." });
    Ok(ExitCode::SUCCESS)
}
