//! The bulk call of m3api-rest v2: one POST, one program, many transactions.
//!
//! The body is read as a stream and its transactions run while it arrives: reads beside each other, a write alone and in
//! its place. Reading never waits for the caller to read results: those wait in a bounded buffer, and when it is full
//! running pauses while reading goes on, up to the body's limits of bytes and transactions.
//! Invariant: every transaction has one result in the call's order, and none runs after the reason to end the run.

mod head;
mod item;
mod out;
mod read;
mod run;

use super::super::body::{Request, Response, has_media_type};
use super::super::exchange::Exchange;
use super::super::intent;
use super::super::problem::{Kind, Problem};
use super::super::visit::Visit;
use super::execute::dress;
use crate::model::Principal;
use crate::translate::{Bulk, Shape};
use http::Method;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Bytes of a body.
    pub body: usize,
    pub transactions: u32,
    /// For the whole run; what has not begun by then is not begun.
    pub time: Duration,
    /// Reads of one call that run beside each other, at most.
    pub parallel: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { body: 8 * 1024 * 1024, transactions: 10_000, time: Duration::from_secs(300), parallel: 8 }
    }
}

pub(in crate::gateway) async fn bulk(
    exchange: &Arc<Exchange>,
    settings: Settings,
    matrix: &str,
    request: Request,
    visit: &Arc<Visit>,
) -> Response {
    let (request, body) = request.into_parts();
    if request.method != Method::POST {
        let detail = "Without a transaction in its path an execute call is a POST with many of them in its body.";
        return Problem::new(Kind::MethodNotAllowed, detail).allow("POST").answer(visit);
    }
    let Some(who) = request.extensions.get::<Arc<Principal>>() else {
        return Problem::new(Kind::TokenMissing, "The call has no principal.").challenge(None).answer(visit);
    };
    if !has_media_type(&request.headers, &["application/json", "text/json"]) {
        return Problem::new(Kind::MediaTypeUnsupported, "A bulk call has a body of application/json.").answer(visit);
    }
    let bulk = match Bulk::new(matrix, request.uri.query()) {
        Ok(bulk) => bulk,
        Err(fault) => return Problem::new(Kind::RequestUnreadable, fault.to_string()).answer(visit),
    };
    if let Err(problem) = intent::take_key(&request.headers, visit) {
        return problem.answer(visit);
    }
    // With a key the body is read to its end first, or a repaired body would mix stored outcomes with new writes.
    let bulk = if visit.key().is_some() { bulk.whole() } else { bulk };
    let (parts, read) = mpsc::unbounded_channel();
    let (begin, begun) = oneshot::channel();
    let (out, answer) = out::pipe();
    let run = run::Run::new(exchange.clone(), settings, who.clone(), visit.clone(), bulk, out, begin);
    // On a tracked task: results are made, and the body read, also while nobody takes the answer's bytes.
    exchange.tasks.spawn(async move {
        tokio::join!(read::read(body, settings.transactions, parts), run.run(read));
    });
    match begun.await {
        Ok(None) => {
            let mut response = Response::new(answer);
            dress(&mut response, Shape::V2);
            response
        }
        Ok(Some(problem)) => problem.answer(visit),
        Err(_) => Problem::new(Kind::Internal, "The run ended without a word.").answer(visit),
    }
}
