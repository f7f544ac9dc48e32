//! Whether a point takes anything at the moment, and which kinds of documents it doesn't take.

use super::backoff::{wait, wait_by_age};
use super::holds::{Cause, Held, Holds, MANY};
use crate::outbox::{Attempt, State};
use crate::points::Blame;
use std::time::{Duration, Instant};

/// Failures behind each other that are the point's own, after which it counts as away.
const AWAY_AFTER: u32 = 5;
pub(super) const PROBE: Duration = Duration::from_secs(60);
/// Of what failed since anything arrived, so much is known.
const RECENT: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Health {
    failing: u32,
    /// What failed since anything arrived: documents, each with its kind.
    recent: Vec<(String, i64)>,
    away_until: Option<Instant>,
    pub(super) kinds: Holds<String>,
}

/// What was tried: a message of this record and kind, with so many tries behind it.
pub(super) struct Tried<'a> {
    pub(super) record: i64,
    pub(super) kind: &'a str,
    pub(super) tries: u32,
    pub(super) blame: Blame,
    /// For how long the target wants to be left alone.
    pub(super) asked: Duration,
    /// How long it waits already.
    pub(super) age: Duration,
}

impl Health {
    /// A failure is held against its message as long as the point takes others, and against its kind where that alone is
    /// not taken. While nothing at all arrives, that is no fault of what the point is asked with: a weekend parks nothing.
    pub(super) fn learn(&mut self, attempt: &mut Attempt, tried: &Tried<'_>, most: u32) {
        let kind = || tried.kind.to_owned();
        match attempt.state {
            State::Delivered => {
                if self.away_until.take().is_some() {
                    self.kinds.ask_again();
                }
                self.failing = 0;
                self.recent.clear();
                self.kinds.went_well(&kind());
            }
            State::Pending if tried.blame == Blame::Point => {
                self.failing = self.failing.saturating_add(1);
                attempt.counts = self.failing < AWAY_AFTER;
                if !attempt.counts {
                    self.leave(attempt, tried.asked);
                } else if tried.tries + 1 >= most && self.failing == 1 {
                    // Another arrived just before it.
                    park(attempt);
                }
            }
            State::Pending => {
                let cause = match tried.blame {
                    Blame::Kind => Cause::Certain,
                    Blame::Unclear => Cause::Seems,
                    Blame::Busy | Blame::Point => Cause::Perhaps,
                };
                let by = (kind(), tried.record);
                if cause != Cause::Certain && self.recent.len() < RECENT && !self.recent.contains(&by) {
                    self.recent.push(by.clone());
                }
                let Held { counts, parked, wait } = self.kinds.failed(by, cause, (tried.tries, most), tried.asked);
                attempt.counts = counts;
                if cause != Cause::Certain && self.fails_for_all() {
                    attempt.counts = false;
                    self.failing = self.failing.max(AWAY_AFTER - 1).saturating_add(1);
                    self.leave(attempt, tried.asked);
                } else if parked {
                    park(attempt);
                } else if let Some(wait) = wait {
                    attempt.wait = wait;
                } else if !counts {
                    attempt.wait = attempt.wait.max(wait_by_age(tried.age, PROBE));
                }
            }
            _ => {}
        }
    }

    /// Nothing arrives any more, whatever kind it is of.
    fn fails_for_all(&self) -> bool {
        let kinds = self.recent.first().is_some_and(|(first, _)| self.recent.iter().any(|(kind, _)| kind != first));
        kinds && self.recent.len() >= MANY
    }

    fn leave(&mut self, attempt: &mut Attempt, asked: Duration) {
        let pause = wait(self.failing - AWAY_AFTER, PROBE).max(attempt.wait.min(PROBE)).max(asked.min(PROBE));
        self.away_until = Some(Instant::now() + pause);
    }

    pub(super) fn is_away(&self) -> bool {
        self.away_until.is_some()
    }

    /// How many may be taken where so many bytes of `most` are on their way: one alone asks whether the point is back.
    pub(super) fn room(&self, held: usize, (ahead, bytes, most): (usize, usize, usize)) -> usize {
        match self.away_until {
            None if bytes < most => ahead.saturating_sub(held),
            None => 0,
            Some(until) => usize::from(held == 0 && until <= Instant::now()),
        }
    }

    /// How long until somebody has to look, who would after `usual`.
    pub(super) fn rest(&self, usual: Duration) -> Duration {
        let now = Instant::now();
        match self.away_until.filter(|until| *until > now) {
            Some(until) => until - now,
            None => self.kinds.next().filter(|next| !next.is_zero()).map_or(usual, |next| usual.min(next)),
        }
    }
}

