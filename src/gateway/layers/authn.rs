//! Token to `Principal`, or 401 that says where to begin. Reads headers only.

use super::super::body::{Request, Response};
use super::super::problem::{Kind, Problem};
use super::super::visit::Visit;
use crate::auth::{Presented, Resource, Scheme, Shown, Verifier};
use crate::clock::unix_seconds;
use crate::model::ClientCertificate;
use crate::telemetry::Metrics;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use std::ops::ControlFlow;
use std::sync::Arc;

/// RFC 9449: the proof that its sender holds the token's key.
const PROOF: &str = "dpop";

#[derive(Clone)]
pub(crate) struct Authn {
    pub(crate) verifier: Verifier,
    pub(crate) metrics: Arc<Metrics>,
}

pub(crate) async fn authn(state: Authn, mut request: Request) -> ControlFlow<Response, Request> {
    let visit = Visit::of(request.extensions());
    if visit.route.is_open() {
        return ControlFlow::Continue(request);
    }
    let refused = |problem: Problem, used: Scheme| {
        ControlFlow::Break(challenged(problem, used, state.verifier.resource()).answer(&visit))
    };
    let verdict = |verdict| state.metrics.verdicts.with_label_values(&["authn", verdict]).inc();
    let (token, presented) = match presented(&request) {
        Ok(given) => given,
        Err(problem) => {
            verdict("refused");
            return refused(problem, Scheme::Bearer);
        }
    };
    let (now, used) = (unix_seconds(), presented.scheme);
    if used == Scheme::Dpop {
        visit.learnt().nonce = state.verifier.nonce(now).and_then(|nonce| nonce.try_into().ok());
    }
    let (principal, pass) = match state.verifier.let_in(token, &presented, now).await {
        Ok(good) => good,
        Err(error) => {
            verdict("refused");
            return refused(Problem::from(&error), used);
        }
    };
    {
        visit.has_pass(pass);
        let mut learnt = visit.learnt();
        learnt.client = Some(principal.client.clone());
        learnt.tenant.clone_from(&principal.tenant);
    }
    verdict("allowed");
    request.extensions_mut().insert(principal);
    request.extensions_mut().insert(used);
    ControlFlow::Continue(request)
}

/// A challenge in every scheme that is known here. RFC 9728: where to learn whose tokens are taken.
pub(super) fn challenged(problem: Problem, used: Scheme, resource: &Resource) -> Problem {
    let problem = problem.schemes(used, resource.proof_required());
    problem.challenge_with("resource_metadata", &resource.metadata_url())
}

/// Exactly one `Authorization`, and what came along with it; a token in the query or in a cookie is none.
fn presented(request: &Request) -> Result<(&str, Presented<'_>), Problem> {
    let missing = |detail| Problem::new(Kind::TokenMissing, detail).challenge(None);
    let mut given = request.headers().get_all(AUTHORIZATION).iter();
    let Some(value) = given.next() else { return Err(missing("The request has no Authorization header.")) };
    if given.next().is_some() {
        let problem = Problem::new(Kind::TokenInvalid, "The request has more than one Authorization header.");
        return Err(problem.challenge(Some(("invalid_request", "more than one Authorization header"))));
    }
    let text = value.to_str().map_err(|_| missing("The Authorization header is not plain text."))?;
    let (scheme, token) = text.split_once(' ').map(|(scheme, token)| (scheme, token.trim())).unwrap_or_default();
    let scheme = match scheme {
        _ if token.is_empty() => None,
        bearer if bearer.eq_ignore_ascii_case("bearer") => Some(Scheme::Bearer),
        dpop if dpop.eq_ignore_ascii_case("dpop") => Some(Scheme::Dpop),
        _ => None,
    };
    let scheme =
        scheme.ok_or_else(|| missing("The Authorization header is not of the form Bearer TOKEN or DPoP TOKEN."))?;
    let (method, path) = (request.method().as_str(), request.uri().path());
    // Of the handshake alone: what a header says of a certificate, anybody can say.
    let certificate = request.extensions().get::<Arc<ClientCertificate>>().map(|shown| shown.thumbprint);
    let (proof, peer) = (proof(request.headers()), Some(Visit::of(request.extensions()).peer.address));
    Ok((token, Presented { scheme, certificate, proof, peer, method, path }))
}

/// The proof of a request, to be looked at by whoever knows what it is for.
pub(in crate::gateway) fn proof(headers: &HeaderMap) -> Shown<'_> {
    let mut given = headers.get_all(PROOF).iter();
    match (given.next(), given.next()) {
        (None, _) => Shown::None,
        (Some(one), None) => Shown::One(one.to_str().unwrap_or_default()),
        (Some(_), Some(_)) => Shown::Many,
    }
}
