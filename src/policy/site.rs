//! What rules take from the house they decide for, besides their files.

use super::zones::Zones;
use crate::model::{ClaimKind, Sensitive};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// Whose clients rules name without an issuer.
    pub issuer: String,
    /// Claims of tokens that rules may see.
    pub claims: BTreeMap<Box<str>, ClaimKind>,
    pub zones: Zones,
    /// An M3 user is set by whom the records are read that rules look at.
    pub guard_user: bool,
    /// Fields that no answer shows unless a permit names them.
    pub sensitive: Sensitive,
}

impl Site {
    /// A house without zones, whose rules see no claims.
    pub fn of(issuer: &str) -> Self {
        Self { issuer: issuer.to_owned(), ..Self::default() }
    }
}
