//! A decision on its way into the audit log, and the bounds that the operators set besides the rules.

use super::problem::{Kind, Problem};
use super::visit::Visit;
use crate::audit::{self, Step, Ticket};
use crate::model::{Effect, Input, M3User, Place, Principal, ProgramName, TransactionLayout, TransactionName};
use crate::policy::{self, Reason};
use std::sync::Arc;

/// What was decided, with everything that the log tells of it.
pub(super) struct Judged<'a> {
    pub(super) who: &'a Principal,
    pub(super) visit: &'a Visit,
    pub(super) set: &'a str,
    pub(super) name: (ProgramName, TransactionName),
    pub(super) effect: Effect,
    pub(super) user: Option<&'a M3User>,
    pub(super) place: Option<Place>,
    pub(super) inputs: Option<(&'a TransactionLayout, &'a [Input])>,
    pub(super) step: Step,
    pub(super) allowed: bool,
    pub(super) reason: &'a str,
    pub(super) rules: &'a [Arc<str>],
}

impl Judged<'_> {
    pub(super) fn record(&self, log: &audit::Log) -> Ticket {
        let ticket = log.record(&audit::Decision {
            call: &self.visit.intent(),
            set: self.set,
            client: &self.who.client,
            tenant: self.who.tenant.as_ref(),
            groups: &self.who.groups,
            scopes: &self.who.scopes,
            claims: &self.who.claims,
            user: self.user,
            address: self.visit.peer.address,
            name: Some(self.name),
            effect: Some(self.effect),
            place: self.place,
            inputs: self.inputs,
            step: self.step,
            allowed: self.allowed,
            reason: self.reason,
            rules: self.rules,
            micros: u64::try_from(self.visit.started.elapsed().as_micros()).unwrap_or(u64::MAX),
        });
        self.visit.learnt().decision = Some(ticket.id);
        if self.reason == Reason::EvaluationError.word() {
            let ((program, transaction), rules) = (self.name, self.rules);
            tracing::error!(request = %self.visit.id, decision = %ticket.id, %program, %transaction, ?rules, "a rule failed; the call was denied");
        }
        ticket
    }

    /// What its caller is told.
    pub(super) fn refusal(&self, reason: Reason) -> Problem {
        let (program, transaction) = self.name;
        match reason {
            Reason::ValueNotComparable(field) => Problem::new(
                Kind::ValueNotComparable,
                format!("A rule of this client reads {field} and can't compare its value."),
            ),
            Reason::EvaluationError => {
                Problem::new(Kind::PolicyDenied, "A rule could not be evaluated, so the call is denied.")
            }
            Reason::NoZone => Problem::new(
                Kind::PolicyDenied,
                "A rule of this client reads the local time, and no zone is set for the place that the call works in.",
            ),
            Reason::Unverifiable => Problem::new(
                Kind::PolicyDenied,
                "A rule of this client reads fields of this transaction, whose layout was not known when it was loaded.",
            ),
            Reason::Allowed | Reason::NoPermit | Reason::Forbidden => {
                let place = self.place.map(|place| format!(" in company {}", place.company)).unwrap_or_default();
                let detail = format!(
                    "No rule permits this client to {} {program}/{transaction}{place} with these values.",
                    self.effect
                );
                Problem::new(Kind::PolicyDenied, detail)
            }
        }
    }
}

/// What the operators bound the client to holds besides the rules, in every place that the call reaches.
pub(super) fn bound_to(
    who: &Principal,
    layout: &TransactionLayout,
    inputs: &[Input],
    place: Place,
) -> Result<(), Problem> {
    if !who.standing.is_bound() {
        return Ok(());
    }
    let refused = |what: String| Problem::new(Kind::PolicyDenied, format!("This client may not work in {what}."));
    let reached =
        policy::reached(layout, inputs, place).map_err(|field| refused(format!("the places that {field} names")))?;
    match reached.iter().find(|place| !who.standing.may_work_in(**place)) {
        Some(Place { company, division }) if division.is_blank() => Err(refused(format!("company {company}"))),
        Some(Place { company, division }) => Err(refused(format!("company {company}, division {division}"))),
        None => Ok(()),
    }
}
