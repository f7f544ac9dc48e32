//! From texts to checked rules, with every fault found on the way.
//!
//! Invariant: a set that loads has passed Cedar's strict check against the schema, save rules over layouts that
//! nobody knew; those are marked, and refuse whatever they speak of.

use super::declare::{FACTS, Facts, declared};
use super::fault::{Fault, Source};
use super::identity::{self, TYPES};
use super::nesting::too_deep;
use super::places::Carries;
use super::reads::Reads;
use super::rule::Rule;
use super::schema::{self, Typed};
use super::set::Layouts;
use super::site::Site;
use crate::model::{Effect, ProgramName, TransactionName};
use cedar_policy::{PolicySet, Schema, ValidationMode, ValidationWarning, Validator};
use miette::Diagnostic;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) struct Loaded {
    pub(super) rules: Vec<Rule>,
    pub(super) typed: Typed,
    pub(super) facts: Facts,
    pub(super) warnings: Vec<Fault>,
}

struct Bounds {
    text: usize,
    rules: usize,
}

/// Of a set: far above what people write, far below what hurts.
const MOST: Bounds = Bounds { text: 8 * 1024 * 1024, rules: 20_000 };

pub(super) fn load(sources: &[Source], site: &Site, layouts: Layouts<'_>) -> Result<Loaded, Vec<Fault>> {
    let mut rules = parse(sources, &site.issuer, &MOST)?;
    let mut faults = lifts_that_lift_nothing(&rules, sources);
    let typed = typed(&rules, layouts);
    let mut warnings = Vec::new();
    let facts = facts(&rules, sources, site, layouts, &mut warnings).unwrap_or_else(|found| {
        faults.extend(found);
        None
    });
    for rule in &mut rules {
        faults.extend(fields_that_are_missing(rule, &typed, sources));
        faults.extend(divisions_that_nobody_carries(rule, layouts, sources));
        faults.extend(claims_that_nobody_declares(rule, site, sources));
        warnings.extend(hours_of_nowhere(rule, site, sources));
        if let Some(facts) = &facts {
            faults.extend(records_that_nobody_reads(rule, facts, sources));
        }
        mark_unverifiable(rule, &typed, facts.as_ref(), sources, &mut warnings);
    }
    // Rules that look at records can't be checked without them.
    let Some(facts) = facts else { return Err(sorted(faults)) };
    let schema = match schema::schema(&typed, &facts, &site.claims) {
        Ok(schema) => schema,
        Err(why) => {
            let source = sources.first().cloned().unwrap_or(Source { name: String::new(), text: String::new() });
            faults.push(Fault::at(&source, 0, format!("the schema of the named transactions can't be made: {why}")));
            return Err(faults);
        }
    };
    check(&rules, &schema, sources, &mut faults, &mut warnings);
    if faults.is_empty() { Ok(Loaded { rules, typed, facts, warnings }) } else { Err(sorted(faults)) }
}

fn sorted(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort();
    faults.dedup();
    faults
}

