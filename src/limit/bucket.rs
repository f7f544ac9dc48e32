//! One bucket: a GCRA level that can be looked at without taking, and given back to.

use super::quota::{Quota, seconds};
use super::verdict::{Policy, Verdict};
use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota as Rate, RateLimiter};
use http::HeaderValue;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) struct Bucket<C: Clock> {
    pub(super) quota: Quota,
    policy: Policy,
    header: HeaderValue,
    level: Level,
    limiter: RateLimiter<Step, Level, C, StateInformationMiddleware>,
}

/// What is done with the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Take,
    Look,
}

/// The time at which the bucket is full again, in nanoseconds since it was made; 0 is one that nobody took from.
#[derive(Debug, Clone, Default)]
struct Level(Arc<AtomicU64>);

impl StateStore for Level {
    type Key = Step;

    fn measure_and_replace<T, F, E>(&self, step: &Step, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut known = self.0.load(Ordering::Acquire);
        loop {
            let (told, next) = measure((known > 0).then(|| Nanos::from(known)))?;
            if *step == Step::Look {
                return Ok(told);
            }
            match self.0.compare_exchange_weak(known, next.into(), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(told),
                Err(now) => known = now,
            }
        }
    }
}

impl<C: Clock + Clone> Bucket<C> {
    pub(super) fn new(quota: Quota, policy: Policy, clock: &C) -> Self {
        let rate = Rate::with_period(quota.period).expect("a quota's period is never zero").allow_burst(quota.burst);
        let level = Level::default();
        let limiter = RateLimiter::new(rate, level.clone(), clock.clone());
        Self { quota, policy, header: quota.policy(policy.name()), level, limiter }
    }

    /// A weight above the burst takes a full bucket.
    pub(super) fn weight(&self, weight: u32) -> NonZeroU32 {
        NonZeroU32::new(weight).unwrap_or(NonZeroU32::MIN).min(self.quota.burst)
    }

    pub(super) fn take(&self, weight: u32) -> Verdict {
        self.ask(Step::Take, weight)
    }

    /// What `take` would say.
    pub(super) fn look(&self, weight: u32) -> Verdict {
        self.ask(Step::Look, weight)
    }

    /// How many units there are, and how long until it is full, if nothing else comes.
    pub(super) fn left(&self) -> (u32, Duration) {
        let now = self.look(1);
        let left = if now.allowed { now.remaining + now.weight } else { now.remaining };
        (left, self.quota.period * (self.quota.burst.get() - left))
    }

    /// Puts back what was taken for a call that another limit refused.
    pub(super) fn give(&self, weight: u32) {
        let taken = self.quota.period.as_nanos() as u64 * u64::from(self.weight(weight).get());
        // It is never above `now`'s level: what was taken was added to this very number.
        let _ = self.level.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |level| {
            Some(level.saturating_sub(taken).max(u64::from(level > 0)))
        });
    }

    fn ask(&self, step: Step, weight: u32) -> Verdict {
        let burst = self.quota.burst;
        let weight = self.weight(weight);
        let (allowed, remaining, until_full, wait) = match self.limiter.check_key_n(&step, weight) {
            Ok(Ok(state)) => {
                let remaining = state.remaining_burst_capacity();
                (true, remaining, self.quota.period * burst.get().saturating_sub(remaining), Duration::ZERO)
            }
            Ok(Err(until)) => {
                let wait = until.wait_time_from(self.limiter.clock().now());
                // The wait ends when `weight` are there; the others that are missing come after it.
                let until_full = wait + self.quota.period * (burst.get() - weight.get());
                let missing = until_full.as_nanos().div_ceil(self.quota.period.as_nanos());
                let missing = u32::try_from(missing).unwrap_or(u32::MAX);
                (false, burst.get().saturating_sub(missing), until_full, wait)
            }
            // Cut to the burst above; refused rather than let through if that ever changed.
            Err(_) => (false, 0, self.quota.period * burst.get(), self.quota.period),
        };
        Verdict {
            allowed,
            policy: self.policy,
            line: 0,
            limit: burst.get(),
            remaining,
            weight: weight.get(),
            reset_seconds: seconds(until_full),
            wait,
            policy_header: self.header.clone(),
        }
    }
}
