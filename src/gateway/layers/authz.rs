//! The door of policy: may this client call anything at all? What it may call is decided on typed values, in `exchange`.

use super::super::body::{Request, Response};
use super::super::problem::{Kind, Problem};
use super::super::visit::Visit;
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
}

pub(crate) async fn authz(state: Authz, request: Request) -> ControlFlow<Response, Request> {
    let visit = Visit::of(request.extensions());
    let allowed = match request.extensions().get::<Arc<Principal>>() {
        Some(principal) => {
            let set = state.policies.set();
            set.may_call_anything(Asker {
                client: &principal.client,
                groups: &principal.groups,
                scopes: &principal.scopes,
            })
        }
        // Without a principal only what needs no token goes on.
        None => visit.route.is_open(),
    };
    let word = if allowed { "allowed" } else { "refused" };
    state.metrics.verdicts.with_label_values(&["authz", word]).inc();
    if allowed {
        return ControlFlow::Continue(request);
    }
    ControlFlow::Break(Problem::new(Kind::PolicyDenied, "No rule permits this client anything.").answer(&visit))
}