fn parse(sources: &[Source], local: &str, most: &Bounds) -> Result<Vec<Rule>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut rules: Vec<Rule> = Vec::new();
    let mut seen: HashMap<Arc<str>, usize> = HashMap::new();
    if sources.iter().map(|source| source.text.len()).sum::<usize>() > most.text {
        let message = format!("the files together are larger than {} bytes", most.text);
        return Err(vec![Fault::at(&sources[0], 0, message)]);
    }
    for (file, source) in sources.iter().enumerate().filter(|(_, source)| source.name != FACTS) {
        if let Some(offset) = too_deep(&source.text) {
            let fault = Fault::at(source, offset, "the rule nests too deep").code("too-deep");
            faults.push(fault.hint("write several when-clauses or rules, and sets in place of chains of ||"));
            continue;
        }
        let set: PolicySet = match source.text.parse() {
            Ok(set) => set,
            Err(errors) => {
                let errors: cedar_policy::ParseErrors = errors;
                faults.extend(errors.iter().map(|error| diagnosed(source, 0, error).code("syntax")));
                continue;
            }
        };
        for template in set.templates() {
            faults.push(Fault::at(source, 0, format!("{} is a template: rules stand for themselves", template.id())));
        }
        let mut policies: Vec<_> = set.policies().collect();
        policies.sort_by_key(|policy| policy.as_ref().loc().map_or(0, |loc| loc.start()));
        let stem = source.name.trim_end_matches(".cedar");
        for (at, policy) in policies.into_iter().enumerate() {
            let id = policy.annotation("id").map_or_else(|| format!("{stem}#{}", at + 1), str::to_owned);
            match Rule::parse(policy, &id, file, source, local) {
                Ok(rule) => {
                    if let Some(first) = seen.insert(rule.id.clone(), rules.len()) {
                        let first = &rules[first];
                        let first = Fault::at(&sources[first.file], first.offset, "");
                        let message =
                            format!("another rule has the id {id:?} ({}:{})", first.spot.file, first.spot.line);
                        let fault = Fault::at(source, rule.offset, message).code("duplicate-id");
                        faults.push(fault.hint("give each rule an @id of its own"));
                    }
                    rules.push(rule);
                }
                Err(found) => faults.extend(found),
            }
        }
    }
    if rules.len() > most.rules {
        faults.push(Fault::at(&sources[0], 0, format!("there are more than {} rules", most.rules)));
    }
    if faults.is_empty() { Ok(rules) } else { Err(sorted(faults)) }
}

/// Cedar's own complaint with its place; `start` serves where Cedar gives none.
fn diagnosed(source: &Source, start: usize, error: &(impl Diagnostic + ?Sized)) -> Fault {
    let place = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
    let fault = Fault::at(source, place.unwrap_or(start), error.to_string());
    match error.help() {
        Some(help) => fault.hint(help.to_string()),
        None => fault,
    }
}

/// Every transaction that a rule names as an action, in its head or in a condition.
fn typed(rules: &[Rule], layouts: Layouts<'_>) -> Typed {
    let mut typed = Typed::new();
    for rule in rules {
        for literal in rule.policy.entity_literals().iter().filter(|uid| *uid.type_name() == TYPES.action) {
            if let Some((program, transaction)) = identity::pair(literal.id().unescaped()) {
                typed
                    .entry((program, transaction))
                    .or_insert_with(|| layouts(program, transaction).map(|layout| schema::fields(&layout)));
            }
        }
    }
    typed
}

fn lifts_that_lift_nothing(rules: &[Rule], sources: &[Source]) -> Vec<Fault> {
    let forbids = |id: &Arc<str>| rules.iter().any(|rule| !rule.permit && rule.id == *id);
    let mut faults = Vec::new();
    for rule in rules {
        for id in rule.lifts.iter().filter(|id| !forbids(id)) {
            let fault = Fault::at(&sources[rule.file], rule.offset, format!("@lifts names no forbid: {id:?}"));
            let fault = fault.code("lifts-nothing");
            faults.push(fault.hint("write the @id of the forbid"));
        }
    }
    faults
}

/// A condition on a value that the transaction doesn't carry would look enforced and never be.
fn fields_that_are_missing(rule: &Rule, typed: &Typed, sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (program, transaction) in &rule.typed {
        let Some(Some(kinds)) = typed.get(&(*program, *transaction)) else { continue };
        for field in rule.reads.fields.iter().filter(|field| !kinds.contains_key(field)) {
            let message = format!("{program}/{transaction} has no input field {field}");
            let inputs: Vec<_> = kinds.keys().take(40).map(ToString::to_string).collect();
            let hint = format!("it has {}", if inputs.is_empty() { "none".to_owned() } else { inputs.join(", ") });
            faults.push(Fault::at(&sources[rule.file], rule.offset, message).code("unknown-field").hint(hint));
        }
    }
    faults
}

