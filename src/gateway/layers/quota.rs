//! The client's own rate, counted per client and not per address: that is why it comes after authn.

use super::super::body::{Request, Response};
use super::super::problem::{Kind, Problem};
use super::super::visit::Visit;
use crate::limit::Limits;
use crate::model::Principal;
use crate::telemetry::Metrics;
use std::ops::ControlFlow;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct Quota {
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Arc<Metrics>,
}

pub(crate) async fn quota(state: Quota, request: Request) -> ControlFlow<Response, Request> {
    let Some(principal) = request.extensions().get::<Arc<Principal>>() else {
        // Only the open routes come here without a principal; the issuer has limits of its own.
        return ControlFlow::Continue(request);
    };
    let visit = Visit::of(request.extensions());
    let verdict = state.limits.check(&principal.client, &principal.groups, 1);
    let allowed = verdict.allowed;
    let word = if allowed { "allowed" } else { "refused" };
    state.metrics.verdicts.with_label_values(&["quota", word]).inc();
    let wait = verdict.wait;
    visit.learnt().limit = Some(verdict);
    if allowed {
        return ControlFlow::Continue(request);
    }
    ControlFlow::Break(limited(wait).answer(&visit))
}

pub(crate) fn limited(wait: std::time::Duration) -> Problem {
    Problem::new(Kind::RateLimited, "The client has used up its rate.").retry_after(wait)
}
