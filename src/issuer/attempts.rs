//! How often a client at an address may be wrong: ten times, then once a second.
//!
//! Invariant: bounded; one client's failures never hold up another client of the same address, nor the same client
//! at another address; of one such pair only one check runs at a time, so a burst can't be wrong a hundred times.
//! Does not know: clocks; the time is an argument.

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const FREE: u64 = 10;
const MOST: u64 = 20_000;
/// Longer than it takes to be forgiven everything.
const IDLE: Duration = Duration::from_secs(60);

type Pair = (Box<str>, IpAddr);

#[derive(Debug)]
pub(super) struct Attempts {
    held: Cache<Pair, Arc<Slot>>,
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Held while a secret of this pair is checked.
    pub(super) turn: tokio::sync::Mutex<()>,
    level: Mutex<Level>,
}

/// One is forgiven each second.
#[derive(Debug, Default, Clone, Copy)]
struct Level {
    failures: u64,
    at: u64,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self {
            held: Cache::builder()
                .max_capacity(MOST)
                .time_to_idle(IDLE)
                // The usual policy refuses newcomers in a flood, and a pair that is not held has no failures.
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        }
    }

    pub(super) fn of(&self, client: &str, address: IpAddr) -> Arc<Slot> {
        self.held.get_with((client.into(), neighbourhood(address)), Arc::default)
    }
}

impl Slot {
    /// Whether one more may be tried now.
    pub(super) fn open(&self, now: u64) -> bool {
        self.level(now, 0) < FREE
    }

    pub(super) fn failed(&self, now: u64) {
        self.level(now, 1);
    }

    fn level(&self, now: u64, more: u64) -> u64 {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that goes back forgives nothing.
        let failures = level.failures.saturating_sub(now.saturating_sub(level.at)) + more;
        *level = Level { failures, at: now.max(level.at) };
        failures
    }
}

/// An IPv6 host has a /64 of its own to choose addresses from.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn ten_failures_then_one_a_second() {
        let attempts = Attempts::new();
        let slot = attempts.of("a", HERE);
        for _ in 0..10 {
            assert!(slot.open(100));
            slot.failed(100);
        }
        assert!(!slot.open(100));
        assert!(slot.open(101));
        slot.failed(101);
        assert!(!slot.open(101));
        assert!(slot.open(102) && slot.open(200));
    }

    #[test]
    fn neither_the_neighbour_nor_the_other_address_is_held_up() {
        let attempts = Attempts::new();
        (0..20).for_each(|_| attempts.of("a", HERE).failed(100));
        assert!(!attempts.of("a", HERE).open(100));
        assert!(attempts.of("b", HERE).open(100) && attempts.of("a", THERE).open(100));
    }

    #[test]
    fn a_host_cannot_walk_through_its_ipv6_addresses() {
        let attempts = Attempts::new();
        let [one, two] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse().expect("an address"));
        (0..10).for_each(|_| attempts.of("a", one).failed(100));
        assert!(!attempts.of("a", two).open(100));
    }
}
