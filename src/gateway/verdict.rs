//! A decision on its way into the audit log, and the bounds that the operators set besides the rules.

use super::exchange::Exchange;
use super::facts::{Missing, Reading};
use super::problem::{Kind, Problem};
use super::visit::Visit;
use crate::audit::{self, Step, Ticket};
use crate::clock::unix_seconds;
use crate::model::{Effect, Input, M3User, Place, Principal, ProgramName, TransactionLayout, TransactionName};
use crate::policy::{self, Ask, Asker, Decision, FactValues, Reason, Set, Unheld};
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
    /// Of the record that its rules look at.
    pub(super) reading: Option<&'a Reading>,
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
            record: self.reading.map(Reading::told),
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
            Reason::FactMissing => Problem::new(Kind::PolicyDenied, self.unread()),
            Reason::DivisionNotCarried => Problem::new(
                Kind::PolicyDenied,
                format!(
                    "The rules of this client ask for the division, and this call of {program}/{transaction} carries \
                     none that M3 would hold it to{}.",
                    self.inputs.map_or(Unheld::Plainly, |(layout, inputs)| Unheld::of(layout, self.effect, inputs))
                ),
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

/// Never M3's words: they may be of a record that the caller may not see.
const UNREAD: &str = "A rule of this client looks at a record of M3, and it could not be read before the decision";

impl Judged<'_> {
    fn unread(&self) -> String {
        match self.reading.and_then(Reading::missing) {
            Some(Missing::NoKey(field)) => format!("{UNREAD}: the call gives no {field}."),
            _ => format!("{UNREAD}."),
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
    reading: Option<Reading>,
    at: u64,
}

/// What was decided on its values, by which rules.
pub(super) struct Decided {
    pub(super) set: Arc<Set>,
    pub(super) decision: Decision,
    pub(super) record: Option<FactValues>,
}

impl<'a> Weighed<'a> {
    pub(super) fn new(
        asked: &'a Asked,
        (who, visit, user): (&'a Principal, &'a Visit, &'a M3User),
        effect: Effect,
        place: Place,
        (layout, inputs): (&'a Arc<TransactionLayout>, &'a [Input]),
    ) -> Self {
        Self { asked, who, visit, user, effect, place, layout, inputs, reading: None, at: unix_seconds() }
    }

    pub(super) fn request(&self) -> &impl std::fmt::Display {
        &self.visit.id
    }

    pub(super) fn ask(&self) -> Ask<'_> {
        Ask {
            asker: Asker::from(self.who),
            program: self.asked.program,
            transaction: self.asked.transaction,
            effect: self.effect,
            place: self.place,
            m3_user: self.user,
            layout: self.layout,
            inputs: self.inputs,
            record: self.reading.as_ref().and_then(Reading::values),
            address: self.visit.peer.address,
            unix_seconds: self.at,
        }
    }

    pub(super) fn has_read(&self) -> bool {
        self.reading.is_some()
    }

    pub(super) fn reads(&mut self, reading: Reading) {
        self.reading = Some(reading);
    }

    pub(super) fn who(&self) -> &'a Principal {
        self.who
    }

    fn bound(&self) -> Result<(), Problem> {
        bound_to(self.who, &self.ask())
    }

    fn judged<'b>(&'b self, decided: &'b Decided, kept: Kept) -> Judged<'b> {
        let Decided { set, decision, .. } = decided;
        Judged {
            who: self.who,
            visit: self.visit,
            set: set.hash(),
            name: (self.asked.program, self.asked.transaction),
            effect: self.effect,
            user: Some(self.user),
            place: Some(self.place),
            inputs: Some((self.layout, self.inputs)),
            reading: self.reading.as_ref(),
            step: if kept == Kept::All { Step::Values } else { Step::Bounds },
            allowed: decision.allowed && kept == Kept::All,
            reason: match kept {
                Kept::All => decision.reason.word(),
                Kept::NotBounds => "bound-elsewhere",
                Kept::NotSites => "site-elsewhere",
            },
            rules: &decision.rules,
        }
    }
}

/// What a call that the rules allow keeps to besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    /// It works where its client is not let work.
    NotBounds,
    /// It names a site of a division where it would be refused.
    NotSites,
}

impl Exchange {
    /// What is refused is written down here. What is allowed is not yet: limits have their say before it is.
    pub(super) async fn value_policy(&self, call: &mut Weighed<'_>) -> Result<Decided, Problem> {
        let set = self.policies.set();
        let mut bound = Ok(());
        if let Some(fact) = set.wants_record(&call.ask()) {
            // Whoever is bound to other places has nothing read for him in this one.
            bound = call.bound();
            if bound.is_ok() {
                call.reading = Some(self.read_fact(call, fact).await);
            }
        }
        let decision = set.decide(&call.ask());
        if decision.allowed {
            bound = call.bound();
        }
        self.metrics.policy_decisions.with_label_values(&["values", decision.verdict()]).inc();
        let record = call.reading.as_ref().and_then(Reading::values).cloned();
        let decided = Decided { set, decision, record };
        let mut kept = if bound.is_ok() { Kept::All } else { Kept::NotBounds };
        if decided.decision.allowed && bound.is_ok() {
            bound = self.by_its_sites(call, &decided.set).await;
            if bound.is_ok() {
                return Ok(decided);
            }
            kept = Kept::NotSites;
        }
        let ticket = self.written(call, &decided, kept);
        bound.map_err(|problem| problem.decided(ticket.id))?;
        Err(call.judged(&decided, kept).refusal(decided.decision.reason).decided(ticket.id))
    }

    /// The line of a call that goes to M3.
    pub(super) fn allowed(&self, call: &Weighed<'_>, decided: &Decided) -> Ticket {
        self.written(call, decided, Kept::All)
    }

    fn written(&self, call: &Weighed<'_>, decided: &Decided, kept: Kept) -> Ticket {
        let ticket = call.judged(decided, kept).record(&self.audit);
        if let Some(shadow) = self.policies.shadow() {
            let tried = call.reading.as_ref().map(|reading| reading.fact.text());
            shadow.values(call.who, &call.ask(), (call.layout, tried), &decided.decision, ticket.id);
        }
        ticket
    }
}

/// What the operators bound the client to holds besides the rules, in every place that the call reaches.
pub(super) fn bound_to(who: &Principal, ask: &Ask<'_>) -> Result<(), Problem> {
    match policy::outside(&who.standing, ask) {
        None => Ok(()),
        Some(outside) => Err(Problem::new(Kind::PolicyDenied, format!("This client may not work in {outside}."))),
    }
}
