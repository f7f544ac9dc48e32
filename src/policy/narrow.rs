//! The few rules that can speak of one transaction when one kind of asker asks, ready to be evaluated.
//!
//! Everything that doesn't depend on values is done here, once: heads matched, entities built, reads joined.

use super::ask::{Decision, Reason};
use super::context::Kinds;
use super::declare::Facts;
use super::fact::Fact;
use super::identity::{TYPES, uid};
use super::judge::{Bench, Book};
use super::reads::Reads;
use super::record::Looking;
use super::rule::{Part, Rule};
use super::schema::Typed;
use super::scope::Target;
use crate::model::{Effect, FieldName, ProgramName, TransactionName};
use cedar_policy::{Entities, Entity, EntityUid, Policy, RestrictedExpression as Expression};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What a rule says of these calls.
struct Spoken<'a> {
    rule: &'a Rule,
    part: &'a Part,
}

impl<'a> Spoken<'a> {
    /// `carried`: the calls carry the division that they say. Where they don't, a permit that asks for it permits nothing,
    /// and a forbid forbids whatever is said.
    fn by(rule: &'a Rule, carried: bool) -> Option<Self> {
        if carried || !rule.reads.has(Reads::DIVISION) {
            return Some(Self { rule, part: &rule.part });
        }
        rule.anywhere.as_ref().map(|part| Self { rule, part })
    }

    /// What Cedar is asked; where it is asked nothing, only the name of it counts.
    fn rest(&self) -> &'a Policy {
        self.part.rest.as_ref().unwrap_or(&self.rule.policy)
    }
}

#[derive(Debug)]
pub(super) struct Narrow {
    /// Sets apart the keys of remembered decisions.
    pub(super) number: u64,
    /// Of calls that carry the division that they say.
    pub(super) carried: bool,
    pub(super) principal: EntityUid,
    pub(super) target: Target,
    pub(super) typed: bool,
    pub(super) kinds: Kinds,
    pub(super) entities: Entities,
    pub(super) bench: Bench,
    pub(super) by_name: Bench,
    pub(super) reads: Reads,
    /// Of the rules that Cedar is asked for.
    pub(super) cedar_reads: Reads,
    pub(super) by_name_reads: Reads,
    /// Fields that a rule reads without asking whether they are to be blanked.
    pub(super) never_blank: BTreeSet<FieldName>,
    /// Rules that read the local time.
    pub(super) local: Vec<Arc<str>>,
    /// Rules that look at a record, each with what must hold before it does.
    pub(super) looking: Vec<Looking>,
    /// By which it is read.
    pub(super) fact: Option<Arc<Fact>>,
    /// Some permit has a last day.
    pub(super) dated: bool,
    /// Decided already: nothing to evaluate.
    pub(super) settled: Option<Decision>,
}

