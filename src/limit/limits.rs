//! All limits of a call: at the door what is counted for the client as a whole, later what its names make it cost.

use super::book::Used;
use super::bucket::Bucket;
use super::calendar::Per;
use super::class::Class;
use super::counter::{At, Caps, Counter};
use super::plan::{Plan, Rate};
use super::quota::Quota;
use super::slots::{Slot, Slots};
use super::usage::{Counted, Uncounted, Usage, book};
use super::verdict::{Policy, Verdict};
use crate::model::{ClientId, Effect, ProgramName, TransactionName};
use crate::store::{Error, Store};
use crate::tasks::Tasks;
use arc_swap::ArcSwap;
use governor::clock::{Clock, MonotonicClock, Reference};
use http::HeaderValue;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Far above the clients of an ERP. The bucket unused for longest goes first; whoever comes back finds a full one.
const MAX_BUCKETS: u64 = 65_536;
/// Clients whose days and months are counted in memory at the same time.
const MAX_COUNTERS: usize = 65_536;

pub struct Limits<C: Clock = MonotonicClock> {
    pub(super) plan: ArcSwap<Plan>,
    pub(super) buckets: Cache<Key, Arc<Bucket<C>>>,
    /// Never the wall clock: whoever sets that gives nobody a full bucket, and keeps nobody out. Nor a processor's own
    /// count of its ticks, which another machine may go on with at another pace.
    clock: C,
    begun: C::Instant,
    pub(super) slots: Arc<Slots>,
    pub(super) usage: Arc<Usage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) client: ClientId,
    pub(super) what: What,
    pub(super) shadow: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum What {
    Own,
    Program(ProgramName),
    Transaction(ProgramName, TransactionName),
    Class(Class),
}

impl What {
    pub(super) fn policy(self) -> Policy {
        match self {
            Self::Own => Policy::Client,
            Self::Program(_) => Policy::Program,
            Self::Transaction(..) => Policy::Transaction,
            Self::Class(_) => Policy::Effect,
        }
    }
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    pub client: &'a ClientId,
    pub groups: &'a [Box<str>],
}

/// A call whose names are known.
#[derive(Debug, Clone, Copy)]
pub struct Charge<'a> {
    pub caller: Caller<'a>,
    pub program: ProgramName,
    pub transaction: TransactionName,
    pub effect: Effect,
    /// All records of a list were asked for.
    pub all: bool,
}

/// What the limits say of a call.
#[derive(Debug, Default)]
pub struct Said {
    /// The tightest; nothing where no limit speaks of the call.
    pub verdict: Option<Verdict>,
    /// Shadows that would have refused it.
    pub shadows: Vec<Policy>,
    /// Days and months that only watch could not be counted.
    pub unwatched: bool,
    pub held: Held,
}

