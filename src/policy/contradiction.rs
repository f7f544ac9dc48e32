//! Conditions that no call can meet together: two companies at once, an hour after ten and before six.
//!
//! What it doesn't follow it doesn't judge: a rule that is named here can't fire, and one that isn't may still not.

use super::rule::conditions;
use cedar_policy::Policy;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What a value must be, by everything that was said of it so far.
#[derive(Debug, Clone)]
struct Must {
    least: i64,
    most: i64,
    equal: Option<Json>,
}

/// The words that are the rule's contradiction, if it has one.
pub(super) fn contradiction(policy: &Policy) -> Option<String> {
    let mut said: BTreeMap<String, Must> = BTreeMap::new();
    conditions(&mut policy.to_json().ok()?).into_iter().filter(|condition| condition.when).find_map(|condition| {
        let (path, relation, value) = comparison(&condition.body)?;
        meet(&mut said, &path, relation, &value)
    })
}

/// `context.company == 100` as its path, relation and value; turned around where the value stands first.
fn comparison(part: &Json) -> Option<(String, &'static str, Json)> {
    const RELATIONS: [(&str, &str); 5] = [("==", "=="), ("<", ">"), ("<=", ">="), (">", "<"), (">=", "<=")];
    let (relation, turned, sides) = RELATIONS.iter().find_map(|(r, t)| Some((*r, *t, part.get(*r)?)))?;
    let (left, right) = (sides.get("left")?, sides.get("right")?);
    match (path(left), right.get("Value"), path(right), left.get("Value")) {
        (Some(path), Some(value), ..) => Some((path, relation, value.clone())),
        (_, _, Some(path), Some(value)) => Some((path, turned, value.clone())),
        _ => None,
    }
}

fn path(side: &Json) -> Option<String> {
    if side.get("Var").is_some_and(|var| var == "context") {
        return Some("context".to_owned());
    }
    let access = side.get(".")?;
    Some(format!("{}.{}", path(access.get("left")?)?, access.get("attr")?.as_str()?))
}

fn bounds(path: &str) -> (i64, i64) {
    match path {
        "context.minute" | "context.local_minute" => (0, 24 * 60 - 1),
        "context.weekday" | "context.local_weekday" => (1, 7),
        "context.company" => (0, 999),
        _ => (i64::MIN, i64::MAX),
    }
}

fn meet(said: &mut BTreeMap<String, Must>, path: &str, relation: &str, value: &Json) -> Option<String> {
    let (least, most) = bounds(path);
    let must = said.entry(path.to_owned()).or_insert(Must { least, most, equal: None });
    match (relation, value.as_i64()) {
        ("==", number) => {
            if let Some(other) = must.equal.as_ref().filter(|other| *other != value) {
                return Some(format!("{path} is {other} and {value}"));
            }
            must.equal = Some(value.clone());
            if let Some(number) = number {
                must.least = must.least.max(number);
                must.most = must.most.min(number);
            }
        }
        ("<", Some(number)) => must.most = must.most.min(number.saturating_sub(1)),
        ("<=", Some(number)) => must.most = must.most.min(number),
        (">", Some(number)) => must.least = must.least.max(number.saturating_add(1)),
        (">=", Some(number)) => must.least = must.least.max(number),
        _ => {}
    }
    (must.least > must.most)
        .then(|| format!("{path} would have to be at least {} and at most {}", must.least, must.most))
}
