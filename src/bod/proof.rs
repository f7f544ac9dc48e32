//! What can ever be known of a write whose outcome got lost: each `[[write]]` states its class, and a `[[reference]]` says
//! how a number that M3 gave is found again.
//!
//! Does not know: how M3 is asked, or what it said.

use crate::model::{FieldName, ProgramName, TransactionName};
use std::ops::Range;

/// The class of a write, the strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// Nothing that can be read says anything of it: somebody has to decide at once.
    Never,
    /// What the record is like now is told all the same; whether it was this write, somebody has to decide.
    StateOnly,
    /// What was sent can be read back and compared.
    Provable,
}

impl Proof {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::StateOnly => "state-only",
            Self::Provable => "provable",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Never, Self::StateOnly, Self::Provable].into_iter().find(|proof| proof.as_str() == text)
    }
}

/// What a write does, as its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Add,
    Change,
    Delete,
    /// It copies, approves, hands over: what comes of it doesn't show what was sent.
    Other,
}

impl Deed {
    pub fn of(transaction: &str) -> Self {
        let begins = |words: &[&str]| words.iter().any(|word| transaction.starts_with(word));
        if begins(&["Add", "Crt"]) {
            Self::Add
        } else if begins(&["Chg", "Upd"]) {
            Self::Change
        } else if begins(&["Del", "Dlt"]) {
            Self::Delete
        } else {
            Self::Other
        }
    }
}

/// A field of the caller's own by which a record is found whose number M3 gave and nobody heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The write that makes the record.
    pub program: ProgramName,
    pub transaction: TransactionName,
    /// The caller's reference, in the write and in the list.
    pub field: FieldName,
    /// What M3 gives.
    pub number: FieldName,
    /// Lists the records among which it is, with these fields of the write.
    pub list: (ProgramName, TransactionName),
    pub with: Vec<FieldName>,
    /// Shows the one that was found, by its number.
    pub shows: (ProgramName, TransactionName),
    pub(super) span: Range<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_a_write_does() {
        for (name, expected) in [
            ("AddItmViaItmTyp", Deed::Add),
            ("ChgBasicData", Deed::Change),
            ("UpdItmBasic", Deed::Change),
            ("DltItm", Deed::Delete),
            ("DelHead", Deed::Delete),
            ("ApprovePO", Deed::Other),
        ] {
            assert_eq!(Deed::of(name), expected, "{name}");
        }
    }

    #[test]
    fn of_several_classes_the_strictest_is_the_least() {
        assert!(Proof::Never < Proof::StateOnly && Proof::StateOnly < Proof::Provable);
        for proof in [Proof::Never, Proof::StateOnly, Proof::Provable] {
            assert_eq!(Proof::parse(proof.as_str()), Some(proof));
        }
        assert_eq!(Proof::parse("maybe"), None);
    }
}
