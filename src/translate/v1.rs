//! The v1 JSON document: `MIRecord` of name-value pairs, `Metadata` on request.
//!
//! `Metadata.Field` is always an array. M3 itself writes a lone field as an object, which its own SDK stumbles over;
//! every known client takes the array.

use super::document::{Failure, Mark};
use super::table::Table;
use super::v2::string;
use crate::model::{FieldName, Record};
use std::io::Write as _;

pub(super) fn head(table: &Table, metadata: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"Program\":");
    string(table.layout().program.as_str(), out);
    out.extend_from_slice(b",\"Transaction\":");
    string(table.layout().name.as_str(), out);
    if metadata {
        out.extend_from_slice(b",\"Metadata\":{\"Field\":[");
        for (at, field) in table.fields().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"@name\":");
            string(field.name.as_str(), out);
            out.extend_from_slice(b",\"@type\":");
            string(field.kind.letter().encode_utf8(&mut [0; 4]), out);
            let _ = write!(out, ",\"@length\":{},\"@description\":", field.length);
            string(&field.description, out);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b",\"MIRecord\":[");
}

pub(super) fn record(table: &Table, record: &Record, row: u64, out: &mut Vec<u8>) {
    if row > 0 {
        out.push(b',');
    }
    // Writing into a Vec has no way to fail.
    let _ = write!(out, "{{\"RowIndex\":{row},\"NameValue\":[");
    let before = |written: usize, name: FieldName, out: &mut Vec<u8>| {
        out.extend_from_slice(if written > 0 { b",{\"Name\":\"" } else { b"{\"Name\":\"" });
        // A field name is letters and digits: nothing to escape.
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b"\",\"Value\":");
    };
    table.write(record, out, before, b"}");
    out.extend_from_slice(b"]}");
}

pub(super) fn tail(failure: Option<&Failure>, mark: Option<&Mark>, out: &mut Vec<u8>) {
    out.push(b']');
    if let Some(mark) = mark {
        if mark.truncated {
            out.extend_from_slice(b",\"truncated\":true");
        }
        if mark.withheld > 0 {
            out.extend_from_slice(format!(",\"withheld\":{}", mark.withheld).as_bytes());
        }
        if let Some(next) = &mark.next {
            out.extend_from_slice(b",\"next\":");
            string(next, out);
        }
    }
    if let Some(failure) = failure {
        out.extend_from_slice(b",\"ErrorMessage\":");
        failed(failure, out);
    }
    out.push(b'}');
}

/// The five error properties, as NOK answers them at the top level.
pub(super) fn failed(failure: &Failure, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"@type\":");
    string(failure.kind, out);
    out.extend_from_slice(b",\"@code\":");
    string(&failure.code, out);
    out.extend_from_slice(b",\"@field\":");
    string(&failure.field, out);
    out.extend_from_slice(b",\"@cfg\":null,\"Message\":");
    string(&failure.message, out);
    out.push(b'}');
}