/// Which division such a call works in is its caller's word alone.
fn divisions_that_nobody_carries(rule: &Rule, layouts: Layouts<'_>, sources: &[Source]) -> Vec<Fault> {
    let uncarried = |(program, name): &(ProgramName, TransactionName)| {
        let layout = layouts(*program, *name).filter(|_| rule.reads.has(Reads::DIVISION))?;
        (Carries::of(&layout, Effect::of(*program, *name)) == Carries::Never).then_some((*program, *name))
    };
    let fault = |(program, name)| {
        let message =
            format!("{program}/{name} carries no division: which one it is said to work in is its caller's to say");
        let hint = "read it of the record before the decision: context.record.DIVI, with a fact in facts.toml";
        Fault::at(&sources[rule.file], rule.offset, message).code("division-not-carried").hint(hint)
    };
    rule.typed.iter().filter_map(uncarried).map(fault).collect()
}

/// What the set's file declares; of a fact that no rule looks at, and of one that nobody may read here, a warning.
fn facts(
    rules: &[Rule],
    sources: &[Source],
    site: &Site,
    layouts: Layouts<'_>,
    warnings: &mut Vec<Fault>,
) -> Result<Option<Facts>, Vec<Fault>> {
    let Some(source) = sources.iter().find(|source| source.name == FACTS) else { return Ok(Some(Facts::new())) };
    let (facts, places) = declared(source, layouts, warnings)?;
    for (call, at) in places {
        let looks = |rule: &Rule| rule.reads.has(Reads::RECORD) && rule.typed.contains(&call);
        if !rules.iter().any(looks) {
            let message = format!("no rule of {}/{} looks at the record: it is never read", call.0, call.1);
            let fault = Fault::at(source, at, message).code("unread-fact");
            warnings.push(fault.hint("write a rule with context.record.NAME, or take the call out"));
        }
    }
    if !facts.is_empty() && !site.guard_user {
        let message = "no M3 user is set to read records with: calls whose rules look at one are refused";
        let fault = Fault::at(source, 0, message).code("no-guard-user");
        warnings
            .push(fault.hint("give policy.guard_user in the settings, and check with --config where it is not found"));
    }
    Ok(Some(facts))
}

/// A condition on what is not read would look enforced and never be.
fn records_that_nobody_reads(rule: &Rule, facts: &Facts, sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let at = |message: String| Fault::at(&sources[rule.file], rule.offset, message);
    for call in rule.typed.iter().filter(|_| rule.reads.has(Reads::RECORD)) {
        let name = format!("{}/{}", call.0, call.1);
        let Some(fact) = facts.get(call) else {
            let hint = "declare it in facts.toml: [[fact]] with of, read, key and fields";
            faults.push(at(format!("no record is read for {name}")).code("no-fact").hint(hint));
            continue;
        };
        for field in rule.reads.record.iter().filter(|field| !fact.has(**field)) {
            let declared: Vec<String> = fact.fields().map(|field| field.to_string()).collect();
            let hint = format!("facts.toml declares {}; add {field} to its fields", declared.join(", "));
            let message = format!("the record that is read for {name} has no field {field}");
            faults.push(at(message).code("unknown-fact-field").hint(hint));
        }
    }
    faults
}

/// Only what the settings let in is in the context: a rule over another claim would wait for it for ever.
fn claims_that_nobody_declares(rule: &Rule, site: &Site, sources: &[Source]) -> Vec<Fault> {
    let undeclared = rule.reads.claims.iter().filter(|claim| !site.claims.contains_key(*claim));
    let hint = match site.claims.is_empty() {
        true => "the settings let rules see no claim: add policy_claims to an issuer, and check with --config where \
                 they are not found"
            .to_owned(),
        false => {
            let declared: Vec<_> = site.claims.keys().map(|claim| &**claim).collect();
            format!("the settings let rules see {}; add others to policy_claims of their issuer", declared.join(", "))
        }
    };
    let at = |message| Fault::at(&sources[rule.file], rule.offset, message).code("unknown-claim").hint(&hint);
    undeclared.map(|claim| at(format!("no issuer's policy_claims has the claim {claim:?}"))).collect()
}

