//! The tenant of the path is the token's own. Behind quota, so that who hammers on does not fill the audit log.

use super::super::body::{Request, Response};
use super::super::problem::{Kind, Problem};
use super::super::visit::Visit;
use crate::audit::{self, Step};
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
    let ticket = state.audit.record(&audit::Decision {
        call: &visit.intent(),
        set: state.policies.set().hash(),
        client: &who.client,
        tenant: who.tenant.as_ref(),
        groups: &who.groups,
        scopes: &who.scopes,
        claims: &who.claims,
        user: None,
        address: visit.peer.address,
        name: None,
        effect: None,
        place: None,
        inputs: None,
        record: None,
        step: Step::Door,
        allowed: false,
        reason: Kind::TenantMismatch.slug(),
        rules: &[],
        micros: u64::try_from(visit.started.elapsed().as_micros()).unwrap_or(u64::MAX),
    });
    visit.learnt().decision = Some(ticket.id);
    state.metrics.verdicts.with_label_values(&["tenant", "refused"]).inc();
    let problem = Problem::new(Kind::TenantMismatch, "The token was issued for another tenant than the path's.");
    ControlFlow::Break(problem.decided(ticket.id).answer(&visit))
}
