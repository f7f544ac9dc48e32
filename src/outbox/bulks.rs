//! Bulk calls that run: what they wrote is told when they are over, each record once.
//!
//! Invariant: nothing waits for a bulk for ever. Which of them run is known in memory alone, so that none does after a
//! crash; and one that runs for too long is waited for no longer.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// For so long at most a document waits for bulks, be it one or one after the other.
pub(super) const LONGEST: Duration = Duration::from_secs(900);

#[derive(Default)]
pub(super) struct Known {
    running: Mutex<HashMap<Arc<str>, Instant>>,
}

/// Those that run, for whoever makes documents.
#[derive(Clone)]
pub struct Bulks {
    pub(super) known: Arc<Known>,
    /// Rings when one is over.
    pub(super) due: Arc<Notify>,
}

/// A bulk call that runs, until it is dropped.
pub struct Bulk {
    name: Arc<str>,
    bulks: Bulks,
}

impl Bulks {
    pub(super) fn begin(&self, name: &str) -> Bulk {
        let name: Arc<str> = name.into();
        self.known.running.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), Instant::now());
        Bulk { name, bulks: self.clone() }
    }

    /// Those that are waited for.
    pub fn running(&self) -> Vec<String> {
        let running = self.known.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().filter(|(_, since)| since.elapsed() < LONGEST).map(|(name, _)| name.to_string()).collect()
    }
}

impl Bulk {
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        self.bulks.known.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        self.bulks.due.notify_one();
    }
}

impl fmt::Debug for Bulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bulk({})", self.name)
    }
}

impl fmt::Debug for Bulks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bulks").field(&self.running()).finish()
    }
}
