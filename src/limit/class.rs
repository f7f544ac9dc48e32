//! What kind of call a rate or a weight speaks of.

use crate::model::Effect;

/// A query over any table counts as a read where no limit speaks of such queries by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Read,
    Write,
    Raw,
}

impl Class {
    pub(super) fn parse(word: &str) -> Option<Self> {
        match word {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            "raw" => Some(Self::Raw),
            _ => None,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Raw => "raw",
        }
    }

    /// The classes a call may be counted under, the nearest first.
    pub(super) fn of(effect: Effect) -> &'static [Self] {
        match effect {
            Effect::Read => &[Self::Read],
            Effect::Raw => &[Self::Raw, Self::Read],
            // What changes a session is refused to callers; should one ever come here it is no cheaper than a write.
            Effect::Write | Effect::Session => &[Self::Write],
        }
    }
}
