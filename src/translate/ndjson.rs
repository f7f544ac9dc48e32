//! One record a line (application/x-ndjson): nothing around them, and a last line that says how the list ended.

use super::document::{Failure, Mark};
use super::table::Table;
use super::v2::string;
use crate::model::{FieldName, Record};

pub(super) fn record(table: &Table, record: &Record, out: &mut Vec<u8>) {
    out.push(b'{');
    let before = |written: usize, name: FieldName, out: &mut Vec<u8>| {
        out.extend_from_slice(if written > 0 { b",\"" } else { b"\"" });
        // A field name is letters and digits: nothing to escape.
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b"\":");
    };
    table.write(record, out, before, b"");
    out.extend_from_slice(b"}\n");
}

/// `records`, whether more were there, and why it ended if it did not end well. A reader without this line lost some.
pub(super) fn tail(rows: u64, failure: Option<&Failure>, mark: Option<&Mark>, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"@end\":{{\"records\":{rows}").as_bytes());
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
        let of = [
            ("errorMessage", failure.message.as_str()),
            ("errorCode", &failure.code),
            ("errorField", &failure.field),
            ("errorType", failure.kind),
        ];
        for (name, value) in of {
            out.push(b',');
            string(name, out);
            out.push(b':');
            string(value, out);
        }
    }
    out.extend_from_slice(b"}}\n");
}
