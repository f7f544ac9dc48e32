//! Why a call has no answer, and what the caller is told: M3's words, the contract's, or a problem of our own.

use super::problem::{self, Kind, Problem};
use crate::catalog;
use crate::m3;
use crate::translate::{Failure, Fault, FaultKind};
use std::time::Duration;

/// Why there is no answer: in the contract's shape, or on the gateway's own account.
pub(super) enum Refused {
    /// Found before M3 was asked.
    Fault(Fault),
    /// M3's own NOK.
    Nok(Failure),
    Problem(Problem),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

pub(super) fn by_catalog(error: catalog::Error) -> Refused {
    match error {
        catalog::Error::ProgramNotFound(program) => Refused::Fault(Fault {
            kind: FaultKind::ProgramNotFound,
            field: None,
            message: format!("Program {program} not found"),
        }),
        catalog::Error::TransactionNotFound { program, transaction } => Refused::Fault(Fault {
            kind: FaultKind::TransactionNotFound,
            field: None,
            message: format!("Transaction {transaction} not found in program {program}"),
        }),
        catalog::Error::Disagreement { .. } => layout_unstable().into(),
        catalog::Error::Unavailable { source, .. } => match &*source {
            m3::Error::LayoutChanged { .. } => layout_unstable().into(),
            other => {
                tracing::warn!(error = %other, "a layout could not be fetched");
                problem::of_m3(other).into()
            }
        },
    }
}

/// `write`: a call that M3 may have seen is never said to have failed, and never repeated.
pub(super) fn by_m3(error: m3::Error, write: bool, intent: &str) -> Refused {
    match error {
        m3::Error::Refused(refusal) => Refused::Nok(Failure::refused(&refusal)),
        m3::Error::TooLong { field, most } => Refused::Fault(Fault {
            kind: FaultKind::InputFieldTooLong,
            field: Some(field),
            message: format!("Input field {field} is longer than its {most} characters"),
        }),
        error if write && error.may_have_been_seen() => {
            tracing::warn!(%intent, %error, "the outcome of a write is unknown");
            let detail = match error {
                m3::Error::TimedOut { .. } => "M3 did not answer in time after the write was sent.",
                m3::Error::Protocol { .. } => "M3 answered the write in a way that can't be understood.",
                _ => "The connection to M3 was lost after the write was sent.",
            };
            outcome_unknown(detail, intent).into()
        }
        error => {
            // The caller is told what to do; the operators are told why.
            tracing::warn!(request = %intent, %error, "a call could not be made");
            problem::of_m3(&error).into()
        }
    }
}

/// M3's lists say one thing and its sessions another: it is being changed.
pub(super) fn layout_unstable() -> Problem {
    Problem::new(Kind::LayoutUnstable, "M3's list of the transaction's fields is not what its sessions say.")
        .retry_after(Duration::from_secs(5))
}

pub(super) fn outcome_unknown(detail: &'static str, intent: &str) -> Problem {
    Problem::new(Kind::OutcomeUnknown, detail).intent(intent.to_owned())
}
