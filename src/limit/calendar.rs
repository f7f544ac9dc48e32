//! Days and months of a zone, as quotas count them. The time is an argument.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use std::fmt;

/// Over what a quota counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Per {
    Day,
    Month,
}

impl Per {
    pub const ALL: [Self; 2] = [Self::Day, Self::Month];

    pub fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|per| per.word() == word)
    }
}

/// One day or month: its first day, and where it begins and ends in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: Date,
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// The day and the month that it is somewhere.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Calendar {
    zone: TimeZone,
    pub(super) day: Span,
    pub(super) month: Span,
}

impl Calendar {
    pub(super) fn at(now: u64, zone: &TimeZone) -> Self {
        let now = i64::try_from(now).ok().and_then(|now| Timestamp::from_second(now).ok()).unwrap_or(Timestamp::MAX);
        let today = zone.to_datetime(now).date();
        let (day, month) = (Span::of(Per::Day, today, zone), Span::of(Per::Month, today, zone));
        Self { zone: zone.clone(), day, month }
    }

    pub(super) fn holds(&self, now: u64, zone: &TimeZone) -> bool {
        (self.day.begin..self.day.end).contains(&now) && self.zone == *zone
    }

    pub(super) fn span(&self, per: Per) -> Span {
        match per {
            Per::Day => self.day,
            Per::Month => self.month,
        }
    }
}

impl Span {
    pub(super) fn of(per: Per, date: Date, zone: &TimeZone) -> Self {
        let (first, last) = match per {
            Per::Day => (date, date),
            Per::Month => (date.first_of_month(), date.last_of_month()),
        };
        // A zone may skip midnight: its day begins with the first instant that there is.
        let begins = |date: Date| {
            let begin = zone.to_timestamp(date.to_datetime(Time::midnight()));
            begin.ok().and_then(|begin| u64::try_from(begin.as_second()).ok())
        };
        let end = last.tomorrow().ok().and_then(begins).unwrap_or(u64::MAX);
        Self { first, begin: begins(first).unwrap_or_default(), end }
    }

    pub(super) fn seconds(&self) -> u64 {
        self.end.saturating_sub(self.begin)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.first, f)
    }
}