fn park(attempt: &mut Attempt) {
    (attempt.state, attempt.wait) = (State::Parked, Duration::ZERO);
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(600);

    #[test]
    fn what_is_not_counted_is_tried_ever_less_often_at_a_quiet_point() {
        let mut health = Health::default();
        for _ in 0..100 {
            let learnt = learnt(&mut health, State::Pending, ("Sync.ItemMaster", 1), 0, Blame::Busy);
            assert!(!learnt.counts && learnt.wait >= PROBE / 2, "{learnt:?}");
        }
    }

    /// One attempt, of three that a message has.
    fn learnt(health: &mut Health, state: State, (kind, record): (&str, i64), tries: u32, blame: Blame) -> Attempt {
        let (wait, took) = (Duration::from_secs(1), Duration::ZERO);
        let mut attempt =
            Attempt { message: 1, state, counts: true, wait, took, words: String::new(), answer_within: None };
        let tried = Tried { record, kind, tries, blame, asked: Duration::ZERO, age: AGE };
        health.learn(&mut attempt, &tried, 3);
        attempt
    }

    #[test]
    fn a_weekend_of_a_point_parks_nothing() {
        for blame in [Blame::Point, Blame::Busy, Blame::Unclear] {
            let mut health = Health::default();
            let mut tries = [0_u32; 16];
            for round in 0..4_000 {
                let at = round % 16;
                let kind = if at % 2 == 0 { "Sync.ItemMaster" } else { "Sync.SalesOrder" };
                let one = &mut tries[at];
                let learnt = learnt(&mut health, State::Pending, (kind, at as i64), *one, blame);
                assert_eq!(learnt.state, State::Pending, "in round {round}, {blame:?}");
                *one += u32::from(learnt.counts);
            }
            assert!(tries.iter().sum::<u32>() <= 4, "until it counts as away: {blame:?}");
            assert!(health.away_until.is_some_and(|until| until <= Instant::now() + PROBE), "{blame:?}");
            let back = learnt(&mut health, State::Delivered, ("Sync.ItemMaster", 0), 0, blame);
            assert_eq!((back.state, back.counts, health.is_away()), (State::Delivered, true, false));
        }
    }

    #[test]
    fn a_weekend_of_a_point_that_few_messages_wait_for_parks_none_of_them_either() {
        for blame in [Blame::Point, Blame::Busy, Blame::Unclear] {
            for few in 1..5_usize {
                let mut health = Health::default();
                learnt(&mut health, State::Delivered, ("Sync.ItemMaster", 9), 0, blame);
                let mut tries = vec![0_u32; few];
                for round in 0..400 {
                    let at = round % few;
                    let learnt = learnt(&mut health, State::Pending, ("Sync.ItemMaster", at as i64), tries[at], blame);
                    assert_eq!(learnt.state, State::Pending, "in round {round} of {few}, {blame:?}");
                    tries[at] += u32::from(learnt.counts);
                }
                let back = learnt(&mut health, State::Delivered, ("Sync.ItemMaster", 9), 0, blame);
                assert_eq!(back.state, State::Delivered);
                // One of them was the reason by itself, and that is seen now.
                let one = learnt(&mut health, State::Pending, ("Sync.ItemMaster", 0), 100, blame);
                assert_eq!(one.state, State::Parked, "{few}, {blame:?}");
            }
        }
    }

    #[test]
    fn what_a_point_never_takes_is_parked_while_it_takes_others() {
        for blame in [Blame::Point, Blame::Unclear] {
            let mut health = Health::default();
            for tries in 0..2 {
                let one = learnt(&mut health, State::Pending, ("Sync.ItemMaster", 1), tries, blame);
                assert_eq!((one.state, one.counts), (State::Pending, true));
                learnt(&mut health, State::Delivered, ("Sync.ItemMaster", 2), 0, blame);
            }
            let one = learnt(&mut health, State::Pending, ("Sync.ItemMaster", 1), 2, blame);
            assert_eq!((one.state, one.counts), (State::Parked, true));
            assert_eq!(learnt(&mut health, State::Failed, ("Sync.ItemMaster", 3), 0, blame).state, State::Failed);
        }
    }

    #[test]
    fn a_kind_that_a_point_says_it_does_not_take_uses_up_its_tries_whatever_becomes_of_others() {
        let mut health = Health::default();
        let mut states = Vec::new();
        for tries in 0..3 {
            let one = learnt(&mut health, State::Pending, ("Sync.SalesOrder", 1), tries, Blame::Kind);
            assert!(one.counts && one.wait <= PROBE && !health.is_away(), "it was said: {one:?}");
            assert_eq!(health.kinds.held().0, ["Sync.SalesOrder"], "nothing else of it is sent meanwhile");
            states.push(one.state);
            health.kinds.ask_again();
        }
        assert_eq!(states, [State::Pending, State::Pending, State::Parked], "though nothing ever arrived");
    }

    #[test]
    fn a_kind_that_is_not_taken_never_makes_the_point_away() {
        for blame in [Blame::Kind, Blame::Unclear, Blame::Busy] {
            let mut health = Health::default();
            let mut parked = 0;
            for round in 0..400 {
                let order = learnt(&mut health, State::Pending, ("Sync.SalesOrder", round % 50), 0, blame);
                parked += u32::from(order.state == State::Parked);
                assert!(!health.is_away(), "in round {round}: {blame:?}");
                health.kinds.ask_again();
                learnt(&mut health, State::Delivered, ("Sync.ItemMaster", 1_000), 0, blame);
            }
            assert!(parked > 300, "{parked} of {blame:?}");
            assert_eq!(health.kinds.held().0, ["Sync.SalesOrder"], "{blame:?}");
            learnt(&mut health, State::Delivered, ("Sync.SalesOrder", 1), 0, blame);
            assert!(health.kinds.held().0.is_empty(), "{blame:?}");
        }
    }
}
