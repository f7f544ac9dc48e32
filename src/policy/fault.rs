//! What is wrong in a policy file, where, and how to mend it.

use crate::model::Spot;
use std::fmt;

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    pub spot: Spot,
    /// Stable, for pipelines: `syntax`, `duplicate-id` …
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

impl Fault {
    pub(super) fn at(source: &Source, offset: usize, message: impl Into<String>) -> Self {
        let spot = Spot::at(&source.name, &source.text, offset);
        Self { spot, code: "rule", message: message.into(), hint: None }
    }

    pub(super) fn code(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.spot, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}
