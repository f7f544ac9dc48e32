//! One Cedar policy with everything that the set wants to know of it beforehand.
//!
//! Annotations: `@id` names the rule; `@owner` and `@expires("2027-01-31")` (the last day, in UTC) stand on permits;
//! `@lifts("guardrail")` lets a permit overrule that forbid for what it permits; `@reveals("PWMT")` lets answers show
//! sensitive fields.

use super::fault::{Fault, Source};
use super::identity::{self, TYPES};
use super::plain::Guard;
use super::reads::Reads;
use super::scope::Scope;
use crate::model::{Effect, FieldName, ProgramName, Spot, TransactionName};
use cedar_policy::{EntityUid, Policy, PolicyId};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};
use std::sync::Arc;

#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) id: Arc<str>,
    /// The file, by its place in the list, and where the rule starts in it.
    pub(super) file: usize,
    pub(super) offset: usize,
    pub(super) spot: Spot,
    pub(super) permit: bool,
    pub(super) scope: Scope,
    pub(super) policy: Policy,
    pub(super) part: Part,
    pub(super) reads: Reads,
    /// What is left when only the names and the scopes are known: a permit without the conditions that need more,
    /// a forbid only if it needs no more.
    pub(super) by_name: Option<Policy>,
    pub(super) by_name_reads: Reads,
    /// What of that needs no Cedar.
    pub(super) plain_by_name: Arc<Guard>,
    /// Nothing was left out of `by_name`.
    pub(super) whole_by_name: bool,
    /// Of a forbid that looks at the division: what it forbids whichever that is.
    pub(super) anywhere: Option<Part>,
    /// Transactions named by a typed action in the head.
    pub(super) typed: Vec<(ProgramName, TransactionName)>,
    pub(super) lifts: Vec<Arc<str>>,
    pub(super) reveals: Vec<FieldName>,
    /// The first second after the last day.
    pub(super) expires_at: Option<u64>,
    /// Reads fields of a transaction whose layout nobody knows: whatever it speaks of is refused.
    pub(super) unverifiable: bool,
}

/// Conditions of a rule, all of them, or those of a forbid that don't ask for the division (for calls that carry none).
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    /// Those that come first and need no Cedar.
    pub(super) plain: Arc<Guard>,
    /// The others: what Cedar is asked where the plain ones hold. The head isn't asked again: it matched, or the rule would
    /// not be looked at. Nothing where there are no others.
    pub(super) rest: Option<Policy>,
    pub(super) reads: Reads,
    pub(super) rest_reads: Reads,
}

impl Rule {
    pub(super) fn in_force(&self, unix_seconds: u64) -> bool {
        self.expires_at.is_none_or(|end| unix_seconds < end)
    }

    /// Nobody could check what it reads: nothing of it is answered without Cedar either.
    pub(super) fn unverify(&mut self) {
        let (rest, reads) = (Some(self.policy.clone()), self.reads.clone());
        self.part = Part { rest, reads: reads.clone(), rest_reads: reads, ..Part::default() };
        (self.unverifiable, self.plain_by_name) = (true, Arc::default());
    }

