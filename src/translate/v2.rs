//! The v2 document: `results[]`, flat records of strings, counters with their historical spelling.
//!
//! `records` is always there, also when empty or failed; error members are absent on success, never null:
//! clients read the first before they look for an error, and test for the second by name.

use super::document::{Failure, Mark};
use super::options::Format;
use super::table::Table;
use crate::model::{FieldName, Input, Record, TransactionName};
use serde_json::ser::CompactFormatter;
use std::io::Write as _;

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

pub(super) fn open(format: Format, out: &mut Vec<u8>) {
    out.push(b'{');
    line(format, 1, out);
    string("results", out);
    colon(format, out);
    out.push(b'[');
}

/// One result begins; `first`: of its document.
pub(super) fn open_result(transaction: &str, first: bool, format: Format, out: &mut Vec<u8>) {
    if !first {
        out.push(b',');
    }
    line(format, 2, out);
    out.push(b'{');
    member(format, 3, "transaction", transaction, out);
}

pub(super) fn open_records(format: Format, out: &mut Vec<u8>) {
    out.push(b',');
    line(format, 3, out);
    string("records", out);
    colon(format, out);
    out.push(b'[');
}

pub(super) fn head(table: &Table, format: Format, parameters: Option<&[Input]>, out: &mut Vec<u8>) {
    open(format, out);
    open_result(table.layout().name.as_str(), true, format, out);
    echo(table, format, parameters, out);
    open_records(format, out);
}

/// The inputs as they were sent, where `extendedresult` asks for them.
pub(super) fn echo(table: &Table, format: Format, parameters: Option<&[Input]>, out: &mut Vec<u8>) {
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
    let empty = out.len();
    let before = |written: usize, name: FieldName, out: &mut Vec<u8>| {
        if written > 0 {
            out.push(b',');
        }
        // A field name is letters and digits: nothing to escape.
        line(format, 5, out);
        out.push(b'"');
        out.extend_from_slice(name.as_str().as_bytes());
        out.push(b'"');
        colon(format, out);
    };
    table.write(record, out, before, b"");
    if out.len() > empty {
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

/// What a result says besides its records and its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note<'a> {
    Nothing,
    /// There were more records, or some are not for the caller.
    More(&'a Mark),
    /// The run ended before it.
    NotProcessed,
    /// M3 took it and says nothing of it.
    NotReported,
}

/// The end of one result.
pub(super) fn close_result(format: Format, rows: u64, failure: Option<&Failure>, note: Note<'_>, out: &mut Vec<u8>) {
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
    match note {
        Note::Nothing => {}
        Note::More(mark) => {
            if mark.truncated {
                bare(format, 3, "truncated", "true", out);
            }
            if mark.withheld > 0 {
                bare(format, 3, "withheld", &mark.withheld.to_string(), out);
            }
            // `next` is ours; `positionKey` is what newer clients of M3 look for. It is the same cursor.
            for name in ["next", "positionKey"] {
                if let Some(next) = &mark.next {
                    out.push(b',');
                    member(format, 3, name, next, out);
                }
            }
        }
        Note::NotProcessed => bare(format, 3, "notProcessed", "true", out),
        Note::NotReported => bare(format, 3, "outcome", "\"not-reported\"", out),
    }
    line(format, 2, out);
    out.push(b'}');
}

/// How many transactions ended in which way; the spelling of the first is M3's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(in crate::translate) successful: u64,
    pub(in crate::translate) failed: u64,
    pub(in crate::translate) not_processed: u64,
}

/// The end of the document: whether and why the run was cut short, and the counters.
pub(super) fn close(format: Format, counts: Counts, cut: Option<(&str, &str)>, job: Option<&str>, out: &mut Vec<u8>) {
    line(format, 1, out);
    out.push(b']');
    bare(format, 1, "wasTerminated", if cut.is_some() { "true" } else { "false" }, out);
    if let Some((reason, kind)) = cut {
        for (name, value) in [("terminationReason", reason), ("terminationErrorType", kind)] {
            out.push(b',');
            member(format, 1, name, value, out);
        }
    }
    if let Some(job) = job {
        out.push(b',');
        member(format, 1, "bulkJobId", job, out);
    }
    for (name, count) in [
        ("nrOfSuccessfullTransactions", counts.successful),
        ("nrOfFailedTransactions", counts.failed),
        ("nrOfNotProcessedTransactions", counts.not_processed),
    ] {
        bare(format, 1, name, "", out);
        // Writing into a Vec has no way to fail.
        let _ = write!(out, "{count}");
    }
    line(format, 0, out);
    out.push(b'}');
}

pub(super) fn tail(format: Format, rows: u64, failure: Option<&Failure>, mark: Option<&Mark>, out: &mut Vec<u8>) {
    close_result(format, rows, failure, mark.map_or(Note::Nothing, Note::More), out);
    let failed = u64::from(failure.is_some());
    let counts = Counts { successful: 1 - failed, failed, not_processed: 0 };
    let cut = failure.filter(|failure| failure.terminated).map(|failure| (failure.message.as_str(), failure.kind));
    close(format, counts, cut, None, out);
}

fn bare(format: Format, depth: usize, name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b',');
    line(format, depth, out);
    string(name, out);
    colon(format, out);
    out.extend_from_slice(value.as_bytes());
}

pub(super) fn failed(transaction: TransactionName, format: Format, failure: &Failure, out: &mut Vec<u8>) {
    open(format, out);
    open_result(transaction.as_str(), true, format, out);
    open_records(format, out);
    tail(format, 0, Some(failure), None, out);
}
