//! The buckets: one for each client, one more for each client and limited program.

use super::plan::Plan;
use super::quota::{Quota, seconds};
use super::verdict::{Policy, Verdict};
use crate::model::{ClientId, ProgramName};
use arc_swap::ArcSwap;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota as Rate, RateLimiter};
use http::HeaderValue;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Far above the clients of an ERP. The bucket unused for longest goes first; whoever comes back finds a full one.
const MAX_BUCKETS: u64 = 65_536;

pub struct Limits<C: Clock = DefaultClock> {
    plan: ArcSwap<Plan>,
    buckets: Cache<Key, Arc<Bucket<C>>>,
    clock: C,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    client: ClientId,
    program: Option<ProgramName>,
}

struct Bucket<C: Clock> {
    quota: Quota,
    policy: Policy,
    header: HeaderValue,
    limiter: RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>,
}

impl Limits {
    pub fn new(plan: Plan) -> Self {
        Self::with_clock(plan, DefaultClock::default(), MAX_BUCKETS)
    }
}

impl<C: Clock + Clone + Send + Sync + 'static> Limits<C> {
    pub(super) fn with_clock(plan: Plan, clock: C, most: u64) -> Self {
        // Least recently used, and nothing cleverer: a policy that refuses newcomers would leave them unlimited.
        let buckets = Cache::builder().max_capacity(most).eviction_policy(EvictionPolicy::lru()).build();
        Self { plan: ArcSwap::from_pointee(plan), buckets, clock }
    }

    /// New limits. A bucket whose quota stays the same keeps its level; the others start full.
    pub fn replace(&self, plan: Plan) {
        self.plan.store(Arc::new(plan));
    }

    /// Takes `weight` (0 counts as 1) from the client's own bucket. A weight above the burst takes a full bucket.
    pub fn check(&self, client: &ClientId, groups: &[Box<str>], weight: u32) -> Verdict {
        let quota = self.plan.load().own(client, groups);
        self.bucket(client, None, quota).take(weight)
    }

    /// Takes `weight` from the client's bucket for this program; nothing where no limit speaks of it.
    /// The client's own bucket isn't touched.
    pub fn check_program(
        &self,
        client: &ClientId,
        groups: &[Box<str>],
        program: ProgramName,
        weight: u32,
    ) -> Option<Verdict> {
        let quota = self.plan.load().program(client, groups, program)?;
        Some(self.bucket(client, Some(program), quota).take(weight))
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> u64 {
        self.buckets.run_pending_tasks();
        self.buckets.entry_count()
    }

    fn bucket(&self, client: &ClientId, program: Option<ProgramName>, quota: Quota) -> Arc<Bucket<C>> {
        let key = Key { client: client.clone(), program };
        if let Some(bucket) = self.buckets.get(&key).filter(|bucket| bucket.quota == quota) {
            return bucket;
        }
        // One at a time for each key: two that come at once must share the bucket that is made.
        let entry = self.buckets.entry(key).and_upsert_with(|known| match known {
            Some(known) if known.value().quota == quota => known.into_value(),
            Some(_) | None => Arc::new(Bucket::new(quota, program, &self.clock)),
        });
        entry.into_value()
    }
}

impl<C: Clock + Clone> Bucket<C> {
    fn new(quota: Quota, program: Option<ProgramName>, clock: &C) -> Self {
        let rate = Rate::with_period(quota.period).expect("a quota's period is never zero").allow_burst(quota.burst);
        let policy = if program.is_some() { Policy::Program } else { Policy::Client };
        let limiter = RateLimiter::direct_with_clock(rate, clock.clone());
        let limiter = limiter.with_middleware::<StateInformationMiddleware>();
        Self { quota, policy, header: quota.policy(policy.name()), limiter }
    }

    fn take(&self, weight: u32) -> Verdict {
        let burst = self.quota.burst;
        let weight = NonZeroU32::new(weight).unwrap_or(NonZeroU32::MIN).min(burst);
        let (allowed, remaining, until_full, wait) = match self.limiter.check_n(weight) {
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
            limit: burst.get(),
            remaining,
            reset_seconds: seconds(until_full),
            wait,
            policy_header: self.header.clone(),
        }
    }
}

impl<C: Clock> fmt::Debug for Limits<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}
