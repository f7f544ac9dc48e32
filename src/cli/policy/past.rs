//! `policy explain --decision` and `policy replay`: decisions of the past, out of the audit log.

use super::super::args;
use super::super::failure::Failure;
use super::super::show;
use super::limited::{Limited, is_limited, times};
use super::{Bench, missed};
use crate::audit::{Filter, find};
use crate::policies::{Again, KeptSet, Past};
use crate::policy::Set;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

/// Every decision of the log that rules made, in its order, and apart from them those of limits.
fn each(
    dir: &Path,
    filter: &Filter,
    mut see: impl FnMut(Past),
    mut limited: impl FnMut(&Value),
) -> Result<(), Failure> {
    let see = |line: &Value| {
        if is_limited(line) {
            limited(line);
        } else if let Some(past) = Past::read(line) {
            see(past);
        }
    };
    find(dir, filter, None, see).map_err(|error| Failure::begin(error.to_string()))?;
    Ok(())
}

pub(super) fn explain(bench: &Bench, id: &str, words: &args::PolicyExplain) -> Result<ExitCode, Failure> {
    let log = words.log.as_deref().unwrap_or(&bench.settings.audit.dir);
    let (mut found, mut limited) = (None, Limited::default());
    let filter = Filter { id: Some(id.to_owned()), ..Filter::default() };
    each(log, &filter, |past| found = Some(past), |line| limited.see(line))?;
    if limited.tell(bench, words.dir.as_deref(), id, words.json) {
        return Ok(ExitCode::FAILURE);
    }
    let Some(past) = found else {
        let hint = "see `mi-gateway audit find`; refusals of other kinds have no rule to explain";
        return Err(Failure::begin(format!(
            "the log in {} has no decision {id} of rules or limits; {hint}",
            log.display()
        )));
    };
    let (set, _) = bench.set(words.dir.as_deref())?;
    let then = if set.hash() == past.set { None } else { then(bench, words, &past.set) };
    let places = Places { now: &set, then: then.as_ref() };
    let again = past.again(&set, |program, name| bench.layout(program, name));
    if words.json {
        show::line(&told(&places, &past, &again).to_string());
    } else {
        shown(&places, &past, &again);
    }
    Ok(if past.allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the rules of a decision stand: in the set that made it, where that is still at hand.
struct Places<'a> {
    now: &'a Set,
    then: Option<&'a (KeptSet, Set)>,
}

impl Places<'_> {
    fn of(&self, id: &str) -> Option<String> {
        self.then.map_or(self.now, |(_, set)| set).spot(id).map(ToString::to_string)
    }
}

/// A kept set of these very rules. Who names a folder asks about that one.
fn then(bench: &Bench, words: &args::PolicyExplain, hash: &str) -> Option<(KeptSet, Set)> {
    if words.dir.is_some() {
        return None;
    }
    let kept = bench.settings.kept_policies();
    let sets = kept.sets().ok()?;
    sets.into_iter().rev().find_map(|one| {
        let (set, _) = bench.set(Some(&kept.folder(&one.id))).ok()?;
        (set.hash() == hash).then_some((one, set))
    })
}

fn verdict(allowed: bool) -> &'static str {
    if allowed { "allowed" } else { "refused" }
}

fn call(past: &Past) -> String {
    past.call.map_or_else(|| "anything".to_owned(), |(program, name)| format!("{program}/{name}"))
}

fn told(places: &Places<'_>, past: &Past, again: &Again) -> Value {
    let spot = |id: &str| places.now.spot(id).map(ToString::to_string);
    let rules =
        |ids: &[String]| -> Vec<Value> { ids.iter().map(|id| json!({ "rule": id, "place": places.of(id) })).collect() };
    let then = places.then.map(|(kept, _)| json!({ "id": kept.id, "name": kept.name, "version": kept.version }));
    let now = match again {
        Again::Decided(answer) => json!({
            "allowed": answer.decision.allowed,
            "reason": answer.decision.reason.word(),
            "rules": answer.decision.rules.iter().map(|id| json!({ "rule": &**id, "place": spot(id) })).collect::<Vec<_>>(),
            "nearest": answer.near.iter().map(|near| json!({
                "rule": &*near.rule, "place": near.spot.to_string(), "miss": missed(&near.miss) })).collect::<Vec<_>>(),
        }),
        Again::ByName(allowed) => json!({ "allowed": allowed, "by": "name" }),
        Again::Undecidable(why) => json!({ "undecidable": why }),
    };
    json!({ "decision": past.id, "allowed": past.allowed, "reason": past.reason, "rules": rules(&past.rules),
        "set": past.set, "same_set": places.now.hash() == past.set, "kept_set": then, "now": now })
}

