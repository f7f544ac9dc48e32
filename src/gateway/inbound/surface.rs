//! What the service tells of itself. Nothing here changes anything.

use super::super::body::{Response, full};
use super::super::visit::Visit;
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
pub(super) fn discovery(visit: &Visit, logical_id: &str) -> Response {
    let takes = ["Confirm.BOD", "Acknowledge.PurchaseOrder"];
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