/// It loads, and refuses everything.
fn hours_of_nowhere(rule: &Rule, site: &Site, sources: &[Source]) -> Option<Fault> {
    let message = format!("{}: reads the local time, and no place has a zone: what it speaks of is refused", rule.id);
    let fault = Fault::at(&sources[rule.file], rule.offset, message).code("no-zone");
    let hint = "give zones in the settings: [policy.zones] default = \"Europe/Stockholm\"";
    (rule.reads.local_time() && site.zones.is_empty()).then(|| fault.hint(hint))
}

fn mark_unverifiable(
    rule: &mut Rule,
    typed: &Typed,
    facts: Option<&Facts>,
    sources: &[Source],
    warnings: &mut Vec<Fault>,
) {
    for (program, transaction) in rule.typed.clone() {
        let fact = facts.and_then(|facts| facts.get(&(program, transaction)));
        if rule.reads.has(Reads::RECORD) && fact.is_some_and(|fact| !fact.is_known()) {
            // Said of the fact already.
            rule.unverify();
        }
        if matches!(typed.get(&(program, transaction)), Some(Some(_))) {
            continue;
        }
        let source = &sources[rule.file];
        if rule.reads.values_of_the_call() {
            // What nobody could check is not taken at its word.
            rule.unverify();
            let message = format!(
                "{}: the layout of {program}/{transaction} is unknown, so its fields can't be checked; until it is \
                 known, calls that the rule speaks of are refused",
                rule.id
            );
            let warning = Fault::at(source, rule.offset, message).code("unverified");
            warnings.push(warning.hint(format!("fetch it: mi-gateway catalog pull {program}")));
        } else {
            let message = format!("{}: the layout of {program}/{transaction} is unknown", rule.id);
            let warning = Fault::at(source, rule.offset, message).code("unverified");
            let hint = "fetch it: mi-gateway catalog pull";
            warnings.push(warning.hint(format!("{hint} {program}; or is the name not spelt as M3 spells it?")));
        }
    }
}

fn check(rules: &[Rule], schema: &Schema, sources: &[Source], faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) {
    let by_id: HashMap<_, _> = rules.iter().map(|rule| (rule.policy.id(), rule)).collect();
    let verifiable = rules.iter().filter(|rule| !rule.unverifiable).map(|rule| rule.policy.clone());
    let Ok(set) = PolicySet::from_policies(verifiable) else { return };
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    for error in result.validation_errors() {
        if let Some(rule) = by_id.get(error.policy_id()) {
            faults.push(diagnosed(&sources[rule.file], rule.offset, error).code("type"));
        }
    }
    for warning in result.validation_warnings() {
        if let Some(rule) = by_id.get(warning.policy_id()) {
            let impossible = matches!(warning, ValidationWarning::ImpossiblePolicy(_));
            let code = if impossible { "never-fires" } else { "cedar" };
            warnings.push(diagnosed(&sources[rule.file], rule.offset, warning).code(code));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_rules_or_more_text_than_may_be_are_one_fault() {
        let source = |rules: usize| Source {
            name: "a.cedar".to_owned(),
            text: "forbid (principal, action, resource);\n".repeat(rules),
        };
        let parsed = |sources: &[Source]| {
            let found = parse(sources, "", &Bounds { text: 500, rules: 10 });
            found.map(|rules| rules.len()).map_err(|faults| faults[0].to_string())
        };
        assert_eq!(parsed(&[source(10)]), Ok(10));
        assert!(parsed(&[source(11)]).is_err_and(|fault| fault.contains("more than 10 rules")));
        let two = [source(5), Source { name: "b.cedar".to_owned(), ..source(6) }];
        assert!(parsed(&two).is_err_and(|fault| fault.contains("more than 10 rules")), "in all files together");
        assert!(parsed(&[source(20)]).is_err_and(|fault| fault.contains("larger than 500 bytes")));
    }
}
