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
    /// M3 has no such record. Whatever else it says no with (no authority, a record that is locked, a wrong status) is
    /// not that: what is gone is told as deleted, and that must be true.
    pub(super) fn says_absent(&self) -> bool {
        let Self::Refused { first: true, id, message, .. } = self else { return false };
        // M3's messages are numbered by family, and in those of records (W…, XRE…) 03 says that there is none.
        let of_records = id.len() == 7 && id.starts_with(['W', 'X']) && !id.starts_with("XAU");
        if id.is_empty() { message.ends_with("does not exist") } else { of_records && id.ends_with("03") }
    }

    /// M3 can't be asked at the moment, whatever for.
    pub(super) fn is_away(&self) -> bool {
        match self {
            // What it can't carry is a matter of the record; all else is one of M3, of the way there, or of its user.
            Self::M3 { source, .. } | Self::Catalog(catalog::Error::Unavailable { source, .. }) => !matches!(
                **source,
                m3::Error::NotCarried { .. } | m3::Error::TooLong { .. } | m3::Error::LayoutChanged { .. }
            ),
            Self::Unbound(_) | Self::Catalog(_) | Self::Refused { .. } | Self::Input { .. } | Self::TooMany { .. } => {
                false
            }
        }
    }
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(id: &str, message: &str, first: bool) -> Error {
        Error::Refused {
            program: ProgramName::parse("MMS200MI").expect("a name"),
            transaction: TransactionName::parse("Get").expect("a name"),
            message: message.to_owned(),
            id: id.to_owned(),
            first,
        }
    }

    #[test]
    fn only_a_record_that_is_not_there_counts_as_gone() {
        assert!(refused("WIT0103", "Item number A1 does not exist", true).says_absent());
        assert!(refused("", "Item number A1 does not exist", true).says_absent());
        for (id, message) in [
            ("XAU0008", "No authority"),
            ("WIT0108", "Record A1 is being updated by another user"),
            ("WIT0107", "A1 has a status that does not allow this"),
            ("MI00003", "The number of records is not a number"),
            ("", "Something went wrong"),
        ] {
            assert!(!refused(id, message, true).says_absent(), "{id} {message}");
        }
        assert!(!refused("WIT0103", "Item number A1 does not exist", false).says_absent(), "a part is not the record");
    }
}
