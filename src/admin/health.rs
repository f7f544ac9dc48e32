//! Whether the gateway is ready, and if not, why.
//!
//! Each part reports under its own name; ready is when all that reported are well and no drain has begun.
//! Does not know: how a part finds out.

use crate::telemetry::Metrics;
use prometheus::IntGauge;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Clones share one state.
#[derive(Debug, Clone)]
pub struct Health {
    state: Arc<Mutex<State>>,
    ready: IntGauge,
}

#[derive(Debug, Default)]
struct State {
    draining: bool,
    /// By name; names are constants of the parts, so there are few.
    checks: BTreeMap<&'static str, Result<(), String>>,
    notes: BTreeMap<&'static str, String>,
}

/// What `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub ready: bool,
    pub draining: bool,
    pub checks: Vec<Check>,
    /// What is worth knowing and keeps nobody out.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<&'static str, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A reason is read by people and shown without credentials: a sentence, not a dump.
const MOST_REASON: usize = 300;

impl Health {
    pub fn new(metrics: &Metrics) -> Self {
        let health = Self { state: Arc::default(), ready: metrics.ready.clone() };
        health.ready.set(1);
        health
    }

    /// What a part says of itself. It counts from its first word on: a part that must be waited for says so at once.
    pub fn set(&self, name: &'static str, found: Result<(), String>) {
        let found = found.map_err(|reason| reason.chars().take(MOST_REASON).collect());
        self.change(|state| {
            state.checks.insert(name, found);
        });
    }

    /// What a part wants known beside its being well; `None` takes it back.
    pub fn note(&self, name: &'static str, words: Option<String>) {
        self.change(|state| match words {
            Some(words) => drop(state.notes.insert(name, words)),
            None => drop(state.notes.remove(name)),
        });
    }

    /// No more requests, please: readiness goes off and stays off.
    pub fn drain(&self) {
        self.change(|state| state.draining = true);
    }

    pub fn is_ready(&self) -> bool {
        self.ready.get() == 1
    }

    pub fn report(&self) -> Report {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let checks = state.checks.iter().map(|(name, found)| Check {
            name,
            ok: found.is_ok(),
            reason: found.as_ref().err().cloned(),
        });
        Report {
            ready: state.is_ready(),
            draining: state.draining,
            checks: checks.collect(),
            notes: state.notes.clone(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        self.ready.set(i64::from(state.is_ready()));
    }
}

impl State {
    fn is_ready(&self) -> bool {
        !self.draining && self.checks.values().all(Result::is_ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_that_is_not_well_is_enough() {
        let health = Health::new(&Metrics::new());
        assert!(health.is_ready());
        health.set("catalog", Ok(()));
        health.set("m3", Err("no session: connection refused".into()));
        let report = health.report();
        assert!(!report.ready && !health.is_ready());
        assert_eq!(report.checks[1].reason.as_deref(), Some("no session: connection refused"));
        health.set("m3", Ok(()));
        assert!(health.is_ready());
    }

    #[test]
    fn a_drain_is_final() {
        let health = Health::new(&Metrics::new());
        health.drain();
        health.set("m3", Ok(()));
        assert!(!health.is_ready() && health.report().draining);
    }
}
