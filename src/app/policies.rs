//! Policies and limits as the gateway runs: both are watched, and what comes into force is written down.

use crate::audit;
use crate::limit::{Fault, Limits, Plan};
use crate::policies::{Active, Change, InForce, LimitsCheck};
use crate::policy::{self, Source};
use crate::tasks::Tasks;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) fn parse(source: &Source, issuer: &str) -> Result<Plan, Vec<Fault>> {
    Plan::parse(&source.name, &source.text, issuer)
}

/// A set whose limits can't be used never becomes active: what limits mean is known to nobody who reads sets.
pub(super) fn limits_check(public_url: &str) -> LimitsCheck {
    let issuer = public_url.to_owned();
    let fault = |Fault { spot, message, hint }| policy::Fault { spot, code: "limit", message, hint };
    Arc::new(move |source| {
        let parsed = parse(source, &issuer).map(drop);
        parsed.map_err(|faults| faults.into_iter().map(fault).collect())
    })
}

/// Follows the folder. The set that it starts with is written down, and each that follows.
pub(super) fn follow(active: &Arc<Active>, limits: &Arc<Limits>, public_url: &str, audit: &audit::Log, tasks: &Tasks) {
    let note = |audit: &audit::Log, change: &Change| audit.note("policy-in-force", told(change));
    note(audit, &Change { was: None, now: active.in_force() });
    let (issuer, limits, audit) = (public_url.to_owned(), Arc::clone(limits), audit.clone());
    let replace = move |source: &Source| match parse(source, &issuer) {
        Ok(plan) => limits.replace(plan),
        // The gate has read them a moment ago.
        Err(faults) => faults.iter().for_each(|fault| tracing::error!(%fault, "the limits were not taken over")),
    };
    active.watch(tasks, replace, move |change| note(&audit, change));
}

/// Which set, and which it followed; `files` tells apart what differs in its limits alone.
fn told(change: &Change) -> Map<String, Value> {
    let set = |set: &InForce| json!({ "name": set.name, "version": set.version, "set": set.hash, "files": set.id });
    let mut members = set(&change.now);
    members["signers"] = change.now.signers.clone().into();
    members["rolled_back"] = change.now.rolled_back.into();
    members["from"] = change.was.as_deref().map_or(Value::Null, set);
    if let Some(trouble) = &change.now.trouble {
        // The last good set: the folder's own is not in force.
        members["trouble"] = trouble.as_str().into();
    }
    members.as_object().cloned().unwrap_or_default()
}
