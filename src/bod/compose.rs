//! The document itself: a mapping, the records that were read, and what stands around them, written in one pass.

use super::fault::Fault;
use super::function;
use super::mapping::{Inside, Mapping, Node, Read};
use super::value::{Condition, Step, Term, Value, Word};
use super::xml::escape;
use crate::model::{FieldLayout, FieldName, Record, TransactionLayout};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Of the documents that we write ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    Sync,
    Process,
    /// What is said of a document of somebody else's.
    Confirm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Add,
    Replace,
    Change,
    Delete,
}

/// What stands around a document's content, and in the attributes of its IDs.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    pub verb: Verb,
    pub action: Action,
    pub tenant: &'a str,
    /// `100` or `100_AAA`.
    pub entity: &'a str,
    pub company: &'a str,
    pub division: &'a str,
    /// `lid://…`, whose document it is.
    pub logical_id: &'a str,
    pub component: &'a str,
    /// Ties the document to the call that caused it.
    pub reference: &'a str,
    /// `Always`, `OnError` or `Never`: whether the receiver shall answer.
    pub confirmation: &'a str,
    /// An instant in UTC with milliseconds.
    pub created: &'a str,
    pub bod_id: &'a str,
    pub variation: u64,
    /// In the order of the mapping's key.
    pub key: &'a [&'a str],
}

/// What one read gave, with the layout that it was confirmed with.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    pub layout: &'a TransactionLayout,
    pub records: &'a [Record],
}

/// A mapping against the layouts of M3 as it is: every field has its column.
#[derive(Debug, Clone)]
pub struct Bound<'a> {
    mapping: &'a Mapping,
    /// By read and slot.
    positions: Vec<Vec<usize>>,
}

/// A transaction or a field that a mapping names and M3 doesn't know.
pub type Unbound = Vec<Fault>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    pub xml: String,
    /// As it stands in the document, blank where it has none.
    pub location: String,
    /// Characters that XML can't hold.
    pub replaced: usize,
}

pub(super) const NAMESPACE: &str = "http://schema.infor.com/InforOAGIS/2";
const CUSTOM_NAMESPACE: &str = "http://schema.infor.com/InforOAGIS/Custom";
/// Of the standard, and of Infor's nouns.
pub(super) const RELEASE: &str = "9.2";
pub(super) const VERSION: &str = "2.14.3";

impl Verb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "Sync",
            Self::Process => "Process",
            Self::Confirm => "Confirm",
        }
    }
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "Add",
            Self::Replace => "Replace",
            Self::Change => "Change",
            Self::Delete => "Delete",
        }
    }
}

impl Mapping {
    /// `layouts`: one for each read, in their order; `None` where M3 knows no such transaction.
    pub fn bind(&self, layouts: &[Option<&TransactionLayout>]) -> Result<Bound<'_>, Unbound> {
        let mut faults = Vec::new();
        let mut positions = Vec::new();
        for (read, layout) in self.reads.iter().zip(layouts.iter().copied().chain(std::iter::repeat(None))) {
            positions.push(self.bind_read(read, layout, &mut faults));
        }
        if faults.is_empty() { Ok(Bound { mapping: self, positions }) } else { Err(faults) }
    }

    fn bind_read(&self, read: &Read, layout: Option<&TransactionLayout>, faults: &mut Vec<Fault>) -> Vec<usize> {
        let name = format!("{}/{}", read.program, read.transaction);
        let mut fault = |span, message, hint: &str| faults.push(Fault::at(&self.source, span, message, hint));
        let Some(layout) = layout else {
            fault(&read.span, format!("M3 has no transaction {name}"), "see what the program offers under /metadata");
            return Vec::new();
        };
        if layout.multi != read.list {
            let what = if layout.multi { "a list" } else { "no list" };
            fault(&read.span, format!("{name} is {what}"), "say list = true for a list, and only there");
        }
        for (input, _) in &read.inputs {
            if layout.input.position(*input).is_none() {
                fault(&read.span, format!("{name} has no input field {input}"), "see its fields under /metadata");
            }
        }
        let mut positions = Vec::new();
        for (field, span) in &read.fields {
            match layout.output.position(*field) {
                Some(position) => positions.push(position),
                None => fault(span, format!("{name} gives no field {field}"), "see its fields under /metadata"),
            }
        }
        positions
    }
}

