//! The layouts that the mock serves, read from the table beside this file.
//!
//! Names are plain text and columns plain numbers on purpose: the mock shares no code with the client it answers.

use crate::model::{FieldKind, FieldLayout, FieldName, Layout, ProgramName, TransactionLayout, TransactionName};
use std::collections::BTreeMap;

/// `A`, `N` or `D`, a place and a length; `from` counts columns from 1, the first field stands at 16.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub kind: char,
    pub from: usize,
    pub length: usize,
    pub mandatory: bool,
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub program: String,
    pub name: String,
    pub description: String,
    pub multi: bool,
    pub input: Vec<Field>,
    pub output: Vec<Field>,
    /// MRS001MI has not been told of its last fields yet.
    pub behind: bool,
}

impl Transaction {
    pub(super) fn layout(&self) -> Option<TransactionLayout> {
        let fields = |fields: &[Field]| {
            let each = fields.iter().filter_map(|field| {
                Some(FieldLayout {
                    name: FieldName::parse(&field.name).ok()?,
                    kind: FieldKind::of(&field.kind.to_string())?,
                    from: u16::try_from(field.from).ok()?,
                    length: u16::try_from(field.length).ok()?,
                    mandatory: field.mandatory,
                    description: field.description.as_str().into(),
                })
            });
            Layout::new(each.collect())
        };
        Some(TransactionLayout {
            program: ProgramName::parse(&self.program).ok()?,
            name: TransactionName::parse(&self.name).ok()?,
            description: self.description.as_str().into(),
            multi: self.multi,
            input: fields(&self.input),
            output: fields(&self.output),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub name: String,
    pub version: String,
    pub description: String,
    /// In the order of the table.
    pub transactions: Vec<Transaction>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    programs: BTreeMap<String, Program>,
}

impl Metadata {
    /// The table that ships with the mock. A line that is not of its form is a bug, which a test would find.
    pub fn shipped() -> Self {
        let mut programs: BTreeMap<String, Program> = BTreeMap::new();
        let mut program = String::new();
        for line in include_str!("metadata.tsv").lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split('\t').collect();
            let word = |at: usize| words.get(at).copied().unwrap_or_default().to_owned();
            if word(0) == "P" {
                program = word(1);
                let made = Program { name: word(1), version: word(2), description: word(3), transactions: Vec::new() };
                programs.insert(program.clone(), made);
                continue;
            }
            let Some(current) = programs.get_mut(&program) else { continue };
            if word(0) == "T" {
                current.transactions.push(Transaction {
                    program: program.clone(),
                    name: word(1),
                    description: word(3),
                    multi: word(2) == "M",
                    input: Vec::new(),
                    output: Vec::new(),
                    behind: false,
                });
                continue;
            }
            let Some(transaction) = current.transactions.last_mut() else { continue };
            let input = word(0) == "I";
            let field = Field {
                name: word(1),
                kind: word(2).chars().next().unwrap_or('A'),
                from: word(3).parse().unwrap_or(0),
                length: word(4).parse().unwrap_or(0),
                mandatory: input && word(5) == "1",
                description: word(if input { 6 } else { 5 }),
            };
            if input { transaction.input.push(field) } else { transaction.output.push(field) }
        }
        Self { programs }
    }

    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.programs.values()
    }

    pub fn program(&self, name: &str) -> Option<&Program> {
        self.programs.get(name)
    }

    /// A transaction of the program, or a technical one, which every program has and GENERAL describes.
    pub fn transaction(&self, program: &str, name: &str) -> Option<&Transaction> {
        let find = |program: &Program| program.transactions.iter().position(|transaction| transaction.name == name);
        let own = self.program(program)?;
        match find(own) {
            Some(at) => own.transactions.get(at),
            None => self.program("GENERAL").and_then(|general| general.transactions.iter().find(|t| t.name == name)),
        }
    }

    /// As a catalog would have learnt it.
    pub fn layout(&self, program: &str, name: &str) -> Option<TransactionLayout> {
        self.transaction(program, name).and_then(Transaction::layout)
    }

    /// For a second release: layouts that differ.
    pub fn transaction_mut(&mut self, program: &str, name: &str) -> Option<&mut Transaction> {
        self.programs.get_mut(program)?.transactions.iter_mut().find(|transaction| transaction.name == name)
    }

    pub(super) fn remove(&mut self, program: &str, name: &str) -> Option<Transaction> {
        let all = &mut self.programs.get_mut(program)?.transactions;
        let at = all.iter().position(|transaction| transaction.name == name)?;
        Some(all.remove(at))
    }

    pub(super) fn add(&mut self, transaction: Transaction) {
        if let Some(program) = self.programs.get_mut(&transaction.program) {
            program.transactions.push(transaction);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_what_it_says() {
        let metadata = Metadata::shipped();
        let transactions: Vec<_> = metadata.programs().flat_map(|program| &program.transactions).collect();
        let fields: usize = transactions.iter().map(|t| t.input.len() + t.output.len()).sum();
        assert_eq!((metadata.programs().count(), transactions.len(), fields), (38, 526, 15_675));
        for transaction in transactions {
            for fields in [&transaction.input, &transaction.output] {
                let mut column = 16;
                for field in fields {
                    assert_eq!(field.from, column, "{}/{} {}", transaction.program, transaction.name, field.name);
                    assert!("AND".contains(field.kind) && field.length > 0);
                    column += field.length;
                }
            }
        }
    }
}
