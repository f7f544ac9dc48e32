//! What is removed of the audit log again: as the settings say, and when an operator asks.

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

/// Without bounds in the settings nothing is ever removed by itself.
pub(super) fn begin(log: &Log, keep: Keep, tasks: &Tasks) -> Action {
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
    let log = log.clone();
    Action::new(Method::POST, "/audit/prune", move |body| {
        let log = log.clone();
        async move {
            let PruneOrder { keep_days, keep_mib, by } = read(body)?;
            let given = Keep { days: keep_days, bytes: keep_mib.map(|mib| mib.saturating_mul(MIB)) };
            let keep = if given.everything() { keep } else { given };
            if keep.everything() {
                let why = "say what stays: keep_days or keep_mib, here or as audit.keep_days or audit.keep_mib";
                return Err(ActionError::Refused(why.into()));
            }
            let by = by.unwrap_or_else(|| OPERATOR.to_owned());
            let pruned = log.prune(keep, &by).await.map_err(failed)?;
            Ok(shown(&pruned))
        }
    })
}

fn failed(error: Error) -> ActionError {
    match error {
        error @ Error::NotWhole { .. } => ActionError::Refused(error.to_string()),
        error => ActionError::Failed(error.to_string()),
    }
}

/// What was removed, as scripts read it.
pub fn shown(pruned: &Pruned) -> Value {
    let files: Vec<String> = pruned.files.iter().map(|file| file.display().to_string()).collect();
    json!({ "files": files, "first": pruned.first, "last": pruned.last })
}
