//! The single execute of m3api-rest, v1 and v2: one GET, one transaction, whatever its effect.

use super::super::body::{Request, Response, full};
use super::super::exchange::{Answer, Exchange};
use super::super::intent;
use super::super::problem::{Kind, Problem};
use super::super::refused::Refused;
use super::super::route::Version;
use super::super::visit::Visit;
use super::answer;
use crate::model::Principal;
use crate::translate::{Asked, Document, Failure, Shape, read};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::sync::Arc;

pub(in crate::gateway) async fn execute(
    exchange: &Exchange,
    version: Version,
    tail: usize,
    request: Request,
    visit: &Arc<Visit>,
) -> Response {
    let (request, _) = request.into_parts();
    // HEAD and OPTIONS never reach M3: a HEAD on a delete would delete.
    if request.method != Method::GET {
        let detail = "An execute call is a GET, for writes as for reads.";
        return Problem::new(Kind::MethodNotAllowed, detail).allow("GET").answer(visit);
    }
    let Some(who) = request.extensions.get::<Arc<Principal>>() else {
        return Problem::new(Kind::TokenMissing, "The call has no principal.").challenge(None).answer(visit);
    };
    let mut asked = match read(&request.uri.path()[tail..], request.uri.query()) {
        Ok(asked) => asked,
        Err(fault) => return Problem::new(Kind::RequestUnreadable, fault.to_string()).answer(visit),
    };
    if let Err(detail) = take_cursor(&mut asked, &request.headers) {
        return Problem::new(Kind::RequestUnreadable, detail).answer(visit);
    }
    if let Err(problem) = intent::take_key(&request.headers, visit) {
        return problem.answer(visit);
    }
    let shape = shape(version, &request.headers);
    match exchange.run(&asked, shape, who, visit).await {
        Ok(answer) => written(answer, asked, shape, visit).await,
        Err(refused) => failed(refused, &asked, version, shape, visit),
    }
}

/// `mi-next` is the name that the answer gave it; `positionkey` is what newer clients of M3 send.
fn take_cursor(asked: &mut Asked, headers: &HeaderMap) -> Result<(), &'static str> {
    for name in ["mi-next", "positionkey"] {
        for value in headers.get_all(name) {
            let cursor = value.to_str().map_err(|_| "The cursor is not plain text.")?;
            if asked.cursor.replace(cursor.to_owned()).is_some() {
                return Err("The cursor is given twice; say it once, as mi-next, positionkey or _cursor.");
            }
        }
    }
    Ok(())
}

async fn written(answer: Answer, asked: Asked, shape: Shape, visit: &Arc<Visit>) -> Response {
    let list = answer.table.layout().multi;
    let document = Document::new(shape, answer.table, asked.options, answer.inputs);
    let mut response = answer::answer(document, answer.listing, list, visit.clone()).await;
    if !answer.reported {
        *response.status_mut() = StatusCode::ACCEPTED;
        response.headers_mut().insert("mi-outcome", HeaderValue::from_static("not-reported"));
    }
    dress(&mut response, shape);
    response
}

/// A fault found before M3: 200 in v1, 400 in v2. M3's own NOK: 200 in both.
fn failed(refused: Refused, asked: &Asked, version: Version, shape: Shape, visit: &Visit) -> Response {
    let (failure, status, outcome) = match refused {
        Refused::Problem(problem) => return problem.answer(visit),
        Refused::Nok(failure) => (failure, StatusCode::OK, "nok"),
        Refused::Fault(fault) => {
            let status = match version {
                Version::V1 => StatusCode::OK,
                Version::V2 => StatusCode::BAD_REQUEST,
            };
            (Failure::fault(&fault), status, fault.kind.as_str())
        }
    };
    visit.learnt().outcome = Some(outcome);
    let text = Document::failed(shape, asked.transaction, &asked.options, &failure);
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    dress(&mut response, shape);
    response
}

/// MI answers are never kept by anything on the way: GET is used for writes too.
pub(super) fn dress(response: &mut Response, shape: Shape) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(shape.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// v1 answers XML unless JSON is asked for at least as much, as M3 does; v2 answers JSON. Either gives lines to whoever
/// asks for them by name, at least as much as for anything else that is on offer.
fn shape(version: Version, headers: &HeaderMap) -> Shape {
    let (mut json, mut xml, mut lines) = (0, 0, 0);
    for part in headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')) {
        let mut words = part.split(';').map(str::trim);
        let media = words.next().unwrap_or_default().to_ascii_lowercase();
        let quality = words.find_map(|word| word.strip_prefix("q=")).map_or(1_000, thousandths);
        match media.as_str() {
            "application/json" | "text/json" => json = json.max(quality),
            "application/xml" | "text/xml" => xml = xml.max(quality),
            "application/x-ndjson" | "application/ndjson" => lines = lines.max(quality),
            _ => {}
        }
    }
    match version {
        _ if lines > 0 && lines >= json && lines >= xml => Shape::Lines,
        Version::V2 => Shape::V2,
        Version::V1 if json > 0 && json >= xml => Shape::V1Json,
        Version::V1 => Shape::V1Xml,
    }
}

/// `0.85` is 850; what is no quality counts as none.
fn thousandths(text: &str) -> u32 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{part:0<3}");
    if part.len() <= 3 { digits.parse().unwrap_or(0).min(1_000) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str) -> Shape {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).expect("a header of the test"));
        shape(Version::V1, &headers)
    }

    #[test]
    fn v1_is_xml_unless_json_is_asked_for() {
        for accept in
            ["application/json", "application/json;q=0.9, application/xml;q=0.5", "text/html, application/json"]
        {
            assert_eq!(accepted(accept), Shape::V1Json, "{accept}");
        }
        for accept in ["*/*", "application/xml", "application/json;q=0", "application/json;q=0.2, application/xml"] {
            assert_eq!(accepted(accept), Shape::V1Xml, "{accept}");
        }
        assert_eq!(shape(Version::V1, &HeaderMap::new()), Shape::V1Xml);
        assert_eq!(accepted("application/x-ndjson"), Shape::Lines);
        assert_eq!(accepted("application/x-ndjson;q=0.5, application/json"), Shape::V1Json);
    }
}
