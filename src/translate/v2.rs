//! The v2 document: `results[]`, flat records of strings, counters with their historical spelling.
//!
//! `records` is always there, also when empty or failed; error members are absent on success, never null:
//! clients read the first before they look for an error, and test for the second by name.

use super::document::Failure;
use super::options::Format;
use super::table::Table;
use crate::model::{Input, Record, TransactionName};
use serde_json::ser::CompactFormatter;

/// Line break and indentation, as the format asks for it.
fn line(format: Format, depth: usize, out: &mut Vec<u8>) {
    // Five levels are the deepest of this document.
    const BREAK: &[u8] = b"\n          ";
    if format == Format::Pretty {
        out.extend_from_slice(&BREAK[..(1 + 2 * depth).min(BREAK.len())]);
    }
}

fn colon(format: Format, out: &mut Vec<u8>) {
    out.extend_from_slice(if format == Format::Pretty { b" : " } else { b":" });
}

/// A JSON string; serde_json's own rules of escaping.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    let plain = |b: u8| b >= 0x20 && b != b'"' && b != b'\\' && b != 0x7f;
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, CompactFormatter);
    // Writing a str into a Vec has no way to fail.
    let _ = serde::Serializer::serialize_str(&mut serializer, text);
}

fn member(format: Format, depth: usize, name: &str, value: &str, out: &mut Vec<u8>) {
    line(format, depth, out);
    string(name, out);
    colon(format, out);
    string(value, out);
}

fn open(transaction: TransactionName, format: Format, out: &mut Vec<u8>) {
    out.push(b'{');
    line(format, 1, out);
    string("results", out);
    colon(format, out);
    out.extend_from_slice(b"[");
    line(format, 2, out);
    out.push(b'{');
    member(format, 3, "transaction", transaction.as_str(), out);
}

fn open_records(format: Format, out: &mut Vec<u8>) {
    out.push(b',');
    line(format, 3, out);
    string("records", out);
    colon(format, out);
    out.push(b'[');
}

pub(super) fn head(table: &Table, format: Format, parameters: Option<&[Input]>, out: &mut Vec<u8>) {
    open(table.layout().name, format, out);
    if let Some(inputs) = parameters {
        out.push(b',');
        line(format, 3, out);
        string("parameters", out);
        colon(format, out);
        out.push(b'{');
        for (at, input) in inputs.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let field = &table.layout().input.fields()[usize::from(input.at)];
            member(format, 4, field.name.as_str(), input.value.as_str(), out);
        }
        if !inputs.is_empty() {
            line(format, 3, out);
        }
        out.push(b'}');
    }
    open_records(format, out);
}

pub(super) fn record(table: &Table, format: Format, record: &Record, row: u64, out: &mut Vec<u8>) {
    if row > 0 {
        out.push(b',');
    }
    if format == Format::Compact {
        out.push(b'\n');
    }
    line(format, 4, out);
    out.push(b'{');
    let mut first = true;
    for (name, value) in table.values(record) {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        // A field name is letters and digits: nothing to escape.
        line(format, 5, out);
        out.push(b'"');
        out.extend_from_slice(name.as_str().as_bytes());
        out.push(b'"');
        colon(format, out);
        string(&value, out);
    }
    if !first {
        line(format, 4, out);
    }
    out.push(b'}');
}

fn errors(format: Format, failure: &Failure, out: &mut Vec<u8>) {
    for (name, value) in [
        ("errorMessage", failure.message.as_str()),
        ("errorCode", failure.code.as_str()),
        ("errorCfg", ""),
        ("errorField", failure.field.as_str()),
        ("errorType", failure.kind),
    ] {
        out.push(b',');
        member(format, 3, name, value, out);
    }
}

pub(super) fn tail(format: Format, rows: u64, failure: Option<&Failure>, out: &mut Vec<u8>) {
    if rows > 0 {
        if format == Format::Compact {
            out.push(b'\n');
        }
        line(format, 3, out);
    }
    out.push(b']');
    if let Some(failure) = failure {
        errors(format, failure, out);
    }
    line(format, 2, out);
    out.push(b'}');
    line(format, 1, out);
    out.push(b']');
    let terminated = failure.is_some_and(|f| f.terminated);
    bare(format, "wasTerminated", if terminated { "true" } else { "false" }, out);
    if let Some(failure) = failure.filter(|f| f.terminated) {
        for (name, value) in [("terminationReason", failure.message.as_str()), ("terminationErrorType", failure.kind)] {
            out.push(b',');
            member(format, 1, name, value, out);
        }
    }
    let failed = failure.is_some();
    bare(format, "nrOfSuccessfullTransactions", if failed { "0" } else { "1" }, out);
    bare(format, "nrOfFailedTransactions", if failed { "1" } else { "0" }, out);
    bare(format, "nrOfNotProcessedTransactions", "0", out);
    line(format, 0, out);
    out.push(b'}');
}

fn bare(format: Format, name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b',');
    line(format, 1, out);
    string(name, out);
    colon(format, out);
    out.extend_from_slice(value.as_bytes());
}

pub(super) fn failed(transaction: TransactionName, format: Format, failure: &Failure, out: &mut Vec<u8>) {
    open(transaction, format, out);
    open_records(format, out);
    tail(format, 0, Some(failure), out);
}
