//! What clients of m3api-rest ask for besides calls: a CSRF token, their own session, and what there is to call.
//!
//! Metadata names only what some rule lets this client call; who may call nothing of a program learns nothing of it.

use super::super::blocked;
use super::super::body::{Request, Response, full};
use super::super::exchange::Exchange;
use super::super::openapi::OpenApi;
use super::super::problem::{self, Kind, Problem};
use super::super::refused;
use super::super::visit::Visit;
use super::shelf::{Form, Shelf, Shelved};
use crate::catalog;
use crate::model::{Effect, FieldLayout, Layout, Principal, ProgramName, TransactionLayout, TransactionName};
use crate::policy::Asker;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{StreamExt, TryStreamExt};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;

/// Layouts that are fetched beside each other where the catalog has none yet.
const AT_ONCE: usize = 4;

/// Infor's SDK asks for one before its calls and sends it back. A bearer token can't be sent by a browser on its own, so
/// any text will do, and none is looked at.
pub(in crate::gateway) fn csrf(request: &Request, visit: &Visit) -> Response {
    match only_get(request) {
        Ok(()) => text(visit.id.to_string(), visit),
        Err(problem) => problem.answer(visit),
    }
}

/// Apps that live in M3's own web client ask their host for a token: here it is the one that they came with.
pub(in crate::gateway) fn session(request: &Request, visit: &Visit) -> Response {
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match (only_get(request), token.and_then(|value| value.split_once(' '))) {
        (Err(problem), _) => problem.answer(visit),
        (Ok(()), Some((_, token))) => text(token.trim().to_owned(), visit),
        (Ok(()), None) => Problem::new(Kind::TokenMissing, "The call has no token.").challenge(None).answer(visit),
    }
}

fn only_get(request: &Request) -> Result<(), Problem> {
    match *request.method() {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Problem::new(Kind::MethodNotAllowed, "This path is read with GET.").allow("GET, HEAD")),
    }
}

