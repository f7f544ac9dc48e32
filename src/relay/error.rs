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
        matches!(self, Self::Refused { first: true, .. }) && self.refusal() == Some(Refusal::Absent)
    }

    /// What M3's no means for a part that a document can do without; `None`: it said none.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        if let Self::M3 { source, .. } = self {
            return matches!(**source, m3::Error::NoSuchProgram(_)).then_some(Refusal::Lasting);
        }
        let Self::Refused { id, message, .. } = self else { return None };
        // M3's messages are numbered by family, and in those of records (W…, XRE…) 03 says that there is none.
        let of_rights = id.starts_with("XAU");
        let of_records = id.len() == 7 && id.starts_with(['W', 'X']) && !of_rights;
        let absent = if id.is_empty() { message.ends_with("does not exist") } else { of_records && id.ends_with("03") };
        Some(match absent {
            true => Refusal::Absent,
            false if of_rights || NO_TRANSACTION.contains(&id.as_str()) => Refusal::Lasting,
            false => Refusal::Passing,
        })
    }

    /// Whose fault it is that nothing was read.
    pub(super) fn blame(&self) -> Blame {
        match self {
            Self::M3 { source, .. } | Self::Catalog(catalog::Error::Unavailable { source, .. }) => of_m3(source),
            Self::Catalog(catalog::Error::ProgramNotFound(_) | catalog::Error::TransactionNotFound { .. })
            | Self::Unbound(_) => Blame::Part,
            Self::Catalog(_) | Self::Refused { .. } | Self::Input { .. } | Self::TooMany { .. } => Blame::Record,
        }
    }
}

/// That M3 has no such transaction.
const NO_TRANSACTION: [&str; 1] = ["MI00001"];

/// What a no of M3's says of what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is nothing.
    Absent,
    /// It is not given, whoever asks again: there is no such transaction, or no right to it.
    Lasting,
    /// It may be given the next time: a record is locked, something went wrong.
    Passing,
}

/// What a reading that failed is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// M3, the way there, or the user: nothing can be asked at the moment.
    M3,
    /// What can't be read of one company or with one program; others may be.
    Part,
    /// That, or M3 as a whole: what becomes of others tells.
    Unclear,
    /// The record, or its mapping.
    Record,
}

fn of_m3(error: &m3::Error) -> Blame {
    match error {
        m3::Error::CompanyNotProvable { .. } | m3::Error::NoSuchProgram(_) | m3::Error::Unprepared { .. } => {
            Blame::Part
        }
        // A door of M3's may be closed alone. What was sent and brought no answer may be one record that M3 can't read.
        m3::Error::LogonRefused { .. }
        | m3::Error::LogonHeld { .. }
        | m3::Error::TimedOut { .. }
        | m3::Error::Lost { sent: true, .. }
        | m3::Error::Protocol { .. } => Blame::Unclear,
        // What it can't carry is a matter of the record.
        m3::Error::NotCarried { .. }
        | m3::Error::TooLong { .. }
        | m3::Error::LayoutChanged { .. }
        | m3::Error::Refused(_) => Blame::Record,
        m3::Error::Unreachable { .. }
        | m3::Error::Lost { sent: false, .. }
        | m3::Error::NotHim { .. }
        | m3::Error::UnknownUser(_)
        | m3::Error::Busy { .. }
        | m3::Error::QueueFull
        | m3::Error::ConventionUnsupported { .. }
        | m3::Error::RerouteRefused { .. } => Blame::M3,
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

    #[test]
    fn what_m3_lacks_is_held_against_its_part_and_what_nobody_answers_against_nobody_yet() {
        let program = ProgramName::parse("MMS200MI").expect("a name");
        let transaction = TransactionName::parse("Get").expect("a name");
        let of = |source| Error::M3 { program, transaction, source: Arc::new(source) };
        let fetched =
            |source| Error::Catalog(catalog::Error::Unavailable { program, transaction, source: Arc::new(source) });
        let lost = |sent| m3::Error::Lost { sent, source: Arc::new(std::io::ErrorKind::ConnectionReset.into()) };
        for (error, blame) in [
            (Error::Catalog(catalog::Error::ProgramNotFound(program)), Blame::Part),
            (Error::Catalog(catalog::Error::TransactionNotFound { program, transaction }), Blame::Part),
            (Error::Unbound(Vec::new()), Blame::Part),
            (of(m3::Error::NoSuchProgram(program)), Blame::Part),
            (fetched(m3::Error::NoSuchProgram(program)), Blame::Part),
            (of(lost(true)), Blame::Unclear),
            (of(lost(false)), Blame::M3),
            (fetched(m3::Error::QueueFull), Blame::M3),
            (Error::Catalog(catalog::Error::Disagreement { program, transaction }), Blame::Record),
            (Error::TooMany { program, transaction, most: 1 }, Blame::Record),
            (refused("XAU0008", "No authority", true), Blame::Record),
        ] {
            assert_eq!(error.blame(), blame, "{error}");
        }
    }

    #[test]
    fn what_m3_will_not_give_is_told_from_what_it_can_t_give_now() {
        for (id, message, meant) in [
            ("WIT0103", "Item number A1 does not exist", Refusal::Absent),
            ("XAU0008", "No authority", Refusal::Lasting),
            ("MI00001", "Transaction LstX not found in program MMS005MI", Refusal::Lasting),
            ("WIT0108", "Record A1 is being updated by another user", Refusal::Passing),
            ("CPF9898", "Something went wrong", Refusal::Passing),
            ("", "Something went wrong", Refusal::Passing),
        ] {
            assert_eq!(refused(id, message, false).refusal(), Some(meant), "{id} {message}");
        }
    }
}
