//! The wall clock, read in one place: since 1970, as tokens, rules and logs count it.

use std::time::SystemTime;

/// A machine whose clock stands before 1970 is in 1970.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// For logs: the order of two lines of one second.
pub fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros());
    u64::try_from(since).unwrap_or(u64::MAX)
}
