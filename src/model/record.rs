//! What M3 answers: a record of columns, or a refusal (NOK).

use super::charset::Charset;
use super::conventions::Conventions;
use super::layout::{FieldKind, FieldLayout};
use super::names::FieldName;
use super::value::{Value, number_from_m3};
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;

/// One reply message with data, still in M3's columns: nothing is decoded before somebody asks for the field.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The whole payload; column 1 is the first unit of the status.
    payload: Bytes,
    charset: Charset,
    conventions: Conventions,
}

impl Record {
    pub fn new(payload: Bytes, charset: Charset, conventions: Conventions) -> Self {
        Self { payload, charset, conventions }
    }

    /// The columns of a field as they came, without trailing blanks. A reply cut short reads as blank.
    pub fn text(&self, field: &FieldLayout) -> Cow<'_, str> {
        let unit = self.charset.unit();
        let from = (usize::from(field.from).saturating_sub(1) * unit).min(self.payload.len());
        let to = (from + usize::from(field.length) * unit).min(self.payload.len());
        self.charset.decode_trimmed(&self.payload[from..to])
    }

    /// The value in its canonical form: numbers with a leading minus and a point whatever the session's user prefers.
    pub fn value(&self, field: &FieldLayout) -> Cow<'_, str> {
        match (field.kind, self.text(field)) {
            (FieldKind::Alphanumeric, text) => text,
            (FieldKind::Number, Cow::Borrowed(text)) => number_from_m3(text, self.conventions),
            (FieldKind::Number, Cow::Owned(text)) => shortened(text, |text| number_from_m3(text, self.conventions)),
            (FieldKind::Date, Cow::Borrowed(text)) => Cow::Borrowed(text.trim_start_matches(' ')),
            (FieldKind::Date, Cow::Owned(text)) => shortened(text, |text| Cow::Borrowed(text.trim_start_matches(' '))),
        }
    }

    pub fn size(&self) -> usize {
        self.payload.len()
    }
}

/// The text itself where nothing was taken from it or put into it: most values are as M3 wrote them.
fn shortened<'a>(text: String, change: impl Fn(&str) -> Cow<'_, str>) -> Cow<'a, str> {
    let changed = match change(&text) {
        Cow::Borrowed(same) if same.len() == text.len() => None,
        other => Some(other.into_owned()),
    };
    Cow::Owned(changed.unwrap_or(text))
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Business data stays out of logs.
        write!(f, "Record({} bytes)", self.payload.len())
    }
}

/// NOK: M3 understood the call and said no. The session stays usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub message: String,
    /// `XAU0008`, `WIT0103`; empty when M3 gave none.
    pub id: String,
    pub field: Option<FieldName>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.trim())
    }
}

impl Value {
    /// A value read from a record, as something that may be sent again.
    pub fn of_record(record: &Record, field: &FieldLayout) -> Option<Self> {
        let text = record.value(field);
        Self::parse(field, &text, super::conventions::DateForm::Ymd8).ok().flatten()
    }
}
