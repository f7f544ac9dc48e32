//! Where each field of a transaction stands, as M3 itself tells it.

use super::names::{FieldName, ProgramName, TransactionName};
use std::collections::HashMap;

/// M3's type letter: A, N or D.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldKind {
    Alphanumeric,
    Number,
    Date,
}

impl FieldKind {
    pub fn letter(self) -> char {
        match self {
            Self::Alphanumeric => 'A',
            Self::Number => 'N',
            Self::Date => 'D',
        }
    }

    pub fn of(letter: &str) -> Option<Self> {
        match letter {
            "A" => Some(Self::Alphanumeric),
            "N" => Some(Self::Number),
            "D" => Some(Self::Date),
            _ => None,
        }
    }
}

/// Name and place alone: what a session's GetInLayout and GetOutLayout answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    pub name: FieldName,
    /// 1-based column of the first unit; the first field of a message stands at 16.
    pub from: u16,
    pub length: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldLayout {
    pub name: FieldName,
    pub kind: FieldKind,
    pub from: u16,
    pub length: u16,
    pub mandatory: bool,
    pub description: Box<str>,
}

impl FieldLayout {
    pub fn slot(&self) -> Slot {
        Slot { name: self.name, from: self.from, length: self.length }
    }
}

/// The fields of one direction, in M3's order, found by name without a walk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    fields: Vec<FieldLayout>,
    by_name: HashMap<FieldName, u16>,
}

impl Layout {
    pub fn new(fields: Vec<FieldLayout>) -> Self {
        let by_name = fields.iter().enumerate().map(|(at, f)| (f.name, at as u16)).collect();
        Self { fields, by_name }
    }

    pub fn fields(&self) -> &[FieldLayout] {
        &self.fields
    }

    pub fn position(&self, name: FieldName) -> Option<usize> {
        self.by_name.get(&name).map(|at| usize::from(*at))
    }

    pub fn field(&self, name: FieldName) -> Option<&FieldLayout> {
        self.position(name).map(|at| &self.fields[at])
    }

    pub fn has(&self, name: &str) -> bool {
        FieldName::parse(name).is_ok_and(|name| self.by_name.contains_key(&name))
    }

    /// The same places, whatever kinds and descriptions say: all that encoding and decoding depend on.
    pub fn stands_as(&self, slots: &[Slot]) -> bool {
        self.fields.len() == slots.len() && self.fields.iter().zip(slots).all(|(f, s)| f.slot() == *s)
    }
}

/// One transaction as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionLayout {
    pub program: ProgramName,
    pub name: TransactionName,
    pub description: Box<str>,
    /// SIMU = M: the answer is a list.
    pub multi: bool,
    pub input: Layout,
    pub output: Layout,
}
