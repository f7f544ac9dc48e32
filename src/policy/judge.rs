//! One evaluation, and what is made of Cedar's answer.
//!
//! Invariant: any error, an expired permit and a guardrail that isn't lifted all end as a refusal.

use super::ask::{Decision, Reason};
use super::rule::Rule;
use cedar_policy::{
    AuthorizationError, Authorizer, Decision as Verdict, Entities, EntityUid, PolicyId, PolicySet, Request,
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

/// What is evaluated together. `lifters` are the permits among `all` that lift a forbid among them.
#[derive(Debug, Default)]
pub(super) struct Bench {
    pub(super) all: PolicySet,
    pub(super) lifters: PolicySet,
}

impl Bench {
    /// A set refuses the same rule twice; a book holds each once.
    pub(super) fn new<'a>(policies: impl Iterator<Item = (&'a Rule, &'a cedar_policy::Policy)>) -> Option<Self> {
        let policies: Vec<_> = policies.collect();
        let lifted = |lifter: &Rule| {
            lifter.lifts.iter().any(|id| policies.iter().any(|(rule, _)| !rule.permit && rule.id == *id))
        };
        let lifters = policies.iter().filter(|(rule, _)| lifted(rule)).map(|(_, policy)| (*policy).clone());
        Some(Self {
            lifters: PolicySet::from_policies(lifters).ok()?,
            all: PolicySet::from_policies(policies.iter().map(|(_, policy)| (*policy).clone())).ok()?,
        })
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

    /// `now`: none where time isn't known; then nothing has expired.
    pub(super) fn judge(&self, bench: &Bench, request: &Request, entities: &Entities, now: Option<u64>) -> Decision {
        let answer = Authorizer::new().is_authorized(request, &bench.all, entities);
        let failed: Vec<_> = answer
            .diagnostics()
            .errors()
            .map(|AuthorizationError::PolicyEvaluationError(error)| error.policy_id())
            .filter_map(|id| self.rule(id))
            .map(|rule| rule.id.clone())
            .collect();
        if answer.diagnostics().errors().next().is_some() {
            return Decision::refused(Reason::EvaluationError, failed);
        }
        let mut reasons: Vec<&Rule> = answer.diagnostics().reason().filter_map(|id| self.rule(id)).collect();
        // Cedar's order is that of a hash: the log and the tests want one.
        reasons.sort_by_key(|rule| &rule.id);
        match answer.decision() {
            Verdict::Allow => self.permitted(&reasons, now),
            Verdict::Deny if reasons.is_empty() => Decision::refused(Reason::NoPermit, []),
            Verdict::Deny => self.forbidden(bench, request, entities, &reasons, now),
        }
    }

    fn permitted(&self, permits: &[&Rule], now: Option<u64>) -> Decision {
        let in_force = |rule: &&&Rule| now.is_none_or(|now| rule.in_force(now));
        let permits: Vec<&Rule> = permits.iter().filter(in_force).copied().collect();
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

    /// Allowed after all, if permits that are satisfied and in force lift every forbid that applies.
    fn forbidden(
        &self,
        bench: &Bench,
        request: &Request,
        entities: &Entities,
        forbids: &[&Rule],
        now: Option<u64>,
    ) -> Decision {
        let refused =
            |left: &[&Rule]| Decision::refused(Reason::Forbidden, left.iter().map(|rule| Arc::clone(&rule.id)));
        if bench.lifters.is_empty() {
            return refused(forbids);
        }
        let answer = Authorizer::new().is_authorized(request, &bench.lifters, entities);
        let permits: Vec<&Rule> = answer
            .diagnostics()
            .reason()
            .filter_map(|id| self.rule(id))
            .filter(|rule| rule.permit && now.is_none_or(|now| rule.in_force(now)))
            .collect();
        let lifted = |forbid: &&Rule| permits.iter().any(|permit| permit.lifts.contains(&forbid.id));
        let left: Vec<&Rule> = forbids.iter().filter(|forbid| !lifted(forbid)).copied().collect();
        if !left.is_empty() {
            return refused(&left);
        }
        let mut permits: Vec<&Rule> = permits
            .into_iter()
            .filter(|permit| forbids.iter().any(|forbid| permit.lifts.contains(&forbid.id)))
            .collect();
        permits.sort_by_key(|rule| &rule.id);
        self.permitted(&permits, now)
    }
}