    /// Reads a policy; every fault found is kept, and the rule is made only if there was none.
    pub(super) fn parse(
        policy: &Policy,
        id: &str,
        file: usize,
        source: &Source,
        local: &str,
    ) -> Result<Self, Vec<Fault>> {
        let offset = policy.as_ref().loc().map_or(0, |loc| loc.start());
        let mut reading = Reading { source, offset, faults: Vec::new() };
        let policy = policy.new_id(PolicyId::new(id));
        let scope = Scope::of(&policy);
        let permit = policy.effect() == cedar_policy::Effect::Permit;
        reading.literals(&policy, local);
        let typed = reading.actions(&scope, permit);
        let split = reading.split(&policy, permit);
        let (lifts, expires_at) = reading.terms(&policy, permit, &scope);
        let reveals = reading.reveals(&policy, permit);
        let of_the_call = split.part.reads.values_of_the_call();
        if of_the_call && (typed.is_empty() || typed.len() != scope.actions().len()) {
            let fault =
                reading.fault("the rule reads fields or a record, but its head doesn't say of which transaction");
            reading.faults.push(fault.hint("write action == Action::\"CRS610MI/ChgBasicData\" in the head"));
        }
        if !reading.faults.is_empty() {
            return Err(reading.faults);
        }
        Ok(Self {
            id: id.into(),
            file,
            offset,
            spot: Spot::at(&source.name, &source.text, offset),
            permit,
            scope,
            policy,
            reads: split.part.reads.clone(),
            part: split.part,
            by_name: split.by_name,
            by_name_reads: split.by_name_reads,
            plain_by_name: split.plain_by_name.into(),
            whole_by_name: split.whole,
            anywhere: split.anywhere,
            typed,
            lifts,
            reveals,
            expires_at,
            unverifiable: false,
        })
    }
}

/// A rule being read: where its faults stand.
struct Reading<'a> {
    source: &'a Source,
    offset: usize,
    faults: Vec<Fault>,
}

/// A rule parted into what is known from names alone and the rest.
#[derive(Default)]
struct Split {
    part: Part,
    by_name: Option<Policy>,
    by_name_reads: Reads,
    plain_by_name: Guard,
    whole: bool,
    anywhere: Option<Part>,
}

type Terms = (Vec<Arc<str>>, Option<u64>);

