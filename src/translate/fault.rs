//! Faults of a call that are found before M3 is asked, in the words of the REST contract.

use crate::model::FieldName;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    ProgramNotFound,
    TransactionNotFound,
    MandatoryInputFieldNotFound,
    InputFieldTooLong,
    InputFieldNotFound,
    InputFieldInvalid,
}

impl FaultKind {
    /// `@type` and `errorType`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProgramNotFound => "ProgramNotFound",
            Self::TransactionNotFound => "TransactionNotFound",
            Self::MandatoryInputFieldNotFound => "MandatoryInputFieldNotFound",
            Self::InputFieldTooLong => "InputFieldTooLong",
            Self::InputFieldNotFound => "InputFieldNotFound",
            Self::InputFieldInvalid => "InputFieldInvalid",
        }
    }
}

/// What is wrong, with which field; the caller's fault, and trying again won't help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub field: Option<FieldName>,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
