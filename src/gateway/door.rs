//! A refusal that needed no value of the call, as the audit log tells it.

use super::visit::Visit;
use crate::audit::{self, DecisionId, Step};
use crate::model::{Effect, Principal, ProgramName, TransactionName};
use crate::policies::Active;
use std::sync::Arc;

pub(super) type Name = (ProgramName, TransactionName);

/// Written down, and known to whoever answers the call.
pub(super) fn refused(
    (audit, policies): (&audit::Log, &Active),
    (who, visit): (&Principal, &Visit),
    name: Option<Name>,
    reason: &str,
    rules: &[Arc<str>],
) -> DecisionId {
    let ticket = audit.record(&audit::Decision {
        call: &visit.intent(),
        set: policies.set().hash(),
        client: &who.client,
        tenant: who.tenant.as_ref(),
        groups: &who.groups,
        scopes: &who.scopes,
        claims: &who.claims,
        user: None,
        address: visit.peer.address,
        name,
        effect: name.map(|(program, transaction)| Effect::of(program, transaction)),
        place: None,
        inputs: None,
        record: None,
        step: if name.is_some() { Step::Names } else { Step::Door },
        allowed: false,
        reason,
        rules,
        micros: u64::try_from(visit.started.elapsed().as_micros()).unwrap_or(u64::MAX),
    });
    visit.learnt().decision = Some(ticket.id);
    ticket.id
}
