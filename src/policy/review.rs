//! What a reviewer would say of a set that loads: rules that permit too much, that never fire, that nobody owns.
//!
//! Slow and thorough; nothing here is on a call's way. Invariant: a set's decisions don't depend on it.

use super::context::context_by_name;
use super::contradiction::contradiction;
use super::fault::Fault;
use super::identity::{self, TYPES};
use super::narrow::{entities, nobody_in_particular};
use super::places::Carries;
use super::reads::Reads;
use super::rule::{Condition, Rule, conditions};
use super::scope::Target;
use super::set::{Layouts, Set};
use crate::model::{Effect, ProgramName, TransactionName};
use cedar_policy::{Authorizer, EntityUid, Policy, PolicySet, Request};
use serde_json::Value as Json;
use std::collections::HashSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The set must not go live like this.
    Error,
    Warning,
    /// Nothing is wrong with it, and its author may have thought otherwise.
    Note,
}

/// One remark on a set. Its code is stable: pipelines may look for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub fault: Fault,
}

/// What a house asks of its rules beyond what Cedar does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demands {
    /// Each permit of writes looks at the time.
    pub hours: bool,
    /// Each permit of writes looks at the address.
    pub network: bool,
}

type Call = (ProgramName, TransactionName);

/// Names in one remark.
const TOLD: usize = 8;

impl Finding {
    pub fn error(fault: Fault) -> Self {
        Self { severity: Severity::Error, fault }
    }

    pub fn warning(fault: Fault) -> Self {
        Self { severity: Severity::Warning, fault }
    }
}

impl Set {
    /// `known`: the transactions that M3 is known to have; empty where nobody knows.
    pub fn review(
        &self,
        (known, layouts): (&[Call], Layouts<'_>),
        demands: Demands,
        unix_seconds: u64,
    ) -> Vec<Finding> {
        let programs = known.iter().map(|(program, _)| *program).collect();
        let mut review = Review { set: self, known, layouts, programs, found: Vec::new() };
        for fault in self.warnings() {
            review.found.push(Finding::warning(fault.clone()));
        }
        for rule in &self.book.rules {
            review.names(rule);
            review.annotations(rule, unix_seconds);
            review.conditions(rule);
            review.divisions(rule);
            if rule.permit {
                review.width(rule, demands);
                review.shadowed(rule);
            }
        }
        review.found.sort_by(|one, other| (one.severity, &one.fault).cmp(&(other.severity, &other.fault)));
        review.found.dedup();
        review.found
    }
}

struct Review<'a> {
    set: &'a Set,
    known: &'a [Call],
    layouts: Layouts<'a>,
    programs: HashSet<ProgramName>,
    found: Vec<Finding>,
}