fn shown(places: &Places<'_>, past: &Past, again: &Again) {
    show::line(&format!(
        "{}: {} asked for {} ({})",
        verdict(past.allowed).to_uppercase(),
        past.caller.client,
        call(past),
        past.reason
    ));
    for id in &past.rules {
        let place = places.of(id).unwrap_or_else(|| "not in this set".to_owned());
        show::line(&format!("    {id}  {place}"));
    }
    if let Some((KeptSet { id, version, .. }, _)) = places.then {
        let id = id.get(..12).unwrap_or(id);
        show::note(&format!(
            "That was decided by version {version} ({id}), which is kept: the places are its own, what follows is this set's."
        ));
    } else if places.now.hash() != past.set {
        show::note("That was decided by another set than the one asked here; places and what follows are this one's.");
    }
    match again {
        Again::Decided(answer) => {
            if answer.decision.allowed != past.allowed {
                show::line(&format!("  this set: {}", verdict(answer.decision.allowed)));
            }
            for near in &answer.near {
                show::line(&format!("  near: {}  {}", near.rule, near.spot));
                show::line(&format!("        {}", missed(&near.miss)));
            }
        }
        Again::ByName(false) => show::line("  no rule of this client can permit it, whatever its values"),
        Again::ByName(true) => show::line("  a rule of this set may permit it"),
        Again::Undecidable(why) => show::line(&format!("  can't be decided again: {why}")),
    }
}

#[derive(Default)]
struct Counts {
    same: u64,
    other: u64,
    undecidable: u64,
}

/// One line a disagreement while they are found, and the sums at the end: the log may be larger than memory.
pub(super) fn replay(bench: &Bench, words: &args::PolicyReplay) -> Result<ExitCode, Failure> {
    let (set, _) = bench.set(Some(&words.candidate))?;
    let log = words.log.as_deref().unwrap_or(&bench.settings.audit.dir);
    let filter = Filter { since: words.since.clone(), client: words.client.clone(), ..Filter::default() };
    let mut counts = Counts::default();
    let mut why: BTreeMap<String, u64> = BTreeMap::new();
    let mut limited = 0;
    let see = |past: Past| {
        let again = past.again(&set, |program, name| bench.layout(program, name));
        match again.allowed() {
            None => {
                counts.undecidable += 1;
                if let Again::Undecidable(reason) = &again
                    && (why.len() < MOST_REASONS || why.contains_key(reason))
                {
                    *why.entry(reason.clone()).or_default() += 1;
                }
            }
            Some(allowed) if allowed == past.allowed => counts.same += 1,
            Some(allowed) => {
                counts.other += 1;
                disagreement(&past, &again, allowed, words.json);
            }
        }
    };
    each(log, &filter, see, |line| limited += times(line))?;
    let Counts { same, other, undecidable } = counts;
    if words.json {
        let sums = json!({ "same": same, "other": other, "undecidable": undecidable, "limited": limited, "why": why, "set": set.hash() });
        show::line(&sums.to_string());
    } else {
        show::line(&format!(
            "{same} decisions as they were, {other} otherwise, {undecidable} that can't be made again"
        ));
        if limited > 0 {
            show::note(&format!("{limited} calls that limits refused are not asked about: no rule decided on them"));
        }
        why.iter().for_each(|(why, count)| show::note(&format!("{count} can't be made again: {why}")));
    }
    Ok(if other == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const MOST_REASONS: usize = 100;

fn disagreement(past: &Past, again: &Again, allowed: bool, as_json: bool) {
    let rules: Vec<&str> = match again {
        Again::Decided(answer) => answer.decision.rules.iter().map(|id| &**id).collect(),
        Again::ByName(_) | Again::Undecidable(_) => Vec::new(),
    };
    if as_json {
        let shown = json!({ "decision": past.id, "client": past.caller.client.to_string(), "call": call(past),
            "was": verdict(past.allowed), "was_by": past.rules, "would_be": verdict(allowed), "would_be_by": rules });
        return show::line(&shown.to_string());
    }
    let by = |rules: &str| if rules.is_empty() { String::new() } else { format!(" by {rules}") };
    show::line(&format!(
        "{} {}: {} was {}{}, would be {}{}",
        past.id,
        past.caller.client,
        call(past),
        verdict(past.allowed),
        by(&past.rules.join(", ")),
        verdict(allowed),
        by(&rules.join(", "))
    ));
}
