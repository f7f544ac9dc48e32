//! The document itself: a mapping, the records that were read, and what stands around them, written in one pass.

use super::fault::Fault;
use super::mapping::{Mapping, Read};
use super::value::Value;
use super::write::Writer;
use crate::model::{FieldName, Record, TransactionLayout};

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
    /// Blank: the document has none.
    pub location: &'a str,
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
    pub(super) mapping: &'a Mapping,
    /// By read and slot.
    pub(super) positions: Vec<Vec<usize>>,
}

/// A transaction or a field that a mapping names and M3 doesn't know.
pub type Unbound = Vec<Fault>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    pub xml: String,
    /// Characters that XML can't hold.
    pub replaced: usize,
}

/// The place of a field that this M3 does not give.
const NOWHERE: usize = usize::MAX;
pub(super) const NAMESPACE: &str = "http://schema.infor.com/InforOAGIS/2";
/// Of the standard, and of Infor's nouns.
pub(super) const RELEASE: &str = "9.2";
pub(super) const VERSION: &str = "2.14.3";

impl Verb {
    pub const ALL: [Self; 3] = [Self::Sync, Self::Process, Self::Confirm];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == text)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "Sync",
            Self::Process => "Process",
            Self::Confirm => "Confirm",
        }
    }
}

impl Action {
    pub const ALL: [Self; 4] = [Self::Add, Self::Replace, Self::Change, Self::Delete];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }

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

    pub(super) fn bind_read(
        &self,
        read: &Read,
        layout: Option<&TransactionLayout>,
        faults: &mut Vec<Fault>,
    ) -> Vec<usize> {
        let name = format!("{}/{}", read.program, read.transaction);
        let mut fault = |span, message, hint: &str| faults.push(Fault::at(&self.source, span, message, hint));
        let Some(layout) = layout else {
            if !read.optional {
                fault(
                    &read.span,
                    format!("M3 has no transaction {name}"),
                    "see what the program offers under /metadata",
                );
            }
            return Vec::new();
        };
        if read.optional && layout.output.fields().is_empty() {
            return vec![NOWHERE; read.fields.len()];
        }
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
                None if read.optional => positions.push(NOWHERE),
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

    /// The location that the records say, blank where the mapping names none.
    pub fn location(&self, key: &[&str], rows: &[Rows<'_>]) -> String {
        self.fact(self.mapping.location.as_ref(), key, rows)
    }

    /// What the document carries as its own id: the key's parts where the mapping marks none.
    pub fn document_id(&self, key: &[&str], rows: &[Rows<'_>]) -> String {
        match self.mapping.root.id() {
            Some(value) => self.fact(Some(value), key, rows),
            None => key.join("_"),
        }
    }

    /// Whether these records are of a kind that has a document.
    pub fn has_document(&self, key: &[&str], rows: &[Rows<'_>]) -> bool {
        let blank = Envelope::blank(key);
        self.mapping.only.as_ref().is_none_or(|only| Writer::new(self, &blank, rows).holds(only))
    }

    /// What one read is asked with; `rows` are those of the reads before it.
    pub fn inputs(&self, read: usize, key: &[&str], division: &str, rows: &[Rows<'_>]) -> Vec<(FieldName, String)> {
        let blank = Envelope { division, ..Envelope::blank(key) };
        let writer = Writer::new(self, &blank, rows);
        let of = self.mapping.reads.get(read).map(|read| read.inputs.as_slice()).unwrap_or_default();
        of.iter().map(|(field, value)| (*field, writer.value(value).into_owned())).collect()
    }

    fn fact(&self, value: Option<&Value>, key: &[&str], rows: &[Rows<'_>]) -> String {
        let blank = Envelope::blank(key);
        value.map(|value| Writer::new(self, &blank, rows).value(value).into_owned()).unwrap_or_default()
    }

    /// `rows`: in the order of the mapping's reads.
    pub fn compose(&self, envelope: &Envelope<'_>, rows: &[Rows<'_>]) -> Composed {
        let mut writer = Writer::new(self, envelope, rows);
        writer.document();
        Composed { xml: writer.out, replaced: writer.replaced }
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
            location: "",
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
