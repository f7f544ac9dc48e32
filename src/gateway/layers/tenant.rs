//! The tenant of the path is the token's own. Behind quota, so that who hammers on does not fill the audit log.

use super::super::body::{Request, Response};
use super::super::door;
use super::super::problem::{Kind, Problem};
use super::super::visit::Visit;
use crate::audit;
use crate::model::Principal;
use crate::policies::Active;
use crate::telemetry::Metrics;
use std::ops::ControlFlow;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct Tenancy {
    pub(crate) policies: Arc<Active>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) audit: audit::Log,
}

pub(crate) async fn tenant(state: Tenancy, request: Request) -> ControlFlow<Response, Request> {
    let visit = Visit::of(request.extensions());
    let (Some(tenant), Some(who)) = (visit.route.tenant(), request.extensions().get::<Arc<Principal>>()) else {
        return ControlFlow::Continue(request);
    };
    if who.tenant.as_ref() == Some(tenant) {
        return ControlFlow::Continue(request);
    }
    let reason = Kind::TenantMismatch.slug();
    let id = door::refused((&state.audit, &state.policies), (who, &visit), None, reason, &[]);
    state.metrics.verdicts.with_label_values(&["tenant", "refused"]).inc();
    let problem = Problem::new(Kind::TenantMismatch, "The token was issued for another tenant than the path's.");
    ControlFlow::Break(problem.decided(id).answer(&visit))
}
