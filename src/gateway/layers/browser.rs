//! What browsers and slow lines need: leave to ask from another origin, and answers in fewer bytes.

use super::super::body::{Body, Fault, Response};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method};
use http_body_util::BodyExt;
use std::time::Duration;
use tower_http::CompressionLevel;
use tower_http::compression::predicate::{And, NotForContentType, Predicate, SizeAbove};
use tower_http::compression::{CompressionBody, CompressionLayer};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember what it was told.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Only for the origins that are named, and without cookies: the token is in a header that the page itself sets.
pub(crate) fn cors(origins: &[HeaderValue]) -> Option<CorsLayer> {
    const ASKED: [HeaderName; 11] = [
        ACCEPT,
        AUTHORIZATION,
        CONTENT_TYPE,
        IF_NONE_MATCH,
        HeaderName::from_static("dpop"),
        HeaderName::from_static("fnd-csrf-token"),
        HeaderName::from_static("idempotency-key"),
        HeaderName::from_static("mi-next"),
        HeaderName::from_static("positionkey"),
        HeaderName::from_static("traceparent"),
        HeaderName::from_static("x-infor-ionapi-platform"),
    ];
    const TOLD: [HeaderName; 12] = [
        ETAG,
        RETRY_AFTER,
        WWW_AUTHENTICATE,
        HeaderName::from_static("dpop-nonce"),
        HeaderName::from_static("mi-decision"),
        HeaderName::from_static("mi-truncated"),
        HeaderName::from_static("mi-next"),
        HeaderName::from_static("mi-outcome"),
        HeaderName::from_static("mi-withheld"),
        HeaderName::from_static("ratelimit"),
        HeaderName::from_static("ratelimit-policy"),
        HeaderName::from_static("x-request-id"),
    ];
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins.iter().cloned()))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(ASKED)
            .expose_headers(TOLD)
            .max_age(REMEMBERED)
    })
}

/// The fastest level: a processor costs more than a line. Lines of records go out one by one, so they are left alone.
pub(crate) fn compression(from: u64) -> CompressionLayer<And<SizeAbove, NotForContentType>> {
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(from).and(NotForContentType::const_new("application/x-ndjson")))
}

/// The compressed body back to ours.
pub(crate) fn unzipped(response: http::Response<CompressionBody<Body>>) -> Response {
    response.map(|body| body.map_err(Fault::new).boxed_unsync())
}
