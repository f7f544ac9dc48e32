//! Where a list can be taken up again: which inputs position it, for the lists that are known to.
//!
//! A reviewed table, and nothing is guessed: an input of a list may position, select or do neither, and M3 does not say
//! which. Listed here are lists that begin at or after their position fields in the order of a unique key.
//! Does not know: how a place in a list is handed to the caller, or that it was not changed on the way.

use crate::model::{DateForm, FieldLayout, Input, Record, TransactionLayout, Value};

/// Program, transaction, and the fields that position, in the list's order; together with the other inputs unique.
const LISTS: &[(&str, &str, &[&str])] = &[
    ("CRS610MI", "LstByNumber", &["CUNO"]),
    ("CRS620MI", "LstByNumber", &["SUNO"]),
    ("CRS620MI", "LstSupplierRef", &["RFTY", "RFID"]),
    ("CRS630MI", "LstAccountID", &["AITM"]),
    ("MMS060MI", "List", &["ITNO", "WHSL", "BANO", "CAMU", "REPN"]),
    ("MMS060MI", "LstLocation", &["ITNO", "BANO", "CAMU", "REPN"]),
    ("MMS060MI", "LstViaItem", &["WHLO", "WHSL", "BANO", "CAMU", "REPN"]),
    ("MMS200MI", "LstItmByItm", &["ITNO"]),
    ("MMS200MI", "LstItmFac", &["ITNO"]),
    ("MMS200MI", "LstItmWhsByItm", &["WHLO"]),
    ("MMS200MI", "LstItmWhsByWhs", &["ITNO"]),
    ("MNS150MI", "LstUserData", &["USID"]),
];

/// The position fields of one list, by their places in input and output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    fields: Vec<(u16, u16)>,
}

impl Continuation {
    /// `None`: the list can't be taken up again, or M3's layout lacks a field for it.
    pub fn of(layout: &TransactionLayout) -> Option<Self> {
        let (program, name) = (layout.program.as_str(), layout.name.as_str());
        let (_, _, fields) = LISTS.iter().find(|(p, t, _)| (*p, *t) == (program, name))?;
        let place = |fields: &[FieldLayout], name: &str| {
            fields.iter().position(|field| field.name.as_str() == name).map(|at| at as u16)
        };
        let both = |name: &&str| Some((place(layout.input.fields(), name)?, place(layout.output.fields(), name)?));
        Some(Self { fields: fields.iter().map(both).collect::<Option<_>>()? })
    }

    /// The lists of the table, for `check` and for tests.
    pub fn all() -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str])> {
        LISTS.iter().copied()
    }

    /// The output fields that say where a record stands.
    pub fn outputs(&self) -> impl Iterator<Item = u16> {
        self.fields.iter().map(|(_, output)| *output)
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether this input says where the list begins, and is replaced when it goes on.
    pub fn positions(&self, input: u16) -> bool {
        self.fields.iter().any(|(at, _)| *at == input)
    }

    /// Where a record stands.
    pub fn place(&self, layout: &TransactionLayout, record: &Record) -> Vec<String> {
        let fields = layout.output.fields();
        self.fields.iter().map(|(_, output)| record.value(&fields[usize::from(*output)]).into_owned()).collect()
    }

    /// The inputs that begin at a place. `None`: a value of it is none that the field takes.
    pub fn begin_at(&self, layout: &TransactionLayout, inputs: &[Input], place: &[String]) -> Option<Vec<Input>> {
        let mut moved: Vec<Input> = inputs.iter().filter(|input| !self.positions(input.at)).cloned().collect();
        for ((at, _), text) in self.fields.iter().zip(place) {
            let field = &layout.input.fields()[usize::from(*at)];
            let value = Value::parse(field, text, DateForm::Ymd8).ok()?;
            moved.extend(value.map(|value| Input { at: *at, value }));
        }
        moved.sort_by_key(|input| input.at);
        Some(moved)
    }
}
