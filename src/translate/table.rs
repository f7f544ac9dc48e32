//! Which columns of a record are told, in which order and how each value is written.

use super::fault::{Fault, FaultKind};
use super::options::Options;
use super::v2::string;
use crate::model::{DateForm, FieldKind, FieldLayout, FieldName, Record, TransactionLayout};
use std::borrow::Cow;
use std::sync::Arc;

/// The columns of one answer.
#[derive(Debug, Clone)]
pub struct Table {
    layout: Arc<TransactionLayout>,
    columns: Vec<u16>,
    exclude_empty: bool,
    right_trim: bool,
    dates: DateForm,
}

impl Table {
    /// `readable` is the policy's word on each column; what it refuses is left out as if M3 didn't have it.
    pub fn new(
        options: &Options,
        layout: Arc<TransactionLayout>,
        trims_by_default: bool,
        readable: impl Fn(FieldName) -> bool,
    ) -> Result<Self, Fault> {
        let all = layout.output.fields();
        let columns = match &options.columns {
            None => (0..all.len()).filter(|at| readable(all[*at].name)).map(|at| at as u16).collect(),
            Some(names) => {
                let mut columns = Vec::with_capacity(names.len());
                for name in names {
                    let at = layout.output.position(*name).ok_or_else(|| Fault {
                        kind: FaultKind::InputFieldInvalid,
                        field: Some(*name),
                        message: format!("returncols names {name}, which {} does not return", layout.name),
                    })?;
                    if readable(*name) {
                        columns.push(at as u16);
                    }
                }
                columns
            }
        };
        Ok(Self {
            columns,
            exclude_empty: options.exclude_empty,
            right_trim: options.right_trim.unwrap_or(trims_by_default),
            dates: options.dates,
            layout,
        })
    }

    pub fn layout(&self) -> &TransactionLayout {
        &self.layout
    }

    pub(super) fn fields(&self) -> impl ExactSizeIterator<Item = &FieldLayout> {
        self.columns.iter().map(|at| &self.layout.output.fields()[usize::from(*at)])
    }

    /// Field and value, one after the other, empty ones left out where that was asked for.
    pub(super) fn values<'a>(&'a self, record: &'a Record) -> impl Iterator<Item = (FieldName, Cow<'a, str>)> {
        self.fields().filter_map(move |field| Some((field.name, self.value(field, record)?)))
    }

    fn value<'a>(&self, field: &FieldLayout, record: &'a Record) -> Option<Cow<'a, str>> {
        let value = record.value(field);
        if self.exclude_empty && value.is_empty() {
            return None;
        }
        let value = match field.kind {
            FieldKind::Date => self.dates.write(&value).map_or(value, Cow::Owned),
            FieldKind::Alphanumeric | FieldKind::Number => value,
        };
        Some(if self.right_trim { value } else { padded(value, field.length) })
    }

    /// The same as JSON strings, straight from M3's columns where they need no change. `before` writes what stands in
    /// front of a value and gets how many there were, `after` what stands behind it.
    pub(super) fn write(
        &self,
        record: &Record,
        out: &mut Vec<u8>,
        before: impl Fn(usize, FieldName, &mut Vec<u8>),
        after: &[u8],
    ) {
        let mut written = 0;
        for field in self.fields() {
            let start = out.len();
            before(written, field.name, out);
            if !self.json(field, record, out) {
                out.truncate(start);
                continue;
            }
            out.extend_from_slice(after);
            written += 1;
        }
    }

    /// `false`: it is empty, and empty ones are left out.
    fn json(&self, field: &FieldLayout, record: &Record, out: &mut Vec<u8>) -> bool {
        let quote = out.len();
        out.push(b'"');
        let converted = field.kind == FieldKind::Date && self.dates != DateForm::Ymd8;
        if converted || !record.append_plain(field, out) {
            out.truncate(quote);
            let Some(value) = self.value(field, record) else { return false };
            string(&value, out);
            return true;
        }
        let length = out.len() - quote - 1;
        if length == 0 && self.exclude_empty {
            return false;
        }
        if !self.right_trim {
            out.resize(quote + 1 + length.max(usize::from(field.length)), b' ');
        }
        out.push(b'"');
        true
    }
}

fn padded(value: Cow<'_, str>, length: u16) -> Cow<'_, str> {
    let units = value.encode_utf16().count();
    let missing = usize::from(length).saturating_sub(units);
    if missing == 0 {
        return value;
    }
    let mut text = value.into_owned();
    text.extend(std::iter::repeat_n(' ', missing));
    Cow::Owned(text)
}