/// What a call holds until it has ended. Clones hold the same.
#[derive(Debug, Clone, Default)]
pub struct Held(#[expect(dead_code, reason = "held, and let go of by being dropped")] Option<Arc<Slot>>);

impl Said {
    fn hear(&mut self, verdict: Verdict) {
        self.verdict = Some(match self.verdict.take() {
            Some(known) => known.tighter(verdict),
            None => verdict,
        });
    }

    fn counted(&mut self, counted: Counted, plan: &Plan, caller: Caller<'_>) -> Option<Arc<Counter>> {
        counted.said.into_iter().for_each(|verdict| self.hear(placed(plan, caller, verdict)));
        self.shadows.extend(counted.shadows);
        counted.counter
    }

    pub fn is_allowed(&self) -> bool {
        self.verdict.as_ref().is_none_or(|verdict| verdict.allowed)
    }
}

impl Limits {
    /// Counts days and months in memory alone.
    pub fn new(plan: Plan) -> Self {
        Self::with_clock(plan, MonotonicClock, MAX_BUCKETS)
    }

    /// Counts days and months in the store, through restarts and crashes.
    pub async fn kept(plan: Plan, store: &Store, tasks: &Tasks) -> Result<Self, Error> {
        let usage = Arc::new(Usage::new(Some(book(store).await?), MAX_COUNTERS));
        let keeper = Arc::clone(&usage);
        tasks.spawn_until_stop(async move { keeper.keep().await });
        Ok(Self { usage, ..Self::new(plan) })
    }
}

impl<C: Clock + Clone + Send + Sync + 'static> Limits<C> {
    pub(super) fn with_clock(plan: Plan, clock: C, most: u64) -> Self {
        // Least recently used, and nothing cleverer: a policy that refuses newcomers would leave them unlimited.
        let buckets = Cache::builder().max_capacity(most).eviction_policy(EvictionPolicy::lru()).build();
        let usage = Arc::new(Usage::new(None, MAX_COUNTERS));
        let begun = clock.now();
        Self { plan: ArcSwap::from_pointee(plan), buckets, clock, begun, slots: Arc::default(), usage }
    }

    fn at(&self, wall: u64) -> At {
        At { wall, steady: Duration::from(self.clock.now().duration_since(self.begun)).as_secs() }
    }

    /// New limits. A bucket whose quota stays the same keeps its level; the others start full. What was used of a day or
    /// a month stays used.
    pub fn replace(&self, plan: Plan) {
        self.plan.store(Arc::new(plan));
    }

    /// Takes `weight` (0 counts as 1) from the client's own bucket. A weight above the burst takes a full bucket.
    pub fn check(&self, client: &ClientId, groups: &[Box<str>], weight: u32) -> Said {
        let (own, shadow) = {
            let plan = self.plan.load();
            (plan.own_rate(client, groups), plan.own_shadow(client, groups))
        };
        let verdict = self.bucket(client, What::Own, false, own.quota).take(weight).on(own.line);
        // What the real limit refused was no call, so it is none to the shadow either.
        let shadow = shadow.filter(|_| verdict.allowed);
        let shadow = shadow.map(|rate| self.bucket(client, What::Own, true, rate.quota).take(weight));
        let shadows = shadow.filter(|verdict| !verdict.allowed).map(|verdict| verdict.policy).into_iter().collect();
        Said { verdict: Some(verdict), shadows, ..Said::default() }
    }

    /// The door of a call: one unit of its rate, and a look at what else is counted for the client as a whole, so that
    /// whoever has nothing left is told before anything is decided.
    pub async fn door(&self, caller: Caller<'_>, now: u64) -> Result<Said, Uncounted> {
        let mut said = self.check(caller.client, caller.groups, 1);
        if !self.plan.load().counts_calls() {
            return Ok(said);
        }
        let plan = self.plan.load_full();
        let caps = caps(&plan, caller);
        // Where nothing but shadows counts there is nobody to tell.
        if caps.iter().any(|caps| caps.real.is_some()) {
            let looked = self.usage.ask(caller.client, &plan.zone, caps, 1, self.at(now), false).await?;
            // What would have been refused is told where it is counted.
            looked.said.into_iter().for_each(|verdict| said.hear(placed(&plan, caller, verdict)));
        }
        if let Some(table) = plan.concurrent.real.of(caller.client, caller.groups) {
            let count = self.slots.count(caller.client);
            if count >= table.is && said.is_allowed() {
                said.hear(in_flight(table.is, count, false).on(table.line));
            }
        }
        Ok(said)
    }

    /// Takes what the call costs from every limit that speaks of it, or from none. Its one unit of the client's own rate
    /// was taken before. The wait of a refusal is one after which all of them let it through, that unit included.
    pub async fn charge(&self, charge: &Charge<'_>, now: u64) -> Result<Said, Uncounted> {
        if self.plan.load().is_plain() {
            return Ok(Said::default());
        }
        let plan = self.plan.load_full();
        let Caller { client, groups } = charge.caller;
        let cost = plan.cost(charge.program, charge.transaction, charge.effect, charge.all);
        let mut said = Said::default();
        let mut taken = Vec::new();
        for (what, shadow, rate) in rates(&plan, charge, cost) {
            let bucket = self.bucket(client, what, shadow, rate.quota);
            // A weight above the burst is a full bucket, and one of it is gone.
            let weight = if what == What::Own { bucket.weight(cost).get() - 1 } else { cost };
            if weight == 0 {
                continue;
            }
            let verdict = bucket.take(weight).on(rate.line);
            match (verdict.allowed, shadow) {
                (false, true) => said.shadows.push(what.policy()),
                (true, _) => taken.push((bucket, weight)),
                (false, false) => {}
            }
            if !shadow {
                said.hear(verdict);
            }
        }
        let (caps, mut counter) = (caps(&plan, charge.caller), None);
        if caps != [Caps::default(); 2] {
            let allowed = said.is_allowed();
            match self.usage.ask(client, &plan.zone, caps, cost, self.at(now), allowed).await {
                Ok(counted) => counter = said.counted(counted, &plan, charge.caller),
                Err(_) if caps.iter().all(|caps| caps.real.is_none()) => said.unwatched = true,
                Err(uncounted) => {
                    taken.iter().for_each(|(bucket, weight)| bucket.give(*weight));
                    return Err(uncounted);
                }
            }
        }
        let counted = said.is_allowed();
        if counted {
            self.slot(&plan, charge.caller, &mut said);
        }
        if !said.is_allowed() {
            taken.iter().for_each(|(bucket, weight)| bucket.give(*weight));
            if let Some(counter) = counter.filter(|_| counted) {
                counter.give(caps, cost);
            }
            // Whoever comes back pays at the door again.
            if said.verdict.as_ref().is_some_and(|verdict| verdict.policy != Policy::Concurrent) {
                let own = plan.own_rate(client, groups);
                said.hear(self.bucket(client, What::Own, false, own.quota).look(cost).on(own.line));
            }
        }
        Ok(said)
    }

    fn slot(&self, plan: &Plan, Caller { client, groups }: Caller<'_>, said: &mut Said) {
        let most = |shadow| plan.concurrent.layer(shadow).of(client, groups).map(|table| table.is);
        let (real, shadow) = (most(false), most(true));
        let line = plan.concurrent.real.of(client, groups).map_or(0, |table| table.line);
        if real.is_none() && shadow.is_none() {
            return;
        }
        match self.slots.take(client, real.unwrap_or(u32::MAX)) {
            Ok((slot, count)) => {
                said.held = Held(Some(Arc::new(slot)));
                if shadow.is_some_and(|shadow| count > shadow) {
                    said.shadows.push(Policy::Concurrent);
                }
                if let Some(most) = real {
                    said.hear(in_flight(most, count, true).on(line));
                }
            }
            Err(count) => said.hear(in_flight(real.unwrap_or(u32::MAX), count, false).on(line)),
        }
    }

    /// Until one more call of this client may be in flight, or the time is up.
    pub async fn free(&self, caller: Caller<'_>, patience: Duration) {
        if let Some(most) = self.at_once(caller) {
            self.slots.free(caller.client, most, patience).await;
        }
    }

    /// How many calls of this client may be in flight, where that is limited.
    pub fn at_once(&self, Caller { client, groups }: Caller<'_>) -> Option<u32> {
        self.plan.load().concurrent.real.of(client, groups).map(|table| table.is)
    }

    /// What clients have used of their days and months.
    pub async fn used(&self, client: Option<&ClientId>) -> Result<Vec<Used>, Error> {
        self.usage.used(client).await
    }

    /// Forgets what a client has used. Gives what that was.
    pub async fn reset(&self, client: &ClientId, per: Option<Per>) -> Result<Vec<Used>, Error> {
        let zone = self.plan.load().zone.clone();
        self.usage.reset(client, &zone, per).await
    }

    /// Writes down exactly what was used; at the end, when nobody calls any more.
    pub async fn settle(&self) -> Result<(), Error> {
        self.usage.settle().await
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> u64 {
        self.buckets.run_pending_tasks();
        self.buckets.entry_count()
    }

    #[cfg(test)]
    pub(super) fn keep_in(self, book: super::book::Book, most: usize) -> Self {
        Self { usage: Arc::new(Usage::new(Some(book), most)), ..self }
    }

    #[cfg(test)]
    pub(super) fn usage(&self) -> Arc<Usage> {
        Arc::clone(&self.usage)
    }

    #[cfg(test)]
    pub(super) fn clients_in_flight(&self) -> usize {
        self.slots.clients()
    }

    fn bucket(&self, client: &ClientId, what: What, shadow: bool, quota: Quota) -> Arc<Bucket<C>> {
        let key = Key { client: client.clone(), what, shadow };
        if let Some(bucket) = self.buckets.get(&key).filter(|bucket| bucket.quota == quota) {
            return bucket;
        }
        // One at a time for each key: two that come at once must share the bucket that is made.
        let entry = self.buckets.entry(key).and_upsert_with(|known| match known {
            Some(known) if known.value().quota == quota => known.into_value(),
            Some(_) | None => Arc::new(Bucket::new(quota, what.policy(), &self.clock)),
        });
        entry.into_value()
    }
}

/// Every rate that speaks of the call.
fn rates(plan: &Plan, charge: &Charge<'_>, cost: u32) -> Vec<(What, bool, Rate)> {
    let Charge { caller: Caller { client, groups }, program, transaction, effect, .. } = *charge;
    let mut all = Vec::new();
    if cost > 1 {
        all.push((What::Own, false, plan.own_rate(client, groups)));
        all.extend(plan.own_shadow(client, groups).map(|rate| (What::Own, true, rate)));
    }
    for shadow in [false, true] {
        let mut add = |what, tables: Option<&super::scoped::Scoped<Quota>>| {
            let table = tables.and_then(|tables| tables.layer(shadow).of(client, groups));
            all.extend(table.map(|table| (what, shadow, Rate::of(table))));
            table.is_some()
        };
        add(What::Program(program), plan.programs.get(&program));
        add(What::Transaction(program, transaction), plan.transactions.get(&(program, transaction)));
        for class in Class::of(effect) {
            if add(What::Class(*class), plan.classes.get(class)) {
                break;
            }
        }
    }
    all
}

fn caps(plan: &Plan, Caller { client, groups }: Caller<'_>) -> [Caps; 2] {
    if !plan.counts_days() {
        return Default::default();
    }
    [&plan.daily, &plan.monthly].map(|tables| {
        let of = |shadow| tables.layer(shadow).of(client, groups).map(|table| table.is);
        Caps { real: of(false), shadow: of(true) }
    })
}

/// With the line of the table that it is of.
fn placed(plan: &Plan, Caller { client, groups }: Caller<'_>, verdict: Verdict) -> Verdict {
    let tables = if verdict.policy == Policy::Daily { &plan.daily } else { &plan.monthly };
    let line = tables.real.of(client, groups).map_or(0, |table| table.line);
    verdict.on(line)
}

fn in_flight(most: u32, count: u32, allowed: bool) -> Verdict {
    let text = format!("\"{}\";q={most};qu=\"concurrent-requests\"", Policy::Concurrent.name());
    Verdict {
        allowed,
        policy: Policy::Concurrent,
        line: 0,
        limit: most,
        remaining: most.saturating_sub(count),
        weight: 1,
        reset_seconds: 0,
        wait: Duration::ZERO,
        policy_header: HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
            .expect("names and digits are header text"),
    }
}

impl<C: Clock> fmt::Debug for Limits<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}
