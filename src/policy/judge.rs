//! One question put to a few rules, and what is made of their answers.
//!
//! What a rule asks plainly is answered here; what is left of it goes to Cedar.
//! Invariant: any error, an expired permit and a guardrail that isn't lifted all end as a refusal.

use super::ask::{Decision, Reason};
use super::plain::{Guard, Seen};
use super::rule::Rule;
use cedar_policy::{
    AuthorizationError, Authorizer, Effect, Entities, EntityUid, Policy, PolicyId, PolicySet, Request, Response,
};
use std::collections::HashMap;
use std::sync::Arc;

/// The rules of a whole set, found by Cedar's name for them.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) rules: Vec<Rule>,
    by_id: HashMap<PolicyId, usize>,
    /// Rules by the client or group that their heads name, and those that name nobody.
    by_whom: HashMap<EntityUid, Vec<usize>>,
    for_all: Vec<usize>,
}

/// What is evaluated together.
#[derive(Debug, Default)]
pub(super) struct Bench {
    /// Apart, for of what holds together Cedar tells the forbids alone, where there are any.
    permits: Side,
    forbids: Side,
    /// Rules of which nothing is plain: one question to Cedar is for all of them.
    together: PolicySet,
    /// Whether Cedar may be needed at all.
    plain: bool,
}

#[derive(Debug, Default)]
struct Side {
    seats: Vec<Seat>,
    /// What is left of all of them for Cedar, and of how many something is: where most are to be asked, one question is
    /// cheaper than as many.
    rests: PolicySet,
    asking: usize,
}

/// A rule with something plain.
#[derive(Debug)]
struct Seat {
    id: PolicyId,
    guard: Arc<Guard>,
    /// Nothing, where the guard is all of it.
    rest: Option<PolicySet>,
}

/// A question: what is plain of it, and what Cedar is asked where that is not enough.
pub(super) struct Case<'a> {
    pub(super) seen: Seen<'a>,
    /// Made once, when it is needed first.
    pub(super) request: &'a dyn Fn() -> Option<Request>,
    pub(super) entities: &'a Entities,
    /// None where time isn't known; then nothing has expired.
    pub(super) now: Option<u64>,
}

/// Rules that hold for a call.
#[derive(Default)]
struct Holding<'a> {
    permits: Vec<&'a Rule>,
    forbids: Vec<&'a Rule>,
    failed: Vec<&'a Rule>,
}

/// A rule, what Cedar is asked of it, and what comes before that.
type Asked<'a> = (&'a Rule, &'a Policy, &'a Arc<Guard>);

impl Bench {
    /// A set refuses the same rule twice; a book holds each once.
    pub(super) fn new<'a>(policies: impl Iterator<Item = Asked<'a>>) -> Option<Self> {
        let policies: Vec<_> = policies.collect();
        // A permit that lifts a forbid must be heard though that holds.
        let lifts = |lifter: &Rule| {
            lifter.lifts.iter().any(|id| policies.iter().any(|(rule, ..)| !rule.permit && rule.id == *id))
        };
        let (together, apart): (Vec<Asked<'_>>, Vec<Asked<'_>>) =
            policies.iter().copied().partition(|(rule, _, guard)| guard.is_open() && !lifts(rule));
        let side = |permit: bool| Side::new(apart.iter().copied().filter(|(rule, ..)| rule.permit == permit));
        let (permits, forbids) = (side(true)?, side(false)?);
        let plain = together.is_empty() && permits.asking + forbids.asking == 0;
        let together = PolicySet::from_policies(together.into_iter().map(|(_, policy, _)| policy.clone())).ok()?;
        Some(Self { permits, forbids, together, plain })
    }

    /// Asking costs less than remembering.
    pub(super) fn is_cheap(&self) -> bool {
        const FEW: usize = 64;
        self.plain && self.permits.seats.len() + self.forbids.seats.len() <= FEW
    }
}

impl Side {
    fn new<'a>(rules: impl Iterator<Item = Asked<'a>>) -> Option<Self> {
        let (mut side, mut rests) = (Self::default(), Vec::new());
        for (_, policy, guard) in rules {
            let rest = if guard.whole { None } else { Some(PolicySet::from_policies([policy.clone()]).ok()?) };
            rests.extend(rest.is_some().then(|| policy.clone()));
            side.seats.push(Seat { id: policy.id().clone(), guard: Arc::clone(guard), rest });
        }
        (side.asking, side.rests) = (rests.len(), PolicySet::from_policies(rests).ok()?);
        Some(side)
    }
}

