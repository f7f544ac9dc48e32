//! The wall clock, read in one place: seconds since 1970, as tokens and rules count them.

use std::time::SystemTime;

/// A machine whose clock stands before 1970 is in 1970.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
