//! What M3 answers: a record of columns, or a refusal (NOK).

use super::charset::Charset;
use super::conventions::Conventions;
use super::layout::{FieldKind, FieldLayout, Layout};
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

    /// A record that says these values, of what was kept by field. What the layout no longer has is left out.
    pub fn of_values<'a>(layout: &Layout, values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let end = |from: u16, length: u16| usize::from(from).saturating_sub(1) + usize::from(length);
        let width = layout.fields().iter().map(|field| end(field.from, field.length)).max().unwrap_or_default();
        let mut columns = vec![u16::from(b' '); width];
        for (name, value) in values {
            let known = FieldName::parse(name).ok().and_then(|name| layout.field(name));
            let Some(field) = known else { continue };
            let from = usize::from(field.from).saturating_sub(1);
            for (column, unit) in columns[from..end(field.from, field.length)].iter_mut().zip(value.encode_utf16()) {
                *column = unit;
            }
        }
        let payload: Vec<u8> = columns.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        Self::new(payload.into(), Charset::Ucs2, Conventions::default())
    }

    /// The columns of a field as they came, without trailing blanks. A reply cut short reads as blank.
    pub fn text(&self, field: &FieldLayout) -> Cow<'_, str> {
        self.charset.decode_trimmed(self.columns(field))
    }

    /// Appends the value where it goes into a JSON string as it stands: printable ASCII without anything to escape or to
    /// convert, which is nearly every value of M3. `false`: nothing was appended, and `value` is the way.
    pub fn append_plain(&self, field: &FieldLayout, out: &mut Vec<u8>) -> bool {
        let plain = self.plain(field, |low| (low != b'"') & (low != b'\\'));
        out.extend(plain.unwrap_or_default().iter().map(|[_, low]| *low));
        plain.is_some()
    }

    /// The same for the text of an XML element or attribute.
    pub fn append_plain_xml(&self, field: &FieldLayout, out: &mut String) -> bool {
        let plain = self.plain(field, |low| (low != b'"') & (low != b'&') & (low != b'<') & (low != b'>'));
        out.extend(plain.unwrap_or_default().iter().map(|[_, low]| char::from(*low)));
        plain.is_some()
    }

    /// The field's columns, where they are its value as they stand; `goes` says which printable characters may.
    fn plain(&self, field: &FieldLayout, goes: impl Fn(u8) -> bool) -> Option<&[[u8; 2]]> {
        if self.charset != Charset::Ucs2 {
            return None;
        }
        let (mut pairs, _) = self.columns(field).as_chunks::<2>();
        while let [rest @ .., [0, b' ' | 0]] = pairs {
            pairs = rest;
        }
        // One pass without a branch in it: many characters at a time.
        let plain = pairs
            .iter()
            .fold(true, |all, [high, low]| all & (*high == 0) & (*low >= b' ') & (*low < 0x7f) & goes(*low));
        let as_it_stands = match field.kind {
            FieldKind::Alphanumeric => true,
            FieldKind::Number => pairs.iter().all(|[_, low]| low.is_ascii_digit() || *low == b'.'),
            FieldKind::Date => pairs.first() != Some(&[0, b' ']),
        };
        (plain && as_it_stands).then_some(pairs)
    }

    fn columns(&self, field: &FieldLayout) -> &[u8] {
        let unit = self.charset.unit();
        let from = (usize::from(field.from).saturating_sub(1) * unit).min(self.payload.len());
        let to = (from + usize::from(field.length) * unit).min(self.payload.len());
        &self.payload[from..to]
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