fn text(text: String, visit: &Visit) -> Response {
    visit.learnt().outcome = Some("ok");
    let mut response = Response::new(full(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Every program, or all that may be called of one. With an ETag: who has the newest is told so, and gets nothing.
pub(in crate::gateway) async fn metadata(
    exchange: &Exchange,
    shelf: &Shelf,
    program: Option<&str>,
    request: Request,
    visit: &Visit,
) -> Response {
    told(request, visit, async |who| match program {
        None => programs(exchange, who).await.map(|list| shelf.list(&list)),
        Some(name) => {
            let (program, layouts) = one_program(exchange, who, visit, name).await?;
            Ok(shelf.document(Form::Metadata, program, &layouts, || {
                let told: Vec<Value> = layouts.iter().map(|layout| transaction(layout)).collect();
                json!({ "Program": program.as_str(), "Transaction": told })
            }))
        }
    })
    .await
}

/// The same of one program, as an OpenAPI document.
pub(in crate::gateway) async fn described(
    exchange: &Exchange,
    shelf: &Shelf,
    openapi: &OpenApi,
    program: &str,
    request: Request,
    visit: &Visit,
) -> Response {
    told(request, visit, async |who| {
        let (program, layouts) = one_program(exchange, who, visit, program).await?;
        Ok(shelf.document(Form::OpenApi, program, &layouts, || openapi.of_program(program, &layouts)))
    })
    .await
}

async fn told(
    request: Request,
    visit: &Visit,
    tell: impl AsyncFnOnce(&Principal) -> Result<Shelved, Problem>,
) -> Response {
    if let Err(problem) = only_get(&request) {
        return problem.answer(visit);
    }
    // Its body is nothing to wait with.
    let (request, _) = request.into_parts();
    let Some(who) = request.extensions.get::<Arc<Principal>>() else {
        return Problem::new(Kind::TokenMissing, "The call has no principal.").challenge(None).answer(visit);
    };
    match tell(who).await {
        Ok(told) => {
            visit.learnt().outcome = Some("ok");
            tagged(told, &request.headers)
        }
        Err(problem) => problem.answer(visit),
    }
}

fn may_call(exchange: &Exchange, who: &Principal, program: ProgramName, transaction: TransactionName) -> bool {
    let effect = Effect::of(program, transaction);
    !exchange.blocking.hides(program, Some(transaction))
        && exchange.policies.set().may_name(Asker::from(who), program, transaction, effect)
}

async fn programs(exchange: &Exchange, who: &Principal) -> Result<Value, Problem> {
    let all = exchange.catalog.programs().await.map_err(|error| problem::of_m3(&error))?;
    let policies = exchange.policies.set();
    let told = all.iter().filter(|program| {
        policies.may_enter(Asker::from(who), program.name) && !exchange.blocking.hides(program.name, None)
    });
    let told: Vec<_> =
        told.map(|one| json!({ "@name": one.name.as_str(), "@description": &*one.description })).collect();
    Ok(json!({ "Program": told }))
}

async fn one_program(
    exchange: &Exchange,
    who: &Principal,
    visit: &Visit,
    name: &str,
) -> Result<(ProgramName, Vec<Arc<TransactionLayout>>), Problem> {
    let unknown = || Problem::new(Kind::RouteUnknown, "There is no such program, or nothing of it may be called.");
    let program = ProgramName::parse(name).map_err(|_| unknown())?;
    // Whoever may call nothing of it learns of no block either, and has M3 asked nothing.
    if !exchange.policies.set().may_enter(Asker::from(who), program) {
        return Err(unknown());
    }
    if let Some(problem) = blocked::by_program(exchange, program, who, visit) {
        return Err(problem);
    }
    let transactions = exchange.catalog.transactions(program).await.map_err(|error| problem::of_m3(&error))?;
    let named: Vec<_> =
        transactions.iter().map(|one| one.name).filter(|name| may_call(exchange, who, program, *name)).collect();
    if named.is_empty() {
        return Err(unknown());
    }
    let layouts = futures_util::stream::iter(named).map(|name| exchange.catalog.layout(program, name));
    let layouts: Vec<Arc<TransactionLayout>> =
        layouts.buffered(AT_ONCE).try_collect().await.map_err(|error: catalog::Error| match error {
            catalog::Error::Unavailable { source, .. } => problem::of_m3(&source),
            catalog::Error::Disagreement { .. } => refused::layout_unstable(),
            catalog::Error::ProgramNotFound(_) | catalog::Error::TransactionNotFound { .. } => unknown(),
        })?;
    Ok((program, layouts))
}

fn transaction(layout: &TransactionLayout) -> Value {
    json!({
        "@name": layout.name.as_str(),
        "@description": &*layout.description,
        "@effect": Effect::of(layout.program, layout.name).to_string(),
        "@multiple": layout.multi,
        "Input": { "Field": fields(&layout.input, true) },
        "Output": { "Field": fields(&layout.output, false) },
    })
}

fn fields(layout: &Layout, input: bool) -> Vec<Value> {
    let told = |field: &FieldLayout| {
        let mut told = json!({
            "@name": field.name.as_str(),
            "@type": field.kind.letter().to_string(),
            "@length": field.length,
            "@description": &*field.description,
        });
        if input {
            told["@mandatory"] = field.mandatory.into();
        }
        told
    };
    layout.fields().iter().map(told).collect()
}

fn tagged(shelved: Shelved, asked: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&shelved.hash[..16]));
    let held = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let fresh = held.flat_map(|value| value.split(',')).any(|value| {
        let value = value.trim();
        value == "*" || value.trim_start_matches("W/") == tag
    });
    let mut response = if fresh { Response::new(full("")) } else { Response::new(full(shelved.text)) };
    if fresh {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    // What a client may call is its own, and may change with the next rule.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    // Base64 in quotes: nothing that a header could not hold.
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    response
}
