//! What the limits say of a call, on its way to the caller, the metrics and the audit log.
//!
//! A transaction of a bulk call may wait a while for its turn; any other is refused at once.

use super::blocked;
use super::exchange::Exchange;
use super::problem::{Kind, Problem};
use super::visit::Visit;
use crate::audit::{self, Refusal, Table};
use crate::clock::unix_seconds;
use crate::limit::{Caller, Charge, Held, Policy, Said, Verdict};
use crate::model::{Effect, Principal, ProgramName, TransactionName};
use crate::telemetry::Metrics;
use crate::translate::Asked;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a run may be held back by limits, in all.
const PACE: Duration = Duration::from_secs(2);

/// Whoever asks for more records than this asks for all of them, and pays for all.
const MOST_COUNTED: u32 = 10_000;

/// The time that limits may still cost a run.
#[derive(Debug)]
pub(super) struct Pace(AtomicU64);

impl Pace {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(PACE.as_micros() as u64))
    }

    pub(super) fn take(&self, wait: Duration) -> bool {
        let wait = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(wait)).is_ok()
    }

    fn left(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn spend(&self, spent: Duration) {
        let spent = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(spent)));
    }
}

/// Who hears of what limits say.
pub(super) struct Ears<'a> {
    pub(super) metrics: &'a Metrics,
    pub(super) audit: &'a audit::Log,
    pub(super) who: &'a Principal,
    pub(super) visit: &'a Visit,
    /// Not known at the door.
    pub(super) name: Option<(ProgramName, TransactionName)>,
}

impl Ears<'_> {
    /// Tells the headers and, of shadows and refusals, the metrics and the log.
    pub(super) fn hear(&self, said: Said) -> Result<Held, Problem> {
        for shadow in &said.shadows {
            self.metrics.limit_refusals.with_label_values(&[shadow.name(), "shadow"]).inc();
            self.note(*shadow, None);
        }
        if said.unwatched {
            self.metrics.limit_unwatched.inc();
        }
        let Some(verdict) = said.verdict else { return Ok(said.held) };
        let refused = (!verdict.allowed).then(|| self.refused(&verdict));
        let mut learnt = self.visit.learnt();
        learnt.limit = Some(match learnt.limit.take() {
            Some(known) => known.tighter(verdict),
            None => verdict,
        });
        drop(learnt);
        refused.map_or(Ok(said.held), Err)
    }

    fn refused(&self, verdict: &Verdict) -> Problem {
        self.metrics.limit_refusals.with_label_values(&[verdict.policy.name(), "refused"]).inc();
        let id = self.note(verdict.policy, Some(verdict));
        self.visit.learnt().decision = Some(id);
        let (kind, detail) = told(verdict.policy, self.name);
        let problem = Problem::new(kind, detail).decided(id);
        match verdict.wait() {
            Some(wait) => problem.retry_after(wait),
            None => problem,
        }
    }

    /// Without a verdict it is a shadow's.
    fn note(&self, policy: Policy, verdict: Option<&Verdict>) -> audit::DecisionId {
        self.audit.refused(&Refusal {
            call: &self.visit.intent(),
            client: &self.who.client,
            tenant: self.who.tenant.as_ref(),
            groups: &self.who.groups,
            address: self.visit.peer.address,
            name: self.name,
            effect: self.name.map(|(program, name)| Effect::of(program, name)),
            reason: told(policy, self.name).0.slug(),
            limit: policy.name(),
            shadow: verdict.is_none(),
            table: verdict.map(|verdict| Table {
                place: verdict.place(),
                most: verdict.limit,
                used: verdict.limit.saturating_sub(verdict.remaining),
                cost: verdict.weight,
            }),
        })
    }
}

fn told(policy: Policy, name: Option<(ProgramName, TransactionName)>) -> (Kind, String) {
    let rate = |of: String| (Kind::RateLimited, format!("The client has used up its rate{of}."));
    match (policy, name) {
        (Policy::Program, Some((program, _))) => rate(format!(" for {program}")),
        (Policy::Transaction, Some((program, name))) => rate(format!(" for {program}/{name}")),
        (Policy::Effect, Some((program, name))) => rate(format!(" of calls that {}", Effect::of(program, name))),
        (Policy::Client | Policy::Program | Policy::Transaction | Policy::Effect, _) => rate(String::new()),
        (Policy::Daily, _) => (Kind::QuotaSpent, "The client has used up its quota of today.".into()),
        (Policy::Monthly, _) => (Kind::QuotaSpent, "The client has used up its quota of this month.".into()),
        (Policy::Concurrent, _) => {
            (Kind::TooManyInFlight, "As many calls of this client as may be are in flight.".into())
        }
    }
}

/// Nothing that can't be counted is let through.
pub(super) fn uncounted() -> Problem {
    Problem::new(Kind::QuotaUnavailable, "What the client has used of its quota can't be counted at the moment.")
        .retry_after(Duration::from_secs(5))
}

pub(super) fn caller(who: &Principal) -> Caller<'_> {
    Caller { client: &who.client, groups: &who.groups }
}

impl Exchange {
    /// After policy: what is refused costs the client nothing of its limits. What comes back is held until the call ends.
    pub(super) async fn charge(&self, asked: &Asked, who: &Principal, visit: &Visit) -> Result<Held, Problem> {
        let charge = Charge {
            caller: caller(who),
            program: asked.program,
            transaction: asked.transaction,
            effect: Effect::of(asked.program, asked.transaction),
            all: asked.options.max_records.is_some_and(|most| most == 0 || most > MOST_COUNTED),
        };
        loop {
            let said = self.limits.charge(&charge, unix_seconds()).await.map_err(|_| uncounted())?;
            let refused = said.verdict.as_ref().filter(|verdict| !verdict.allowed);
            if let (Some(verdict), Some(pace)) = (refused, visit.pace()) {
                match verdict.wait() {
                    Some(wait) if pace.take(wait) => {
                        tokio::time::sleep(wait).await;
                        self.still_may(asked, who, visit)?;
                        continue;
                    }
                    None if !pace.left().is_zero() => {
                        let began = Instant::now();
                        self.limits.free(charge.caller, pace.left()).await;
                        // Somebody else may have been faster: each try costs something, so that they end.
                        pace.spend(began.elapsed().max(Duration::from_millis(1)));
                        self.still_may(asked, who, visit)?;
                        continue;
                    }
                    Some(_) | None => {}
                }
            }
            return self.ears(who, visit, Some((asked.program, asked.transaction))).hear(said);
        }
    }

    /// Who was held back for a while may have been blocked or taken back in it.
    fn still_may(&self, asked: &Asked, who: &Principal, visit: &Visit) -> Result<(), Problem> {
        blocked::by_name(self, (asked.program, asked.transaction), who, visit).map_or(Ok(()), Err)
    }

    pub(super) fn ears<'a>(
        &'a self,
        who: &'a Principal,
        visit: &'a Visit,
        name: Option<(ProgramName, TransactionName)>,
    ) -> Ears<'a> {
        Ears { metrics: &self.metrics, audit: &self.audit, who, visit, name }
    }
}
