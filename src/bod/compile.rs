//! From a mapping file to a mapping: every name is looked up, every element has its place, and all faults are told at once.

use super::fault::{Fault, Source};
use super::file::{RawRead, RawReference, RawWatch, RawWrite, Written};
use super::function::Table;
use super::mapping::{Deletes, Join, Mapping, Parts, Read, Watch, Write};
use super::outline::Outline;
use super::proof::{Deed, Proof, Reference};
use super::tree::has_custom;
use super::value::{self, Condition, Names, Term, Value};
use crate::model::{FieldName, ProgramName, TransactionName};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;

const MOST_READS: usize = 16;

pub(super) fn compile(source: &Source, file: &Written, base: Option<&Mapping>) -> Result<Mapping, Vec<Fault>> {
    let outline = Outline::shipped();
    let mut compiler = Compiler {
        source,
        outline,
        faults: Vec::new(),
        key: base.map(|base| base.key.clone()).unwrap_or_default(),
        reads: base.map(|base| base.reads.clone()).unwrap_or_default(),
        tables: HashMap::new(),
        span: 0..0,
    };
    // What the shipped file says stands where the file in hand takes it over.
    let taken_over = file.extends.as_ref().map_or(0..0, Spanned::span);
    for read in &mut compiler.reads {
        read.span = taken_over.clone();
        read.fields.iter_mut().for_each(|(_, span)| *span = taken_over.clone());
    }
    let mapping = compiler.mapping(file, base);
    if compiler.faults.is_empty() {
        Ok(mapping)
    } else {
        compiler.faults.sort();
        Err(compiler.faults)
    }
}

pub(super) struct Compiler<'a> {
    source: &'a Source,
    pub(super) outline: &'a Outline,
    faults: Vec<Fault>,
    key: Vec<FieldName>,
    pub(super) reads: Vec<Read>,
    tables: HashMap<String, Arc<Table>>,
    /// Of what is being compiled, for the fields that are met there.
    span: Range<usize>,
}

