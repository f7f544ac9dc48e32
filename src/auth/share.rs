//! What one address may have the issuer asked about tokens that nobody knows yet.
//!
//! Questions at once, so that those of others find room beside them; and how many of its tokens may turn out to be none,
//! so that the issuer is not flooded through us. A token that is known costs neither.
//! Invariant: bounded in addresses; the time is an argument.

use moka::sync::Cache;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Questions of one address at once.
pub(super) const AT_ONCE: usize = 8;
/// Tokens of one address that were none, before it has to wait.
pub(super) const REFUSED: u32 = 50;
/// One of them is forgiven every so long.
const FORGIVEN: Duration = Duration::from_millis(200);

const MOST: u64 = 10_000;
/// Longer than it takes until all is forgiven.
const IDLE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Shares {
    held: Cache<IpAddr, Arc<Share>>,
}

#[derive(Debug)]
pub(super) struct Share {
    pub(super) room: Semaphore,
    /// Until then its refusals count.
    until: Mutex<Option<Instant>>,
}

impl Shares {
    pub(super) fn new() -> Self {
        Self { held: Cache::builder().max_capacity(MOST).time_to_idle(IDLE).build() }
    }

    pub(super) fn of(&self, peer: IpAddr) -> Arc<Share> {
        self.held.get_with(site(peer), || Arc::new(Share { room: Semaphore::new(AT_ONCE), until: Mutex::default() }))
    }
}

/// Whoever has an address of IPv6 has the 2^64 beside it.
fn site(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(four) => four.into(),
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
    }
}

impl Share {
    pub(super) fn is_spent(&self, now: Instant) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| until.saturating_duration_since(now) > FORGIVEN * (REFUSED - 1))
    }

    /// The issuer says that a token of it is none.
    pub(super) fn refused(&self, now: Instant) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = Some(until.map_or(now, |until| until.max(now)) + FORGIVEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_up_tokens_waits_and_is_forgiven_one_by_one() {
        let (shares, begin) = (Shares::new(), Instant::now());
        let (one, other) = (shares.of([10, 0, 0, 1].into()), shares.of([10, 0, 0, 2].into()));
        for n in 0..REFUSED {
            assert!(!one.is_spent(begin), "{n}");
            one.refused(begin);
        }
        assert!(one.is_spent(begin) && !other.is_spent(begin));
        assert!(!one.is_spent(begin + FORGIVEN));
        one.refused(begin + FORGIVEN);
        assert!(one.is_spent(begin + FORGIVEN), "one was forgiven, and no more");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let shares = Shares::new();
        let share = |text: &str| shares.of(text.parse().expect("an address"));
        assert!(Arc::ptr_eq(&share("2001:db8::1"), &share("2001:db8::2:1")));
        assert!(!Arc::ptr_eq(&share("2001:db8::1"), &share("2001:db8:0:1::1")));
        assert!(Arc::ptr_eq(&share("::ffff:10.0.0.1"), &share("10.0.0.1")));
    }
}
