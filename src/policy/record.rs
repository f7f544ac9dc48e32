//! Which decisions hang on a record of M3, and on which.
//!
//! A rule whose plain conditions fail looks at no record, so nobody has to read one for it.

use super::ask::Ask;
use super::fact::{Fact, FactValues};
use super::narrow::Narrow;
use super::places::elsewhere;
use super::plain::{Guard, Seen};
use super::reads::Reads;
use super::rule::Rule;
use super::set::Set;
use super::zones::Local;
use crate::model::{Place, ProgramName, TransactionName};
use std::sync::Arc;

/// A rule that looks at a record, where what is plain of it holds and its last day is not over.
#[derive(Debug)]
pub(super) struct Looking {
    rule: Arc<str>,
    guard: Arc<Guard>,
    expires_at: Option<u64>,
}

impl Looking {
    pub(super) fn of(rule: &Rule, guard: &Arc<Guard>) -> Self {
        Self { rule: rule.id.clone(), guard: Arc::clone(guard), expires_at: rule.expires_at }
    }
}

impl Set {
    /// The read that this decision hangs on, here or in another place that the call reaches. Nothing where it comes out
    /// the same without.
    pub fn wants_record(&self, ask: &Ask<'_>) -> Option<Arc<Fact>> {
        let narrow = self.narrow_of(ask)?;
        if narrow.settled.is_some() || narrow.looking.is_empty() {
            return None;
        }
        // What can't be told apart is refused, record or none.
        let elsewhere = elsewhere(ask.layout, ask.inputs, ask.place).ok()?;
        let looks = |place: Place| {
            let local = match narrow.reads.local_time() {
                false => Some(Local::of(0)),
                true => self.site.zones.local(ask.clock(place), ask.unix_seconds),
            };
            local.is_some_and(|local| narrow.looking(&Seen::of(ask, place, local), ask.unix_seconds).next().is_some())
        };
        let wanted = std::iter::once(ask.place).chain(elsewhere.places).any(looks);
        narrow.fact.clone().filter(|_| wanted)
    }

    /// Transactions without whose layouts rules over records can't be asked: those that are read, and those that read.
    pub fn unlearnt(&self) -> Vec<(ProgramName, TransactionName)> {
        let unread = self.facts.values().filter(|fact| !fact.is_known()).map(|fact| (fact.program, fact.transaction));
        let untyped = |call: &&(ProgramName, TransactionName)| matches!(self.typed.get(*call), Some(None));
        let mut all: Vec<_> = unread.chain(self.facts.keys().filter(untyped).copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What the set declares to be read for a call, whether or not a rule looks at it.
    pub fn fact(&self, program: ProgramName, transaction: TransactionName) -> Option<&Arc<Fact>> {
        self.facts.get(&(program, transaction))
    }

    /// Everything that the set declares to be read.
    pub fn facts(&self) -> impl Iterator<Item = &Arc<Fact>> {
        self.facts.values()
    }
}

impl Narrow {
    /// Rules that look at the record when a call shows them this.
    pub(super) fn looking<'a>(&'a self, seen: &'a Seen<'_>, now: u64) -> impl Iterator<Item = &'a Arc<str>> {
        let may = move |one: &&Looking| one.expires_at.is_none_or(|end| now < end) && one.guard.met(seen);
        self.looking.iter().filter(may).map(|one| &one.rule)
    }

    /// What was read, if it was read by this call's own fact and is all that the rules look at.
    pub(super) fn record<'a>(&self, ask: &Ask<'a>) -> Option<&'a FactValues> {
        let values = told(self.fact.as_deref(), ask)?;
        self.reads.record.iter().all(|field| values.of(*field).is_some()).then_some(values)
    }
}

/// What was read by this fact; what was read by another says nothing.
pub(super) fn told<'a>(fact: Option<&Fact>, ask: &Ask<'a>) -> Option<&'a FactValues> {
    ask.record.filter(|values| fact.is_some_and(|fact| fact.text() == values.by()))
}

/// For the key of a remembered decision: exactly what `context` shows.
pub(super) fn key(reads: &Reads, fact: Option<&Fact>, ask: &Ask<'_>, mut add: impl FnMut(Option<&str>)) {
    if reads.has(Reads::RECORD) {
        let values = told(fact, ask);
        add(values.map(|_| ""));
        reads.record.iter().for_each(|field| add(values.and_then(|values| values.of(*field))));
    }
}
