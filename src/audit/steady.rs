//! Whether the wall clock can be believed, before anything is removed for its age.
//!
//! Invariant: a clock that jumps ahead, while the gateway runs or while it does not, makes nothing old until it has gone
//! on from there for a whole day by a clock that nobody sets. By then somebody has seen it: no token is good so far ahead.
//! Does not know: what is removed.

use std::time::{Duration, Instant};

/// A longer jump is doubted: a machine that slept, or was switched off over a weekend, waits a day and no more.
const JUMP: u64 = 2 * 24 * 3_600;
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A moment by both clocks: seconds since 1970, and one that only ever goes on.
#[derive(Debug, Clone, Copy)]
struct Moment {
    wall: u64,
    steady: Instant,
}

impl Moment {
    /// What the wall clock should say now.
    fn now(self, steady: Instant) -> u64 {
        self.wall.saturating_add(steady.saturating_duration_since(self.steady).as_secs())
    }
}

#[derive(Debug)]
pub(super) struct Steady {
    trusted: Moment,
    /// Since when the wall clock says something else.
    doubted: Option<Moment>,
}

/// The clock says the first, and it should say about the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Doubted(pub(super) u64, pub(super) u64);

impl Steady {
    /// `last`: when the last run wrote its last line.
    pub(super) fn new(last: Option<u64>, wall: u64, steady: Instant) -> Self {
        let ahead = last.filter(|last| wall > last.saturating_add(JUMP));
        let doubted = ahead.map(|_| Moment { wall, steady });
        Self { trusted: Moment { wall: ahead.unwrap_or(wall), steady }, doubted }
    }

    pub(super) fn look(&mut self, wall: u64, steady: Instant) -> Result<(), Doubted> {
        let now = Moment { wall, steady };
        let expected = self.trusted.now(steady);
        if wall <= expected.saturating_add(JUMP) {
            self.doubted = None;
            return Ok(());
        }
        let since = self.doubted.filter(|since| wall.abs_diff(since.now(steady)) <= JUMP);
        let since = *self.doubted.insert(since.unwrap_or(now));
        if steady.saturating_duration_since(since.steady) < DAY {
            return Err(Doubted(wall, expected));
        }
        (self.trusted, self.doubted) = (now, None);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 1_800_000_000;
    const YEARS: u64 = 5 * 365 * 24 * 3_600;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3_600)
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_believed_after_a_day_that_it_went_on() {
        let begun = Instant::now();
        let mut clock = Steady::new(None, AT, begun);
        assert_eq!(clock.look(AT + 3_600, begun + hours(1)), Ok(()));
        assert!(clock.look(AT + YEARS, begun + hours(2)).is_err());
        assert!(clock.look(AT + YEARS + 22 * 3_600, begun + hours(24)).is_err(), "not yet");
        assert!(clock.look(AT + 2 * YEARS, begun + hours(26)).is_err(), "it jumped again, and the day begins anew");
        assert_eq!(clock.look(AT + 28 * 3_600, begun + hours(28)), Ok(()), "it was set right");
        assert!(clock.look(AT + YEARS, begun + hours(29)).is_err());
        assert_eq!(clock.look(AT + YEARS + 24 * 3_600, begun + hours(53)), Ok(()));
        assert_eq!(clock.look(AT + YEARS + 25 * 3_600, begun + hours(54)), Ok(()));
    }

    #[test]
    fn a_start_long_after_the_last_line_is_doubted_and_one_soon_after_is_not() {
        let begun = Instant::now();
        assert_eq!(Steady::new(Some(AT), AT + 3_600, begun).look(AT + 3_600, begun), Ok(()));
        assert_eq!(Steady::new(Some(AT + YEARS), AT, begun).look(AT, begun), Ok(()), "it was ahead, and is right now");
        let mut late = Steady::new(Some(AT), AT + YEARS, begun);
        assert_eq!(late.look(AT + YEARS, begun), Err(Doubted(AT + YEARS, AT)));
        assert_eq!(late.look(AT + YEARS + 25 * 3_600, begun + hours(25)), Ok(()));
    }
}