impl Narrow {
    pub(super) fn build(
        book: &Book,
        (typed, facts): (&Typed, &Facts),
        principals: &[EntityUid],
        call: (ProgramName, TransactionName, Effect),
        carried: bool,
        number: u64,
    ) -> Option<Self> {
        let (program, transaction, effect) = call;
        let known = typed.get(&(program, transaction));
        let target = Target::new(program, transaction, effect, known.is_some());
        let reaches = |rule: &&Rule| {
            let named = effect != Effect::Raw || !rule.permit || rule.scope.names(&target);
            named && rule.scope.reaches(&target)
        };
        let rules = book.speaking_of(principals).filter(reaches);
        let rules: Vec<Spoken<'_>> = rules.filter_map(|rule| Spoken::by(rule, carried)).collect();
        let mut reads = Reads::default();
        let mut by_name_reads = Reads::default();
        let mut cedar_reads = Reads::default();
        let mut never_blank = BTreeSet::new();
        for spoken in &rules {
            reads.join(&spoken.part.reads);
            by_name_reads.join(&spoken.rule.by_name_reads);
            cedar_reads.join(&spoken.part.rest_reads);
            if !spoken.part.reads.has(Reads::CLEARED) {
                never_blank.extend(spoken.part.reads.fields.iter().copied());
            }
        }
        let local = rules.iter().filter(|spoken| spoken.part.reads.local_time());
        let looking = rules.iter().filter(|spoken| spoken.part.reads.has(Reads::RECORD));
        let settled = settle(&rules, known.is_some(), call);
        Some(Self {
            number,
            carried,
            principal: principals.first()?.clone(),
            entities: entities(&target, principals, call)?,
            typed: known.is_some(),
            kinds: known.cloned().flatten().unwrap_or_default(),
            bench: Bench::new(rules.iter().map(|spoken| (spoken.rule, spoken.rest(), &spoken.part.plain)))?,
            by_name: {
                let rules = rules.iter().map(|spoken| spoken.rule);
                Bench::new(rules.filter_map(|rule| Some((rule, rule.by_name.as_ref()?, &rule.plain_by_name))))?
            },
            local: local.map(|spoken| spoken.rule.id.clone()).collect(),
            looking: looking.map(|spoken| Looking::of(spoken.rule, &spoken.part.plain)).collect(),
            fact: facts.get(&(program, transaction)).cloned(),
            reads,
            cedar_reads,
            by_name_reads,
            never_blank,
            dated: rules.iter().any(|spoken| spoken.rule.expires_at.is_some()),
            settled,
            target,
        })
    }
}

/// What needs no evaluation: no permit at all, a word of the session, a class that the schema doesn't share, a rule
/// that nobody could check.
fn settle(
    rules: &[Spoken<'_>],
    typed: bool,
    (program, transaction, effect): (ProgramName, TransactionName, Effect),
) -> Option<Decision> {
    let disagrees = typed && effect != Effect::of(program, transaction);
    if effect == Effect::Session || disagrees || !rules.iter().any(|spoken| spoken.rule.permit) {
        return Some(Decision::refused(Reason::NoPermit, []));
    }
    let unverifiable = rules.iter().map(|spoken| spoken.rule).filter(|rule| rule.unverifiable);
    let unverifiable: Vec<Arc<str>> = unverifiable.map(|rule| rule.id.clone()).collect();
    (!unverifiable.is_empty()).then(|| Decision::refused(Reason::Unverifiable, unverifiable))
}

/// The asker with its groups, the transaction in its program, the action in its class.
pub(super) fn entities(
    target: &Target,
    principals: &[EntityUid],
    (program, transaction, _): (ProgramName, TransactionName, Effect),
) -> Option<Entities> {
    let (client, groups) = principals.split_first()?;
    let attributes = HashMap::from([
        ("program".to_owned(), Expression::new_string(program.to_string())),
        ("name".to_owned(), Expression::new_string(transaction.to_string())),
        ("customer_made".to_owned(), Expression::new_bool(program.is_customer_made())),
        ("technical".to_owned(), Expression::new_bool(Effect::is_technical(transaction))),
    ]);
    let mut all = vec![
        Entity::new_no_attrs(client.clone(), groups.iter().cloned().collect()),
        Entity::new(target.resource.clone(), attributes, HashSet::from([target.program.clone()])).ok()?,
        Entity::new_no_attrs(target.program.clone(), HashSet::new()),
        Entity::new_no_attrs(target.class.clone(), HashSet::new()),
    ];
    all.extend(groups.iter().map(|group| Entity::new_no_attrs(group.clone(), HashSet::new())));
    if target.action != target.class {
        all.push(Entity::new_no_attrs(target.action.clone(), HashSet::from([target.class.clone()])));
    }
    Entities::from_entities(all, None).ok()
}

/// Stands for every client that no rule names; no rule can name it, for a client's id is never empty.
pub(super) fn nobody_in_particular() -> EntityUid {
    uid(&TYPES.client, "")
}
