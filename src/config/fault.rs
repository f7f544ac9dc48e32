//! What is wrong with the settings: what, where, how to mend it. All of it at once.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `gateway.toml:3:10`, `environment MI_GATEWAY__EDGE__LISTEN`, or the path of another file.
    pub place: String,
    /// The key, or what the fault is about.
    pub subject: String,
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}; {}", self.place, self.subject, self.message, self.hint)
    }
}

/// Faults as they are met; reading goes on, so that one look shows them all.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(
        &mut self,
        place: impl Into<String>,
        subject: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.0.push(Fault { place: place.into(), subject: subject.into(), message: message.into(), hint: hint.into() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<Fault> {
        self.0
    }
}
