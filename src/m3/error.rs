//! What failed on the way to M3, and whether M3 may have seen the call.

use crate::model::{FieldName, M3User, Place, ProgramName, Refusal, TransactionName};
use std::io;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// NOK: M3 understood and said no; the session stays good.
    #[error("M3 refused: {0}")]
    Refused(Refusal),
    /// NOK to a question before the call, which was not sent.
    #[error("M3 refused {question}, which prepares the call: {refusal}")]
    Unprepared { question: TransactionName, refusal: Refusal },
    #[error("no answer from M3 in {waited:?}")]
    TimedOut { sent: bool, waited: Duration },
    #[error("M3 can't be reached at {address}: {source}")]
    Unreachable { address: String, source: Arc<io::Error> },
    #[error("the connection to M3 was lost: {source}")]
    Lost { sent: bool, source: Arc<io::Error> },
    #[error("M3 does not let the user {user} in: {message}")]
    LogonRefused { user: M3User, message: String },
    /// A refused user is not tried again at once: every try brings him nearer to being locked.
    #[error("the user {user} was refused; the next try is in {retry_after:?}")]
    LogonHeld { user: M3User, retry_after: Duration },
    /// Nothing is tried again for it: the account is good, and somebody else's.
    #[error("M3 does not run the user {user}: the account that it was asked with is another's")]
    NotHim { user: M3User },
    #[error("no password is configured for the M3 user {0}")]
    UnknownUser(M3User),
    #[error("M3 has no program {0} to log on to")]
    NoSuchProgram(ProgramName),
    #[error("every session is busy; waited {waited:?}")]
    Busy { waited: Duration },
    #[error("too many calls wait for a session")]
    QueueFull,
    /// Nothing was sent: the catalog must look again.
    #[error("the layout of {program}/{transaction} is not the one that M3 has now")]
    LayoutChanged { program: ProgramName, transaction: TransactionName },
    #[error("company {} division {:?} was asked for, and M3's session is in company {} division {:?}", wanted.company, wanted.division, found.company, found.division)]
    CompanyNotProvable { wanted: Place, found: Place },
    #[error("field {field} has the character {character:?}, which M3's character set does not hold")]
    NotCarried { field: FieldName, character: char },
    #[error("field {field} takes more than its {most} columns")]
    TooLong { field: FieldName, most: u16 },
    /// `sent`: it was the answer to the call itself, not to a question before it.
    #[error("M3 answered what is not of the protocol: {what}")]
    Protocol { sent: bool, what: &'static str },
    #[error("the M3 user {user} is set to {setting}, which is not supported; change it in MNS150")]
    ConventionUnsupported { user: M3User, setting: String },
    #[error("M3 rerouted the session to {host}, which m3.reroute_hosts does not name")]
    RerouteRefused { host: String },
}

impl Error {
    /// M3 may have begun to do what was asked: for a write, its outcome is unknown.
    pub fn may_have_been_seen(&self) -> bool {
        match self {
            Self::TimedOut { sent, .. } | Self::Lost { sent, .. } | Self::Protocol { sent, .. } => *sent,
            // Seen, and its outcome is known: M3 did nothing.
            Self::Refused(_)
            | Self::Unprepared { .. }
            | Self::Unreachable { .. }
            | Self::LogonRefused { .. }
            | Self::LogonHeld { .. }
            | Self::UnknownUser(_)
            | Self::NotHim { .. }
            | Self::NoSuchProgram(_)
            | Self::Busy { .. }
            | Self::QueueFull
            | Self::LayoutChanged { .. }
            | Self::CompanyNotProvable { .. }
            | Self::NotCarried { .. }
            | Self::TooLong { .. }
            | Self::ConventionUnsupported { .. }
            | Self::RerouteRefused { .. } => false,
        }
    }

    /// The task that asked was ended with the house, before anything was sent.
    pub(crate) fn interrupted() -> Self {
        Self::Lost { sent: false, source: Arc::new(io::ErrorKind::Interrupted.into()) }
    }

    /// The same of a question before the call, which was not sent yet.
    pub(super) fn before_the_call(self) -> Self {
        match self {
            Self::TimedOut { waited, .. } => Self::TimedOut { sent: false, waited },
            Self::Lost { source, .. } => Self::Lost { sent: false, source },
            Self::Protocol { what, .. } => Self::Protocol { sent: false, what },
            other => other,
        }
    }

    /// The word for metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(_) => "nok",
            Self::Unprepared { .. } => "unprepared",
            Self::TimedOut { .. } => "timeout",
            Self::Lost { .. } | Self::Protocol { .. } => "lost",
            Self::Unreachable { .. } | Self::RerouteRefused { .. } => "unreachable",
            Self::LogonRefused { .. }
            | Self::LogonHeld { .. }
            | Self::UnknownUser(_)
            | Self::NotHim { .. }
            | Self::NoSuchProgram(_) => "logon",
            Self::Busy { .. } | Self::QueueFull => "busy",
            Self::LayoutChanged { .. } => "layout",
            Self::CompanyNotProvable { .. } | Self::ConventionUnsupported { .. } => "refused",
            Self::NotCarried { .. } | Self::TooLong { .. } => "invalid",
        }
    }
}

/// Only a call that M3 can't have seen, and that another session may carry, is worth another try.
pub fn may_repeat(error: &Error) -> bool {
    matches!(error, Error::Lost { sent: false, .. } | Error::TimedOut { sent: false, .. })
}
