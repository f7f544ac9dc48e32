//! What the clock on the wall says at a place.
//!
//! Does not know: where zones' rules come from; each is handed in ready.

use crate::model::{Company, Division, Place};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// Zones of a site's places. A division's own wins over its company's, that over the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zones {
    default: Option<TimeZone>,
    companies: BTreeMap<Company, TimeZone>,
    divisions: BTreeMap<(Company, Division), TimeZone>,
}

/// The time of a day there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Local {
    pub(super) minute: i64,
    /// Monday is 1.
    pub(super) weekday: i64,
}

const DAY: i64 = 86_400;

impl Zones {
    /// `whose`: `default`, a company as `200`, or a division as `100/AAA`; `false` when it is none of them.
    #[must_use]
    pub fn set(&mut self, whose: &str, zone: TimeZone) -> bool {
        let (company, division) = match whose.split_once('/') {
            _ if whose == "default" => {
                self.default = Some(zone);
                return true;
            }
            Some((company, division)) => (company, Some(division)),
            None => (whose, None),
        };
        let Ok(company) = Company::parse(company) else { return false };
        match division.map(Division::parse) {
            None => self.companies.insert(company, zone),
            Some(Ok(division)) if !division.is_blank() => self.divisions.insert((company, division), zone),
            Some(_) => return false,
        };
        true
    }

    pub fn is_empty(&self) -> bool {
        self.default.is_none() && self.companies.is_empty() && self.divisions.is_empty()
    }

    fn of(&self, place: Place) -> Option<&TimeZone> {
        self.divisions
            .get(&(place.company, place.division))
            .or_else(|| self.companies.get(&place.company))
            .or(self.default.as_ref())
    }

    /// `None` where no zone is set: UTC would be a guess, and hours that are a guess protect nothing.
    pub(super) fn local(&self, place: Place, unix_seconds: u64) -> Option<Local> {
        let seconds = i64::try_from(unix_seconds).ok()?;
        let at = Timestamp::from_second(seconds).ok()?;
        let offset = self.of(place)?.to_offset(at);
        Some(Local::of(seconds + i64::from(offset.seconds())))
    }
}

impl Local {
    /// Of seconds since 1970 by the clock that is meant.
    pub(super) fn of(seconds: i64) -> Self {
        // 1970-01-01 was a Thursday.
        Self { minute: seconds.rem_euclid(DAY) / 60, weekday: (seconds.div_euclid(DAY) + 3).rem_euclid(7) + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(all: &[(&str, &str)]) -> Zones {
        let mut zones = Zones::default();
        for (whose, name) in all {
            assert!(zones.set(whose, TimeZone::get(name).expect("a zone")), "{whose}");
        }
        zones
    }

    fn at(zones: &Zones, company: u16, division: &str, moment: &str) -> Option<(i64, i64)> {
        let place = Place {
            company: Company::new(company).expect("a company"),
            division: Division::parse(division).expect("a division"),
        };
        let at: Timestamp = moment.parse().expect("a moment");
        zones.local(place, at.as_second() as u64).map(|local| (local.minute, local.weekday))
    }

    #[test]
    fn clocks_that_change_are_followed_both_ways() {
        let zones = zones(&[("default", "Europe/Stockholm"), ("200", "America/New_York")]);
        for (company, moment, minute, weekday) in [
            // Sunday 2026-03-29, 02:00 becomes 03:00.
            (100, "2026-03-29T00:59:59Z", 119, 7),
            (100, "2026-03-29T01:00:00Z", 180, 7),
            // Sunday 2026-10-25, 03:00 becomes 02:00: the hour comes twice.
            (100, "2026-10-25T00:30:00Z", 150, 7),
            (100, "2026-10-25T01:30:00Z", 150, 7),
            (100, "2026-10-25T02:00:00Z", 180, 7),
            // Sunday 2026-03-08 and 2026-11-01, on the other side of the ocean.
            (200, "2026-03-08T06:59:00Z", 119, 7),
            (200, "2026-03-08T07:00:00Z", 180, 7),
            (200, "2026-11-01T05:30:00Z", 90, 7),
            (200, "2026-11-01T06:30:00Z", 90, 7),
            // Another day than in UTC.
            (100, "2026-11-23T23:30:00Z", 30, 2),
            (200, "2026-11-23T03:00:00Z", 22 * 60, 7),
        ] {
            assert_eq!(at(&zones, company, "", moment), Some((minute, weekday)), "{company} {moment}");
        }
    }

    #[test]
    fn a_divisions_zone_wins_over_its_companys_and_that_over_the_default() {
        let all = zones(&[("default", "UTC"), ("100", "Asia/Tokyo"), ("100/AAA", "Asia/Kolkata")]);
        let of = |company, division| at(&all, company, division, "2026-01-01T00:00:00Z").map(|(minute, _)| minute);
        assert_eq!((of(100, "AAA"), of(100, "BBB"), of(100, "")), (Some(330), Some(540), Some(540)));
        assert_eq!(of(200, "AAA"), Some(0));
        assert_eq!(at(&zones(&[("100", "UTC")]), 200, "", "2026-01-01T00:00:00Z"), None, "nobody guesses");
    }

    #[test]
    fn what_is_no_place_has_no_zone() {
        for whose in ["", "1000", "100/", "100/TOOLONG", "AAA", "Default"] {
            assert!(!Zones::default().set(whose, TimeZone::UTC), "{whose}");
        }
    }
}
