//! Whether a mapping fits an M3: every transaction and field that it names is looked up where M3's own words are at hand.
//!
//! Does not know: where these words come from, or how old they are.

use super::fault::Fault;
use super::mapping::{Mapping, Read, Watch, Write};
use super::proof::{Deed, Proof, Reference};
use crate::model::{FieldKind, FieldName, ProgramName, TransactionLayout, TransactionName};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// What was found.
#[derive(Debug, Default)]
pub struct Fit {
    /// No document can be made so, or none of the right record.
    pub faults: Vec<Fault>,
    /// Documents tell less than was written.
    pub cuts: Vec<Fault>,
    /// Of these nothing is at hand.
    pub unseen: BTreeSet<(ProgramName, TransactionName)>,
}

type Layouts<'a> = &'a dyn Fn(ProgramName, TransactionName) -> Option<Arc<TransactionLayout>>;

struct Fitter<'a> {
    mapping: &'a Mapping,
    layouts: Layouts<'a>,
    fit: Fit,
}

impl Mapping {
    pub fn fit(&self, layouts: Layouts<'_>) -> Fit {
        let mut fitter = Fitter { mapping: self, layouts, fit: Fit::default() };
        for read in &self.reads {
            // What may be missing is not missed.
            let found = if read.optional {
                layouts(read.program, read.transaction)
            } else {
                fitter.layout(read.program, read.transaction)
            };
            if let Some(layout) = found {
                self.bind_read(read, Some(&layout), &mut fitter.fit.faults);
            }
        }
        fitter.writes();
        self.watches.iter().for_each(|watch| fitter.watch(watch));
        self.references.iter().for_each(|reference| fitter.reference(reference));
        fitter.cuts();
        fitter.fit
    }
}