impl Review<'_> {
    fn say(&mut self, severity: Severity, rule: &Rule, code: &'static str, message: String, hint: &str) {
        let fault = Fault { spot: rule.spot.clone(), code, message, hint: Some(hint.to_owned()) };
        self.found.push(Finding { severity, fault });
    }

    fn warn(&mut self, rule: &Rule, code: &'static str, message: String, hint: &str) {
        self.say(Severity::Warning, rule, code, message, hint);
    }

    /// A misspelt program makes a forbid sleep and a permit useless.
    fn names(&mut self, rule: &Rule) {
        if self.known.is_empty() {
            return;
        }
        for uid in rule.policy.entity_literals() {
            let id = uid.id().unescaped();
            let pair = identity::pair(id);
            let program = pair.map(|(program, _)| program).or_else(|| {
                let program = *uid.type_name() == TYPES.program;
                ProgramName::parse(id).ok().filter(|_| program)
            });
            let Some(program) = program else { continue };
            // A guardrail over a program that this M3 happens not to have sleeps rightly.
            let any = TransactionName::parse("Select").ok();
            if !rule.permit && any.is_some_and(|any| Effect::of(program, any) == Effect::Raw) {
                continue;
            }
            if !self.programs.contains(&program) {
                let message = format!("{}: no program {program} is known here", rule.id);
                self.warn(rule, "unknown-program", message, "is the name spelt as M3 spells it?");
            } else if let Some(call) = pair.filter(|call| !self.known.contains(call) && !Effect::is_technical(call.1)) {
                let message = format!("{}: {program} has no transaction {}", rule.id, call.1);
                self.say(
                    Severity::Error,
                    rule,
                    "unknown-transaction",
                    message,
                    "see what it has: GET …/metadata/PROGRAM",
                );
            }
        }
    }

    fn annotations(&mut self, rule: &Rule, unix_seconds: u64) {
        if rule.policy.annotation("id").is_none() {
            let message = format!("the rule has no @id; it is called {} by its place alone", rule.id);
            self.warn(rule, "no-id", message, "write @id(\"…\") above it: logs and tests name it so");
        }
        let owned = rule.policy.annotation("owner").is_some_and(|owner| !owner.trim().is_empty());
        if rule.permit && !owned {
            let message = format!("{}: nobody owns this permit", rule.id);
            self.warn(rule, "no-owner", message, "write @owner(\"…\"): whom to ask whether it is still needed");
        }
        if !rule.in_force(unix_seconds) {
            let message = format!("{}: its last day is over, and it permits nothing any more", rule.id);
            self.warn(rule, "expired", message, "take it out, or have its owner give it another day");
        }
    }

    fn conditions(&mut self, rule: &Rule) {
        if let Some(why) = contradiction(&rule.policy) {
            let message = format!("{}: can never hold: {why}", rule.id);
            self.say(Severity::Error, rule, "never-fires", message, "no call is both: correct one of the conditions");
        }
    }

    /// A rule over a class speaks of transactions that carry no division too, and there none that is said is believed.
    fn divisions(&mut self, rule: &Rule) {
        if !rule.reads.has(Reads::DIVISION) || !rule.typed.is_empty() {
            return;
        }
        let (bare, mut carried, mut uncarried) = (bare(rule), 0_usize, Vec::new());
        for call in self.known {
            let effect = Effect::of(call.0, call.1);
            if effect == Effect::Session || !rule.scope.reaches(&target(self.set, *call)) {
                continue;
            }
            let Some(layout) = (self.layouts)(call.0, call.1) else { continue };
            match Carries::of(&layout, effect) {
                Carries::Always | Carries::Given(_) => carried += 1,
                Carries::Never if self.fires(rule, &bare, *call) => uncarried.push(format!("{}/{}", call.0, call.1)),
                Carries::Never => {}
            }
        }
        if uncarried.is_empty() {
            return;
        }
        let does = if rule.permit { "it permits none of them" } else { "it forbids them whichever is said" };
        let (many, first) = (uncarried.len(), uncarried[..uncarried.len().min(TOLD)].join(", "));
        let more = if many > TOLD { ", …" } else { "" };
        let message = format!(
            "{}: asks for the division, and {many} of the {} transactions that it speaks of carry none: {does} ({first}{more})",
            rule.id,
            many + carried
        );
        let severity = if carried == 0 { Severity::Warning } else { Severity::Note };
        let hint = "where they are meant, name them in a rule that asks the record (facts.toml) or no division";
        self.say(severity, rule, "division-not-carried", message, hint);
    }

    /// Writes of programs that nobody thought of, and writes at any hour from anywhere where the house asks for more.
    fn width(&mut self, rule: &Rule, demands: Demands) {
        let class = |name: &str| rule.scope.actions().iter().any(|uid| uid.id().unescaped() == name);
        let writes = class("write")
            || rule.scope.actions().is_empty()
            || rule.typed.iter().any(|(program, name)| Effect::of(*program, *name).is_write());
        if !writes {
            return;
        }
        let unthought = ProgramName::parse("QQQ999MI").ok().zip(TransactionName::parse("ChgAnything").ok());
        if unthought.is_some_and(|call| self.fires(rule, &bare(rule), call)) {
            let message = format!("{}: permits the writes of every program, also of those to come", rule.id);
            self.warn(rule, "write-wildcard", message, "name the programs: resource in Program::\"CRS610MI\"");
        }
        if demands.hours && !rule.reads.time() {
            let message = format!("{}: permits writes at any hour, and the manifest asks for hours", rule.id);
            self.say(Severity::Error, rule, "no-hours", message, "add when { context.minute >= 360 && … }");
        }
        if demands.network && !rule.reads.has(Reads::ADDRESS) {
            let message = format!("{}: permits writes from anywhere, and the manifest asks for networks", rule.id);
            self.say(Severity::Error, rule, "no-network", message, "add when { context.address.isInRange(ip(\"…\")) }");
        }
    }

    /// A permit of nothing but what is forbidden, or of nothing that there is.
    fn shadowed(&mut self, rule: &Rule) {
        let permit = bare(rule);
        let candidates = if rule.typed.is_empty() { self.known } else { &rule.typed };
        let (mut any, mut by) = (false, HashSet::new());
        for call in candidates {
            // A rule that names its transaction is taken at its word: M3 may know what nobody does here.
            let speaks = !rule.typed.is_empty()
                || (rule.scope.reaches(&target(self.set, *call)) && self.fires(rule, &permit, *call));
            if !speaks {
                continue;
            }
            any = true;
            match self.forbidden(rule, *call) {
                Some(id) => by.insert(id),
                // Most rules end here, at the first call that they speak of.
                None => return,
            };
        }
        if !any {
            if !self.known.is_empty() && rule.policy.entity_literals().iter().any(|uid| self.is_known_program(uid)) {
                let message = format!("{}: speaks of no transaction that there is", rule.id);
                self.warn(rule, "never-fires", message, "its action and its resource have nothing in common");
            }
            return;
        }
        let mut by: Vec<&str> = by.into_iter().collect();
        by.sort_unstable();
        let message = format!("{}: everything that it permits is forbidden by {}", rule.id, by.join(", "));
        self.say(
            Severity::Error,
            rule,
            "never-fires",
            message,
            "lift the guardrail with @lifts, or take the permit out",
        );
    }

    fn is_known_program(&self, uid: &EntityUid) -> bool {
        *uid.type_name() == TYPES.program
            && ProgramName::parse(uid.id().unescaped()).is_ok_and(|program| self.programs.contains(&program))
    }

    /// The forbid that holds for this call whatever is sent, and that the permit doesn't lift.
    fn forbidden(&self, permit: &Rule, call: Call) -> Option<&str> {
        let principals = [permit.scope.whom().cloned().unwrap_or_else(nobody_in_particular)];
        let target = target(self.set, call);
        let forbids = self.set.book.rules.iter().filter(|rule| {
            !rule.permit
                && rule.whole_by_name
                && !rule.reads.has(Reads::SCOPES | Reads::CLAIMS)
                && !permit.lifts.contains(&rule.id)
                && rule.scope.speaks_of(&principals)
                && rule.scope.reaches(&target)
        });
        let mut holding = forbids.filter(|rule| self.fires(permit, &Some(rule.policy.clone()), call));
        holding.next().map(|rule| &*rule.id)
    }

    /// Whether a policy holds for a call when whoever the rule names asks, whatever is sent.
    fn fires(&self, rule: &Rule, policy: &Option<Policy>, call: Call) -> bool {
        let principals = [rule.scope.whom().cloned().unwrap_or_else(nobody_in_particular)];
        let target = target(self.set, call);
        let asked = || {
            let policy = policy.clone()?;
            let entities = entities(&target, &principals, (call.0, call.1, Effect::of(call.0, call.1)))?;
            let context = context_by_name(&Reads::default(), &[], &[]).ok()?;
            let principal = principals[0].clone();
            let request =
                Request::new(principal, target.action.clone(), target.resource.clone(), context, None).ok()?;
            let set = PolicySet::from_policies([policy]).ok()?;
            let answer = Authorizer::new().is_authorized(&request, &set, &entities);
            answer.diagnostics().reason().next().map(|_| ())
        };
        asked().is_some()
    }
}

fn target(set: &Set, (program, name): Call) -> Target {
    Target::new(program, name, Effect::of(program, name), set.typed.contains_key(&(program, name)))
}

/// A permit without the conditions that look at anything but the call's name.
fn bare(rule: &Rule) -> Option<Policy> {
    let mut whole = rule.policy.to_json().ok()?;
    let names_alone = |body: &Json| {
        let mut reads = Reads::default();
        reads.walk(body).is_ok() && reads == Reads::default()
    };
    let kept = conditions(&mut whole).into_iter().filter(|condition| names_alone(&condition.body));
    let kept = kept.map(Condition::clause).collect();
    whole["conditions"] = Json::Array(kept);
    Policy::from_json(Some(rule.policy.id().clone()), whole).ok()
}
