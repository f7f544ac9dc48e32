//! A mapping, understood: what is read for a document, what changes it, and the tree of its elements.

use super::fault::{Fault, Source};
use super::proof::{Proof, Reference};
use super::value::{Condition, Term, Value, Word};
use super::{compile, file};
use crate::model::{FieldName, ProgramName, TransactionName};
use std::ops::Range;

/// A noun's mapping. Made by `parse` alone, so that it fits the outline.
#[derive(Debug, Clone)]
pub struct Mapping {
    pub(super) source: Source,
    pub(super) noun: Box<str>,
    pub(super) key: Vec<FieldName>,
    pub(super) by_division: bool,
    pub(super) division: Option<Value>,
    pub(super) location: Option<Value>,
    pub(super) only: Option<Condition>,
    pub(super) off: bool,
    pub(super) reads: Vec<Read>,
    pub(super) writes: Vec<Write>,
    pub(super) watches: Vec<Watch>,
    pub(super) references: Vec<Reference>,
    pub(super) root: Node,
    /// Elements of a namespace of the site's own.
    pub(super) custom: bool,
}

/// One question to M3.
#[derive(Debug, Clone)]
pub struct Read {
    pub(super) name: Box<str>,
    pub(super) program: ProgramName,
    pub(super) transaction: TransactionName,
    pub(super) inputs: Vec<(FieldName, Value)>,
    pub(super) list: bool,
    pub(super) optional: bool,
    pub(super) join: Option<Join>,
    /// The fields that are wanted, each with the place where it was first named.
    pub(super) fields: Vec<(FieldName, Range<usize>)>,
    pub(super) span: Range<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Join {
    pub(super) to: usize,
    /// Slots in this read and in the other.
    pub(super) on: Vec<(usize, usize)>,
}

/// A transaction that changes documents of this noun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub program: ProgramName,
    pub transaction: TransactionName,
    /// In the mapping's order: where the call, or its reply, has the key field.
    pub key: Vec<FieldName>,
    pub deletes: Deletes,
    pub proof: Proof,
    pub(super) span: Range<usize>,
}

/// A batch entry: records are entered, handed over, and created by M3 some time later, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Hands the batch over.
    pub program: ProgramName,
    pub transaction: TransactionName,
    /// What names the batch in that call.
    pub batch: FieldName,
    /// What enters records under the batch; its call or its reply names the record. Without any the reply of the call that
    /// hands over names the one that comes of it.
    pub enters: Vec<(ProgramName, TransactionName)>,
    /// Tells how far it is: asked with the record's key, or with the batch where nothing enters records.
    pub asks: (ProgramName, TransactionName),
    pub status: FieldName,
    pub done: Vec<Box<str>>,
    /// M3 has refused it, and somebody has to mend it there.
    pub failed: Vec<Box<str>>,
    pub parts: Option<Parts>,
    pub(super) span: Range<usize>,
}

/// Parts that are entered by themselves, under a record that may be there already: lines of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// What numbers them, in the call that enters one or in its reply.
    pub field: FieldName,
    /// Tells how far one is: asked with the record's key and the part's number.
    pub asks: (ProgramName, TransactionName),
}

/// What a write takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletes {
    Nothing,
    Itself,
    /// A part of the document: the document itself is replaced.
    Part,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) name: Box<str>,
    pub(super) label: Box<str>,
    pub(super) attributes: Vec<Given>,
    pub(super) when: Option<Condition>,
    pub(super) each: Option<usize>,
    pub(super) content: Inside,
    /// Where the file in hand speaks of it; nowhere for what it took over from the shipped one.
    pub(super) span: Option<Range<usize>>,
}

#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) name: Box<str>,
    pub(super) value: Value,
    /// Without it the element is left out.
    pub(super) required: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Inside {
    Text(Value),
    Nodes(Vec<Node>),
}

impl Node {
    /// The first element that numbers the document's versions.
    pub(super) fn id(&self) -> Option<&Value> {
        match &self.content {
            Inside::Text(value) => {
                let numbers = |given: &Given| given.value.term == Term::Word(Word::Variation);
                self.attributes.iter().any(numbers).then_some(value)
            }
            Inside::Nodes(nodes) if self.each.is_none() => nodes.iter().find_map(Node::id),
            Inside::Nodes(_) => None,
        }
    }
}

impl Mapping {
    /// A file that stands for itself.
    pub fn parse(source: &Source) -> Result<Self, Vec<Fault>> {
        Self::parse_over(source, &[])
    }

    /// A site's file: one that says `extends` is put over the shipped mapping of its noun.
    pub fn parse_over(source: &Source, shipped: &[Self]) -> Result<Self, Vec<Fault>> {
        let file = file::read(source).map_err(|fault| vec![fault])?;
        let base = shipped.iter().find(|known| file.extends.is_some() && *known.noun == **file.noun.get_ref());
        compile::compile(source, &file, base)
    }

    pub fn noun(&self) -> &str {
        &self.noun
    }

    /// The name of the file that it comes from.
    pub fn source(&self) -> &str {
        &self.source.name
    }

    pub fn key(&self) -> &[FieldName] {
        &self.key
    }

    pub fn reads(&self) -> &[Read] {
        &self.reads
    }

    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    pub fn watches(&self) -> &[Watch] {
        &self.watches
    }

    /// How the number is found that M3 gave to what such a write made.
    pub fn reference(&self, program: ProgramName, transaction: TransactionName) -> Option<&Reference> {
        self.references.iter().find(|one| (one.program, one.transaction) == (program, transaction))
    }

    /// It is published only where a row of the publisher's table says so.
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// The document is a division's, not the company's.
    pub fn is_by_division(&self) -> bool {
        self.by_division
    }

    /// The records are asked for by division: the same key is another record in another one.
    pub fn is_named_by_division(&self) -> bool {
        let of_division = |(_, value): &(FieldName, Value)| value.term == Term::Word(Word::Division);
        self.reads.iter().any(|read| read.inputs.iter().any(of_division))
    }

    /// Its records say which division they are of, or are named by it. Others are of the whole company.
    pub fn has_division(&self) -> bool {
        self.division.is_some() || self.is_named_by_division()
    }

    pub fn write(&self, program: ProgramName, transaction: TransactionName) -> Option<&Write> {
        self.writes.iter().find(|write| write.program == program && write.transaction == transaction)
    }
}

impl Read {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn program(&self) -> ProgramName {
        self.program
    }

    pub fn transaction(&self) -> TransactionName {
        self.transaction
    }

    pub fn is_list(&self) -> bool {
        self.list
    }

    /// A document is made without it where M3 has no such transaction, or refuses it to whoever reads.
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// The same for every record of a company.
    pub fn is_of_the_company(&self) -> bool {
        self.list && self.inputs.is_empty()
    }

    /// It shows the document's own record: it is asked by the document's key and by nothing that another read gave.
    pub fn is_of_the_record(&self) -> bool {
        let given = |(_, value): &(FieldName, Value)| matches!(value.term, Term::Key(_) | Term::Word(_));
        !self.list && self.inputs.iter().all(given)
    }

    /// The columns that the document needs.
    pub fn fields(&self) -> impl Iterator<Item = FieldName> + '_ {
        self.fields.iter().map(|(name, _)| *name)
    }
}
