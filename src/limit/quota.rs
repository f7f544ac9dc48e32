//! A rate and a burst: `100/second`, at most 200 at once.

use http::HeaderValue;
use std::num::NonZeroU32;
use std::time::Duration;

/// How often, and how many at once. The bucket holds `burst` and gains one each `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub period: Duration,
    pub burst: NonZeroU32,
}

/// Beyond this a limit limits nothing; the product with an hour still fits the clock's nanoseconds.
pub(super) const MOST: u32 = 1_000_000;

impl Quota {
    /// `calls` in each `per`; nothing when a number is zero or above a million.
    pub fn new(calls: u32, per: Duration, burst: u32) -> Option<Self> {
        if !(1..=MOST).contains(&calls) || !(1..=MOST).contains(&burst) || per > Duration::from_secs(3_600) {
            return None;
        }
        let period = per.checked_div(calls).filter(|period| !period.is_zero())?;
        Some(Self { period, burst: NonZeroU32::new(burst)? })
    }

    /// Reads `100/second`, `5/minute` or `1000/hour`.
    pub(super) fn rate(text: &str) -> Option<(u32, Duration)> {
        let (calls, per) = text.split_once('/')?;
        let calls = calls.trim();
        if calls.is_empty() || !calls.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let seconds = match per.trim() {
            "second" => 1,
            "minute" => 60,
            "hour" => 3_600,
            _ => return None,
        };
        calls.parse().ok().map(|calls| (calls, Duration::from_secs(seconds)))
    }

    /// As the file writes it.
    pub(super) fn spoken(&self) -> String {
        let units = [(1, "second"), (60, "minute"), (3_600, "hour")];
        let written = units.into_iter().find_map(|(seconds, unit)| {
            let per = Duration::from_secs(seconds);
            // The period was cut to whole nanoseconds.
            let calls = u32::try_from((per.as_nanos() + self.period.as_nanos() / 2) / self.period.as_nanos()).ok()?;
            (per.checked_div(calls)? == self.period).then(|| format!("{calls}/{unit}"))
        });
        written.unwrap_or_else(|| format!("one each {:?}", self.period))
    }

    /// Seconds in which an empty bucket fills, never 0.
    pub fn window(&self) -> u64 {
        seconds(self.period * self.burst.get()).max(1)
    }

    /// `"client";q=10000;w=2`. Made once a bucket, cloned without a copy.
    pub(super) fn policy(&self, name: &str) -> HeaderValue {
        let text = format!("\"{name}\";q={};w={}", self.burst, self.window());
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).expect("names and digits are header text")
    }
}

/// Whole seconds, rounded up: a caller that waits them has waited long enough.
pub(super) fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
