//! The v1 XML document: root `miResult`, or `ErrorMessage` for a failure before any record.

use super::document::Failure;
use super::table::Table;
use crate::model::Record;
use std::io::Write as _;

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
const NAMESPACE: &str = " xmlns=\"http://lawson.com/m3/miaccess\"";

/// Text and attribute values alike; what XML 1.0 can't hold becomes U+FFFD, so that no record poisons a document.
fn text(value: &str, out: &mut Vec<u8>) {
    let plain = |b: u8| (0x20..0x80).contains(&b) && !matches!(b, b'&' | b'<' | b'>' | b'"');
    if value.bytes().all(plain) {
        return out.extend_from_slice(value.as_bytes());
    }
    for c in value.chars() {
        match c {
            '&' => out.extend_from_slice(b"&amp;"),
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '"' => out.extend_from_slice(b"&quot;"),
            '\t' => out.extend_from_slice(b"&#9;"),
            '\n' => out.extend_from_slice(b"&#10;"),
            '\r' => out.extend_from_slice(b"&#13;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.extend_from_slice("\u{fffd}".as_bytes()),
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn element(name: &str, value: &str, out: &mut Vec<u8>) {
    [b"<", name.as_bytes(), b">"].iter().for_each(|part| out.extend_from_slice(part));
    text(value, out);
    [b"</", name.as_bytes(), b">"].iter().for_each(|part| out.extend_from_slice(part));
}

fn attribute(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!(" {name}=\"").as_bytes());
    text(value, out);
    out.push(b'"');
}

pub(super) fn head(table: &Table, metadata: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{DECLARATION}<miResult{NAMESPACE}>").as_bytes());
    element("Program", table.layout().program.as_str(), out);
    element("Transaction", table.layout().name.as_str(), out);
    if metadata {
        out.extend_from_slice(b"<Metadata>");
        for field in table.fields() {
            out.extend_from_slice(b"<Field");
            attribute("name", field.name.as_str(), out);
            attribute("type", field.kind.letter().encode_utf8(&mut [0; 4]), out);
            attribute("length", &field.length.to_string(), out);
            attribute("description", &field.description, out);
            out.extend_from_slice(b"/>");
        }
        out.extend_from_slice(b"</Metadata>");
    }
}

pub(super) fn record(table: &Table, record: &Record, row: u64, out: &mut Vec<u8>) {
    // Writing into a Vec has no way to fail.
    let _ = write!(out, "<MIRecord><RowIndex>{row}</RowIndex>");
    for (name, value) in table.values(record) {
        out.extend_from_slice(b"<NameValue>");
        element("Name", name.as_str(), out);
        element("Value", &value, out);
        out.extend_from_slice(b"</NameValue>");
    }
    out.extend_from_slice(b"</MIRecord>");
}

pub(super) fn tail(failure: Option<&Failure>, out: &mut Vec<u8>) {
    if let Some(failure) = failure {
        error(failure, "", out);
    }
    out.extend_from_slice(b"</miResult>");
}

pub(super) fn failed(failure: &Failure, out: &mut Vec<u8>) {
    out.extend_from_slice(DECLARATION.as_bytes());
    error(failure, NAMESPACE, out);
}

fn error(failure: &Failure, namespace: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("<ErrorMessage{namespace}").as_bytes());
    attribute("type", failure.kind, out);
    attribute("code", &failure.code, out);
    attribute("field", &failure.field, out);
    out.push(b'>');
    element("Message", &failure.message, out);
    out.extend_from_slice(b"</ErrorMessage>");
}
