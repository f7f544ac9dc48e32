//! What is wrong in a mapping file, where, and how to mend it.

use crate::model::Spot;
use std::fmt;
use std::ops::Range;

/// One mapping file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    pub spot: Spot,
    pub message: String,
    pub hint: String,
}

impl Fault {
    pub(super) fn at(
        source: &Source,
        span: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let spot = Spot::at(&source.name, &source.text, span.start);
        Self { spot, message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.spot, self.message, self.hint)
    }
}

impl std::error::Error for Fault {}
