//! The door of the limits, counted per client and not per address: that is why it comes after authn.

use super::super::body::{Request, Response};
use super::super::rate::{Ears, caller, uncounted};
use super::super::route::Route;
use super::super::visit::Visit;
use crate::audit;
use crate::clock::unix_seconds;
use crate::limit::Limits;
use crate::model::Principal;
use crate::telemetry::Metrics;
use std::ops::ControlFlow;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct Quota {
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) audit: audit::Log,
}

pub(crate) async fn quota(state: Quota, request: Request) -> ControlFlow<Response, Request> {
    let Some(principal) = request.extensions().get::<Arc<Principal>>().cloned() else {
        // Only the open routes come here without a principal; the issuer has limits of its own.
        return ControlFlow::Continue(request);
    };
    let visit = Visit::of(request.extensions());
    // Days and calls in flight are those of M3: a list of what there is costs a rate alone.
    let calls = matches!(visit.route, Route::Execute { .. } | Route::Bulk { .. });
    let said = match calls {
        true => state.limits.door(caller(&principal), unix_seconds()).await,
        false => Ok(state.limits.check(&principal.client, &principal.groups, 1)),
    };
    let ears = Ears { metrics: &state.metrics, audit: &state.audit, who: &principal, visit: &visit, name: None };
    let heard = said.map_err(|_| uncounted()).and_then(|said| ears.hear(said));
    let word = if heard.is_ok() { "allowed" } else { "refused" };
    state.metrics.verdicts.with_label_values(&["quota", word]).inc();
    match heard {
        Ok(_) => ControlFlow::Continue(request),
        Err(problem) => ControlFlow::Break(problem.answer(&visit)),
    }
}