impl Reading<'_> {
    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::at(self.source, self.offset, message)
    }

    fn refuse(&mut self, message: impl Into<String>, hint: &str) {
        let fault = self.fault(message).hint(hint);
        self.faults.push(fault);
    }

    /// Every entity that the rule names must be one that can exist; a misspelt name would make a forbid sleep.
    fn literals(&mut self, policy: &Policy, local: &str) {
        for uid in policy.entity_literals() {
            let (kind, id) = (uid.type_name(), uid.id().unescaped());
            let known = if *kind == TYPES.client {
                identity::client(id, local).is_some_and(|client| identity::text(&client, local) == id)
            } else if *kind == TYPES.group {
                !id.is_empty()
            } else if *kind == TYPES.program {
                ProgramName::parse(id).is_ok()
            } else if *kind == TYPES.transaction {
                identity::pair(id).is_some()
            } else if *kind == TYPES.action {
                CLASSES.contains(&id) || identity::pair(id).is_some()
            } else {
                false
            };
            if !known {
                self.refuse(
                    format!("nothing can be called {uid}"),
                    "a rule may name Client::\"id\", Client::\"id@issuer\", Group::\"name\", Program::\"CRS610MI\", \
                     Transaction::\"CRS610MI/GetBasicData\", and the actions read, write, raw or a transaction",
                );
            }
        }
    }

    fn actions(&mut self, scope: &Scope, permit: bool) -> Vec<(ProgramName, TransactionName)> {
        let class = |uid: &EntityUid| CLASSES.contains(&uid.id().unescaped());
        if scope.action_by_equality().is_some_and(class) {
            self.refuse(
                "action == with a class of actions would miss the transactions that other rules name",
                "write action in Action::\"read\"",
            );
        }
        let raw = |uid: &EntityUid| match identity::pair(uid.id().unescaped()) {
            Some(_) => false,
            None => uid.id().unescaped() == "raw",
        };
        if permit && scope.actions().iter().any(raw) && !scope.names_one_resource() {
            self.refuse(
                "a permit of raw queries must name its transaction",
                "write resource == Transaction::\"EXPORTMI/Select\" in the head",
            );
        }
        let typed: Vec<_> = scope.actions().iter().filter_map(|uid| identity::pair(uid.id().unescaped())).collect();
        for (program, transaction) in &typed {
            if Effect::of(*program, *transaction) == Effect::Session {
                self.refuse(
                    format!("{program}/{transaction} is a word of the session"),
                    "callers can't send it at all",
                );
            }
        }
        typed
    }

    fn split(&mut self, policy: &Policy, permit: bool) -> Split {
        let Ok(mut whole) = policy.to_json() else {
            self.refuse("the rule can't be taken apart", "write it without templates");
            return Split::default();
        };
        let mut all = Vec::new();
        for condition in conditions(&mut whole) {
            let mut reads = Reads::default();
            if let Err(why) = reads.walk(&condition.body) {
                self.refuse(why, CONTEXT);
            }
            all.push((condition, reads));
        }
        let mut split = Split { whole: all.iter().all(|(_, reads)| reads.known_by_name()), ..Split::default() };
        // By name a permit may say more than it will, so that what can't be taken out may be left out.
        let by_name =
            |(one, reads): &&(Condition, Reads)| reads.known_by_name() && (split.whole || shallow(&one.body, LEVELS));
        let kept: Vec<_> = all.iter().filter(by_name).cloned().collect();
        kept.iter().for_each(|(_, reads)| split.by_name_reads.join(reads));
        split.plain_by_name = Guard::new(kept.iter().map(|(condition, _)| condition));
        if split.whole {
            split.by_name = Some(policy.clone());
        } else if permit {
            split.by_name = self.with(policy, whole.clone(), kept.into_iter().map(|(one, _)| one.clause()).collect());
        }
        let anywhere = |(_, reads): &&(Condition, Reads)| !reads.has(Reads::DIVISION);
        if !permit && !all.iter().all(|one| anywhere(&one)) {
            let conditions: Vec<_> = all.iter().filter(anywhere).cloned().collect();
            split.anywhere = Some(self.part(policy, &whole, &conditions, false));
        }
        split.part = self.part(policy, &whole, &all, true);
        split
    }

    /// These of a policy's conditions alone; `every`: it has no others.
    fn part(&mut self, policy: &Policy, whole: &Json, conditions: &[(Condition, Reads)], every: bool) -> Part {
        let plain = Guard::new(conditions.iter().map(|(condition, _)| condition));
        let mut reads = Reads::default();
        conditions.iter().for_each(|(_, read)| reads.join(read));
        let left = if plain.whole { &[] } else { &conditions[plain.taken()..] };
        if every && !left.iter().all(|(condition, _)| shallow(&condition.body, LEVELS)) {
            return Part { rest: Some(policy.clone()), rest_reads: reads.clone(), reads, ..Part::default() };
        }
        let mut rest_reads = Reads::default();
        left.iter().for_each(|(_, read)| rest_reads.join(read));
        let rest = (!plain.whole).then(|| {
            let mut whole = whole.clone();
            for head in ["principal", "action", "resource"] {
                whole[head] = json!({ "op": "All" });
            }
            self.with(policy, whole, left.iter().map(|(condition, _)| condition.clone().clause()).collect())
        });
        Part { plain: plain.into(), rest: rest.flatten(), reads, rest_reads }
    }

    /// The policy with other conditions.
    fn with(&mut self, policy: &Policy, mut whole: Json, conditions: Vec<Json>) -> Option<Policy> {
        if !conditions.iter().all(|condition| shallow(condition, LEVELS + 1)) {
            self.refuse(
                "the rule nests too deep to be taken apart",
                "write several when-clauses or rules, and sets in place of chains of ||",
            );
            return None;
        }
        whole["conditions"] = Json::Array(conditions);
        let made = Policy::from_json(Some(policy.id().clone()), whole);
        if let Err(why) = &made {
            self.refuse(format!("the rule can't be taken apart: {why}"), "write it more plainly");
        }
        made.ok()
    }

    fn terms(&mut self, policy: &Policy, permit: bool, scope: &Scope) -> Terms {
        let lifts: Vec<Arc<str>> = words(policy.annotation("lifts")).map(Arc::from).collect();
        let owned = policy.annotation("owner").is_some_and(|owner| !owner.trim().is_empty());
        let expires = policy.annotation("expires");
        let expires_at = expires.and_then(end_of_day);
        if expires.is_some() && expires_at.is_none() {
            self.refuse("@expires holds no date", "write the last day as @expires(\"2027-01-31\")");
        }
        if expires.is_some() && !permit {
            self.refuse("a forbid doesn't expire", "remove the rule when its time has come");
        }
        if !lifts.is_empty() {
            if !permit {
                self.refuse("only a permit lifts a forbid", "move @lifts to a permit");
            }
            if !owned || expires.is_none() || policy.annotation("id").is_none() {
                self.refuse("a rule that lifts a guardrail has @id, @owner and @expires", "add what is missing");
            }
            if scope.whom().is_none() {
                self.refuse("a rule that lifts a guardrail names a client or a group", "name it in the head");
            }
        }
        (lifts, expires_at)
    }

    fn reveals(&mut self, policy: &Policy, permit: bool) -> Vec<FieldName> {
        let mut fields = Vec::new();
        for word in words(policy.annotation("reveals")) {
            match FieldName::parse(word) {
                Ok(field) => fields.push(field),
                Err(why) => self.refuse(format!("@reveals: {why}"), "write field names: @reveals(\"PWMT,PWM1\")"),
            }
        }
        if !permit && !fields.is_empty() {
            self.refuse("only a permit reveals fields", "move @reveals to a permit");
        }
        fields
    }
}

