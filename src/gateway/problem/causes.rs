//! From the errors of every room below to an answer. No wildcard arm: a new error does not compile before it has one.

#![deny(clippy::wildcard_enum_match_arm)]

use super::{Kind, Problem};
use crate::auth::{self, Blame, Unproven};
use crate::issuer::TokenError;
use crate::m3;
use crate::model::Division;
use http::StatusCode;
use std::time::Duration;

impl From<&auth::Error> for Problem {
    fn from(error: &auth::Error) -> Self {
        match error.blame() {
            Blame::Caller => {
                let words = error.to_string();
                let proof = matches!(error, auth::Error::Proof(_));
                let kind = if proof { Kind::ProofInvalid } else { Kind::TokenInvalid };
                match error.lacks() {
                    None => Self::new(kind, words.clone()).challenge(Some((error.code(), &words))),
                    Some(scope) => {
                        let problem = Self::new(Kind::ScopeMissing, words.clone());
                        problem.challenge(Some((error.code(), &words))).challenge_with("scope", scope)
                    }
                }
            }
            Blame::Gateway => {
                let kind = if *error == auth::Error::IssuerUnavailable {
                    Kind::IssuerUnavailable
                } else if matches!(error, auth::Error::Proof(_)) {
                    Kind::ProofsFull
                } else {
                    Kind::KeysUnavailable
                };
                Self::new(kind, error.to_string()).retry_after(Duration::from_secs(5))
            }
        }
    }
}

/// What went wrong on the way to M3, where M3 can't have begun to do it. Causes are for the log, not for callers.
pub(in crate::gateway) fn of_m3(error: &m3::Error) -> Problem {
    let soon = Duration::from_secs(1);
    match error {
        m3::Error::Unreachable { .. } | m3::Error::RerouteRefused { .. } => {
            Problem::new(Kind::M3Unreachable, "No connection to M3.").retry_after(Duration::from_secs(5))
        }
        m3::Error::Lost { .. } => Problem::new(Kind::M3Unreachable, "The connection to M3 was lost.").retry_after(soon),
        m3::Error::TimedOut { waited, .. } => {
            Problem::new(Kind::M3Timeout, format!("M3 has not answered in {} s.", waited.as_secs_f64()))
        }
        m3::Error::Busy { .. } | m3::Error::QueueFull => {
            Problem::new(Kind::M3Busy, "No session became free in time.").retry_after(soon)
        }
        m3::Error::LogonRefused { .. }
        | m3::Error::UnknownUser(_)
        | m3::Error::NotHim { .. }
        | m3::Error::ConventionUnsupported { .. } => {
            Problem::new(Kind::M3Refused, "M3 does not take the logon of this client's user.")
        }
        m3::Error::LogonHeld { retry_after, .. } => {
            Problem::new(Kind::M3Refused, "M3 refused this client's user a moment ago.").retry_after(*retry_after)
        }
        m3::Error::NoSuchProgram(program) => {
            Problem::new(Kind::M3Refused, format!("M3 does not let the gateway log on to {program}."))
        }
        m3::Error::LayoutChanged { .. } => {
            Problem::new(Kind::LayoutUnstable, "The layout changed while it was being used.").retry_after(soon)
        }
        m3::Error::CompanyNotProvable { wanted, found } => Problem::new(
            Kind::CompanyNotProvable,
            if wanted.company == found.company {
                format!(
                    "Company {} was decided with {}, and M3's session works in {}; say `divi`.",
                    wanted.company,
                    told(wanted.division),
                    told(found.division)
                )
            } else {
                format!("Company {} was asked for, and M3's session works in {}.", wanted.company, found.company)
            },
        ),
        m3::Error::NotCarried { field, character } => Problem::new(
            Kind::CharacterNotInCharset,
            format!("Field {field} has the character {character:?}, which M3's character set does not hold."),
        ),
        m3::Error::TooLong { field, most } => {
            Problem::new(Kind::RequestUnreadable, format!("Field {field} takes more than its {most} columns."))
        }
        m3::Error::Protocol { .. } => Problem::new(Kind::M3Incomprehensible, "M3's answer is not of the MI protocol."),
        m3::Error::Unprepared { question, .. } => {
            Problem::new(Kind::M3Refused, format!("M3 refused {question}, which prepares the call."))
        }
        m3::Error::Refused(_) => Problem::new(Kind::M3Refused, "M3 refused a question of the gateway's own."),
    }
}

fn told(division: Division) -> String {
    if division.is_blank() { "no division".to_owned() } else { format!("division {division}") }
}

/// The statuses of RFC 6749, 5.2, and what it leaves open.
pub(in crate::gateway) fn token_status(error: &TokenError) -> StatusCode {
    match error {
        TokenError::Client { .. } | TokenError::Assertion(_) => StatusCode::UNAUTHORIZED,
        TokenError::TooManyAttempts { .. } | TokenError::TooFast { .. } => StatusCode::TOO_MANY_REQUESTS,
        TokenError::Busy | TokenError::Proof(Unproven::Full) => StatusCode::SERVICE_UNAVAILABLE,
        TokenError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        TokenError::Request(_)
        | TokenError::Grant(_)
        | TokenError::NotAllowed(_)
        | TokenError::GrantType
        | TokenError::Proof(_)
        | TokenError::Scope => StatusCode::BAD_REQUEST,
    }
}
