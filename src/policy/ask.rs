//! The question and the answer.

use super::fact::FactValues;
use super::places::Carries;
use crate::model::{
    Claim, ClientId, Division, Effect, FieldName, Input, M3User, Place, Principal, ProgramName, Sensitive,
    TransactionLayout, TransactionName,
};
use std::net::IpAddr;
use std::sync::Arc;

/// Who asks, as the token proves it.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    pub client: &'a ClientId,
    pub groups: &'a [Box<str>],
    pub scopes: &'a [Box<str>],
    pub claims: &'a [Claim],
}

impl<'a> From<&'a Principal> for Asker<'a> {
    fn from(who: &'a Principal) -> Self {
        Self { client: &who.client, groups: &who.groups, scopes: &who.scopes, claims: &who.claims }
    }
}

/// One call, with exactly the values that will be sent.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub asker: Asker<'a>,
    pub program: ProgramName,
    pub transaction: TransactionName,
    pub effect: Effect,
    /// The effective company and division. Others that the inputs name are found by the set itself.
    pub place: Place,
    pub m3_user: &'a M3User,
    pub layout: &'a TransactionLayout,
    pub inputs: &'a [Input],
    /// What was read of M3 for this decision, where its rules look at a record.
    pub record: Option<&'a FactValues>,
    pub address: IpAddr,
    pub unix_seconds: u64,
}

impl Ask<'_> {
    /// Where the clock stands that tells the rules the time: of a division only where something of the call holds it to
    /// that. Else each caller would say the division in which it is day.
    pub(super) fn clock(&self, place: Place) -> Place {
        let said = place == self.place && !Carries::of(self.layout, self.effect).with(self.layout, self.inputs);
        Place { division: if said { Division::BLANK } else { place.division }, ..place }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Allowed,
    /// No rule permits it. Also the answer to words of the session, which no rule can permit.
    NoPermit,
    /// The rules named in the decision forbid it.
    Forbidden,
    /// A rule failed to evaluate. Never expected of a validated set: raise an alarm.
    EvaluationError,
    /// A rule reads this field, and its value can't be put before the rule.
    ValueNotComparable(FieldName),
    /// A rule reads the local time, and no zone is set for the place.
    NoZone,
    /// A rule reads fields of this transaction, whose layout was unknown when the rules were loaded.
    Unverifiable,
    /// The rules named in the decision look at a record of M3, and it was not read.
    FactMissing,
    /// The rules named in the decision would permit it in the division that it says, and nothing of it holds it to that.
    DivisionNotCarried,
}

impl Reason {
    /// The word of logs and of the cases that stand beside rules.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::NoPermit => "no-permit",
            Self::Forbidden => "forbidden",
            Self::EvaluationError => "evaluation-error",
            Self::ValueNotComparable(_) => "value-not-comparable",
            Self::NoZone => "no-zone",
            Self::Unverifiable => "unverifiable",
            Self::FactMissing => "fact-missing",
            Self::DivisionNotCarried => "division-not-carried",
        }
    }
}

/// Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// The rules that made it so: the permits, the forbids, the unverifiable ones, or those that look at a record which
    /// was not read, or at a division that the call does not carry.
    pub rules: Arc<[Arc<str>]>,
    pub reason: Reason,
    /// Sensitive fields that the permits reveal.
    pub(super) reveals: Arc<[FieldName]>,
}

impl Decision {
    /// The refusal that no rule made: nothing permits it.
    pub fn by_nobody() -> Self {
        Self::refused(Reason::NoPermit, [])
    }

    /// The word of metrics; a rule that failed is nobody's denial and must be seen.
    pub fn verdict(&self) -> &'static str {
        match (self.allowed, self.reason) {
            (true, _) => "allowed",
            (false, Reason::EvaluationError) => "failed",
            (false, _) => "denied",
        }
    }

    /// Whether another decision shows the same sensitive fields.
    pub fn reveals_like(&self, other: &Self) -> bool {
        let all = |one: &Self, other: &Self| one.reveals.iter().all(|field| other.reveals.contains(field));
        all(self, other) && all(other, self)
    }

    pub(super) fn refused(reason: Reason, rules: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self { allowed: false, rules: rules.into_iter().collect(), reason, reveals: Arc::new([]) }
    }

    /// Whether the answer may show this field: everything but secrets, and those only where a permit names them.
    pub fn may_show(&self, field: FieldName, sensitive: &Sensitive) -> bool {
        self.allowed && (!sensitive.has(field) || self.reveals.contains(&field))
    }
}