const CLASSES: [&str; 3] = ["read", "write", "raw"];

const CONTEXT: &str = "the context holds company, division, address, minute, weekday, local_minute, local_weekday, \
                       scopes, claims.NAME, m3_user, and, in a rule that names its transaction as the action, \
                       fields.NAME, cleared and, where facts.toml declares one, record.NAME";

/// What a condition may nest to be made anew: of its JSON form each level takes many times the stack that its text does.
const LEVELS: usize = 24;

fn shallow(tree: &Json, levels: usize) -> bool {
    match tree {
        Json::Object(_) | Json::Array(_) if levels == 0 => false,
        Json::Object(parts) => parts.values().all(|part| shallow(part, levels - 1)),
        Json::Array(parts) => parts.iter().all(|part| shallow(part, levels - 1)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => true,
    }
}

fn words(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.into_iter().flat_map(|list| list.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

/// One condition that must hold, or must not.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) when: bool,
    pub(super) body: Json,
}

impl Condition {
    /// As it stands in a policy's syntax tree.
    pub(super) fn clause(self) -> Json {
        json!({ "kind": if self.when { "when" } else { "unless" }, "body": self.body })
    }
}

/// Takes the conditions out of a policy's syntax tree; what stands between && is a condition of its own.
pub(super) fn conditions(whole: &mut Json) -> Vec<Condition> {
    let clauses = whole.get_mut("conditions").and_then(Json::as_array_mut).map(std::mem::take).unwrap_or_default();
    let mut all = Vec::new();
    for mut clause in clauses {
        let when = clause.get("kind").is_some_and(|kind| kind == "when");
        let body = clause.get_mut("body").map(Json::take).unwrap_or_default();
        let parts = if when { conjuncts(body) } else { vec![body] };
        all.extend(parts.into_iter().map(|body| Condition { when, body }));
    }
    all
}

/// `a && b && c` as three, so that one that needs no context can be asked alone.
pub(super) fn conjuncts(body: Json) -> Vec<Json> {
    let mut parts = Vec::new();
    let mut left = vec![body];
    while let Some(mut part) = left.pop() {
        match part.get_mut("&&").map(Json::take) {
            Some(mut both) => left.extend([both["right"].take(), both["left"].take()]),
            None => parts.push(part),
        }
    }
    parts
}

/// The first second after a day; `None` for what is none.
pub fn end_of_day(text: &str) -> Option<u64> {
    let day: Date = text.trim().parse().ok()?;
    let next = TimeZone::UTC.to_timestamp(day.tomorrow().ok()?.to_datetime(Time::midnight())).ok()?;
    u64::try_from(next.as_second()).ok()
}
