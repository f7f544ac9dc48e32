//! How long a slow side is waited for: patience that waiting uses up and bytes give back.
//!
//! Whoever moves nothing for the whole of it has stalled, and so has, before long, whoever moves less than the rate:
//! bytes that trickle do not begin the wait anew. Milliseconds since the connection began, plus one: zero is never.
//! Does not know: which way the bytes go.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A wait in all, and the bytes a second that make up for waiting; at a rate of zero any byte does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    full: u64,
    rate: u64,
}

impl Rule {
    pub(super) fn new(stall: Duration, rate: u32) -> Self {
        Self { full: stall.as_millis() as u64, rate: rate.into() }
    }

    pub(super) fn full(self) -> u64 {
        self.full
    }

    /// What is left after a wait that so many bytes ended. `among`: how many share the way, each with its part of the rate.
    pub(super) fn after(self, left: u64, waited: u64, bytes: usize, among: usize) -> u64 {
        let given = (bytes as u64 * 1000 * among.max(1) as u64).checked_div(self.rate).unwrap_or(self.full);
        left.saturating_sub(waited).saturating_add(given).min(self.full)
    }
}

/// The patience with what the socket takes of us, kept below TLS: what a record holds back is no progress.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    rule: Rule,
    since: AtomicU64,
    left: AtomicU64,
}

impl Pace {
    pub(super) fn new(rule: Rule) -> Self {
        Self { began: Instant::now(), rule, since: AtomicU64::new(0), left: AtomicU64::new(rule.full) }
    }

    /// The socket takes nothing more for now.
    pub(super) fn waits(&self) {
        if self.since.load(Ordering::Relaxed) == 0 {
            self.since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// It took something.
    pub(super) fn moved(&self, bytes: usize) {
        let since = self.since.swap(0, Ordering::Relaxed);
        if since != 0 {
            let (left, waited) = (self.left.load(Ordering::Relaxed), self.now().saturating_sub(since));
            self.left.store(self.rule.after(left, waited, bytes, 1), Ordering::Relaxed);
        }
    }

    /// When it will have been waited for too long.
    pub(super) fn due(&self) -> Option<Instant> {
        let since = self.since.load(Ordering::Relaxed);
        (since != 0).then(|| self.began + Duration::from_millis(since + self.left.load(Ordering::Relaxed)))
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn who_trickles_below_the_rate_runs_out_and_who_keeps_to_it_never_does() {
        let rule = Rule::new(Duration::from_secs(30), 512);
        // Of ten minutes, a second each.
        let lasts = |bytes| {
            let step = |left: &u64| Some(rule.after(*left, 1_000, bytes, 1)).filter(|left| *left > 1_000);
            std::iter::successors(Some(rule.full()), step).take(600).count()
        };
        assert_eq!([0, 1, 100, 256, 512, 1_000_000].map(lasts), [29, 30, 37, 58, 600, 600]);
        assert_eq!(rule.after(30_000, 0, 1_000_000, 1), 30_000, "and nobody saves up for later");
    }

    #[test]
    fn without_a_rate_any_byte_is_progress() {
        let rule = Rule::new(Duration::from_secs(30), 0);
        assert_eq!(rule.after(1, 29_000, 1, 1), 30_000);
    }

    #[test]
    fn who_shares_the_way_is_held_to_a_part_of_the_rate() {
        let rule = Rule::new(Duration::from_secs(30), 1_000);
        assert_eq!(rule.after(10_000, 5_000, 50, 100), 10_000);
        assert_eq!(rule.after(10_000, 5_000, 50, 1), 5_050);
    }

    proptest! {
        #[test]
        fn more_bytes_never_leave_less_patience(left in 0u64..60_000, waited in 0u64..60_000, bytes in 0usize..100_000, more in 0usize..100_000, rate in 0u32..100_000) {
            let rule = Rule::new(Duration::from_secs(60), rate);
            prop_assert!(rule.after(left, waited, bytes, 1) <= rule.after(left, waited, bytes + more, 1));
        }
    }
}
