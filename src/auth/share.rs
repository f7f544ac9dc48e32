//! What one address may have the issuer asked about tokens that nobody knows yet.
//!
//! Questions at once, so that those of others find room beside them; and how many of its tokens may turn out to be none,
//! so that the issuer is not flooded through us. A token that is known costs neither. Behind a balancer one address may be
//! everybody's, so a share binds only while what is common to all runs short.
//! Invariant: bounded in addresses; the time is an argument.

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Questions of one address at once, and those that all may have beyond theirs.
const AT_ONCE: usize = 8;
const BEYOND: usize = 16;
/// Tokens that were none, before who showed them has to wait: of one address, and of all together.
const REFUSED: Allowance = Allowance { most: 50, forgiven: Duration::from_millis(200) };
const REFUSED_OF_ALL: Allowance = Allowance { most: 500, forgiven: Duration::from_millis(20) };

const MOST: u64 = 10_000;
/// Longer than it takes until all is forgiven.
const IDLE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Shares {
    held: Cache<IpAddr, Arc<Share>>,
    beyond: Semaphore,
    refused: Budget,
}

#[derive(Debug)]
pub(super) struct Share {
    room: Semaphore,
    refused: Budget,
}

/// So many, and one of them is forgiven every so long.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    most: u32,
    forgiven: Duration,
}

#[derive(Debug)]
struct Budget {
    of: Allowance,
    /// Until then what was spent of it counts.
    until: Mutex<Option<Instant>>,
}

impl Shares {
    pub(super) fn new() -> Self {
        let held = Cache::builder()
            .max_capacity(MOST)
            .time_to_idle(IDLE)
            // The usual policy refuses newcomers in a flood, and an address that is not held has spent nothing.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { held, beyond: Semaphore::new(BEYOND), refused: Budget::new(REFUSED_OF_ALL) }
    }

    pub(super) fn of(&self, peer: IpAddr) -> Arc<Share> {
        let made = || Arc::new(Share { room: Semaphore::new(AT_ONCE), refused: Budget::new(REFUSED) });
        self.held.get_with(site(peer), made)
    }

    /// Within the share, else beyond it, else when one of the share's own questions has ended.
    pub(super) async fn room<'a>(&'a self, share: &'a Share) -> Option<SemaphorePermit<'a>> {
        match share.room.try_acquire().or_else(|_| self.beyond.try_acquire()) {
            Ok(room) => Some(room),
            // It is never closed.
            Err(_) => share.room.acquire().await.ok(),
        }
    }

    pub(super) fn is_spent(&self, share: &Share, now: Instant) -> bool {
        self.refused.is_spent(now) && share.refused.is_spent(now)
    }

    /// The issuer says that a token of it is none.
    pub(super) fn refused(&self, share: &Share, now: Instant) {
        self.refused.spend(now);
        share.refused.spend(now);
    }
}

/// Whoever has an address of IPv6 has the 2^64 beside it.
fn site(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(four) => four.into(),
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
    }
}

impl Budget {
    fn new(of: Allowance) -> Self {
        Self { of, until: Mutex::default() }
    }

    fn is_spent(&self, now: Instant) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let Allowance { most, forgiven } = self.of;
        until.is_some_and(|until| until.saturating_duration_since(now) > forgiven * (most - 1))
    }

    /// No more than all of it: who went on beyond his share while there was room waits no longer for that.
    fn spend(&self, now: Instant) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let Allowance { most, forgiven } = self.of;
        let next = until.map_or(now, |until| until.max(now)) + forgiven;
        *until = Some(next.min(now + forgiven * most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: [u8; 4] = [10, 0, 0, 1];

    #[test]
    fn who_makes_up_tokens_waits_once_all_have_made_up_many_and_is_forgiven_one_by_one() {
        let (shares, begin) = (Shares::new(), Instant::now());
        let (one, other) = (shares.of(BEGIN.into()), shares.of([10, 0, 0, 2].into()));
        for n in 0..REFUSED_OF_ALL.most {
            assert!(!shares.is_spent(&one, begin), "{n}: what is common is not spent");
            shares.refused(&one, begin);
        }
        assert!(shares.is_spent(&one, begin) && !shares.is_spent(&other, begin));
        let later = begin + REFUSED_OF_ALL.forgiven;
        assert!(!shares.is_spent(&one, later), "one was forgiven of all");
        shares.refused(&other, later);
        assert!(shares.is_spent(&one, later), "and no more");
        // What it had beyond its share is not held against it.
        shares.refused(&other, later);
        let forgiven = begin + REFUSED.forgiven;
        (0..REFUSED_OF_ALL.most).for_each(|_| shares.refused(&other, forgiven));
        assert!(!shares.is_spent(&one, forgiven) && shares.is_spent(&other, forgiven));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let shares = Shares::new();
        let share = |text: &str| shares.of(text.parse().expect("an address"));
        assert!(Arc::ptr_eq(&share("2001:db8::1"), &share("2001:db8::2:1")));
        assert!(!Arc::ptr_eq(&share("2001:db8::1"), &share("2001:db8:0:1::1")));
        assert!(Arc::ptr_eq(&share("::ffff:10.0.0.1"), &share("10.0.0.1")));
    }

    #[tokio::test]
    async fn an_address_goes_beyond_its_share_while_there_is_room_and_takes_nobody_elses() {
        let shares = Shares::new();
        let (one, other) = (shares.of(BEGIN.into()), shares.of([10, 0, 0, 2].into()));
        let mut held = Vec::new();
        for n in 0..AT_ONCE + BEYOND {
            let room = tokio::time::timeout(Duration::ZERO, shares.room(&one)).await;
            held.push(room.unwrap_or_else(|_| panic!("{n}: there is room")));
        }
        assert!(tokio::time::timeout(Duration::ZERO, shares.room(&one)).await.is_err());
        assert!(tokio::time::timeout(Duration::ZERO, shares.room(&other)).await.is_ok(), "its own is left to it");
    }

    #[test]
    fn in_a_flood_of_addresses_none_is_forgotten_at_once() {
        let shares = Shares::new();
        // Known and asked for again and again: what the usual policy would keep before anybody new.
        for _ in 0..4 {
            (0..MOST).for_each(|n| drop(shares.of(IpAddr::from((n as u32 | 0x0b00_0000).to_be_bytes()))));
        }
        shares.held.run_pending_tasks();
        let new = shares.of(BEGIN.into());
        shares.held.run_pending_tasks();
        assert!(Arc::ptr_eq(&new, &shares.of(BEGIN.into())), "what it spends is remembered");
    }
}
