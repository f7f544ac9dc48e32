//! What the service tells of itself. Nothing here changes anything.

use super::super::body::{Response, full};
use super::super::visit::Visit;
use super::Settings;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

pub(super) fn ping(visit: &Visit) -> Response {
    told(visit, &json!({ "status": "OK" }))
}

pub(super) fn versions(visit: &Visit) -> Response {
    told(visit, &json!(["v2", "v3"]))
}

/// Messages come by `/v3/message/multipart`. Which documents come is set where they come from, as the service's own pages
/// advise; who asks is told all the same.
pub(super) fn protocol(visit: &Visit) -> Response {
    told(visit, &json!({ "version": "v3", "messageMethod": "message", "hasDiscovery": false }))
}

/// What is taken here, and what comes from here.
pub(super) fn discovery(visit: &Visit, settings: &Settings) -> Response {
    let shadowed = settings.senders.iter().any(|sender| sender.point().is_none());
    let shadowed = settings.shadowed.iter().filter(|_| shadowed).map(String::as_str);
    let takes: Vec<&str> = ["Confirm.BOD", "Acknowledge.PurchaseOrder"].into_iter().chain(shadowed).collect();
    let logical_id = &settings.logical_id;
    told(
        visit,
        &json!({ "logicalId": logical_id, "receives": takes, "sends": ["Sync.*", "Process.PurchaseOrder", "Confirm.BOD"] }),
    )
}

pub(super) fn told(visit: &Visit, body: &Value) -> Response {
    visit.learnt().outcome = Some("ok");
    let mut response = Response::new(full(body.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
