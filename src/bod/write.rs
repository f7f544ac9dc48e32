//! Writing a document in one pass: elements of the mapping's tree, each with what the records say of it.

use super::compose::{Bound, Envelope, NAMESPACE, RELEASE, Rows, VERSION};
use super::function;
use super::mapping::{Inside, Node};
use super::value::{Condition, Step, Term, Value, Word};
use super::xml::escape;
use crate::model::{FieldLayout, Record};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Write as _;

const CUSTOM_NAMESPACE: &str = "http://schema.infor.com/InforOAGIS/Custom";

pub(super) struct Writer<'a> {
    bound: &'a Bound<'a>,
    envelope: &'a Envelope<'a>,
    rows: &'a [Rows<'a>],
    /// The list that is walked, and where in it.
    walk: Option<(usize, usize)>,
    /// What was joined last: of this read, to this place of the list, this record.
    joined: Cell<Option<(usize, usize, Option<usize>)>>,
    /// By read, where each key first stands in its list: made once, when the two lists first disagree.
    places: RefCell<HashMap<usize, HashMap<String, usize>>>,
    pub(super) out: String,
    /// Characters that XML can't hold.
    pub(super) replaced: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(bound: &'a Bound<'a>, envelope: &'a Envelope<'a>, rows: &'a [Rows<'a>]) -> Self {
        let (walk, joined, places) = (None, Cell::new(None), RefCell::default());
        Self { bound, envelope, rows, walk, joined, places, out: String::new(), replaced: 0 }
    }

    pub(super) fn document(&mut self) {
        let Envelope { verb, .. } = *self.envelope;
        let (mapping, verb) = (self.bound.mapping, verb.as_str());
        let custom = if mapping.custom { format!(" xmlns:custom=\"{CUSTOM_NAMESPACE}\"") } else { String::new() };
        let records: usize = self.rows.iter().map(|rows| rows.records.len()).sum();
        self.out.reserve(3_072 + 1_024 * records);
        let noun = &mapping.noun;
        let root =
            format!("<{verb}{noun} xmlns=\"{NAMESPACE}\"{custom} releaseID=\"{RELEASE}\" versionID=\"{VERSION}\">");
        self.out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
        self.out.push_str(&root);
        self.area();
        self.out.push_str("<DataArea>");
        self.verb(verb);
        let before = self.out.len();
        self.node(&mapping.root);
        if self.out.len() == before {
            let _ = write!(self.out, "<{noun}></{noun}>");
        }
        let _ = write!(self.out, "</DataArea></{verb}{noun}>");
    }

    fn area(&mut self) {
        let envelope = self.envelope;
        self.out.push_str("<ApplicationArea><Sender>");
        self.element("LogicalID", envelope.logical_id);
        self.element("ComponentID", envelope.component);
        self.element("ReferenceID", envelope.reference);
        self.element("ConfirmationCode", envelope.confirmation);
        self.out.push_str("</Sender>");
        self.element("CreationDateTime", envelope.created);
        self.element("BODID", envelope.bod_id);
        self.out.push_str("</ApplicationArea>");
    }

    fn verb(&mut self, verb: &str) {
        let envelope = self.envelope;
        let _ = write!(self.out, "<{verb}>");
        self.element("TenantID", envelope.tenant);
        self.element("AccountingEntityID", envelope.entity);
        self.element("LocationID", envelope.location);
        let action = envelope.action.as_str();
        let _ =
            write!(self.out, "<ActionCriteria><ActionExpression actionCode=\"{action}\"/></ActionCriteria></{verb}>");
    }

    /// Left out where there is nothing to say.
    fn element(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            let _ = write!(self.out, "<{name}>");
            self.replaced += escape(text, &mut self.out);
            let _ = write!(self.out, "</{name}>");
        }
    }

    fn node(&mut self, node: &'a Node) {
        match node.each {
            None => self.once(node),
            Some(list) => {
                let outer = self.walk;
                for at in 0..self.rows.get(list).map_or(0, |rows| rows.records.len()) {
                    self.walk = Some((list, at));
                    self.once(node);
                }
                self.walk = outer;
            }
        }
    }

    /// An element without a value, or without an attribute that it must have, is not written; neither is one around nothing.
    fn once(&mut self, node: &'a Node) {
        if node.when.as_ref().is_some_and(|when| !self.holds(when)) {
            return;
        }
        let (begin, replaced) = (self.out.len(), self.replaced);
        self.out.push('<');
        self.out.push_str(&node.name);
        let mut lacks = false;
        for given in &node.attributes {
            let before = self.out.len();
            self.out.push(' ');
            self.out.push_str(&given.name);
            self.out.push_str("=\"");
            let value = self.out.len();
            self.write(&given.value);
            if self.out.len() > value {
                self.out.push('"');
            } else {
                lacks |= given.required;
                self.out.truncate(before);
            }
        }
        self.out.push('>');
        let inside = self.out.len();
        match &node.content {
            Inside::Text(value) => self.write(value),
            Inside::Nodes(children) => children.iter().for_each(|child| self.node(child)),
        }
        if self.out.len() == inside || lacks {
            self.out.truncate(begin);
            self.replaced = replaced;
            return;
        }
        self.out.push_str("</");
        self.out.push_str(&node.name);
        self.out.push('>');
    }

    /// A field that is told as it stands, as most are, goes from M3's columns into the document without a stop.
    fn write(&mut self, value: &'a Value) {
        if let (Term::Field { read, slot }, []) = (&value.term, value.steps.as_slice()) {
            match self.found(*read, *slot) {
                None => return,
                Some((record, field)) if record.append_plain_xml(field, &mut self.out) => return,
                Some(_) => {}
            }
        }
        let text = self.value(value);
        self.replaced += escape(&text, &mut self.out);
    }

    pub(super) fn holds(&self, condition: &'a Condition) -> bool {
        condition.test.holds(&self.value(&condition.value))
    }

    pub(super) fn value(&self, value: &'a Value) -> Cow<'a, str> {
        let mut text = self.term(&value.term);
        for step in &value.steps {
            text = match step {
                Step::Apply(function) => function.apply(text),
                Step::Plus(other) => function::plus(text, self.value(other)),
                Step::Append(_) | Step::Prepend(_) if text.is_empty() => text,
                Step::Append(other) => Cow::Owned(text.into_owned() + &self.value(other)),
                Step::Prepend(other) => Cow::Owned(self.value(other).into_owned() + &text),
                Step::Or(other) if text.is_empty() => self.value(other),
                Step::Or(_) => text,
            };
        }
        text
    }

    fn term(&self, term: &'a Term) -> Cow<'a, str> {
        let envelope = self.envelope;
        match term {
            Term::Literal(text) => Cow::Borrowed(text),
            Term::Word(word) => match word {
                Word::Entity => Cow::Borrowed(envelope.entity),
                Word::Company => Cow::Borrowed(envelope.company),
                Word::Division => Cow::Borrowed(envelope.division),
                Word::Location => Cow::Borrowed(envelope.location),
                Word::LogicalId => Cow::Borrowed(envelope.logical_id),
                Word::Variation => Cow::Owned(envelope.variation.to_string()),
                Word::Tenant => Cow::Borrowed(envelope.tenant),
            },
            Term::Key(at) => Cow::Borrowed(envelope.key.get(*at).copied().unwrap_or_default()),
            Term::Field { read, slot } => self.field(*read, *slot).unwrap_or_default(),
        }
    }

    fn field(&self, read: usize, slot: usize) -> Option<Cow<'a, str>> {
        self.found(read, slot).map(|(record, field)| record.value(field))
    }

    fn found(&self, read: usize, slot: usize) -> Option<(&'a Record, &'a FieldLayout)> {
        let rows = self.rows.get(read)?;
        let layout = self.layout(read, slot)?;
        Some((self.record(read, rows)?, layout))
    }

    fn layout(&self, read: usize, slot: usize) -> Option<&'a FieldLayout> {
        let position = *self.bound.positions.get(read)?.get(slot)?;
        self.rows.get(read)?.layout.output.fields().get(position)
    }

    fn record(&self, read: usize, rows: &Rows<'a>) -> Option<&'a Record> {
        let of = &self.bound.mapping.reads[read];
        match self.walk {
            Some((list, at)) if list == read => rows.records.get(at),
            Some((list, at)) if of.join.as_ref().is_some_and(|join| join.to == list) => self.joined(read, list, at),
            _ => rows.records.first(),
        }
    }

    /// Looked for once for all fields of an element.
    fn joined(&self, read: usize, list: usize, at: usize) -> Option<&'a Record> {
        let own = self.rows.get(read)?.records;
        let found = match self.joined.get() {
            Some((of, place, found)) if (of, place) == (read, at) => found,
            _ => {
                let found = self.join(read, list, at);
                self.joined.set(Some((read, at, found)));
                found
            }
        };
        own.get(found?)
    }

    /// Both lists mostly come in the same order: the record at the same place is tried first.
    fn join(&self, read: usize, list: usize, at: usize) -> Option<usize> {
        let join = self.bound.mapping.reads[read].join.as_ref()?;
        let (whole, own) = (self.rows.get(list)?.records.get(at)?, self.rows.get(read)?.records);
        let mine = |record: &Record| self.key(record, read, join.on.iter().map(|(mine, _)| *mine));
        let wanted = self.key(whole, list, join.on.iter().map(|(_, others)| *others))?;
        if own.get(at).and_then(mine).is_some_and(|key| key == wanted) {
            return Some(at);
        }
        let mut places = self.places.borrow_mut();
        let places = places.entry(read).or_insert_with(|| {
            // From the end, so that of two the first one stays.
            own.iter().enumerate().rev().filter_map(|(at, record)| Some((mine(record)?, at))).collect()
        });
        places.get(&wanted).copied()
    }

    fn key(&self, record: &Record, read: usize, slots: impl Iterator<Item = usize>) -> Option<String> {
        let mut key = String::new();
        for slot in slots {
            key.push_str(&record.value(self.layout(read, slot)?));
            // In no value of M3's.
            key.push('\0');
        }
        Some(key)
    }
}
