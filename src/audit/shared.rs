//! What the thread that writes and the senders both know: how the log stands, in words and in metrics.
//! Does not know: the files.

use crate::telemetry::Metrics;
use prometheus::{IntCounter, IntGauge};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What the thread and the senders both know.
pub(super) struct Shared {
    trouble: Mutex<Option<String>>,
    /// Lines that nobody could keep since the last one that was kept.
    missing: AtomicU64,
    /// The line that tells of lines which are gone, and that nobody has looked into; 0 without one.
    gone: AtomicU64,
    lines: IntCounter,
    lost: IntCounter,
    writable: IntGauge,
    cut: IntGauge,
}

impl Shared {
    pub(super) fn new(metrics: &Metrics) -> Self {
        metrics.audit_writable.set(1);
        Self {
            trouble: Mutex::new(None),
            missing: AtomicU64::new(0),
            gone: AtomicU64::new(0),
            lines: metrics.audit_lines.clone(),
            lost: metrics.audit_lines_lost.clone(),
            writable: metrics.audit_writable.clone(),
            cut: metrics.audit_cut.clone(),
        }
    }

    /// How many are to be told of as lost, by whoever asks.
    pub(super) fn take_missing(&self) -> u64 {
        self.missing.swap(0, Ordering::Relaxed)
    }

    /// They could not be told of.
    pub(super) fn missed(&self, lines: u64) {
        self.missing.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn kept(&self, lines: u64) {
        self.lines.inc_by(lines);
    }

    pub(super) fn lost(&self, lines: u64) {
        self.missing.fetch_add(lines, Ordering::Relaxed);
        self.lost.inc_by(lines);
    }

    pub(super) fn status(&self) -> Result<(), String> {
        self.trouble()?;
        match self.gone.load(Ordering::Relaxed) {
            0 => Ok(()),
            line => Err(format!(
                "lines are gone from the audit log, as its line {line} tells; look into it with `mi-gateway audit verify`, then say so with `mi-gateway audit acknowledge`"
            )),
        }
    }

    pub(super) fn trouble(&self) -> Result<(), String> {
        match &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(why) => Err(why.clone()),
        }
    }

    pub(super) fn cut(&self, line: Option<u64>) {
        self.cut.set(i64::from(line.is_some()));
        self.gone.store(line.unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn set(&self, trouble: Option<String>) {
        self.writable.set(i64::from(trouble.is_none()));
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}
