//! What a mapping may do to a value. Pure: text in, text out; a value that doesn't fit becomes blank, never something
//! that M3 didn't say.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// From one code to another, by a table of the mapping file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) words: HashMap<Box<str>, Box<str>>,
    /// For a value that the table doesn't have; without it the value itself.
    pub(super) other: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Function {
    /// yyyyMMdd to yyyy-MM-dd; M3's empty date to nothing.
    Date,
    /// Milliseconds since 1970 to an instant.
    Moment,
    /// Nothing for 0.
    Nonzero,
    /// 0 and 1 to false and true.
    Flag,
    /// Days to a duration.
    Days,
    Upper,
    Lower,
    /// Of whole numbers.
    Times(i64),
    Map(Arc<Table>),
}

/// The names that a mapping file may use, for a hint.
pub(super) const NAMES: &str = "date, instant, nonzero, flag, days, upper, lower, times(N), map(TABLE), plus(VALUE), append(VALUE), prepend(VALUE), \
    or(VALUE)";

impl Function {
    pub(super) fn apply<'a>(&'a self, text: Cow<'a, str>) -> Cow<'a, str> {
        if text.is_empty() {
            return text;
        }
        match self {
            Self::Date => date(&text).map_or(Cow::Borrowed(""), Cow::Owned),
            Self::Moment => instant(&text).map_or(Cow::Borrowed(""), Cow::Owned),
            Self::Nonzero if is_zero(&text) => Cow::Borrowed(""),
            Self::Nonzero => text,
            Self::Flag => Cow::Borrowed(match text.as_ref() {
                "0" => "false",
                "1" => "true",
                _ => "",
            }),
            Self::Days => text.parse::<u32>().map_or(Cow::Borrowed(""), |days| Cow::Owned(format!("P{days}D"))),
            Self::Upper => Cow::Owned(text.to_uppercase()),
            Self::Lower => Cow::Owned(text.to_lowercase()),
            Self::Times(by) => {
                let product = text.parse::<i64>().ok().and_then(|number| number.checked_mul(*by));
                product.map_or(Cow::Borrowed(""), |product| Cow::Owned(product.to_string()))
            }
            Self::Map(table) => match table.words.get(text.as_ref()).or(table.other.as_ref()) {
                Some(word) => Cow::Borrowed(word),
                None => text,
            },
        }
    }
}

/// Of whole numbers; blank counts as 0, unless both are.
pub(super) fn plus<'a>(one: Cow<'a, str>, other: Cow<'a, str>) -> Cow<'a, str> {
    if one.is_empty() || other.is_empty() {
        return if one.is_empty() { other } else { one };
    }
    let sum = one.parse::<i64>().ok().zip(other.parse::<i64>().ok()).and_then(|(one, other)| one.checked_add(other));
    sum.map_or(Cow::Borrowed(""), |sum| Cow::Owned(sum.to_string()))
}

fn is_zero(number: &str) -> bool {
    number.bytes().all(|b| matches!(b, b'0' | b'.' | b'-'))
}

fn date(text: &str) -> Option<String> {
    let digits = text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit());
    // M3's word for "without an end", and its empty date, are no days.
    if !digits || text == "99999999" || is_zero(text) {
        return None;
    }
    let (year, month, day) = (&text[..4], &text[4..6], &text[6..]);
    jiff::civil::Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    Some([year, month, day].join("-"))
}

fn instant(text: &str) -> Option<String> {
    let since = text.parse::<i64>().ok().filter(|since| *since > 0)?;
    let at = jiff::Timestamp::from_millisecond(since).ok()?;
    Some(format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(function: &Function, text: &str) -> String {
        function.apply(Cow::Borrowed(text)).into_owned()
    }

    #[test]
    fn a_date_is_a_day_and_no_date_is_nothing() {
        assert_eq!(of(&Function::Date, "20260131"), "2026-01-31");
        for none in ["0", "00000000", "99999999", "20260230", "2026", "", "x"] {
            assert_eq!(of(&Function::Date, none), "", "{none}");
        }
    }

    #[test]
    fn an_instant_is_written_only_of_one() {
        assert_eq!(of(&Function::Moment, "1767225600123"), "2026-01-01T00:00:00.123Z");
        assert_eq!(of(&Function::Moment, "0"), "");
    }

    #[test]
    fn numbers_are_added_and_multiplied_as_whole_ones() {
        assert_eq!(of(&Function::Times(1000), "10"), "10000");
        assert_eq!(of(&Function::Times(1000), "1.5"), "");
        assert_eq!(plus(Cow::Borrowed("10000"), Cow::Borrowed("2")), "10002");
        assert_eq!(plus(Cow::Borrowed("10000"), Cow::Borrowed("")), "10000");
        assert_eq!(of(&Function::Nonzero, "0.00"), "");
        assert_eq!(of(&Function::Days, "14"), "P14D");
    }

    #[test]
    fn a_table_has_words_and_one_for_the_rest() {
        let table = |other: Option<&str>| {
            let words = HashMap::from([("90".into(), "Closed".into())]);
            Function::Map(Arc::new(Table { words, other: other.map(Into::into) }))
        };
        assert_eq!(of(&table(Some("Open")), "90"), "Closed");
        assert_eq!(of(&table(Some("Open")), "20"), "Open");
        assert_eq!(of(&table(None), "20"), "20");
        assert_eq!(of(&table(Some("Open")), ""), "", "what M3 left blank stays out");
    }
}