impl Book {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        let by_id = rules.iter().enumerate().map(|(at, rule)| (rule.policy.id().clone(), at)).collect();
        let mut by_whom: HashMap<EntityUid, Vec<usize>> = HashMap::new();
        let mut for_all = Vec::new();
        for (at, rule) in rules.iter().enumerate() {
            match rule.scope.whom() {
                Some(whom) => by_whom.entry(whom.clone()).or_default().push(at),
                None => for_all.push(at),
            }
        }
        Self { rules, by_id, by_whom, for_all }
    }

    /// The rules whose heads speak of this client in these groups: few, however many others there are.
    pub(super) fn speaking_of<'a>(&'a self, principals: &'a [EntityUid]) -> impl Iterator<Item = &'a Rule> {
        let named = principals.iter().filter_map(|uid| self.by_whom.get(uid)).flatten();
        self.for_all.iter().chain(named).map(|at| &self.rules[*at]).filter(|rule| rule.scope.speaks_of(principals))
    }

    fn rule(&self, id: &PolicyId) -> Option<&Rule> {
        self.by_id.get(id).map(|at| &self.rules[*at])
    }

    pub(super) fn judge(&self, bench: &Bench, case: &Case<'_>) -> Decision {
        let Some(Holding { mut permits, mut forbids, mut failed }) = self.holding(bench, case) else {
            return Decision::refused(Reason::EvaluationError, []);
        };
        // The log and the tests want one order.
        for rules in [&mut permits, &mut forbids, &mut failed] {
            rules.sort_by_key(|rule| &rule.id);
        }
        if !failed.is_empty() {
            return Decision::refused(Reason::EvaluationError, failed.iter().map(|rule| rule.id.clone()));
        }
        permits.retain(|rule| case.now.is_none_or(|now| rule.in_force(now)));
        if forbids.is_empty() { permitted(&permits) } else { forbidden(&permits, &forbids) }
    }

    /// `None`: there is nothing that Cedar could be asked, or it answers of what it wasn't asked.
    fn holding<'a>(&'a self, bench: &Bench, case: &Case<'_>) -> Option<Holding<'a>> {
        let mut holding = Holding::default();
        for side in [&bench.permits, &bench.forbids] {
            let mut asked: Vec<(&PolicyId, &PolicySet)> = Vec::new();
            for seat in side.seats.iter().filter(|seat| seat.guard.met(&case.seen)) {
                match &seat.rest {
                    None => holding.add(self.rule(&seat.id)?),
                    Some(rest) => asked.push((&seat.id, rest)),
                }
            }
            if asked.len() > 1 && asked.len() * 2 >= side.asking {
                let wanted = |id: &PolicyId| asked.iter().any(|(asked, _)| *asked == id);
                self.hear(&case.cedar(&side.rests)?, wanted, &mut holding)?;
                continue;
            }
            for (_, rest) in asked {
                self.hear(&case.cedar(rest)?, |_| true, &mut holding)?;
            }
        }
        if !bench.together.is_empty() {
            self.hear(&case.cedar(&bench.together)?, |_| true, &mut holding)?;
        }
        Some(holding)
    }

    /// Cedar passes over a rule that fails, be it a forbid: here it is heard. What was asked beside those that are wanted is
    /// not: it is decided already. `None`: of a rule that isn't known.
    fn hear<'a>(
        &'a self,
        answer: &Response,
        wanted: impl Fn(&PolicyId) -> bool,
        holding: &mut Holding<'a>,
    ) -> Option<()> {
        for id in answer.diagnostics().reason().filter(|id| wanted(id)) {
            holding.add(self.rule(id)?);
        }
        for AuthorizationError::PolicyEvaluationError(error) in answer.diagnostics().errors() {
            if wanted(error.policy_id()) {
                holding.failed.push(self.rule(error.policy_id())?);
            }
        }
        Some(())
    }
}

impl Case<'_> {
    fn cedar(&self, set: &PolicySet) -> Option<Response> {
        Some(Authorizer::new().is_authorized(&(self.request)()?, set, self.entities))
    }
}

impl<'a> Holding<'a> {
    fn add(&mut self, rule: &'a Rule) {
        match rule.policy.effect() {
            Effect::Permit => self.permits.push(rule),
            Effect::Forbid => self.forbids.push(rule),
        }
    }
}

fn permitted(permits: &[&Rule]) -> Decision {
    if permits.is_empty() {
        return Decision::refused(Reason::NoPermit, []);
    }
    Decision {
        allowed: true,
        reason: Reason::Allowed,
        rules: permits.iter().map(|rule| rule.id.clone()).collect(),
        reveals: permits.iter().flat_map(|rule| rule.reveals.iter().copied()).collect(),
    }
}

/// Allowed after all, if permits that hold and are in force lift every forbid that applies.
fn forbidden(permits: &[&Rule], forbids: &[&Rule]) -> Decision {
    let lifted = |forbid: &&Rule| permits.iter().any(|permit| permit.lifts.contains(&forbid.id));
    let left: Vec<Arc<str>> = forbids.iter().filter(|forbid| !lifted(forbid)).map(|rule| rule.id.clone()).collect();
    if !left.is_empty() {
        return Decision::refused(Reason::Forbidden, left);
    }
    let lifters = permits.iter().filter(|permit| forbids.iter().any(|forbid| permit.lifts.contains(&forbid.id)));
    permitted(&lifters.copied().collect::<Vec<_>>())
}
