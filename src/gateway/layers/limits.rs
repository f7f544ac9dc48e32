//! Bounds on what a request may be and how long it may take, before anybody looks into it.

use super::super::body::{Body, Fault, Request, Response};
use super::super::problem::{Kind, Problem};
use super::super::refused;
use super::super::route::Route;
use super::super::visit::Visit;
use super::checkpoint::Below;
use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::{BodyExt, Limited};
use std::ops::ControlFlow;
use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) body: usize,
    /// A bulk call's.
    pub(crate) bulk: usize,
    /// A message's of a receiver of documents.
    pub(crate) inbound: usize,
    pub(crate) uri: usize,
    pub(crate) wait: Duration,
}

/// A body that says it is too large is refused unread; one that doesn't say so is cut at the same size.
pub(crate) async fn size(bounds: Bounds, request: Request) -> ControlFlow<Response, Request> {
    let visit = Visit::of(request.extensions());
    let uri = request.uri();
    if uri.path().len() + uri.query().map_or(0, str::len) > bounds.uri {
        let detail = format!("The URL may have {} bytes.", bounds.uri);
        return ControlFlow::Break(Problem::new(Kind::UriTooLong, detail).answer(&visit));
    }
    let mut codings = request.headers().get_all(CONTENT_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return ControlFlow::Break(packed(&visit));
    }
    let most = match visit.route {
        Route::Bulk { .. } => bounds.bulk,
        Route::Inbound { .. } => bounds.inbound,
        _ => bounds.body,
    };
    let said = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|length| length > most as u64) {
        return ControlFlow::Break(too_large(most).answer(&visit));
    }
    ControlFlow::Continue(request.map(|body: Body| Limited::new(body, most).map_err(Fault::new).boxed_unsync()))
}

/// Nothing of a caller's is unpacked here, so a small body can't become a large one.
fn packed(visit: &Visit) -> Response {
    let mut response = Problem::new(Kind::MediaTypeUnsupported, "The body may not be compressed.").answer(visit);
    response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    response
}

pub(crate) fn too_large(most: usize) -> Problem {
    Problem::new(Kind::BodyTooLarge, format!("The body may have {most} bytes."))
}

/// Ends the waiting for an answer's head. It never ends a write: that runs on a task of its own.
pub(crate) async fn wait(bounds: Bounds, request: Request, below: Below) -> Response {
    let visit = Visit::of(request.extensions());
    match tokio::time::timeout(bounds.wait, below(request)).await {
        Ok(response) => response,
        Err(_) if visit.has_begun_a_write() => {
            refused::outcome_unknown("M3 has not answered yet.", &visit.intent()).answer(&visit)
        }
        Err(_) => {
            let detail = format!("No answer within {} s.", bounds.wait.as_secs());
            Problem::new(Kind::RequestTimeout, detail).answer(&visit)
        }
    }
}
