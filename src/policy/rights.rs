//! What a set says of a caller and a transaction at large, for access reviews: which rules speak, on what terms, and
//! which places they tell apart.
//!
//! Slow and thorough; nothing here is on a call's way.

use super::ask::Asker;
use super::reads::Reads;
use super::rule::Rule;
use super::scope::Target;
use super::set::Set;
use crate::model::{Company, Division, Effect, FieldName, ProgramName, TransactionName};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The rules that speak of a caller and a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    pub rules: BTreeSet<Arc<str>>,
    /// Those among them that forbid whatever is sent, or speak of others in what they say of the transaction.
    pub flat_forbids: BTreeSet<Arc<str>>,
    /// Each of them, whatever it is called: head, conditions, last day, what it lifts.
    pub words: BTreeSet<String>,
    /// Sensitive fields that a permit among them shows.
    pub reveals: BTreeSet<FieldName>,
    /// Some of them permit.
    pub permits: bool,
    /// Some of them look at the company or the division.
    pub places: bool,
    /// And not only at whether it is a certain one.
    pub any_company: bool,
    pub any_division: bool,
}

/// The rules that speak of one caller, found once for all transactions.
#[derive(Debug)]
pub struct Speaking<'a> {
    set: &'a Set,
    rules: Vec<(&'a Rule, &'a Words)>,
}

/// A set, read for reviews.
#[derive(Debug)]
pub struct Reviewed<'a> {
    set: &'a Set,
    /// In the order of the set's rules.
    rules: Vec<Words>,
}

#[derive(Debug)]
struct Words {
    text: String,
    places: Places,
}

/// Companies and divisions that rules compare a call's with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    pub companies: BTreeSet<Company>,
    pub divisions: BTreeSet<Division>,
    /// They are looked at in another way.
    any_company: bool,
    any_division: bool,
}

impl Set {
    pub fn reviewed(&self) -> Reviewed<'_> {
        Reviewed { set: self, rules: self.book.rules.iter().map(words).collect() }
    }
}

impl Reviewed<'_> {
    /// Of this caller, by those of them that are in force.
    pub fn of(&self, asker: Asker<'_>, unix_seconds: u64) -> Speaking<'_> {
        let principals = self.set.principals_of(asker);
        let rules = self.set.book.rules.iter().zip(&self.rules);
        let rules =
            rules.filter(|(rule, _)| rule.in_force(unix_seconds) && rule.scope.speaks_of(&principals)).collect();
        Speaking { set: self.set, rules }
    }

    pub fn places(&self) -> Places {
        let mut places = Places::default();
        for rule in &self.rules {
            places.companies.extend(&rule.places.companies);
            places.divisions.extend(&rule.places.divisions);
        }
        places
    }

    /// Transactions that rules name, and whose fields nobody here knows.
    pub fn unknown(&self) -> Vec<(ProgramName, TransactionName)> {
        let mut unknown: Vec<_> =
            self.set.typed.iter().filter(|(_, fields)| fields.is_none()).map(|(name, _)| *name).collect();
        unknown.sort_unstable();
        unknown
    }
}

impl Speaking<'_> {
    /// What they say of a transaction.
    pub fn terms(&self, (program, transaction): (ProgramName, TransactionName)) -> Terms {
        let effect = Effect::of(program, transaction);
        let typed = self.set.typed.contains_key(&(program, transaction));
        let target = Target::new(program, transaction, effect, typed);
        let (mut terms, mut lifted) = (Terms::default(), BTreeSet::new());
        for (rule, words) in &self.rules {
            let named = effect != Effect::Raw || !rule.permit || rule.scope.names(&target);
            if !named || !rule.scope.reaches(&target) {
                continue;
            }
            let flat = !rule.permit && rule.reads == Reads::default();
            if flat { &mut terms.flat_forbids } else { &mut terms.rules }.insert(rule.id.clone());
            lifted.extend(rule.lifts.iter().cloned());
            terms.words.insert(words.text.clone());
            terms.reveals.extend(rule.reveals.iter().copied().filter(|_| rule.permit));
            terms.permits |= rule.permit;
            terms.places |= words.places.any();
            terms.any_company |= words.places.any_company;
            terms.any_division |= words.places.any_division;
        }
        terms.rules.extend(terms.flat_forbids.intersection(&lifted).cloned());
        terms
    }
}

impl Places {
    fn any(&self) -> bool {
        self.any_company || self.any_division || !self.companies.is_empty() || !self.divisions.is_empty()
    }

    /// Whether what was compared is a place; else it is looked at in a way of its own.
    fn note(&mut self, attribute: &str, value: &Json) -> bool {
        let noted = if attribute == "company" {
            let number = value["Value"].as_u64().and_then(|number| u16::try_from(number).ok());
            number.and_then(|number| Company::new(number).ok()).map(|company| self.companies.insert(company))
        } else {
            let text = value["Value"].as_str();
            text.and_then(|text| Division::parse(text).ok()).map(|division| self.divisions.insert(division))
        };
        noted.is_some()
    }

    /// In a way that is not followed here.
    fn look(&mut self, attribute: Option<&str>) -> bool {
        self.any_company |= attribute == Some("company");
        self.any_division |= attribute == Some("division");
        attribute.is_some()
    }

    /// `context.company == 100`, `["AAA", "BBB"].contains(context.division)`, and anything else that names the two.
    fn walk(&mut self, expression: &Json) {
        match expression {
            Json::Array(parts) => parts.iter().for_each(|part| self.walk(part)),
            Json::Object(node) => {
                for (key, inner) in node {
                    let (left, right) = (&inner["left"], &inner["right"]);
                    let noted = match key.as_str() {
                        "==" | "!=" => match (place(left), place(right)) {
                            (Some(attribute), None) => self.note(attribute, right),
                            (None, Some(attribute)) => self.note(attribute, left),
                            _ => false,
                        },
                        "contains" => place(right).is_some_and(|attribute| {
                            let set = left["Set"].as_array();
                            set.is_some_and(|set| set.iter().all(|value| self.note(attribute, value)))
                        }),
                        "." => self.look(place(expression)),
                        _ => false,
                    };
                    if !noted {
                        self.walk(inner);
                    }
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
}

fn place(expression: &Json) -> Option<&'static str> {
    let access = expression.get(".")?;
    let attribute = access["attr"].as_str()?;
    let of_context = access["left"]["Var"] == "context";
    ["company", "division"].into_iter().find(|name| of_context && *name == attribute)
}

fn words(rule: &Rule) -> Words {
    let mut whole = rule.policy.to_json().unwrap_or_default();
    let mut places = Places::default();
    places.walk(&whole["conditions"]);
    if let Some(whole) = whole.as_object_mut() {
        whole.remove("annotations");
    }
    let text = json!([whole, rule.lifts, rule.expires_at]).to_string();
    Words { text, places }
}
