//! What the rules of a call look at, before anything is known of it but its name; and of its records, by the place that each
//! of them is of.
//!
//! Does not know: records, or how a facility is found to be of a division.

use super::ask::Asker;
use super::places::is_of_a_place;
use super::reads::Reads;
use super::set::Set;
use crate::model::{Effect, FieldName, ProgramName, TransactionName};
use std::collections::BTreeSet;

/// What some rule looks at when a client makes a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looks {
    /// Inputs of the call.
    pub fields: BTreeSet<FieldName>,
    /// Of the token.
    pub claims: BTreeSet<Box<str>>,
    pub scopes: bool,
    /// Of the record that is read before.
    pub record: BTreeSet<FieldName>,
    /// As the call's place or as a field.
    pub division: bool,
}

impl Looks {
    fn of(reads: &Reads) -> Self {
        Self {
            fields: reads.fields.clone(),
            claims: reads.claims.clone(),
            scopes: reads.has(Reads::SCOPES),
            record: reads.record.clone(),
            division: at_division(reads),
        }
    }

    /// Whether a decision may hang on what the call gives for this field: a rule reads it, or asks for the division and it
    /// names what is of one.
    pub fn at_input(&self, field: FieldName) -> bool {
        self.fields.contains(&field) || (self.division && is_of_a_place(field))
    }
}

fn at_division(reads: &Reads) -> bool {
    reads.has(Reads::DIVISION) || reads.fields.iter().any(|field| field.as_str() == "DIVI")
}

impl Set {
    pub fn looks(&self, asker: Asker<'_>, program: ProgramName, transaction: TransactionName, effect: Effect) -> Looks {
        let narrow = self.narrow(asker, program, transaction, effect);
        narrow.map(|narrow| Looks::of(&narrow.reads)).unwrap_or_default()
    }

    /// Whether some rule of this call looks at the division. Where none does, the call was decided for all of them, and
    /// nobody has to learn which one a record is of.
    pub fn looks_at_division(
        &self,
        asker: Asker<'_>,
        program: ProgramName,
        transaction: TransactionName,
        effect: Effect,
    ) -> bool {
        self.narrow(asker, program, transaction, effect).is_none_or(|narrow| at_division(&narrow.reads))
    }
}
