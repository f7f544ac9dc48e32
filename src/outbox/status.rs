//! Whether the outbox takes on anything: what its writer met, and whether there is room.

use super::writer::Settled;
use crate::telemetry::Metrics;
use prometheus::IntGauge;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// What the writer and everybody else both know.
pub(super) struct Status {
    trouble: Mutex<Option<String>>,
    /// Why nothing more is taken on, though what is there can be worked off.
    full: Mutex<Option<String>>,
    writable: IntGauge,
    /// Something was settled.
    pub(super) due: Arc<Notify>,
    /// What was said by those who can't wait: at the most one of each intent.
    said: Mutex<Vec<Settled>>,
}

const MIB: u64 = 1024 * 1024;

impl Status {
    pub(super) fn new(metrics: &Metrics) -> Self {
        metrics.outbox_writable.set(1);
        let (trouble, full, due) = (Mutex::default(), Mutex::default(), Arc::new(Notify::new()));
        Self { trouble, full, writable: metrics.outbox_writable.clone(), due, said: Mutex::default() }
    }

    pub(super) fn is_fine(&self) -> bool {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    pub(super) fn say(&self, settled: Settled) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(settled);
    }

    pub(super) fn take_said(&self) -> Vec<Settled> {
        std::mem::take(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, trouble: Option<String>) {
        let mut held = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*held, &trouble) {
            (None, Some(error)) => tracing::error!(%error, "the outbox can't be written"),
            (Some(_), None) => tracing::info!("the outbox can be written again"),
            _ => {}
        }
        self.writable.set(i64::from(trouble.is_none()));
        *held = trouble;
    }

    pub(super) fn weigh(&self, held: u64, most: u64) {
        let full = (held >= most).then(|| {
            let (held, most) = (held / MIB, most / MIB);
            format!("it holds {held} MiB of at most {most}, and nothing of it is over; see what waits with `mi-gateway outbox list`, or raise outbox.most_mib")
        });
        let mut known = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, &full) {
            (None, Some(why)) => tracing::error!(why, "the outbox takes on no more writes"),
            (Some(_), None) => tracing::info!("the outbox takes on writes again"),
            _ => {}
        }
        *known = full;
    }

    pub(super) fn full(&self) -> Option<String> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// In words for readiness.
    pub(super) fn told(&self) -> Result<(), String> {
        if let Some(why) = &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(format!("the outbox can't be written: {why}"));
        }
        self.full().map_or(Ok(()), |why| Err(format!("the outbox is full: {why}")))
    }
}
