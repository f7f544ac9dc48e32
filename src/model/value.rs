//! Text to MI value and back: one canonical form a type, so that what is decided is what is sent.
//!
//! Numbers are digits with a sign and a point, read from the text and never through a float; dates are yyyyMMdd;
//! key fields are upper case; text loses its trailing blanks; `?` is a value of its own.
//! Invariant: parsing a canonical form gives that form again.

use super::conventions::{Conventions, DateForm, DecimalSign};
use super::layout::{FieldKind, FieldLayout};
use std::borrow::Cow;
use std::fmt;

/// A value that may be sent to M3.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    Text(Box<str>),
    /// Canonical digits: `-12.5`, `0`, `100`.
    Number(Box<str>),
    /// yyyyMMdd, or `0` for M3's empty date.
    Date(Box<str>),
    /// `?`: M3 is asked to blank the field.
    Cleared,
}

impl Value {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number(text) | Self::Date(text) => text,
            Self::Cleared => "?",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no value of its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueFault {
    #[error("is longer than {most} characters")]
    TooLong { most: u16 },
    #[error("is not a number; write digits with an optional leading minus and a decimal point")]
    NotANumber,
    #[error("is not a date of the form asked for")]
    NotADate,
    #[error("has a control character")]
    Control,
}

impl Value {
    /// Reads what a caller gave for a field. `None`: nothing but blanks, which M3 takes as not given.
    pub fn parse(field: &FieldLayout, given: &str, dates: DateForm) -> Result<Option<Self>, ValueFault> {
        if given.chars().any(char::is_control) {
            return Err(ValueFault::Control);
        }
        let text = given.trim_end_matches(' ');
        if text.is_empty() {
            return Ok(None);
        }
        if text == "?" {
            return Ok(Some(Self::Cleared));
        }
        let value = match field.kind {
            FieldKind::Alphanumeric => {
                let cased = if is_key(field.name.as_str()) { upper(text) } else { Cow::Borrowed(text) };
                Self::Text(cased.into())
            }
            FieldKind::Number => Self::Number(number(text).ok_or(ValueFault::NotANumber)?.into()),
            FieldKind::Date => Self::Date(date(text, dates).ok_or(ValueFault::NotADate)?.into()),
        };
        // A code page may need more units than this; the session counts again with its own charset.
        if value.as_str().encode_utf16().count() > usize::from(field.length) {
            return Err(ValueFault::TooLong { most: field.length });
        }
        Ok(Some(value))
    }
}

fn upper(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_lowercase()) || !text.is_ascii() {
        Cow::Owned(text.to_uppercase())
    } else {
        Cow::Borrowed(text)
    }
}

fn number(text: &str) -> Option<String> {
    let text = text.trim_matches(' ');
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    canonical_digits(negative, digits, '.')
}

fn canonical_digits(negative: bool, digits: &str, point: char) -> Option<String> {
    let (whole, part) = digits.split_once(point).unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(part) || (whole.is_empty() && part.is_empty()) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let part = part.trim_end_matches('0');
    let mut out = String::with_capacity(digits.len() + 2);
    if negative && !(whole.is_empty() && part.is_empty()) {
        out.push('-');
    }
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if !part.is_empty() {
        out.push('.');
        out.push_str(part);
    }
    Some(out)
}

fn date(text: &str, dates: DateForm) -> Option<String> {
    let text = text.trim_matches(' ');
    if text.bytes().all(|b| b == b'0') {
        return Some("0".into());
    }
    dates.read(text)
}

/// How M3's text of a number reads under the session's conventions: leading and trailing minus, comma or point.
/// What is no number is handed on untouched, for M3's data is never a reason to fail a read.
pub(super) fn number_from_m3(text: &str, conventions: Conventions) -> Cow<'_, str> {
    let trimmed = text.trim_matches(' ');
    let (negative, digits) = match (trimmed.strip_suffix('-'), trimmed.strip_prefix('-')) {
        (Some(rest), _) => (true, rest.trim_end_matches(' ')),
        (None, Some(rest)) => (true, rest),
        (None, None) => (false, trimmed),
    };
    let comma = conventions.decimal == DecimalSign::Comma && digits.contains(',');
    if !negative && !comma {
        return Cow::Borrowed(trimmed);
    }
    let plain = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
    if digits.is_empty() || !digits.chars().all(plain) {
        return Cow::Borrowed(trimmed);
    }
    let digits = if comma { Cow::Owned(digits.replace(',', ".")) } else { Cow::Borrowed(digits) };
    Cow::Owned(if negative { format!("-{digits}") } else { digits.into_owned() })
}

/// How a canonical number is written for the session's user.
pub(super) fn number_to_m3(number: &str, conventions: Conventions) -> Cow<'_, str> {
    if conventions.decimal == DecimalSign::Comma && number.contains('.') {
        Cow::Owned(number.replace('.', ","))
    } else {
        Cow::Borrowed(number)
    }
}

