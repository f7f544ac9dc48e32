//! How often a client that has proven itself may ask for tokens or end them: three hundred times, then ten times a second.
//! Each costs a signature or a commit, which all others wait for.
//!
//! Does not know: clocks; the time is an argument, in seconds.

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const BURST: u64 = 300;
const A_SECOND: u64 = 10;
const MOST: u64 = 20_000;
/// Longer than it takes to be forgiven everything.
const IDLE: Duration = Duration::from_secs(60);

/// What was asked for and is not forgiven yet, and when that was so.
type Level = Arc<Mutex<(u64, u64)>>;

#[derive(Debug)]
pub(super) struct Pace {
    held: Cache<Box<str>, Level>,
}

impl Pace {
    pub(super) fn new() -> Self {
        let held = Cache::builder().max_capacity(MOST).time_to_idle(IDLE).eviction_policy(EvictionPolicy::lru());
        Self { held: held.build() }
    }

    /// Whether this client may ask once more now.
    pub(super) fn takes(&self, client: &str, now: u64) -> bool {
        let level = self.held.get_with(client.into(), Arc::default);
        let mut level = level.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, at) = *level;
        // A clock that goes back forgives nothing.
        let left = asked.saturating_sub(now.saturating_sub(at).saturating_mul(A_SECOND));
        let takes = left < BURST;
        *level = (left + u64::from(takes), now.max(at));
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_loops_is_told_to_wait_and_no_other_client_is() {
        let pace = Pace::new();
        assert!((0..BURST).all(|_| pace.takes("a", 100)));
        assert!(!pace.takes("a", 100) && !pace.takes("a", 90), "nor where the clock goes back");
        assert!(pace.takes("b", 100));
        assert_eq!((0..20).filter(|_| pace.takes("a", 101)).count(), 10, "ten a second are forgiven");
        assert!((0..BURST).all(|_| pace.takes("a", 131)), "all of them after a while");
    }
}
