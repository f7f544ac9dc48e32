//! What the rules say of the records of an answer: nothing by name, and by the place that each of them is of.
//!
//! Does not know: records, or how a facility is found to be of a division.

use super::ask::Asker;
use super::reads::Reads;
use super::set::Set;
use crate::model::{Effect, ProgramName, TransactionName};

impl Set {
    /// Whether some rule of this call looks at the division, as its place or as a field. Where none does, the call
    /// was decided for all of them, and nobody has to learn which one a record is of.
    pub fn looks_at_division(
        &self,
        asker: Asker<'_>,
        program: ProgramName,
        transaction: TransactionName,
        effect: Effect,
    ) -> bool {
        let looks =
            |reads: &Reads| reads.has(Reads::DIVISION) || reads.fields.iter().any(|field| field.as_str() == "DIVI");
        self.narrow(asker, program, transaction, effect).is_none_or(|narrow| looks(&narrow.reads))
    }
}
