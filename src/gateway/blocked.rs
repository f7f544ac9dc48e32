//! What operators blocked, asked before any rule is: the client at the door, the program by its name.
//!
//! Invariant: a refusal has a decision in the audit log, and that names the block. The caller learns no reason.

use super::door::{self, Name};
use super::exchange::Exchange;
use super::problem::{Kind, Problem};
use super::visit::Visit;
use crate::audit;
use crate::clock::unix_seconds;
use crate::model::{Principal, ProgramName, TransactionName};
use crate::policies::Active;
use crate::stoplist::{Block, Stops};
use crate::telemetry::Metrics;
use std::borrow::Cow;
use std::sync::Arc;

#[derive(Clone)]
pub(super) struct Blocking {
    pub(super) stops: Stops,
    pub(super) policies: Arc<Active>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) audit: audit::Log,
}

/// The refusal of a client that is blocked.
pub(super) fn by_client(state: &Blocking, who: &Principal, visit: &Visit) -> Option<Problem> {
    let held = state.stops.held();
    let block = held.client(&who.client, unix_seconds())?;
    Some(state.blocked(block, BLOCKED, None, who, visit))
}

const BLOCKED: &str = "The operators have blocked this client.";
const REVOKED: &str = "The token, or its client, was taken back while the call ran.";

/// The refusal of a call of a program or transaction that is blocked, or of a client that was blocked or taken back
/// meanwhile.
pub(super) fn by_name(
    exchange: &Exchange,
    (program, transaction): Name,
    who: &Principal,
    visit: &Visit,
) -> Option<Problem> {
    let blocking = &exchange.blocking;
    if let Some(problem) = by_client(blocking, who, visit) {
        return Some(problem);
    }
    if visit.is_revoked() {
        return Some(blocking.refused(
            Problem::new(Kind::TokenInvalid, REVOKED),
            "token-revoked",
            &[],
            None,
            who,
            visit,
        ));
    }
    let held = blocking.stops.held();
    let block = held.call(program, transaction, unix_seconds())?;
    let detail = format!("The operators have blocked {program}/{transaction}.");
    Some(blocking.blocked(block, detail, Some((program, transaction)), who, visit))
}

/// The refusal of whoever asks for the metadata of a program that is blocked.
pub(super) fn by_program(exchange: &Exchange, program: ProgramName, who: &Principal, visit: &Visit) -> Option<Problem> {
    let blocking = &exchange.blocking;
    let held = blocking.stops.held();
    let block = held.program(program, unix_seconds())?;
    Some(blocking.blocked(block, format!("The operators have blocked {program}."), None, who, visit))
}

impl Blocking {
    /// Whether a listing names it.
    pub(super) fn hides(&self, program: ProgramName, name: Option<TransactionName>) -> bool {
        let (held, now) = (self.stops.held(), unix_seconds());
        match name {
            None => held.program(program, now).is_some(),
            Some(name) => held.call(program, name, now).is_some(),
        }
    }

    /// Why the client's run has to end here, and the word for it.
    pub(super) fn stops_run(&self, who: &Principal, visit: &Visit) -> Option<(&'static str, &'static str)> {
        if self.stops.held().client(&who.client, unix_seconds()).is_some() {
            return Some((BLOCKED, Kind::Blocked.error_type()));
        }
        visit.is_revoked().then_some((REVOKED, Kind::TokenInvalid.error_type()))
    }

    fn blocked(
        &self,
        block: &Block,
        detail: impl Into<Cow<'static, str>>,
        name: Option<Name>,
        who: &Principal,
        visit: &Visit,
    ) -> Problem {
        self.metrics.verdicts.with_label_values(&["blocks", "refused"]).inc();
        self.refused(Problem::new(Kind::Blocked, detail), "blocked", &[Arc::clone(&block.id)], name, who, visit)
    }

    fn refused(
        &self,
        problem: Problem,
        reason: &'static str,
        rules: &[Arc<str>],
        name: Option<Name>,
        who: &Principal,
        visit: &Visit,
    ) -> Problem {
        problem.decided(door::refused((&self.audit, &self.policies), (who, visit), name, reason, rules))
    }
}