impl Compiler<'_> {
    pub(super) fn fault(&mut self, span: &Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        self.faults.push(Fault::at(self.source, span, message, hint));
    }

    fn mapping(&mut self, file: &Written, base: Option<&Mapping>) -> Mapping {
        let noun = file.noun.get_ref().clone();
        self.noun(file, base);
        for name in &file.key {
            match FieldName::parse(name.get_ref()) {
                Ok(name) => self.key.push(name),
                Err(error) => self.fault(&name.span(), error.to_string(), "a key is a list of M3's field names"),
            }
        }
        if self.key.is_empty() {
            self.fault(&file.noun.span(), "has no key", "say which fields name a document: key = [\"ITNO\"]");
        }
        self.read_tables(&file.table);
        for raw in &file.read {
            self.read(raw);
        }
        let taken_over = file.extends.as_ref().map_or(0..0, Spanned::span);
        let mut writes = base.map(|base| base.writes.clone()).unwrap_or_default();
        writes.iter_mut().for_each(|write| write.span = taken_over.clone());
        let own: Vec<Write> = file.write.iter().filter_map(|raw| self.write(raw)).collect();
        // A site's word on a write stands in the place of the shipped one.
        let same = |one: &Write, other: &Write| (one.program, one.transaction) == (other.program, other.transaction);
        writes.retain(|known| !own.iter().any(|one| same(one, known)));
        writes.extend(own);
        let mut watches = base.map(|base| base.watches.clone()).unwrap_or_default();
        watches.iter_mut().for_each(|watch| watch.span = taken_over.clone());
        watches.extend(file.watch.iter().filter_map(|raw| self.watch(raw)));
        let mut references = base.map(|base| base.references.clone()).unwrap_or_default();
        references.iter_mut().for_each(|reference| reference.span = taken_over.clone());
        references.extend(file.reference.iter().filter_map(|raw| self.reference(raw, &writes)));
        let by_division = self.entity(file.entity.as_ref()).or(base.map(|base| base.by_division)).unwrap_or_default();
        let division =
            self.spanned_value(file.division.as_ref()).or_else(|| base.and_then(|base| base.division.clone()));
        let location =
            self.spanned_value(file.location.as_ref()).or_else(|| base.and_then(|base| base.location.clone()));
        let only = file.only.as_ref().and_then(|text| self.condition(text.get_ref(), text.span()));
        let only = only.or_else(|| base.and_then(|base| base.only.clone()));
        let off = file.off.or(base.map(|base| base.off)).unwrap_or_default();
        let root = self.document(file, base);
        let custom = has_custom(&root);
        let (source, key, reads) = (self.source.clone(), self.key.clone(), self.reads.clone());
        let noun = noun.into();
        Mapping {
            source,
            noun,
            key,
            by_division,
            division,
            location,
            only,
            off,
            reads,
            writes,
            watches,
            references,
            root,
            custom,
        }
    }

    fn noun(&mut self, file: &Written, base: Option<&Mapping>) {
        let noun = file.noun.get_ref();
        if !self.outline.is_noun(noun) {
            let outline = self.outline;
            let nouns: Vec<&str> = outline.names().iter().filter(|name| outline.is_noun(name)).copied().collect();
            self.fault(&file.noun.span(), format!("{noun} is no noun"), format!("there are {}", nouns.join(", ")));
        }
        if let (None, Some(extends)) = (base, &file.extends) {
            let hint = "without a shipped mapping a file stands for itself: take out `extends`";
            self.fault(&extends.span(), format!("there is no shipped mapping of {noun} to extend"), hint);
        }
    }

    fn entity(&mut self, given: Option<&Spanned<String>>) -> Option<bool> {
        let given = given?;
        match given.get_ref().as_str() {
            "company" => Some(false),
            "division" => Some(true),
            other => {
                self.fault(&given.span(), format!("entity is {other:?}"), "it is \"company\" or \"division\"");
                None
            }
        }
    }

    fn read_tables(&mut self, tables: &BTreeMap<String, BTreeMap<String, String>>) {
        for (name, words) in tables {
            let other = words.get("*").map(|word| word.as_str().into());
            let words = words.iter().filter(|(from, _)| *from != "*");
            let words = words.map(|(from, to)| (from.as_str().into(), to.as_str().into())).collect();
            self.tables.insert(name.clone(), Arc::new(Table { words, other }));
        }
    }

    fn transaction(&mut self, text: &Spanned<String>) -> Option<(ProgramName, TransactionName)> {
        let parts = text.get_ref().split_once('/');
        let parsed = parts.and_then(|(p, t)| ProgramName::parse(p).ok().zip(TransactionName::parse(t).ok()));
        if parsed.is_none() {
            let message = format!("{:?} names no transaction", text.get_ref());
            self.fault(&text.span(), message, "write it as PROGRAM/Transaction: \"MMS200MI/Get\"");
        }
        parsed
    }

    fn read(&mut self, raw: &RawRead) {
        let name = raw.name.get_ref().as_str();
        if ["key", "doc"].contains(&name) || self.reads.iter().any(|read| *read.name == *name) {
            self.fault(&raw.name.span(), format!("the read's name {name:?} is taken"), "give it another");
        }
        if self.reads.len() == MOST_READS {
            return self.fault(&raw.name.span(), "is one read too many", format!("{MOST_READS} are the most"));
        }
        let Some((program, transaction)) = self.transaction(&raw.transaction) else { return };
        let mut inputs = Vec::new();
        for (field, value) in &raw.with {
            let parsed = FieldName::parse(field.get_ref());
            match (parsed, self.value(value.get_ref(), value.span())) {
                (Ok(field), Some(value)) => inputs.push((field, value)),
                (Err(error), _) => self.fault(&field.span(), error.to_string(), "it is an input field of M3"),
                (Ok(_), None) => {}
            }
        }
        let span = raw.transaction.span();
        let (list, optional, join, fields) = (raw.list, raw.optional, None, Vec::new());
        if optional && !list {
            self.fault(&span, format!("{name} is optional and no list"), "only a list can be left out");
        }
        self.reads.push(Read { name: name.into(), program, transaction, inputs, list, optional, join, fields, span });
        if let Some(to) = &raw.joins {
            self.join(raw, to);
        }
    }

    fn join(&mut self, raw: &RawRead, to: &Spanned<String>) {
        let at = self.reads.len() - 1;
        let whole = self.reads[..at].iter().position(|read| *read.name == **to.get_ref() && read.list);
        let Some(whole) = whole.filter(|_| raw.list && !raw.on.is_empty()) else {
            let hint = "both are lists, the other is read before it, and `on` names the fields that must agree";
            return self.fault(&to.span(), format!("can't be joined to {:?}", to.get_ref()), hint);
        };
        let mut on = Vec::new();
        for field in &raw.on {
            self.span = field.span();
            match (self.slot(at, field.get_ref()), self.slot(whole, field.get_ref())) {
                (Ok(own), Ok(other)) => on.push((own, other)),
                (Err(message), _) | (_, Err(message)) => self.fault(&field.span(), message, "it is a field of M3"),
            }
        }
        self.reads[at].join = Some(Join { to: whole, on });
    }

    fn slot(&mut self, read: usize, field: &str) -> Result<usize, String> {
        let name = FieldName::parse(field).map_err(|error| error.to_string())?;
        let fields = &mut self.reads[read].fields;
        Ok(fields.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            fields.push((name, self.span.clone()));
            fields.len() - 1
        }))
    }

    fn write(&mut self, raw: &RawWrite) -> Option<Write> {
        let (program, transaction) = self.transaction(&raw.transaction)?;
        let mut key = self.key.clone();
        for (field, other) in &raw.key {
            let at = key.iter().position(|known| known.as_str() == field.get_ref());
            match (at, FieldName::parse(other.get_ref())) {
                (Some(at), Ok(other)) => key[at] = other,
                _ => self.fault(&field.span(), format!("{} is not of the key", field.get_ref()), "see key = […]"),
            }
        }
        let deletes = match raw.deletes.as_ref().map(|deletes| deletes.get_ref().as_str()) {
            None => Deletes::Nothing,
            Some("self") => Deletes::Itself,
            Some("parent") => Deletes::Part,
            Some(other) => {
                let span = raw.transaction.span();
                self.fault(&span, format!("deletes is {other:?}"), "it is \"self\" or \"parent\"");
                return None;
            }
        };
        let proof = self.proof(raw, transaction, deletes)?;
        Some(Write { program, transaction, key, deletes, proof, span: raw.transaction.span() })
    }

    /// Stated by every write; what can't be held is no statement.
    fn proof(&mut self, raw: &RawWrite, transaction: TransactionName, deletes: Deletes) -> Option<Proof> {
        let hint = "proof = \"provable\", \"state-only\" or \"never\"";
        let Some(said) = &raw.proof else {
            let message =
                format!("{} does not say what can be known of it when its answer is lost", raw.transaction.get_ref());
            self.fault(&raw.transaction.span(), message, hint);
            return None;
        };
        let Some(proof) = Proof::parse(said.get_ref()) else {
            self.fault(&said.span(), format!("proof is {:?}", said.get_ref()), hint);
            return None;
        };
        let shows = match Deed::of(transaction.as_str()) {
            Deed::Add | Deed::Change => deletes == Deletes::Nothing,
            Deed::Delete => deletes == Deletes::Itself,
            Deed::Other => false,
        };
        if proof == Proof::Provable && !shows {
            let message = format!("{} can't be proven by reading the record back", raw.transaction.get_ref());
            let hint = "only what adds, changes or deletes the record itself can (Add…, Crt…, Chg…, Upd…, Del…, Dlt…)";
            self.fault(&said.span(), message, hint);
        }
        Some(proof)
    }

    fn reference(&mut self, raw: &RawReference, writes: &[Write]) -> Option<Reference> {
        let (program, transaction) = self.transaction(&raw.transaction)?;
        let (field, number) = (self.field_name(&raw.field)?, self.field_name(&raw.number)?);
        let of = writes.iter().find(|write| (write.program, write.transaction) == (program, transaction));
        if of.is_some_and(|write| !write.key.contains(&number) && !self.key.contains(&number)) {
            let message =
                format!("{number} is no part of the name of the document that {program}/{transaction} changes");
            self.fault(&raw.number.span(), message, "what is found could be told by none: name a part of the key");
        }
        let (list, shows) = (self.transaction(&raw.list)?, self.transaction(&raw.shows)?);
        let with = raw.with.iter().filter_map(|name| self.field_name(name)).collect();
        Some(Reference { program, transaction, field, number, list, with, shows, span: raw.transaction.span() })
    }

    fn field_name(&mut self, text: &Spanned<String>) -> Option<FieldName> {
        match FieldName::parse(text.get_ref()) {
            Ok(name) => Some(name),
            Err(error) => {
                self.fault(&text.span(), error.to_string(), "it is a field of M3");
                None
            }
        }
    }

    fn watch(&mut self, raw: &RawWatch) -> Option<Watch> {
        let (program, transaction) = self.transaction(&raw.transaction)?;
        let (batch, status) = (self.field_name(&raw.batch)?, self.field_name(&raw.status)?);
        let enters = raw.enters.iter().filter_map(|text| self.transaction(text)).collect();
        let asks = self.transaction(&raw.asks)?;
        let span = raw.transaction.span();
        let words = |words: &[Spanned<String>]| words.iter().map(|word| word.get_ref().as_str().into()).collect();
        let (done, failed): (Vec<Box<str>>, Vec<Box<str>>) = (words(&raw.done), words(&raw.failed));
        if done.is_empty() || done.iter().any(|word| word.is_empty()) {
            let hint = "say which statuses mean that the record is there: done = [\"90\"]";
            self.fault(&span, "has no status that ends the watch", hint);
        }
        if let Some(both) = raw.failed.iter().find(|word| done.iter().any(|done| **done == **word.get_ref())) {
            let message = format!("the status {:?} is among done and among failed", both.get_ref());
            self.fault(&both.span(), message, "it is one of both");
        }
        let parts = match (&raw.part, &raw.asks_part) {
            (None, None) => None,
            (Some(field), Some(asks)) => Some(Parts { field: self.field_name(field)?, asks: self.transaction(asks)? }),
            (Some(one), None) | (None, Some(one)) => {
                let hint = "part = \"PNLI\" and asks_part = \"PPS370MI/GetBatchLine\", or neither";
                self.fault(&one.span(), "part and asks_part go together", hint);
                None
            }
        };
        Some(Watch { program, transaction, batch, enters, asks, status, done, failed, parts, span })
    }

    pub(super) fn value(&mut self, text: &str, span: Range<usize>) -> Option<Value> {
        self.span = span.clone();
        match value::value(text, self) {
            Ok(value) => Some(value),
            Err(message) => {
                self.fault(&span, format!("the value {text:?}: {message}"), "see the shipped mappings");
                None
            }
        }
    }

    fn spanned_value(&mut self, text: Option<&Spanned<String>>) -> Option<Value> {
        text.and_then(|text| self.value(text.get_ref(), text.span()))
    }

    pub(super) fn condition(&mut self, text: &str, span: Range<usize>) -> Option<Condition> {
        self.span = span.clone();
        match value::condition(text, self) {
            Ok(condition) => Some(condition),
            Err(message) => {
                self.fault(&span, format!("the condition {text:?}: {message}"), "write value == 'x', or a value alone");
                None
            }
        }
    }
}

impl Names for Compiler<'_> {
    fn field(&mut self, read: &str, field: &str) -> Result<Term, String> {
        let at = self.reads.iter().position(|known| *known.name == *read);
        let at = at.ok_or_else(|| format!("there is no read {read:?}; write [[read]] name = {read:?} above"))?;
        Ok(Term::Field { read: at, slot: self.slot(at, field)? })
    }

    fn key(&self, field: &str) -> Result<Term, String> {
        let at = self.key.iter().position(|known| known.as_str() == field);
        at.map(Term::Key).ok_or_else(|| format!("{field} is not of the key; see key = […]"))
    }

    fn tables(&self) -> &HashMap<String, Arc<Table>> {
        &self.tables
    }
}
