//! Why a record could not be read back.

use crate::bod::Fault;
use crate::catalog;
use crate::m3;
use crate::model::{FieldName, ProgramName, TransactionName, ValueFault};
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mapping's fault, or M3 is another release than it was written for.
    #[error("the mapping doesn't fit this M3: {}", list(.0))]
    Unbound(Vec<Fault>),
    #[error(transparent)]
    Catalog(#[from] catalog::Error),
    #[error("{program}/{transaction}: {source}")]
    M3 { program: ProgramName, transaction: TransactionName, source: Arc<m3::Error> },
    /// M3 said no. `first`: to the question for the record itself.
    #[error("{program}/{transaction}: {message}")]
    Refused { program: ProgramName, transaction: TransactionName, message: String, id: String, first: bool },
    #[error("{program}/{transaction}: the field {field} can't hold what the mapping gives it: {fault}")]
    Input { program: ProgramName, transaction: TransactionName, field: FieldName, fault: ValueFault },
    #[error("{program}/{transaction} has more than {most} records; a document of that size is carried by nobody")]
    TooMany { program: ProgramName, transaction: TransactionName, most: usize },
}

impl Error {
    /// M3 has no such record. What it says to a user without authority is not that.
    pub(super) fn says_absent(&self) -> bool {
        matches!(self, Self::Refused { first: true, id, .. } if !id.starts_with("XAU"))
    }
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