impl Fitter<'_> {
    fn layout(&mut self, program: ProgramName, transaction: TransactionName) -> Option<Arc<TransactionLayout>> {
        let found = (self.layouts)(program, transaction);
        if found.is_none() {
            self.fit.unseen.insert((program, transaction));
        }
        found
    }

    fn fault(&mut self, span: &Range<usize>, message: String) {
        self.fit.faults.push(Fault::at(&self.mapping.source, span, message, "see its fields under /metadata"));
    }

    /// A record is named by what the call has, or by what M3 answers.
    fn writes(&mut self) {
        for write in &self.mapping.writes {
            let Some(layout) = self.layout(write.program, write.transaction) else { continue };
            for field in &write.key {
                self.named(&layout, *field, &write.span);
            }
            self.proven(&layout, write);
        }
    }

    /// What is called provable sends something that can be read back.
    fn proven(&mut self, layout: &TransactionLayout, write: &Write) {
        let deed = Deed::of(write.transaction.as_str());
        if write.proof != Proof::Provable || !matches!(deed, Deed::Add | Deed::Change) {
            return;
        }
        let mapping = self.mapping;
        let reads: Option<Vec<_>> = mapping
            .reads
            .iter()
            .filter(|read| read.is_of_the_record())
            .map(|read| (self.layouts)(read.program, read.transaction))
            .collect();
        // Of a read that nothing is known of it is said already.
        let Some(reads) = reads else { return };
        let names = |field: FieldName| mapping.key.contains(&field) || ["CONO", "DIVI"].contains(&field.as_str());
        let shown = |field: FieldName| reads.iter().any(|read| read.output.field(field).is_some());
        if !layout.input.fields().iter().any(|field| !names(field.name) && shown(field.name)) {
            let of = format!("{}/{}", write.program, write.transaction);
            let message = format!("nothing that {of} sends can be read back: it is no provable write");
            let hint = "say proof = \"state-only\", or read its fields";
            self.fit.faults.push(Fault::at(&mapping.source, &write.span, message, hint));
        }
    }

    fn reference(&mut self, reference: &Reference) {
        let span = &reference.span;
        if let Some(layout) = self.layout(reference.program, reference.transaction) {
            reference.with.iter().chain([&reference.field]).for_each(|field| self.takes(&layout, *field, span));
        }
        if let Some(layout) = self.layout(reference.list.0, reference.list.1) {
            reference.with.iter().for_each(|field| self.takes(&layout, *field, span));
            [reference.field, reference.number].iter().for_each(|field| self.gives(&layout, *field, span));
        }
        if let Some(layout) = self.layout(reference.shows.0, reference.shows.1) {
            self.takes(&layout, reference.number, span);
            self.gives(&layout, reference.field, span);
        }
    }

    fn named(&mut self, layout: &TransactionLayout, field: FieldName, span: &Range<usize>) {
        if layout.input.field(field).is_none() && layout.output.field(field).is_none() {
            let (program, transaction) = (layout.program, layout.name);
            self.fault(
                span,
                format!("{program}/{transaction} neither takes nor gives {field}, which names the record"),
            );
        }
    }

    fn takes(&mut self, layout: &TransactionLayout, field: FieldName, span: &Range<usize>) {
        if layout.input.field(field).is_none() {
            self.fault(span, format!("{}/{} has no input field {field}", layout.program, layout.name));
        }
    }

    fn gives(&mut self, layout: &TransactionLayout, field: FieldName, span: &Range<usize>) {
        if layout.output.field(field).is_none() {
            self.fault(span, format!("{}/{} gives no field {field}", layout.program, layout.name));
        }
    }

    fn watch(&mut self, watch: &Watch) {
        let (span, key) = (&watch.span, &self.mapping.key);
        if let Some(layout) = self.layout(watch.program, watch.transaction) {
            self.takes(&layout, watch.batch, span);
        }
        for (program, transaction) in &watch.enters {
            let Some(layout) = self.layout(*program, *transaction) else { continue };
            self.takes(&layout, watch.batch, span);
            key.iter().for_each(|field| self.named(&layout, *field, span));
        }
        if let Some(layout) = self.layout(watch.asks.0, watch.asks.1) {
            key.iter().for_each(|field| self.takes(&layout, *field, span));
            self.gives(&layout, watch.status, span);
        }
        let Some(parts) = &watch.parts else { return };
        if let Some(layout) = self.layout(parts.asks.0, parts.asks.1) {
            key.iter().chain([&parts.field]).for_each(|field| self.takes(&layout, *field, span));
            self.gives(&layout, watch.status, span);
        }
    }

    /// A text of which a write of the same program takes more than any read of it gives.
    fn cuts(&mut self) {
        type Widest = HashMap<(ProgramName, FieldName), (u16, Range<usize>)>;
        let mut widest = Widest::new();
        for read in &self.mapping.reads {
            let Some(layout) = (self.layouts)(read.program, read.transaction) else { continue };
            for (field, span) in wanted(read) {
                let Some(given) = layout.output.field(field) else { continue };
                let known = widest.entry((read.program, field)).or_insert((0, span.clone()));
                known.0 = known.0.max(given.length);
            }
        }
        let mut found: Vec<(FieldName, u16, Range<usize>, u16, String)> = Vec::new();
        for write in &self.mapping.writes {
            let Some(layout) = (self.layouts)(write.program, write.transaction) else { continue };
            for field in layout.input.fields().iter().filter(|field| field.kind == FieldKind::Alphanumeric) {
                let Some((given, span)) = widest.get(&(write.program, field.name)) else { continue };
                if *given < field.length && !found.iter().any(|known| known.0 == field.name) {
                    let of = format!("{}/{}", write.program, write.transaction);
                    found.push((field.name, *given, span.clone(), field.length, of));
                }
            }
        }
        for (field, given, span, taken, of) in found {
            let message =
                format!("{field} is read with {given} characters, and {of} takes {taken}: documents have it cut");
            let hint = "read it with a transaction that gives it whole";
            self.fit.cuts.push(Fault::at(&self.mapping.source, &span, message, hint));
        }
    }
}

fn wanted(read: &Read) -> impl Iterator<Item = (FieldName, &Range<usize>)> {
    read.fields.iter().map(|(field, span)| (*field, span))
}
