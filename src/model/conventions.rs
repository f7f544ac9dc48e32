//! How one M3 user writes decimals and dates (DSEP, ZDDTFM), and the date forms of the REST contract.

use jiff::civil::{Date, ISOWeekDate, Weekday};

/// DSEP of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DecimalSign {
    #[default]
    Point,
    Comma,
}

/// What the session's user is set to. Values are converted to and from it; nothing above the session sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conventions {
    pub decimal: DecimalSign,
}

/// The six values of the option `dateformat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateForm {
    #[default]
    Ymd8,
    Ymd6,
    Mdy6,
    Dmy6,
    Ywd5,
    Ymd8Dashed,
}

impl DateForm {
    pub const NAMES: &'static [&'static str] = &["YMD8", "YMD6", "MDY6", "DMY6", "YWD5", "YMD8-"];

    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "YMD8" => Self::Ymd8,
            "YMD6" => Self::Ymd6,
            "MDY6" => Self::Mdy6,
            "DMY6" => Self::Dmy6,
            "YWD5" => Self::Ywd5,
            "YMD8-" => Self::Ymd8Dashed,
            _ => return None,
        })
    }

    /// yyyyMMdd to this form; what is no date (`0`, blanks, 99999999) stays as it is.
    pub fn write(self, ymd8: &str) -> Option<String> {
        if self == Self::Ymd8 {
            return None;
        }
        let date = ymd8_date(ymd8)?;
        let (year, month, day) = (date.year(), date.month(), date.day());
        let short = year.rem_euclid(100);
        Some(match self {
            Self::Ymd8 => return None,
            Self::Ymd6 => format!("{short:02}{month:02}{day:02}"),
            Self::Mdy6 => format!("{month:02}{day:02}{short:02}"),
            Self::Dmy6 => format!("{day:02}{month:02}{short:02}"),
            Self::Ywd5 => {
                let week = date.iso_week_date();
                let short = week.year().rem_euclid(100);
                format!("{short:02}{:02}{}", week.week(), week.weekday().to_monday_one_offset())
            }
            Self::Ymd8Dashed => format!("{year:04}-{month:02}-{day:02}"),
        })
    }

    /// This form, or yyyyMMdd, to yyyyMMdd. Two-digit years follow M3's century: 40–99 are 19xx.
    pub fn read(self, text: &str) -> Option<String> {
        if !text.is_ascii() {
            return None;
        }
        if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
            return ymd8_date(text).map(|_| text.to_owned());
        }
        let number = |part: &str| -> Option<i16> {
            if part.bytes().all(|b| b.is_ascii_digit()) { part.parse().ok() } else { None }
        };
        let year = |part: &str| number(part).map(|y| if y >= 40 { 1900 + y } else { 2000 + y });
        let small = |part: &str| number(part).and_then(|n| i8::try_from(n).ok());
        let date = match (self, text.len()) {
            (Self::Ymd6, 6) => Date::new(year(&text[..2])?, small(&text[2..4])?, small(&text[4..])?).ok()?,
            (Self::Mdy6, 6) => Date::new(year(&text[4..])?, small(&text[..2])?, small(&text[2..4])?).ok()?,
            (Self::Dmy6, 6) => Date::new(year(&text[4..])?, small(&text[2..4])?, small(&text[..2])?).ok()?,
            (Self::Ywd5, 5) => {
                let weekday = Weekday::from_monday_one_offset(small(&text[4..])?).ok()?;
                ISOWeekDate::new(year(&text[..2])?, small(&text[2..4])?, weekday).ok()?.date()
            }
            (Self::Ymd8Dashed, 10) if text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-' => {
                Date::new(number(&text[..4])?, small(&text[5..7])?, small(&text[8..])?).ok()?
            }
            _ => return None,
        };
        Some(format!("{:04}{:02}{:02}", date.year(), date.month(), date.day()))
    }
}

fn ymd8_date(text: &str) -> Option<Date> {
    let text = text.trim_end();
    if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Date::new(text[..4].parse().ok()?, text[4..6].parse().ok()?, text[6..].parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_day_in_all_six_forms() {
        let written: Vec<_> = DateForm::NAMES
            .iter()
            .filter_map(|name| DateForm::named(name))
            .map(|form| form.write("20260105").unwrap_or_else(|| "20260105".into()))
            .collect();
        assert_eq!(written, ["20260105", "260105", "010526", "050126", "26021", "2026-01-05"]);
    }

    #[test]
    fn what_is_no_date_is_left_alone() {
        for text in ["0", "", "99999999", "20260231", "abc"] {
            assert_eq!(DateForm::Dmy6.write(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_date_comes_back_from_every_form(year in 1940i16..2040, month in 1i8..=12, day in 1i8..=28, which in 0usize..6) {
            let ymd8 = format!("{year:04}{month:02}{day:02}");
            let form = DateForm::named(DateForm::NAMES[which]).expect("a name of the list");
            let written = form.write(&ymd8).unwrap_or_else(|| ymd8.clone());
            // The ISO year of a week may lie outside the century window at its very edges.
            if !(form == DateForm::Ywd5 && (ymd8.starts_with("1940") || ymd8.starts_with("2039"))) {
                prop_assert_eq!(form.read(&written), Some(ymd8));
            }
        }
    }
}
