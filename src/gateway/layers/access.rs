//! The outermost steps: a request gets its id and trace, its line in the log, its place in the metrics.

use super::super::body::{Request, Response, Watched, full};
use super::super::route::Route;
use super::super::visit::Visit;
use super::checkpoint::Below;
use crate::model::Peer;
use crate::telemetry::{AccessLine, AccessLog, Metrics, RequestId, TraceContext};
use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use http_body_util::BodyExt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const DECISION: HeaderName = HeaderName::from_static("mi-decision");
const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
const RATE: HeaderName = HeaderName::from_static("ratelimit");
const RATE_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Makes the visit that every other step finds. An id of the caller's is not taken over: ids are ours, traces are shared.
pub(crate) async fn arrive(_: (), mut request: Request, below: Below) -> Response {
    let trace = traceparent(request.headers());
    let nowhere = || Peer::of(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_else(nowhere);
    let route = Route::of(request.uri().path());
    let visit = Visit::new(RequestId::new(), trace, peer, route);
    request.extensions_mut().insert(visit.clone());
    let bodiless = request.method() == Method::HEAD;
    let mut response = below(request).await;
    if bodiless {
        // Its head says what a GET would have answered; HTTP/2 callers take a body for a broken peer.
        response = response.map(|_| full(Bytes::new()));
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(visit.id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    let learnt = visit.learnt();
    if let Some(id) = learnt.decision.and_then(|id| HeaderValue::try_from(id.to_string()).ok()) {
        headers.insert(DECISION, id);
    }
    if let Some(nonce) = &learnt.nonce {
        headers.insert(NONCE, nonce.clone());
    }
    if let Some(limit) = &learnt.limit {
        headers.insert(RATE, limit.rate_header());
        headers.insert(RATE_POLICY, limit.policy_header.clone());
    }
    drop(learnt);
    response
}

/// Exactly one well-formed `traceparent` continues the caller's trace; anything else begins a new one.
fn traceparent(headers: &HeaderMap) -> TraceContext {
    let mut given = headers.get_all("traceparent").iter();
    match (given.next(), given.next()) {
        (Some(one), None) => {
            TraceContext::parse(one.as_bytes()).map_or_else(|_| TraceContext::begin(), TraceContext::child)
        }
        _ => TraceContext::begin(),
    }
}

/// One line when the answer's body has ended, or its reader has gone.
pub(crate) async fn log(log: Option<AccessLog>, request: Request, below: Below) -> Response {
    let Some(log) = log else { return below(request).await };
    let visit = Visit::of(request.extensions());
    let mut line = AccessLine::new(visit.id, request.method().as_str(), protocol(request.version()), visit.peer);
    line.trace_id = Some(visit.trace.trace);
    line.route = visit.route.template();
    if let Some(agent) = request.headers().get(USER_AGENT) {
        line.user_agent(agent.as_bytes());
    }
    let head = request.method() == Method::HEAD;
    // A caller who goes away before the head of his answer takes this future with him, and gets his line all the same.
    let mut left = Left { line: Some((line, log)), visit };
    let response = below(request).await;
    if let Some((line, _)) = &mut left.line {
        line.status = response.status().as_u16();
    }
    if head {
        // It has no body, whatever a GET would have had.
        left.write(0, true);
        return response;
    }
    response.map(|body| Watched::new(body, move |bytes, whole| left.write(bytes, whole)).boxed_unsync())
}

/// The status of a caller who did not wait for one.
const WENT_AWAY: u16 = 499;

/// The line of a request that has not ended yet.
struct Left {
    line: Option<(AccessLine, AccessLog)>,
    visit: Arc<Visit>,
}

impl Left {
    fn write(&mut self, bytes: u64, whole: bool) {
        let Some((mut line, log)) = self.line.take() else { return };
        line.bytes = bytes;
        line.duration = self.visit.started.elapsed();
        learn(&mut line, &self.visit, whole);
        log.write(line);
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        if let Some((line, _)) = &mut self.line {
            line.status = WENT_AWAY;
        }
        self.write(0, false);
    }
}

fn learn(line: &mut AccessLine, visit: &Visit, whole: bool) {
    let learnt = visit.learnt().clone();
    if let Some(client) = &learnt.client {
        line.client(client);
    }
    line.tenant = learnt.tenant;
    line.program = learnt.program;
    line.transaction = learnt.transaction;
    line.transactions = learnt.transactions;
    line.effect = learnt.effect;
    line.company = learnt.place.map(|place| place.company);
    line.division = learnt.place.map(|place| place.division);
    line.m3_user = learnt.user;
    line.problem = learnt.problem;
    line.outcome = if whole { learnt.outcome } else { Some("abandoned") };
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "h2",
        Version::HTTP_11 => "http/1.1",
        Version::HTTP_10 => "http/1.0",
        _ => "other",
    }
}

/// Counts by route and status; the time is the time to the answer's head.
pub(crate) async fn count(metrics: Arc<Metrics>, request: Request, below: Below) -> Response {
    let visit = Visit::of(request.extensions());
    metrics.http_in_flight.inc();
    let mut flying = InFlight { metrics: &metrics, visit, status: None };
    let response = below(request).await;
    flying.status = Some(response.status());
    response
}

/// Counted also when the caller goes away first.
struct InFlight<'a> {
    metrics: &'a Metrics,
    visit: Arc<Visit>,
    status: Option<StatusCode>,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.metrics.http_in_flight.dec();
        let route = self.visit.route.template();
        let status = self.status.as_ref().map_or("499", StatusCode::as_str);
        self.metrics.http_requests.with_label_values(&[route, status]).inc();
        self.metrics.http_seconds.with_label_values(&[route]).observe(self.visit.started.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trace_is_gone_on_with_and_of_two_neither() {
        let of = |given: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for text in given {
                headers.append("traceparent", HeaderValue::from_static(text));
            }
            traceparent(&headers).trace
        };
        let (one, other) = (
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
        let known = of(&[one]);
        assert_eq!(of(&[one]), known, "it is the caller's");
        assert!([of(&[one, one]), of(&[one, other]), of(&[other, one])].iter().all(|trace| *trace != known));
    }
}
