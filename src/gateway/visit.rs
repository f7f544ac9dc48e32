//! One request on its way through the house: who, where, since when, and what is learnt of it for the log.

use super::rate::Pace;
use super::route::Route;
use crate::audit::DecisionId;
use crate::auth::Pass;
use crate::clock::unix_seconds;
use crate::limit::Verdict;
use crate::model::{ClientId, Effect, M3User, Peer, Place, ProgramName, TenantId, TransactionName};
use crate::outbox::{Bulk, IdempotencyKey};
use crate::telemetry::{RequestId, TraceContext};
use http::{Extensions, HeaderValue};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// Made by the outermost layer, found by every other in the request's extensions.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) id: RequestId,
    pub(super) trace: TraceContext,
    pub(super) started: Instant,
    pub(super) peer: Peer,
    pub(super) route: Route,
    /// Which transaction of a bulk call, from 1.
    ordinal: Option<u32>,
    /// That call, which runs as long as one of its transactions does.
    bulk: Option<Arc<Bulk>>,
    key: OnceLock<IdempotencyKey>,
    /// What its caller was let in with.
    pass: OnceLock<Pass>,
    /// A write of this request was handed on: whoever ends the waiting does not know what became of it.
    writing: Arc<AtomicBool>,
    /// Of a transaction of a bulk call: how long limits may hold it back.
    pace: Option<Arc<Pace>>,
    learnt: Mutex<Learnt>,
}

/// What the log and the headers tell; each is written once, by the layer that learns it.
#[derive(Debug, Default, Clone)]
pub(super) struct Learnt {
    pub(super) client: Option<ClientId>,
    pub(super) tenant: Option<TenantId>,
    pub(super) program: Option<ProgramName>,
    pub(super) transaction: Option<TransactionName>,
    /// Of a bulk call: how many were begun.
    pub(super) transactions: Option<u32>,
    pub(super) effect: Option<Effect>,
    pub(super) place: Option<Place>,
    pub(super) user: Option<M3User>,
    /// `ok`, `nok`, `cut-short`, or an error of the contract.
    pub(super) outcome: Option<&'static str>,
    /// The code of the problem answered.
    pub(super) problem: Option<&'static str>,
    /// Of the last decision on it.
    pub(super) decision: Option<DecisionId>,
    /// What the caller's next proof must carry.
    pub(super) nonce: Option<HeaderValue>,
    /// The tightest limit so far.
    pub(super) limit: Option<Verdict>,
}

impl Visit {
    pub(super) fn new(id: RequestId, trace: TraceContext, peer: Peer, route: Route) -> Arc<Self> {
        let (started, writing, key) = (Instant::now(), Arc::default(), OnceLock::new());
        let (ordinal, bulk, pass, pace, learnt) = (None, None, OnceLock::new(), None, Mutex::default());
        Arc::new(Self { id, trace, started, peer, route, ordinal, bulk, key, pass, writing, pace, learnt })
    }

    /// One transaction of this bulk call, with things of its own to learn.
    pub(super) fn item(&self, ordinal: u32, bulk: &Arc<Bulk>, pace: Option<Arc<Pace>>) -> Arc<Self> {
        let route = self.route.clone();
        let key = OnceLock::new();
        if let Some(given) = self.key.get() {
            // Nothing else has seen the new one: it is always empty here.
            let _ = key.set(given.item(ordinal));
        }
        let ordinal = Some(ordinal);
        Arc::new(Self {
            id: self.id,
            trace: self.trace,
            started: self.started,
            peer: self.peer,
            route,
            ordinal,
            bulk: Some(bulk.clone()),
            key,
            pass: self.pass.clone(),
            writing: self.writing.clone(),
            pace,
            learnt: Mutex::default(),
        })
    }

    /// What limits said to this transaction of the call, for the answer's headers: the tightest stays.
    pub(super) fn learns_of(&self, item: &Self) {
        let (limit, decision) = {
            let learnt = item.learnt();
            (learnt.limit.clone(), learnt.decision)
        };
        let mut learnt = self.learnt();
        learnt.limit = match (learnt.limit.take(), limit) {
            (Some(known), Some(other)) => Some(known.tighter(other)),
            (known, other) => known.or(other),
        };
        learnt.decision = learnt.decision.or(decision);
    }

    /// `None`: a spent limit is the answer at once.
    pub(super) fn pace(&self) -> Option<&Pace> {
        self.pace.as_deref()
    }

    pub(super) fn begins_write(&self) {
        self.writing.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_begun_a_write(&self) -> bool {
        self.writing.load(Ordering::Relaxed)
    }

    pub(super) fn has_pass(&self, pass: Pass) {
        let _ = self.pass.set(pass);
    }

    /// What its caller was let in with was taken back since.
    pub(super) fn is_revoked(&self) -> bool {
        self.pass.get().is_some_and(|pass| pass.is_revoked(unix_seconds()))
    }

    /// What the caller calls this request; the first word counts.
    pub(super) fn is_called(&self, key: IdempotencyKey) {
        let _ = self.key.set(key);
    }

    pub(super) fn key(&self) -> Option<&IdempotencyKey> {
        self.key.get()
    }

    /// What a write is called in the log, and to a caller who has to ask for its outcome.
    pub(super) fn intent(&self) -> String {
        match self.ordinal {
            None => self.id.to_string(),
            Some(ordinal) => format!("{}-{ordinal}", self.id),
        }
    }

    /// The bulk call that this is a transaction of.
    pub(super) fn bulk(&self) -> Option<&Arc<Bulk>> {
        self.bulk.as_ref()
    }

    pub(super) fn learnt(&self) -> MutexGuard<'_, Learnt> {
        // The lock is held for an assignment at a time; a poisoned one still holds good values.
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The visit of a request that came through the stack.
    pub(super) fn of(extensions: &Extensions) -> Arc<Self> {
        extensions.get::<Arc<Self>>().cloned().expect("the outermost layer puts a visit into every request")
    }
}
