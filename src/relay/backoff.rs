//! How long until the next try.

use std::time::Duration;
use uuid::Uuid;

const FIRST: u64 = 500;

/// Twice as long each time, up to `longest`, and never the same for two that failed together.
pub(super) fn wait(tries: u32, longest: Duration) -> Duration {
    spread(tries, longest, Uuid::new_v4().as_u128() as u64)
}

/// The least time that so many tries take, one after the other.
pub(super) fn least(tries: u32, longest: Duration) -> Duration {
    (0..tries.min(64)).map(|tried| spread(tried, longest, 0)).sum()
}

/// As `wait`, by how long it has been tried: for that of which no try is counted.
pub(super) fn wait_by_age(age: Duration, longest: Duration) -> Duration {
    let doublings = (age.as_millis() / u128::from(FIRST)).checked_ilog2().unwrap_or_default();
    wait(doublings, longest)
}

/// Between a half and the whole, as chance says.
fn spread(tries: u32, longest: Duration, chance: u64) -> Duration {
    let most = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
    let whole = FIRST.saturating_mul(1_u64.checked_shl(tries.min(32)).unwrap_or(u64::MAX)).min(most);
    Duration::from_millis(whole / 2 + chance % (whole / 2 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn those_that_failed_together_do_not_come_back_together_and_none_before_or_after_its_time() {
        let longest = Duration::from_secs(60);
        for tries in [0, 3, 90] {
            let whole = Duration::from_millis(FIRST << tries.min(20)).min(longest);
            let waits: Vec<Duration> = (0..256).map(|_| wait(tries, longest)).collect();
            assert!(waits.iter().all(|wait| *wait >= whole / 2 && *wait <= whole), "{tries}: {waits:?}");
            let (first, last) = (waits.iter().min().expect("many"), waits.iter().max().expect("many"));
            assert!(
                *last - *first > whole / 4,
                "over all of the time that there is: {first:?} to {last:?} of {whole:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_wait_grows_to_its_bound_and_is_never_more(tries in 0_u32..100, chance: u64) {
            let longest = Duration::from_secs(600);
            let wait = spread(tries, longest, chance);
            let whole = Duration::from_millis(FIRST << tries.min(20)).min(longest);
            prop_assert!(wait <= whole && wait >= whole / 2, "{wait:?} of {whole:?}");
        }

        #[test]
        fn the_last_tries_come_after_the_least_time_of_those_before(tries in 1_u32..30, chances: u64) {
            let longest = Duration::from_secs(600);
            let took: Duration = (0..tries).map(|tried| spread(tried, longest, chances)).sum();
            prop_assert!(took >= least(tries, longest) && least(tries, longest) < least(tries + 1, longest));
        }
    }
}
