//! Clients that the operators blocked: refused whatever their tokens and the rules say.

use super::super::blocked::{Blocking, by_client};
use super::super::body::{Request, Response};
use super::super::visit::Visit;
use crate::model::Principal;
use std::ops::ControlFlow;
use std::sync::Arc;

pub(crate) async fn block(state: Blocking, request: Request) -> ControlFlow<Response, Request> {
    let Some(principal) = request.extensions().get::<Arc<Principal>>() else {
        return ControlFlow::Continue(request);
    };
    let visit = Visit::of(request.extensions());
    match by_client(&state, principal, &visit) {
        None => ControlFlow::Continue(request),
        Some(problem) => ControlFlow::Break(problem.answer(&visit)),
    }
}
