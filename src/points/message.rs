//! One document on its way to one point.

use crate::bod::{Action, Facts, Verb};

#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The same for every attempt: by it a receiver knows a second copy.
    pub id: &'a str,
    pub bod_id: &'a str,
    pub verb: Verb,
    pub noun: &'a str,
    pub action: Action,
    pub tenant: &'a str,
    /// `lid://…`: whose document it is.
    pub from: &'a str,
    /// `lid://…` of a receiver, or `lid://default`: whoever is routed to.
    pub to: &'a str,
    pub company: &'a str,
    pub division: &'a str,
    /// `100` or `100_AAA`.
    pub entity: &'a str,
    pub location: &'a str,
    pub document_id: &'a str,
    pub variation: u64,
    /// An instant in UTC.
    pub created: &'a str,
    /// Ties it to the call that caused it.
    pub correlation: &'a str,
    pub xml: &'a str,
}

impl<'a> Message<'a> {
    /// `Sync.PurchaseOrder`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.verb.as_str(), self.noun)
    }

    pub(super) fn facts(&self) -> Facts<'a> {
        Facts {
            verb: self.verb,
            noun: self.noun,
            action: self.action,
            company: self.company,
            division: self.division,
            entity: self.entity,
            location: self.location,
        }
    }
}
