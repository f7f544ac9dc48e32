//! A message from its body: in two parts, or in one as JSON or XML. Read as it comes, and never more of it than may be.

use super::super::body::{Body, Fault, ReadFault, has_media_type, read, read_fault};
use super::super::layers::limits::too_large;
use super::super::problem::{Kind, Problem};
use super::ImsCall;
use super::message::{Head, Message, packing};
use crate::bod::words;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use multer::{Constraints, Field, Multipart, SizeLimit, parse_boundary};

/// Names of the parts.
const REQUEST: &str = "ParameterRequest";
const PAYLOAD: &str = "MessagePayload";
/// Bytes of a message's headers.
const MOST_HEAD: usize = 64 * 1024;
/// Two are needed; what else there is means nothing here.
const MOST_PARTS: usize = 4;
/// RFC 2046.
const MOST_BOUNDARY: usize = 70;

pub(super) async fn message(call: ImsCall, headers: &HeaderMap, body: Body, most: usize) -> Result<Message, Problem> {
    match call {
        ImsCall::Single => single(headers, body, most).await,
        _ => multipart(headers, body, most).await,
    }
}

fn unreadable(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::MessageUnreadable, detail.into())
}

async fn multipart(headers: &HeaderMap, body: Body, most: usize) -> Result<Message, Problem> {
    let Some(boundary) = boundary(headers) else {
        let detail = "The call has a body of multipart/form-data, and its boundary in Content-Type.";
        return Err(Problem::new(Kind::MediaTypeUnsupported, detail));
    };
    let bytes = u64::try_from(most).unwrap_or(u64::MAX);
    let bounds = Constraints::new().size_limit(SizeLimit::new().whole_stream(bytes).per_field(bytes));
    let mut parts = Multipart::with_constraints(body.into_data_stream(), boundary, bounds);
    let (mut head, mut payload): (Option<Head>, Option<Bytes>) = (None, None);
    for _ in 0..=MOST_PARTS {
        let Some(mut part) = parts.next_field().await.map_err(|error| broken(&error, most))? else {
            let (Some(head), Some(payload)) = (head, payload) else {
                return Err(unreadable(format!("The message needs two parts, {REQUEST} and {PAYLOAD}.")));
            };
            let packing = packing(head.encoding.as_deref(), head.character_set.as_deref()).map_err(unreadable)?;
            return Ok(Message { head, payload, packing });
        };
        let (name, is_json) = (part.name().unwrap_or_default().to_owned(), is_json(&part));
        // An older service gives both parts one name: the one that is JSON says what the other is.
        let (twice, what) = if name == REQUEST || (name != PAYLOAD && is_json) {
            (head.is_some(), REQUEST)
        } else {
            (payload.is_some(), PAYLOAD)
        };
        if twice {
            return Err(unreadable(format!("The message has a second part that could be its {what}.")));
        }
        if what == REQUEST {
            let text = gathered(&mut part, MOST_HEAD.min(most), most).await?;
            head = Some(parsed(&text)?);
        } else {
            payload = Some(gathered(&mut part, most, most).await?.into());
        }
    }
    Err(unreadable(format!("The message has more than {MOST_PARTS} parts.")))
}

fn is_json(part: &Field<'_>) -> bool {
    part.content_type().is_some_and(|kind| kind.essence_str() == "application/json")
}

async fn gathered(part: &mut Field<'_>, room: usize, most: usize) -> Result<Vec<u8>, Problem> {
    let mut held = Vec::new();
    while let Some(chunk) = part.chunk().await.map_err(|error| broken(&error, most))? {
        if held.len() + chunk.len() > room {
            return Err(too_large(room));
        }
        held.extend_from_slice(&chunk);
    }
    Ok(held)
}

/// Multipart of either kind.
fn boundary(headers: &HeaderMap) -> Option<String> {
    if !has_media_type(headers, &["multipart/form-data", "multipart/mixed"]) {
        return None;
    }
    let (_, parameters) = headers.get(CONTENT_TYPE)?.to_str().ok()?.split_once(';')?;
    let boundary = parse_boundary(format!("multipart/form-data;{parameters}")).ok()?;
    (1..=MOST_BOUNDARY).contains(&boundary.len()).then_some(boundary)
}

fn broken(error: &multer::Error, most: usize) -> Problem {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => too_large(most),
        multer::Error::StreamReadFailed(cause) => match cause.downcast_ref::<Fault>().map(read_fault) {
            Some(ReadFault::TooLarge) => too_large(most),
            _ => unreadable("The message broke off."),
        },
        other => unreadable(format!("The message's parts can't be told from each other: {other}.")),
    }
}

/// A name that is there twice is a fault of its own.
fn parsed(text: &[u8]) -> Result<Head, Problem> {
    serde_json::from_slice(text).map_err(|error| unreadable(format!("The message's headers can't be read: {error}.")))
}

fn of_xml(text: &[u8]) -> Result<Head, Problem> {
    let text = std::str::from_utf8(text).map_err(|_| unreadable("The message is no UTF-8."))?;
    let words = words(text).map_err(|why| unreadable(format!("The message can't be read. {why}")))?;
    Ok(Head::of_words(words))
}

async fn single(headers: &HeaderMap, body: Body, most: usize) -> Result<Message, Problem> {
    let is_xml = has_media_type(headers, &["application/xml", "text/xml"]);
    if !is_xml && !has_media_type(headers, &["application/json", "text/json"]) {
        let detail = "The call has a body of application/json or application/xml.";
        return Err(Problem::new(Kind::MediaTypeUnsupported, detail));
    }
    let text = read(body, most).await.map_err(|fault| match fault {
        ReadFault::TooLarge => too_large(most),
        ReadFault::Broken => unreadable("The message broke off."),
    })?;
    let mut head = if is_xml { of_xml(&text)? } else { parsed(&text)? };
    let Some(content) = head.document.take() else { return Err(unreadable("The message has no document.")) };
    let packed = packing(content.encoding.as_deref(), content.character_set.as_deref()).map_err(unreadable)?;
    let payload = match packed {
        super::message::Packing::None => content.value.into_bytes(),
        super::message::Packing::Deflate => STANDARD
            .decode(content.value.trim().as_bytes())
            .map_err(|_| unreadable("The document's value is deflated and not in base64."))?,
    };
    Ok(Message { head, payload: payload.into(), packing: packed })
}
