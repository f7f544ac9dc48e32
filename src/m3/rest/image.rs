//! A record by names put into the columns of its layout, so that everything above reads one kind of record.
//!
//! The columns are the layout's own, one field after the other: nothing here depends on where M3 keeps a field.

use super::super::client::Slots;
use crate::model::{
    Charset, Conventions, FieldKind, FieldLayout, FieldName, ProgramName, Record, Slot, TransactionLayout,
    TransactionName,
};

/// `None`: a value is longer than its field, so that the layout is not M3's. Fields that the layout doesn't have are of a
/// newer release, and left out.
pub(super) fn record(layout: &TransactionLayout, values: &[(String, String)]) -> Option<Record> {
    let fields = layout.output.fields();
    let end = |field: &FieldLayout| (usize::from(field.from) + usize::from(field.length)).saturating_sub(1);
    let columns = fields.iter().map(end).max().unwrap_or(15);
    let mut image = [0, b' '].repeat(columns);
    for (name, value) in values {
        let Some(field) = FieldName::parse(name).ok().and_then(|name| layout.output.field(name)) else { continue };
        let value = value.trim_end_matches([' ', '\0']);
        let mut at = usize::from(field.from).saturating_sub(1) * 2;
        let end = at + usize::from(field.length) * 2;
        for unit in value.encode_utf16() {
            // The comma of a user who writes numbers so.
            let unit = if field.kind == FieldKind::Number && unit == u16::from(b',') { u16::from(b'.') } else { unit };
            let place = (at < end).then(|| image.get_mut(at..at + 2)).flatten()?;
            place.copy_from_slice(&unit.to_be_bytes());
            at += 2;
        }
    }
    Some(Record::new(image.into(), Charset::Ucs2, Conventions::default()))
}

type Fields = &'static [(&'static str, u16)];

/// Fields of MRS001MI's lists that the catalog reads, as wide as any release has them.
const REPOSITORY: &[(&str, Fields, Fields)] = &[
    ("LstPrograms", &[], &[("MINM", 10), ("MIDS", 255)]),
    ("LstTransactions", &[("MINM", 10)], &[("MINM", 10), ("TRNM", 15), ("TRDS", 255), ("SIMU", 1)]),
    (
        "LstFields",
        &[("MINM", 10), ("TRNM", 15), ("TRTP", 1)],
        &[
            ("MINM", 10),
            ("TRNM", 15),
            ("TRTP", 1),
            ("FLNM", 10),
            ("FLDS", 255),
            ("FRPO", 11),
            ("TOPO", 11),
            ("LENG", 11),
            ("TYPE", 1),
            ("MAND", 1),
        ],
    ),
];

pub(super) fn repository(program: ProgramName, transaction: TransactionName) -> Option<Slots> {
    let (_, input, output) = REPOSITORY.iter().find(|(name, ..)| *name == transaction.as_str())?;
    let slots = |fields: &[(&str, u16)]| {
        let mut from = 16;
        let each = fields.iter().map(|(name, length)| {
            let slot = Slot { name: FieldName::parse(name).ok()?, from, length: *length };
            from += length;
            Some(slot)
        });
        each.collect::<Option<Vec<Slot>>>()
    };
    let known = program.as_str() == "MRS001MI";
    known.then_some(()).and_then(|()| Some(Slots { input: slots(input)?, output: slots(output)? }))
}
