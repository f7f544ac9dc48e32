//! A decision in words: the rules that made it, or the permits that came near.

use super::super::show;
use crate::model::{Effect, Place};
use crate::policies::{Answer, Question};
use crate::policy::{Fact, Miss, Outside, Reason, Set};
use serde_json::{Value, json};

pub(super) fn missed(miss: &Miss) -> String {
    match miss {
        Miss::Expired => "its last day is over".to_owned(),
        Miss::Condition { text, .. } => format!("this does not hold: {text}"),
        Miss::Call => "it speaks of other transactions".to_owned(),
        Miss::Client => "it speaks of other clients".to_owned(),
    }
}

/// `beyond`: its client is bound to other places.
pub(super) fn told(set: &Set, answer: &Answer, beyond: Option<Outside>) -> Value {
    let bound = beyond.filter(|_| answer.decision.allowed);
    let spot = |id: &str| set.spot(id).map(ToString::to_string);
    let rules: Vec<Value> =
        answer.decision.rules.iter().map(|id| json!({ "rule": &**id, "place": spot(id) })).collect();
    let near: Vec<Value> = answer
        .near
        .iter()
        .map(|near| json!({ "rule": &*near.rule, "place": near.spot.to_string(), "miss": missed(&near.miss) }))
        .collect();
    json!({
        "allowed": answer.decision.allowed && beyond.is_none(),
        "reason": bound.map_or(answer.decision.reason.word(), |_| "bound-elsewhere"),
        "bound": beyond.map(|outside| format!("may not work in {outside}")),
        "company": answer.place.company.number(),
        "division": answer.place.division.as_str(),
        "rules": rules,
        "nearest": near,
        "reads": answer.reads.as_ref().map(|fact| json!({ "read": &**fact.text(),
            "fields": fact.fields().map(|field| field.to_string()).collect::<Vec<_>>() })),
        "set": set.hash(),
    })
}

fn names(fact: &Fact) -> String {
    fact.fields().map(|field| field.to_string()).collect::<Vec<_>>().join(", ")
}

pub(super) fn explained(set: &Set, question: &Question, answer: &Answer, beyond: Option<Outside>) {
    let Place { company, division } = answer.place;
    let (program, transaction) = (question.asked.program, question.asked.transaction);
    let effect = Effect::of(program, transaction);
    let place = if division.is_blank() { format!("{company}") } else { format!("{company}, division {division}") };
    let allowed = answer.decision.allowed && beyond.is_none();
    let verdict = if allowed { "ALLOWED" } else { "REFUSED" };
    show::line(&format!(
        "{verdict}: {} may{} {effect} {program}/{transaction} in company {place}",
        question.caller.name,
        if allowed { "" } else { " not" }
    ));
    if let Some(outside) = beyond {
        show::line(&format!("  whatever the rules permit, its client may not work in {outside}"));
    }
    let because = match answer.decision.reason {
        Reason::Allowed => "permitted by".to_owned(),
        Reason::Forbidden => "forbidden by".to_owned(),
        Reason::NoPermit => "no rule permits it".to_owned(),
        Reason::EvaluationError => "a rule failed to evaluate".to_owned(),
        Reason::ValueNotComparable(field) => format!("a rule reads {field} and can't compare its value"),
        Reason::NoZone => "a rule reads the local time, and no zone is set for the place (policy.zones)".to_owned(),
        Reason::FactMissing => "a rule looks at a record of M3, and none was read (--record FIELD=VALUE)".to_owned(),
        Reason::DivisionNotCarried => {
            format!(
                "it carries no division that M3 would hold it to{}, so the one it says is not believed by",
                answer.unheld
            )
        }
        Reason::Unverifiable => "a rule reads fields of a transaction whose layout is not known".to_owned(),
    };
    show::line(&format!("  {because}"));
    if let Some(fact) = &answer.reads {
        show::line(&format!("  M3 is asked before: {} for {}", fact.text(), names(fact)));
    }
    for id in answer.decision.rules.iter() {
        let place = set.spot(id).map(ToString::to_string).unwrap_or_default();
        show::line(&format!("    {id}  {place}"));
    }
    for near in &answer.near {
        show::line(&format!("  near: {}  {}", near.rule, near.spot));
        show::line(&format!("        {}", missed(&near.miss)));
    }
}
