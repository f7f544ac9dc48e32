//! The way in, first line outermost: one builder, one order, a reason for each place.

use super::blocked::Blocking;
use super::body::{Body, Fault, Request, Response};
use super::layers::checkpoint::{around, checkpoint};
use super::layers::{access, authn, authz, block, browser, limits, quota, tenant};
use super::problem::{Kind, Problem};
use super::routes::{Routes, routes};
use super::{Parts, Settings};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;
use tower_http::catch_panic::CatchPanicLayer;

/// The whole gateway as one service. Boxed once, here, so that nobody above spells its type.
pub type Service = BoxCloneSyncService<Request, Response, Infallible>;

pub(super) fn stack(parts: &Parts, settings: &Settings) -> Service {
    let bounds = limits::Bounds {
        body: settings.body_limit,
        bulk: settings.bulk.body,
        inbound: settings.inbound.body,
        uri: settings.uri_limit,
        wait: settings.wait,
    };
    let metrics = &parts.metrics;
    let panics = metrics.panics.clone();
    let service = ServiceBuilder::new()
        // Every line below speaks of a request by its id, so the id comes first.
        .layer(around(access::arrive, ()))
        // Sees every request, refused ones too, and the answer that the caller really got.
        .layer(around(access::log, parts.access_log.clone()))
        // Outside of authn: a browser asks whether it may ask before it has a token to ask with. Without origins, absent.
        .option_layer(browser::cors(&settings.cors))
        // Inside the log so that both tell the same status; outside everything that may refuse.
        .layer(around(access::count, metrics.clone()))
        // Below the log, which counts the bytes that were sent. What is small, or comes line by line, is sent as it is.
        .map_response(browser::unzipped)
        .layer(browser::compression(settings.compress_from))
        // tower-http's box back to ours.
        .map_response(|response: http::Response<_>| response.map(rebox))
        // A bug costs one request, not the connection. Log and metrics are outside, so they see the 500.
        .layer(CatchPanicLayer::custom(move |panic: Box<dyn Any + Send>| caught(&panics, panic.as_ref())))
        // Bounds before anybody looks into the request. The time ends the waiting, never a write: that has its own task.
        .layer(around(limits::wait, bounds))
        .layer(checkpoint(limits::size, bounds))
        // Who are you? Before quota, for rates are counted by client and not by address.
        .layer(checkpoint(authn::authn, authn::Authn { verifier: parts.verifier.clone(), metrics: metrics.clone() }))
        // How often? Before policy, so that a client that hammers at closed doors runs into its rate.
        .layer(checkpoint(
            quota::quota,
            quota::Quota { limits: parts.limits.clone(), metrics: metrics.clone(), audit: parts.audit.clone() },
        ))
        // On your own tenant's path?
        .layer(checkpoint(
            tenant::tenant,
            tenant::Tenancy { policies: parts.policies.clone(), metrics: metrics.clone(), audit: parts.audit.clone() },
        ))
        // Blocked by hand? Before any rule is asked; behind quota, so that who hammers on does not fill the audit log.
        .layer(checkpoint(block::block, blocking(parts)))
        // May you do anything here at all? What exactly is decided on typed values, in `exchange`.
        .layer(checkpoint(
            authz::authz,
            authz::Authz {
                policies: parts.policies.clone(),
                metrics: metrics.clone(),
                audit: parts.audit.clone(),
                inbound_scope: settings.inbound.scope.as_str().into(),
                resource: Arc::clone(parts.verifier.resource()),
            },
        ))
        .service(tower::service_fn(routes(Routes::new(parts, settings))));
    BoxCloneSyncService::new(service)
}

pub(super) fn blocking(parts: &Parts) -> Blocking {
    let (policies, metrics, audit) = (parts.policies.clone(), parts.metrics.clone(), parts.audit.clone());
    Blocking { stops: parts.stops.clone(), policies, metrics, audit }
}

fn rebox(body: tower_http::body::UnsyncBoxBody<Bytes, tower::BoxError>) -> Body {
    body.map_err(Fault::new).boxed_unsync()
}

fn caught(panics: &prometheus::IntCounter, panic: &(dyn Any + Send)) -> http::Response<Body> {
    panics.inc();
    let told = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = told.unwrap_or("of an unknown kind"), "a request met a bug");
    Problem::new(Kind::Internal, "The request met a bug in the gateway.").response(String::new())
}
