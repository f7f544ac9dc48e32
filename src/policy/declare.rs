//! `facts.toml` of a set: which record is read before which calls, checked against M3's layouts.
//!
//! ```toml
//! [[fact]]
//! of = ["PPS200MI/ApprovePO", "PPS200MI/DltLine"]   # calls whose rules may look at it
//! read = "PPS200MI/GetHead"
//! key = { PUNO = "PUNO" }                           # input of the read = input of the call
//! fields = ["DIVI", "FACI", "NTAM", "PUSL"]         # context.record.DIVI …
//! ```
//! Invariant: a fact that is accepted reads one record, without changing anything, in the place that the call was decided for.

use super::fact::{Call, Fact};
use super::fault::{Fault, Source};
use super::identity::pair;
use super::set::Layouts;
use crate::model::{Effect, FieldKind, FieldName, TransactionLayout};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use toml::Spanned;

/// What this file of a set is called.
pub const FACTS: &str = "facts.toml";

/// By the calls that they are read for.
pub(super) type Facts = BTreeMap<Call, Arc<Fact>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    fact: Vec<Spanned<Raw>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    of: Vec<Spanned<String>>,
    read: Spanned<String>,
    key: Spanned<BTreeMap<String, String>>,
    fields: Vec<Spanned<String>>,
}

/// Far above what people write: each is a read on a call's way.
const MOST_FACTS: usize = 200;
const MOST_CALLS: usize = 100;
const MOST_KEYS: usize = 8;
const MOST_FIELDS: usize = 32;

const SHAPE: &str = "a [[fact]] has of, read, key and fields";
const DIVISION: &str = "DIVI";
/// What the gateway fills in by itself, from the decision's place.
const PLACE: [&str; 2] = ["CONO", DIVISION];

/// The facts of a set; every fault is kept, and what could not be verified is a warning.
pub(super) fn declared(
    source: &Source,
    layouts: Layouts<'_>,
    warnings: &mut Vec<Fault>,
) -> Result<(Facts, BTreeMap<Call, usize>), Vec<Fault>> {
    let written: Written = match toml::from_str(&source.text) {
        Ok(written) => written,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            return Err(vec![Fault::at(source, at, error.message()).code("bad-fact").hint(SHAPE)]);
        }
    };
    let mut reading = Reading { source, layouts, faults: Vec::new(), warnings };
    let (mut facts, mut places) = (Facts::new(), BTreeMap::new());
    if written.fact.len() > MOST_FACTS {
        reading.say(0, "too-many", format!("there are more than {MOST_FACTS} facts"), "one fact may serve many calls");
    }
    for raw in written.fact.into_iter().take(MOST_FACTS) {
        let start = raw.span().start;
        let raw = raw.into_inner();
        let Some((fact, calls)) = reading.fact(&raw, start) else { continue };
        let fact = Arc::new(fact);
        for (call, at) in calls {
            if facts.insert(call, Arc::clone(&fact)).is_some() {
                let message = format!("{}/{} has a fact already", call.0, call.1);
                reading.say(at, "fact-twice", message, "a call has one: put its fields together");
            }
            places.insert(call, start);
        }
    }
    if reading.faults.is_empty() { Ok((facts, places)) } else { Err(reading.faults) }
}

struct Reading<'a> {
    source: &'a Source,
    layouts: Layouts<'a>,
    faults: Vec<Fault>,
    warnings: &'a mut Vec<Fault>,
}

type Placed = (Call, usize);

