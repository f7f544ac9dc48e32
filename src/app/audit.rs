//! What is done about the audit log: what is removed of it again, as the settings say and when an operator asks, and the
//! word that somebody has looked into lines that are gone.

use super::stops::{OPERATOR, read};
use crate::admin::{Action, ActionError};
use crate::audit::{Error, Keep, Log, Pruned};
use crate::tasks::Tasks;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(3_600);
const MIB: u64 = 1024 * 1024;

/// Unknown members are refused: an order that was misread removes the wrong files.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PruneOrder {
    keep_days: Option<u64>,
    keep_mib: Option<u64>,
    by: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LookedOrder {
    reason: String,
    by: Option<String>,
}

/// Without bounds in the settings nothing is ever removed by itself.
pub(super) fn begin(log: &Log, keep: Keep, tasks: &Tasks) -> [Action; 2] {
    if !keep.everything() {
        let log = log.clone();
        tasks.spawn_until_stop(async move {
            loop {
                match log.prune(keep, "the settings").await {
                    Ok(pruned) if pruned.files.is_empty() => {}
                    Ok(Pruned { files, first, last }) => {
                        tracing::info!(
                            files = files.len(),
                            first,
                            last,
                            "the oldest files of the audit log were removed"
                        );
                    }
                    Err(error) => tracing::error!(%error, "nothing was removed of the audit log"),
                }
                tokio::time::sleep(EVERY).await;
            }
        });
    }
    [prune(log.clone(), keep, tasks.clone()), acknowledge(log.clone())]
}

fn prune(log: Log, keep: Keep, tasks: Tasks) -> Action {
    Action::new(Method::POST, "/audit/prune", move |body| {
        let (log, tasks) = (log.clone(), tasks.clone());
        async move {
            let PruneOrder { keep_days, keep_mib, by } = read(body)?;
            let given = Keep { days: keep_days, bytes: keep_mib.map(|mib| mib.saturating_mul(MIB)) };
            let keep = if given.everything() { keep } else { given };
            if keep.everything() {
                let why = "say what stays: keep_days or keep_mib, here or as audit.keep_days or audit.keep_mib";
                return Err(ActionError::Refused(why.into()));
            }
            let by = by.unwrap_or_else(|| OPERATOR.to_owned());
            // On a task: a large log takes longer to read than many a caller waits, and what was begun is ended.
            let pruned = tasks.spawn(async move { log.prune(keep, &by).await }).await;
            Ok(shown(&pruned.map_err(|error| ActionError::Failed(error.to_string()))?.map_err(failed)?))
        }
    })
}

fn acknowledge(log: Log) -> Action {
    Action::new(Method::POST, "/audit/acknowledge", move |body| {
        let log = log.clone();
        async move {
            let LookedOrder { reason, by } = read(body)?;
            if reason.trim().is_empty() {
                return Err(ActionError::Refused("say with reason what came of looking into it".into()));
            }
            let by = by.unwrap_or_else(|| OPERATOR.to_owned());
            Ok(json!({ "acknowledged": log.acknowledge(&by, &reason).await.map_err(failed)? }))
        }
    })
}

/// Each of them says what helps, and names no secret.
fn failed(error: Error) -> ActionError {
    match error {
        error @ (Error::NotWhole { .. } | Error::Clock { .. }) => ActionError::Refused(error.to_string()),
        error => ActionError::Unable(error.to_string()),
    }
}

/// What was removed, as scripts read it.
pub fn shown(pruned: &Pruned) -> Value {
    let files: Vec<String> = pruned.files.iter().map(|file| file.display().to_string()).collect();
    json!({ "files": files, "first": pruned.first, "last": pruned.last })
}
