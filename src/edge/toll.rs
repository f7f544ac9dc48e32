//! What a connection of HTTP/2 may ask of us besides requests.
//!
//! Resets, settings, pings, priorities and window updates carry nothing and cost us work; the library answers each for as
//! long as they come. So each has its price, answers that were given and time give back, and who has nothing left ends.
//! Does not know: frames (see `heads`), or how a connection ends.

use super::settings::Http2;

/// What a piece of an answer gives back: the window updates, pings and the one reset that may come with it.
pub(super) const ANSWER: u32 = 10;

#[derive(Debug)]
pub(super) struct Purse {
    left: u64,
    most: u64,
    a_second: u64,
    /// Milliseconds of the connection at the last payment.
    at: u64,
}

impl Purse {
    pub(super) fn new(http2: &Http2) -> Self {
        let most = u64::from(http2.frames_at_once);
        Self { left: most, most, a_second: http2.frames_a_second.into(), at: 0 }
    }

    /// Whether what there is, with what was earned since, pays for it.
    pub(super) fn pay(&mut self, price: u32, earned: u32, now: u64) -> bool {
        let grown = now.saturating_sub(self.at) * self.a_second / 1000;
        if grown > 0 {
            self.at = now;
        }
        self.left = (self.left + grown + u64::from(earned)).min(self.most);
        let rest = self.left.checked_sub(price.into());
        self.left = rest.unwrap_or_default();
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purse() -> Purse {
        Purse::new(&Http2 { frames_at_once: 100, frames_a_second: 10, ..Http2::default() })
    }

    #[test]
    fn a_flood_runs_out_and_time_and_answers_pay() {
        let mut purse = purse();
        assert!((0..100).all(|_| purse.pay(1, 0, 1)));
        assert!(!purse.pay(1, 0, 1));
        assert!(purse.pay(10, 0, 1_001) && !purse.pay(1, 0, 1_002));
        assert!(purse.pay(ANSWER, ANSWER, 1_002));
    }

    #[test]
    fn nobody_saves_up_for_a_flood() {
        let mut purse = purse();
        assert!(purse.pay(1, 1_000_000, 1_000_000));
        assert!(purse.pay(99, 0, 1_000_000) && !purse.pay(1, 0, 1_000_000));
    }

    #[test]
    fn small_steps_of_time_are_not_lost() {
        let mut purse = purse();
        assert!(purse.pay(100, 0, 0));
        assert!((1..=100).all(|tenth| purse.pay(1, 0, tenth * 100)));
    }
}
