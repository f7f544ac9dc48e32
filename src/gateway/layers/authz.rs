//! The door of policy: may this client call anything at all? What it may call is decided on typed values, in `exchange`.

use super::super::body::{Request, Response};
use super::super::door;
use super::super::problem::{Kind, Problem};
use super::super::route::Route;
use super::super::visit::Visit;
use super::authn::challenged;
use crate::audit;
use crate::auth::{Resource, Scheme};
use crate::model::Principal;
use crate::policies::Active;
use crate::policy::Asker;
use crate::telemetry::Metrics;
use std::ops::ControlFlow;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct Authz {
    pub(crate) policies: Arc<Active>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) audit: audit::Log,
    /// What a token must have to speak of documents: rules speak of M3's programs alone.
    pub(crate) inbound_scope: Arc<str>,
    pub(crate) resource: Arc<Resource>,
}

pub(crate) async fn authz(state: Authz, request: Request) -> ControlFlow<Response, Request> {
    let visit = Visit::of(request.extensions());
    let set = state.policies.set();
    let allowed = match request.extensions().get::<Arc<Principal>>() {
        Some(principal) => {
            let of_documents = matches!(visit.route, Route::Inbound { .. });
            let allowed = match of_documents {
                true => principal.scopes.iter().any(|scope| **scope == *state.inbound_scope),
                false => set.may_call_anything(Asker::from(&**principal)),
            };
            if !allowed {
                let reason = if of_documents { "scope-missing" } else { "no-permit" };
                let id = door::refused((&state.audit, &state.policies), (principal, &visit), None, reason, &[]);
                if let Some(shadow) = state.policies.shadow().filter(|_| !of_documents) {
                    shadow.door(principal, id);
                }
            }
            allowed
        }
        // Without a principal only what needs no token goes on.
        None => visit.route.is_open(),
    };
    let word = if allowed { "allowed" } else { "refused" };
    state.metrics.verdicts.with_label_values(&["authz", word]).inc();
    if allowed {
        return ControlFlow::Continue(request);
    }
    if matches!(visit.route, Route::Inbound { .. }) {
        let detail = format!("The token lacks the scope {}.", state.inbound_scope);
        let problem = Problem::new(Kind::ScopeMissing, detail);
        let problem = problem.challenge(Some(("insufficient_scope", "the token lacks a scope")));
        let problem = problem.challenge_with("scope", &state.inbound_scope);
        let used = request.extensions().get::<Scheme>().copied().unwrap_or(Scheme::Bearer);
        return ControlFlow::Break(challenged(problem, used, &state.resource).answer(&visit));
    }
    ControlFlow::Break(Problem::new(Kind::PolicyDenied, "No rule permits this client anything.").answer(&visit))
}
