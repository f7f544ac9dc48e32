//! What the thread that writes and the senders both know: how the log stands, in words and in metrics.
//! Does not know: the files.

use crate::telemetry::Metrics;
use prometheus::{IntCounter, IntGauge};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the thread and the senders both know.
pub(super) struct Shared {
    trouble: Mutex<Option<String>>,
    /// Lines that nobody could keep since the last one that was kept.
    missing: AtomicU64,
    /// The line that tells of lines which are gone, and that nobody has looked into; 0 without one.
    gone: AtomicU64,
    begun: Instant,
    /// When the oldest line came that is not on the disk, in milliseconds since `begun`; 0 without one.
    oldest: AtomicU64,
    lines: IntCounter,
    lost: IntCounter,
    writable: IntGauge,
    cut: IntGauge,
    waiting: IntGauge,
}

impl Shared {
    pub(super) fn new(metrics: &Metrics) -> Self {
        metrics.audit_writable.set(1);
        Self {
            trouble: Mutex::new(None),
            missing: AtomicU64::new(0),
            gone: AtomicU64::new(0),
            begun: Instant::now(),
            oldest: AtomicU64::new(0),
            lines: metrics.audit_lines.clone(),
            lost: metrics.audit_lines_lost.clone(),
            writable: metrics.audit_writable.clone(),
            cut: metrics.audit_cut.clone(),
            waiting: metrics.audit_oldest_waiting.clone(),
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

    /// A line is on its way to the disk.
    pub(super) fn waits(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let _ = self.oldest.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// What had come is on the disk, or lost.
    pub(super) fn waits_no_more(&self) {
        self.oldest.store(0, Ordering::Relaxed);
    }

    /// A disk that hangs gives no error. Whether the thread moves on, for the metrics too.
    pub(super) fn moves(&self, patience: Duration, ended: bool) -> Result<(), String> {
        let since = self.oldest.load(Ordering::Relaxed);
        let age = match since {
            0 => Duration::ZERO,
            since => self.begun.elapsed().saturating_sub(Duration::from_millis(since)),
        };
        self.waiting.set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        let stands = match (ended, age >= patience && since > 0) {
            (true, _) => Err("the audit log's thread has ended: restart the gateway".to_owned()),
            (false, true) => {
                Err(format!("the audit log's disk hangs: a line has waited for it for {} s", age.as_secs()))
            }
            (false, false) => Ok(()),
        };
        self.writable.set(i64::from(stands.is_ok() && self.trouble().is_ok()));
        stands
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
