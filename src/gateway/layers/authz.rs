//! The door of policy: may this client call anything at all? What it may call is decided on typed values, in `exchange`.

use super::super::body::{Request, Response};
use super::super::problem::{Kind, Problem};
use super::super::visit::Visit;
use crate::audit::{self, Step};
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
}

pub(crate) async fn authz(state: Authz, request: Request) -> ControlFlow<Response, Request> {
    let visit = Visit::of(request.extensions());
    let set = state.policies.set();
    let allowed = match request.extensions().get::<Arc<Principal>>() {
        Some(principal) => {
            let allowed = set.may_call_anything(Asker::from(&**principal));
            if !allowed {
                let refused = audit::Decision {
                    call: &visit.intent(),
                    set: set.hash(),
                    client: &principal.client,
                    tenant: principal.tenant.as_ref(),
                    groups: &principal.groups,
                    scopes: &principal.scopes,
                    claims: &principal.claims,
                    user: None,
                    address: visit.peer.address,
                    name: None,
                    effect: None,
                    place: None,
                    inputs: None,
                    step: Step::Door,
                    allowed,
                    reason: "no-permit",
                    rules: &[],
                    micros: u64::try_from(visit.started.elapsed().as_micros()).unwrap_or(u64::MAX),
                };
                let id = state.audit.record(&refused).id;
                visit.learnt().decision = Some(id);
                if let Some(shadow) = state.policies.shadow() {
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
    ControlFlow::Break(Problem::new(Kind::PolicyDenied, "No rule permits this client anything.").answer(&visit))
}