impl Value {
    /// The text that goes into the columns of a session with these conventions.
    pub fn for_session(&self, conventions: Conventions) -> Cow<'_, str> {
        match self {
            Self::Number(number) => number_to_m3(number, conventions),
            Self::Text(text) | Self::Date(text) => Cow::Borrowed(text),
            Self::Cleared => Cow::Borrowed("?"),
        }
    }
}

/// Fields that name a record: M3 keeps them in upper case, so `itno=abc` and `ITNO=ABC` are one value.
pub fn is_key(field: &str) -> bool {
    KEYS.binary_search(&field).is_ok()
}

const KEYS: &[&str] = &[
    "ADID", "AIT1", "AIT2", "AIT3", "AIT4", "AIT5", "AIT6", "AIT7", "AITM", "BANO", "BUYE", "CDIV", "CONO", "CPDIVI",
    "CUCD", "CUNO", "CUTP", "DIVI", "EXIN", "FACI", "ITCL", "ITGR", "ITNO", "ITTY", "LANC", "MINM", "MODL", "MSGN",
    "ORNO", "ORTP", "ORTY", "PLGR", "POPN", "PRCD", "PRNO", "PUNO", "PYNO", "RESP", "SMCD", "STAT", "STRT", "SUCL",
    "SUNO", "SUTY", "TEDL", "TEPY", "TRNM", "UNMS", "USID", "WHLO", "WHSL",
];

#[cfg(test)]
mod tests {
    use super::super::names::FieldName;
    use super::*;
    use proptest::prelude::*;

    fn field(name: &str, kind: FieldKind, length: u16) -> FieldLayout {
        let name = FieldName::parse(name).expect("a field name of the test");
        FieldLayout { name, kind, from: 16, length, mandatory: false, description: "".into() }
    }

    fn parsed(name: &str, kind: FieldKind, given: &str) -> Result<Option<String>, ValueFault> {
        Value::parse(&field(name, kind, 17), given, DateForm::Ymd8).map(|v| v.map(|v| v.to_string()))
    }

    #[test]
    fn the_tables_are_sorted_for_the_search() {
        assert!(KEYS.is_sorted());
    }

    #[test]
    fn every_spelling_of_a_number_has_one_form() {
        for (given, expected) in [
            ("0100", "100"),
            (" 100", "100"),
            ("100.00", "100"),
            ("-0", "0"),
            (".5", "0.5"),
            ("-1.50", "-1.5"),
            ("12345678901234.17", "12345678901234.17"),
            ("0.1", "0.1"),
        ] {
            assert_eq!(parsed("ORQT", FieldKind::Number, given), Ok(Some(expected.into())), "{given:?}");
        }
        for given in ["1e2", "+1", "1,5", "0x10", "1-", "--1", ".", "1.2.3", "NaN"] {
            assert_eq!(parsed("ORQT", FieldKind::Number, given), Err(ValueFault::NotANumber), "{given:?}");
        }
    }

    #[test]
    fn keys_are_upper_case_and_descriptions_are_not() {
        assert_eq!(parsed("ITNO", FieldKind::Alphanumeric, "abc  "), Ok(Some("ABC".into())));
        assert_eq!(parsed("ITDS", FieldKind::Alphanumeric, "Abc  "), Ok(Some("Abc".into())));
    }

    #[test]
    fn a_question_mark_is_a_value_of_its_own() {
        let given = Value::parse(&field("CRLM", FieldKind::Number, 17), "?", DateForm::Ymd8);
        assert_eq!(given, Ok(Some(Value::Cleared)));
    }

    #[test]
    fn control_characters_are_refused() {
        assert_eq!(parsed("ITDS", FieldKind::Alphanumeric, "a\0b"), Err(ValueFault::Control));
        assert_eq!(parsed("ITDS", FieldKind::Alphanumeric, "a\nb"), Err(ValueFault::Control));
    }

    #[test]
    fn both_minus_signs_of_m3_are_read() {
        let comma = Conventions { decimal: DecimalSign::Comma };
        for (from_m3, expected) in [("   12,50-", "-12.50"), ("-12,50", "-12.50"), ("12,5", "12.5"), ("7", "7")] {
            assert_eq!(number_from_m3(from_m3, comma), expected);
        }
        assert_eq!(number_from_m3("12.5-", Conventions::default()), "-12.5");
        assert_eq!(number_from_m3("N/A", comma), "N/A");
    }

    proptest! {
        #[test]
        fn a_canonical_form_is_its_own_canonical_form(given in "-?[0-9]{0,9}(\\.[0-9]{0,6})?") {
            if let Ok(Some(once)) = parsed("ORQT", FieldKind::Number, &given) {
                prop_assert_eq!(parsed("ORQT", FieldKind::Number, &once), Ok(Some(once.clone())));
            }
        }

        #[test]
        fn a_number_survives_the_way_to_m3_and_back(given in "-?[1-9][0-9]{0,9}(\\.[0-9]{0,5}[1-9])?", comma: bool) {
            let decimal = if comma { DecimalSign::Comma } else { DecimalSign::Point };
            let conventions = Conventions { decimal };
            let sent = number_to_m3(&given, conventions).into_owned();
            prop_assert_eq!(number_from_m3(&sent, conventions), given);
        }
    }
}
