//! Why a decision came out as it did, for people: where its rules stand, and how near a permit came.
//!
//! Slow and thorough; nothing here is on a call's way.

use super::ask::{Ask, Decision, Reason};
use super::context;
use super::identity::TYPES;
use super::narrow::Narrow;
use super::places::Carries;
use super::reads::Reads;
use super::rule::{Rule, conjuncts};
use super::set::Set;
use crate::model::Spot;
use cedar_policy::{Authorizer, Decision as Verdict, Policy, PolicySet, Request};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// A permit that did not permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Near {
    pub rule: Arc<str>,
    pub spot: Spot,
    pub miss: Miss,
}

/// What kept it from permitting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// The first condition that does not hold, as Cedar writes it, and how many before it do.
    Condition { text: String, held: usize },
    /// Its last day is over.
    Expired,
    /// It speaks of other transactions.
    Call,
    /// It speaks of other clients.
    Client,
}

impl Miss {
    /// The nearer one comes first.
    fn distance(&self) -> (u8, usize) {
        match self {
            Self::Expired => (0, 0),
            Self::Condition { held, .. } => (1, usize::MAX - held),
            Self::Call => (2, 0),
            Self::Client => (3, 0),
        }
    }
}

impl Set {
    /// Where a rule stands in its file.
    pub fn spot(&self, id: &str) -> Option<&Spot> {
        self.book.rules.iter().find(|rule| &*rule.id == id).map(|rule| &rule.spot)
    }

    /// Every rule's id, in the order of the files.
    pub fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.book.rules.iter().map(|rule| &rule.id)
    }

    /// Groups that rules name: who may be asked for besides the clients that are registered.
    pub fn named_groups(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .book
            .rules
            .iter()
            .filter_map(|rule| rule.scope.whom())
            .filter(|uid| *uid.type_name() == TYPES.group)
            .map(|uid| uid.id().unescaped())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether this decision holds for every call of the transaction in this place: no value, scope, moment or address
    /// could make it another.
    pub fn holds_whatever_is_sent(&self, ask: &Ask<'_>, decision: &Decision) -> bool {
        let Some(narrow) = self.narrow_of(ask) else { return false };
        let holds = self.holds(&narrow, ask, decision);
        let given = matches!(Carries::of(ask.layout, ask.effect), Carries::Given(_));
        if narrow.carried || decision.allowed || !given {
            return holds;
        }
        // One that names its record by a site is decided as if it were believed.
        let Some(whole) = self.narrow(ask.asker, ask.program, ask.transaction, ask.effect) else { return false };
        let believed = self.decide_by(&whole, ask);
        holds && !believed.allowed && self.holds(&whole, ask, &believed)
    }

    fn holds(&self, narrow: &Narrow, ask: &Ask<'_>, decision: &Decision) -> bool {
        let principals = self.principals_of(ask.asker);
        let believed = |rule: &Rule| narrow.carried || !rule.permit || !rule.reads.has(Reads::DIVISION);
        let speak =
            |rule: &&Rule| rule.scope.speaks_of(&principals) && rule.scope.reaches(&narrow.target) && believed(rule);
        let mut rules = self.book.rules.iter().filter(speak);
        let certain = |rule: &Rule| rule.reads.place_alone() && rule.expires_at.is_none();
        let decided = |rule: &&Rule| decision.rules.contains(&rule.id);
        let deciding = || self.book.rules.iter().filter(decided);
        match decision.reason {
            // Where forbids speak too, those that decide lift some of them: each has its own.
            Reason::Allowed => match self.book.rules.iter().filter(speak).any(|rule| !rule.permit) {
                false => deciding().any(certain),
                true => deciding().all(certain) && !rules.any(|rule| !rule.permit && !rule.reads.place_alone()),
            },
            // One that a permit lifts, whatever that asks for, may be lifted.
            Reason::Forbidden => {
                let lifters: Vec<&Rule> = rules.filter(|rule| rule.permit).collect();
                deciding().any(|rule| certain(rule) && !lifters.iter().any(|permit| permit.lifts.contains(&rule.id)))
            }
            Reason::NoPermit | Reason::DivisionNotCarried => {
                !rules.any(|rule| rule.permit && !rule.reads.place_alone())
            }
            Reason::NoZone => true,
            Reason::EvaluationError | Reason::ValueNotComparable(_) | Reason::Unverifiable | Reason::FactMissing => {
                false
            }
        }
    }

    /// The permits that came nearest to permitting this call, best first.
    pub fn nearest(&self, ask: &Ask<'_>, most: usize) -> Vec<Near> {
        let Some(narrow) = self.narrow(ask.asker, ask.program, ask.transaction, ask.effect) else { return Vec::new() };
        let principals = self.principals_of(ask.asker);
        let request = self.request(&narrow, ask);
        let mut near: Vec<Near> = Vec::new();
        for rule in self.book.rules.iter().filter(|rule| rule.permit) {
            let (speaks, reaches) = (rule.scope.speaks_of(&principals), rule.scope.reaches(&narrow.target));
            let miss = match (speaks, reaches) {
                (true, true) => match request.as_ref().and_then(|request| unmet(rule, request, &narrow)) {
                    Some(miss) => miss,
                    None if !rule.in_force(ask.unix_seconds) => Miss::Expired,
                    None => continue,
                },
                (true, false) => Miss::Call,
                (false, true) => Miss::Client,
                (false, false) => continue,
            };
            near.push(Near { rule: rule.id.clone(), spot: rule.spot.clone(), miss });
        }
        near.sort_by_key(|near| near.miss.distance());
        near.truncate(most);
        near
    }

    fn request(&self, narrow: &Narrow, ask: &Ask<'_>) -> Option<Request> {
        let zones = &self.site.zones;
        let (reads, fact) = (&narrow.reads, narrow.fact.as_deref());
        let context = context::context(reads, &narrow.kinds, narrow.typed, fact, ask, ask.place, zones).ok()?;
        narrow.request(context)
    }
}

/// The first of a rule's conditions that does not hold, each asked by itself.
fn unmet(rule: &Rule, request: &Request, narrow: &Narrow) -> Option<Miss> {
    let mut whole = rule.policy.to_json().ok()?;
    let clauses = whole.get_mut("conditions").and_then(Json::as_array_mut).map(std::mem::take).unwrap_or_default();
    let mut held = 0;
    for clause in clauses {
        let kind = clause.get("kind").and_then(Json::as_str).unwrap_or("when").to_owned();
        let body = clause.get("body").cloned().unwrap_or_default();
        for part in if kind == "when" { conjuncts(body) } else { vec![body] } {
            whole["conditions"] = json!([{ "kind": kind, "body": part }]);
            let alone = Policy::from_json(Some(rule.policy.id().clone()), whole.clone()).ok()?;
            let text = alone.to_cedar().unwrap_or_default();
            let set = PolicySet::from_policies([alone]).ok()?;
            if Authorizer::new().is_authorized(request, &set, &narrow.entities).decision() == Verdict::Allow {
                held += 1;
                continue;
            }
            return Some(Miss::Condition { text: condition(&text), held });
        }
    }
    None
}

/// What stands behind the head, in one line.
fn condition(policy: &str) -> String {
    let at = ["when {", "unless {"].into_iter().filter_map(|word| policy.find(word)).min().unwrap_or(0);
    let text = policy[at..].trim().trim_end_matches(';');
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
