//! How the ION Messaging Service wants a message written: in two parts, or as JSON.
//!
//! Source: Infor's public pages on the ION Messaging Service and on message headers. The content is deflated (zlib), as
//! M3 itself sends it.

use super::failure::Failure;
use super::message::Message;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Map, Value, json};
use std::io::Write;

/// A body, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) content_type: String,
    pub(super) body: Vec<u8>,
}

/// Lengths that ION takes.
const NARROW: usize = 22;
const DOCUMENT_ID: usize = 100;
const BOD_ID: usize = 255;
const MESSAGE_ID: usize = 250;

/// What ION would refuse, before it is asked.
pub(super) fn misfit(message: &Message<'_>, tenant: &str) -> Option<String> {
    let texts = [
        ("tenantId", tenant, NARROW),
        ("messageId", message.id, MESSAGE_ID),
        ("accountingEntity", message.entity, NARROW),
        ("location", message.location, NARROW),
        ("documentId", message.document_id, DOCUMENT_ID),
        ("bodId", message.bod_id, BOD_ID),
    ];
    let long = texts.into_iter().find(|(_, text, most)| text.chars().count() > *most);
    long.map(|(name, text, most)| format!("ION takes {most} characters of {name}, and it has {text:?}"))
}

/// To be packed where others wait for the thread: about a millisecond.
const AT_ONCE: usize = 64 * 1024;

/// The document, packed.
pub(super) async fn packed(xml: &str) -> Result<Vec<u8>, Failure> {
    if xml.len() <= AT_ONCE {
        return Ok(deflated(xml));
    }
    let xml = xml.to_owned();
    let failed = |error| Failure::passing(format!("the document could not be packed: {error}"));
    tokio::task::spawn_blocking(move || deflated(&xml)).await.map_err(failed)
}

pub(super) fn multipart(message: &Message<'_>, payload: &[u8]) -> Written {
    let request = request(message).to_string();
    // It must not stand in what it parts. JSON has no line that begins with it; the payload is looked through.
    let boundary = (0..).map(|n: u32| format!("mi-gateway-{n}")).find(|one| !stands(payload, one.as_bytes()));
    let boundary = boundary.unwrap_or_default();
    let part = |name: &str, kind: &str| {
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n")
    };
    let mut body = Vec::with_capacity(payload.len() + request.len() + 400);
    body.extend_from_slice(part("ParameterRequest", "application/json; charset=UTF-8").as_bytes());
    body.extend_from_slice(request.as_bytes());
    body.extend_from_slice(b"\r\n");
    body.extend_from_slice(part("MessagePayload", "application/octet-stream").as_bytes());
    body.extend_from_slice(payload);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    Written { content_type: format!("multipart/form-data; boundary={boundary}"), body }
}

pub(super) fn json(message: &Message<'_>, payload: &[u8]) -> Written {
    let mut request = request(message);
    request["document"] = json!({
        "value": STANDARD.encode(payload),
        "encoding": "DEFLATE",
        "characterSet": "UTF-8",
    });
    Written { content_type: "application/json".to_owned(), body: request.to_string().into_bytes() }
}

/// The message's headers by their JSON names; what is blank is left out.
fn request(message: &Message<'_>) -> Value {
    let mut all = Map::new();
    let texts = [
        ("documentName", message.name()),
        ("messageId", message.id.to_owned()),
        ("fromLogicalId", message.from.to_owned()),
        ("toLogicalId", message.to.to_owned()),
        ("accountingEntity", message.entity.to_owned()),
        ("location", message.location.to_owned()),
        ("documentId", message.document_id.to_owned()),
        ("bodId", message.bod_id.to_owned()),
        ("creationDateTime", message.created.to_owned()),
        ("encoding", "DEFLATE".to_owned()),
        ("characterSet", "UTF-8".to_owned()),
    ];
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        all.insert(name.to_owned(), text.into());
    }
    all.insert("variationId".to_owned(), message.variation.into());
    Value::Object(all)
}

fn deflated(xml: &str) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(xml.len() / 4), Compression::default());
    // Writing into memory can't fail.
    let written = encoder.write_all(xml.as_bytes()).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

fn stands(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}
