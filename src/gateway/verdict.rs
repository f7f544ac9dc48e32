//! A decision on its way into the audit log, and the bounds that the operators set besides the rules.

use super::exchange::Exchange;
use super::problem::{Kind, Problem};
use super::visit::Visit;
use crate::audit::{self, Step, Ticket};
use crate::clock::unix_seconds;
use crate::model::{Effect, Input, M3User, Place, Principal, ProgramName, TransactionLayout, TransactionName};

use crate::policy::{self, Ask, Asker, Decision, Reason, Set};
use crate::translate::Asked;
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

/// A call with everything that a rule may look at.
pub(super) struct Weighed<'a> {
    asked: &'a Asked,
    who: &'a Principal,
    visit: &'a Visit,
    user: &'a M3User,
    effect: Effect,
    place: Place,
    layout: &'a Arc<TransactionLayout>,
    inputs: &'a [Input],
    at: u64,
}

/// What was decided on its values, by which rules.
pub(super) struct Decided {
    pub(super) set: Arc<Set>,
    pub(super) decision: Decision,
}

impl<'a> Weighed<'a> {
    pub(super) fn new(
        asked: &'a Asked,
        (who, visit, user): (&'a Principal, &'a Visit, &'a M3User),
        effect: Effect,
        place: Place,
        (layout, inputs): (&'a Arc<TransactionLayout>, &'a [Input]),
    ) -> Self {
        Self { asked, who, visit, user, effect, place, layout, inputs, at: unix_seconds() }
    }

    fn ask(&self) -> Ask<'_> {
        Ask {
            asker: Asker::from(self.who),
            program: self.asked.program,
            transaction: self.asked.transaction,
            effect: self.effect,
            place: self.place,
            m3_user: self.user,
            layout: self.layout,
            inputs: self.inputs,
            address: self.visit.peer.address,
            unix_seconds: self.at,
        }
    }

    fn judged<'b>(&'b self, decided: &'b Decided, bound: bool) -> Judged<'b> {
        let Decided { set, decision } = decided;
        Judged {
            who: self.who,
            visit: self.visit,
            set: set.hash(),
            name: (self.asked.program, self.asked.transaction),
            effect: self.effect,
            user: Some(self.user),
            place: Some(self.place),
            inputs: Some((self.layout, self.inputs)),
            step: if bound { Step::Values } else { Step::Bounds },
            allowed: decision.allowed && bound,
            reason: if bound { decision.reason.word() } else { "bound-elsewhere" },
            rules: &decision.rules,
        }
    }
}

impl Exchange {
    /// What is refused is written down here. What is allowed is not yet: limits have their say before it is.
    pub(super) fn value_policy(&self, call: &Weighed<'_>) -> Result<Decided, Problem> {
        let set = self.policies.set();
        let decision = set.decide(&call.ask());
        let bound = if decision.allowed { bound_to(call.who, call.layout, call.inputs, call.place) } else { Ok(()) };
        self.metrics.policy_decisions.with_label_values(&["values", decision.verdict()]).inc();
        let decided = Decided { set, decision };
        if decided.decision.allowed && bound.is_ok() {
            return Ok(decided);
        }
        let ticket = self.written(call, &decided, bound.is_ok());
        bound.map_err(|problem| problem.decided(ticket.id))?;
        Err(call.judged(&decided, true).refusal(decided.decision.reason).decided(ticket.id))
    }

    /// The line of a call that goes to M3.
    pub(super) fn allowed(&self, call: &Weighed<'_>, decided: &Decided) -> Ticket {
        self.written(call, decided, true)
    }

    fn written(&self, call: &Weighed<'_>, decided: &Decided, bound: bool) -> Ticket {
        let ticket = call.judged(decided, bound).record(&self.audit);
        if let Some(shadow) = self.policies.shadow() {
            shadow.values(call.who, &call.ask(), call.layout, &decided.decision, ticket.id);
        }
        ticket
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