impl Bound<'_> {
    pub fn mapping(&self) -> &Mapping {
        self.mapping
    }

    /// The division that the records say, blank where the mapping names none.
    pub fn division(&self, key: &[&str], rows: &[Rows<'_>]) -> String {
        self.fact(self.mapping.division.as_ref(), key, rows)
    }

    /// Whether these records are of a kind that has a document.
    pub fn has_document(&self, key: &[&str], rows: &[Rows<'_>]) -> bool {
        let blank = Envelope::blank(key);
        self.mapping.only.as_ref().is_none_or(|only| Writer::new(self, &blank, "", rows).holds(only))
    }

    /// What one read is asked with; `rows` are those of the reads before it.
    pub fn inputs(&self, read: usize, key: &[&str], division: &str, rows: &[Rows<'_>]) -> Vec<(FieldName, String)> {
        let blank = Envelope { division, ..Envelope::blank(key) };
        let writer = Writer::new(self, &blank, "", rows);
        let of = self.mapping.reads.get(read).map(|read| read.inputs.as_slice()).unwrap_or_default();
        of.iter().map(|(field, value)| (*field, writer.value(value).into_owned())).collect()
    }

    fn fact(&self, value: Option<&Value>, key: &[&str], rows: &[Rows<'_>]) -> String {
        let blank = Envelope::blank(key);
        value.map(|value| Writer::new(self, &blank, "", rows).value(value).into_owned()).unwrap_or_default()
    }

    /// `rows`: in the order of the mapping's reads.
    pub fn compose(&self, envelope: &Envelope<'_>, rows: &[Rows<'_>]) -> Composed {
        let location = self.fact(self.mapping.location.as_ref(), envelope.key, rows);
        let mut writer = Writer::new(self, envelope, &location, rows);
        writer.document();
        let (xml, replaced) = (writer.out, writer.replaced);
        Composed { xml, location, replaced }
    }
}

impl<'a> Envelope<'a> {
    /// For a question about the records alone.
    fn blank(key: &'a [&'a str]) -> Self {
        Self {
            verb: Verb::Sync,
            action: Action::Replace,
            tenant: "",
            entity: "",
            company: "",
            division: "",
            logical_id: "",
            component: "",
            reference: "",
            confirmation: "",
            created: "",
            bod_id: "",
            variation: 0,
            key,
        }
    }
}

struct Writer<'a> {
    bound: &'a Bound<'a>,
    envelope: &'a Envelope<'a>,
    location: &'a str,
    rows: &'a [Rows<'a>],
    /// The list that is walked, and where in it.
    walk: Option<(usize, usize)>,
    out: String,
    replaced: usize,
}

impl<'a> Writer<'a> {
    fn new(bound: &'a Bound<'a>, envelope: &'a Envelope<'a>, location: &'a str, rows: &'a [Rows<'a>]) -> Self {
        Self { bound, envelope, location, rows, walk: None, out: String::new(), replaced: 0 }
    }

    fn document(&mut self) {
        let Envelope { verb, .. } = *self.envelope;
        let (mapping, verb) = (self.bound.mapping, verb.as_str());
        let custom = if mapping.custom { format!(" xmlns:custom=\"{CUSTOM_NAMESPACE}\"") } else { String::new() };
        self.out.reserve(4096);
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
        self.element("LocationID", self.location);
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
            let text = self.value(&given.value);
            lacks |= given.required && text.is_empty();
            if !text.is_empty() {
                self.out.push(' ');
                self.out.push_str(&given.name);
                self.out.push_str("=\"");
                self.replaced += escape(&text, &mut self.out);
                self.out.push('"');
            }
        }
        self.out.push('>');
        let inside = self.out.len();
        match &node.content {
            Inside::Text(value) => {
                let text = self.value(value);
                self.replaced += escape(&text, &mut self.out);
            }
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

    fn holds(&self, condition: &'a Condition) -> bool {
        condition.test.holds(&self.value(&condition.value))
    }

    fn value(&self, value: &'a Value) -> Cow<'a, str> {
        let mut text = self.term(&value.term);
        for step in &value.steps {
            text = match step {
                Step::Apply(function) => function.apply(text),
                Step::Plus(other) => function::plus(text, self.value(other)),
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
                Word::Location => Cow::Borrowed(self.location),
                Word::LogicalId => Cow::Borrowed(envelope.logical_id),
                Word::Variation => Cow::Owned(envelope.variation.to_string()),
                Word::Tenant => Cow::Borrowed(envelope.tenant),
            },
            Term::Key(at) => Cow::Borrowed(envelope.key.get(*at).copied().unwrap_or_default()),
            Term::Field { read, slot } => self.field(*read, *slot).unwrap_or_default(),
        }
    }

    fn field(&self, read: usize, slot: usize) -> Option<Cow<'a, str>> {
        let rows = self.rows.get(read)?;
        let layout = self.layout(read, slot)?;
        Some(self.record(read, rows)?.value(layout))
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

    /// Both lists mostly come in the same order: the record at the same place is tried first.
    fn joined(&self, read: usize, list: usize, at: usize) -> Option<&'a Record> {
        let join = self.bound.mapping.reads[read].join.as_ref()?;
        let (whole, own) = (self.rows.get(list)?.records.get(at)?, self.rows.get(read)?.records);
        let agree = |record: &&Record| {
            join.on.iter().all(|(mine, others)| match (self.layout(read, *mine), self.layout(list, *others)) {
                (Some(mine), Some(others)) => record.value(mine) == whole.value(others),
                _ => false,
            })
        };
        own.get(at).filter(agree).or_else(|| own.iter().find(agree))
    }
}