impl Reading<'_> {
    fn say(&mut self, at: usize, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.faults.push(Fault::at(self.source, at, message).code(code).hint(hint));
    }

    fn fact(&mut self, raw: &Raw, start: usize) -> Option<(Fact, Vec<Placed>)> {
        let before = self.faults.len();
        for (count, most, what) in [
            (raw.of.len(), MOST_CALLS, "calls"),
            (raw.key.get_ref().len(), MOST_KEYS, "keys"),
            (raw.fields.len(), MOST_FIELDS, "fields"),
        ] {
            if count == 0 || count > most {
                self.say(start, "too-many", format!("the fact has {count} {what}"), format!("from 1 to {most}"));
            }
        }
        let calls: Vec<Placed> = raw.of.iter().filter_map(|text| self.call(text)).collect();
        let read = self.call(&raw.read);
        let key = self.key(&raw.key);
        let fields: Vec<(FieldName, usize)> = raw
            .fields
            .iter()
            .filter_map(|text| Some((self.field(text.get_ref(), text.span().start)?, text.span().start)))
            .collect();
        if self.faults.len() > before {
            return None;
        }
        let ((program, transaction), at) = read?;
        let plain = Effect::of(program, transaction) == Effect::Read && !Effect::is_technical(transaction);
        if !plain {
            let message = format!("{program}/{transaction} is no plain read: {}", Effect::reason(program, transaction));
            self.say(at, "not-a-read", message, "a fact reads one record by its key, and changes nothing");
        }
        let layout = (self.layouts)(program, transaction);
        match &layout {
            None => self.unverified((program, transaction), at),
            Some(layout) => self.read(layout, &key, raw.key.span().start, at),
        }
        for (call, at) in &calls {
            self.asked_by(*call, &key, *at);
        }
        let (kinds, division_by) = self.outputs(layout.as_deref(), &fields);
        (self.faults.len() == before).then(|| (Fact::new((program, transaction), key, kinds, division_by), calls))
    }

    fn call(&mut self, text: &Spanned<String>) -> Option<Placed> {
        let (call, at) = (pair(text.get_ref()), text.span().start);
        if call.is_none() {
            let message = format!("no transaction can be called {:?}", text.get_ref());
            self.say(at, "bad-fact", message, "write PROGRAM/Transaction, like PPS200MI/GetHead");
        }
        call.map(|call| (call, at))
    }

    fn field(&mut self, text: &str, at: usize) -> Option<FieldName> {
        let field = FieldName::parse(text);
        if let Err(why) = &field {
            self.say(at, "bad-fact", format!("{text:?}: {why}"), "write field names as M3 has them, like NTAM");
        }
        field.ok()
    }

    fn key(&mut self, written: &Spanned<BTreeMap<String, String>>) -> Vec<(FieldName, FieldName)> {
        let at = written.span().start;
        let mut key = Vec::new();
        for (to, from) in written.get_ref() {
            if PLACE.contains(&to.as_str()) {
                let hint = "leave it out: the record is read in the company and division that the call is decided for";
                self.say(at, "key-is-place", format!("{to} is no part of a fact's key"), hint);
            }
            key.extend(self.field(to, at).zip(self.field(from, at)));
        }
        key
    }

    /// The layout is not known here: said, and what rules ask of it is refused until it is.
    fn unverified(&mut self, (program, transaction): Call, at: usize) {
        let message = format!(
            "the layout of {program}/{transaction} is unknown, so the fact can't be checked; until it is known, calls \
             whose rules look at the record are refused"
        );
        let warning = Fault::at(self.source, at, message).code("unverified");
        self.warnings.push(warning.hint("fetch the layout into the catalog; is the name spelt as M3 spells it?"));
    }

    /// The key's inputs on the side of the read.
    fn read(&mut self, layout: &TransactionLayout, key: &[(FieldName, FieldName)], key_at: usize, at: usize) {
        let name = format!("{}/{}", layout.program, layout.name);
        if layout.multi {
            self.say(at, "not-one-record", format!("{name} answers a list"), "name a transaction that gets one record");
        }
        for (to, _) in key.iter().filter(|(to, _)| layout.input.position(*to).is_none()) {
            let hint = format!("it has {}", names(layout.input.fields().iter().map(|field| field.name)));
            self.say(key_at, "unknown-field", format!("{name} has no input field {to}"), hint);
        }
        let given = |name: FieldName| PLACE.contains(&name.as_str()) || key.iter().any(|(to, _)| *to == name);
        for field in layout.input.fields().iter().filter(|field| field.mandatory && !given(field.name)) {
            let message = format!("{name} needs {}, and the key doesn't give it", field.name);
            self.say(key_at, "key-not-whole", message, format!("add {} = \"…\" with an input of the call", field.name));
        }
    }

    /// The same on the side of a call.
    fn asked_by(&mut self, (program, transaction): Call, key: &[(FieldName, FieldName)], at: usize) {
        let Some(layout) = (self.layouts)(program, transaction) else {
            return self.unverified((program, transaction), at);
        };
        for (_, from) in key.iter().filter(|(_, from)| layout.input.position(*from).is_none()) {
            let hint = format!("it has {}", names(layout.input.fields().iter().map(|field| field.name)));
            self.say(at, "unknown-field", format!("{program}/{transaction} has no input field {from}"), hint);
        }
    }

    /// The fields with their kinds, and what tells the division where the read doesn't.
    fn outputs(
        &mut self,
        layout: Option<&TransactionLayout>,
        fields: &[(FieldName, usize)],
    ) -> (BTreeMap<FieldName, Option<FieldKind>>, Vec<FieldName>) {
        let Some(layout) = layout else { return (fields.iter().map(|(name, _)| (*name, None)).collect(), Vec::new()) };
        let (mut kinds, mut division_by) = (BTreeMap::new(), Vec::new());
        for (name, at) in fields {
            if let Some(field) = layout.output.field(*name) {
                kinds.insert(*name, Some(field.kind));
                continue;
            }
            let sites = ["FACI", "WHLO"].into_iter().filter_map(|site| FieldName::parse(site).ok());
            let sites: Vec<FieldName> = sites.filter(|site| layout.output.position(*site).is_some()).collect();
            if name.as_str() == DIVISION && !sites.is_empty() {
                kinds.insert(*name, Some(FieldKind::Alphanumeric));
                division_by = sites;
                continue;
            }
            let message = format!("{}/{} has no output field {name}", layout.program, layout.name);
            let hint = format!("it has {}", names(layout.output.fields().iter().map(|field| field.name)));
            self.say(*at, "unknown-field", message, hint);
        }
        (kinds, division_by)
    }
}

fn names(all: impl Iterator<Item = FieldName>) -> String {
    const SHOWN: usize = 60;
    let all: Vec<String> = all.take(SHOWN).map(|name| name.to_string()).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}
