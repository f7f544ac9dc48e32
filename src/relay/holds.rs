//! What is left alone for a while because it fails by itself, while others of its kind of work go on: kinds of documents at
//! a point, records of one company and noun in M3.
//!
//! Invariant: who fails by himself holds up nobody else, and his tries are counted; that everything fails is held against
//! nobody.

use super::backoff::wait;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Of so many that fail and none that goes well, it isn't these.
pub(super) const MANY: usize = 5;
const PROBE: Duration = Duration::from_secs(60);

/// How sure it is that it fails by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// It was said.
    Certain,
    /// As long as they are few, or others go well.
    Seems,
    /// Only if others go well.
    Perhaps,
}

#[derive(Debug, Default)]
struct Hold {
    failing: u32,
    /// That failed since the last one that went well, as far as it matters.
    failed: Vec<i64>,
    /// Something else went well since it failed the last time that counted.
    others: bool,
    until: Option<Instant>,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// It is one of the tries that there are.
    pub(super) counts: bool,
    /// Those are used up.
    pub(super) parked: bool,
    /// How long all of its kind are left alone, where they are.
    pub(super) wait: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Holds<K>(HashMap<K, Hold>);

impl<K> Default for Holds<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash + Clone> Holds<K> {
    pub(super) fn went_well(&mut self, kind: &K) {
        // Known still: one of it that fails alone is told from others that go well.
        if let Some(hold) = self.0.get_mut(kind) {
            *hold = Hold::default();
        }
        self.0.values_mut().for_each(|hold| hold.others = true);
    }

    /// Whatever was held may have had another reason, which is over.
    pub(super) fn ask_again(&mut self) {
        let now = Instant::now();
        self.0.values_mut().filter(|hold| hold.until.is_some()).for_each(|hold| hold.until = Some(now));
    }

    /// One of this kind failed, with so many tries of `most` behind it; `asked`: for so long it wants to be left alone.
    pub(super) fn failed(
        &mut self,
        (kind, one): (K, i64),
        cause: Cause,
        (tries, most): (u32, u32),
        asked: Duration,
    ) -> Held {
        let hold = self.0.entry(kind).or_default();
        if hold.failed.len() < MANY && !hold.failed.contains(&one) {
            hold.failed.push(one);
        }
        let many = hold.failed.len() >= MANY;
        let alone = cause == Cause::Seems && !many;
        if alone && tries == 0 {
            // What went well before it failed says nothing.
            hold.others = false;
        }
        let counts = match cause {
            Cause::Certain => true,
            Cause::Seems if !many => true,
            // Each time anew: what went well long ago says nothing of now.
            Cause::Seems | Cause::Perhaps => std::mem::take(&mut hold.others),
        };
        let (now, mut spent) = (Instant::now(), tries + 1 >= most);
        let mut left = None;
        if cause == Cause::Certain || many {
            // Those that were under way when it began say nothing new.
            let until = match hold.until.filter(|until| *until > now) {
                Some(until) => until,
                None => {
                    let until = now + wait(hold.failing, PROBE).max(asked.min(PROBE));
                    hold.failing = hold.failing.saturating_add(1);
                    // Its kind has had the tries of each that waits behind it.
                    spent |= hold.failing >= most;
                    until
                }
            };
            hold.until = Some(until);
            left = Some(until - now);
        }
        // What fails alone may be all that there is: it is at fault once something else has gone well meanwhile.
        let parked = counts && spent && (!alone || std::mem::take(&mut hold.others));
        Held { counts, parked, wait: left }
    }

    /// There was nothing of these to be asked for: the next look at what waits is not at once.
    pub(super) fn found_none(&mut self, kinds: &[K]) {
        let later = Instant::now() + PROBE;
        for kind in kinds {
            if let Some(hold) = self.0.get_mut(kind).filter(|hold| hold.until.is_some()) {
                hold.until = Some(later);
            }
        }
    }

    /// Those that are left alone, and of them those that one may ask for now.
    pub(super) fn held(&self) -> (Vec<K>, Vec<K>) {
        let now = Instant::now();
        let held = self.0.iter().filter_map(|(kind, hold)| Some((kind, hold.until?)));
        let ready = held.clone().filter(|(_, until)| *until <= now).map(|(kind, _)| kind.clone()).collect();
        (held.map(|(kind, _)| kind.clone()).collect(), ready)
    }

    pub(super) fn holds(&self, kind: &K) -> bool {
        self.0.get(kind).is_some_and(|hold| hold.until.is_some())
    }

    /// How long until one of them may be asked for.
    pub(super) fn next(&self) -> Option<Duration> {
        let next = self.0.values().filter_map(|hold| hold.until).min();
        next.map(|until| until.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIES: u32 = 3;

    fn failed(holds: &mut Holds<&'static str>, one: i64, cause: Cause, tries: u32) -> Held {
        holds.failed(("kind", one), cause, (tries, TRIES), Duration::ZERO)
    }

    #[test]
    fn a_kind_that_is_refused_is_left_alone_at_once_and_parked_after_its_tries() {
        let mut holds = Holds::default();
        let mut parked = Vec::new();
        for one in 0..5 {
            parked.push(failed(&mut holds, one, Cause::Certain, 0).parked);
            // Those that were under way beside it.
            for beside in 10..40 {
                let held = failed(&mut holds, beside, Cause::Certain, 0);
                assert!(held.counts && !held.parked && holds.holds(&"kind"), "one answer is one try: {held:?}");
            }
            holds.ask_again();
            assert_eq!(holds.held(), (vec!["kind"], vec!["kind"]));
        }
        assert_eq!(parked, [false, false, true, true, true]);
        holds.went_well(&"kind");
        assert!(!holds.holds(&"kind"));
    }

    #[test]
    fn one_that_nobody_takes_uses_up_its_tries_and_is_parked_once_others_go_well() {
        let mut holds = Holds::default();
        holds.went_well(&"other");
        let parked: Vec<bool> = (0..TRIES + 2).map(|tries| failed(&mut holds, 1, Cause::Seems, tries).parked).collect();
        assert_eq!(parked, [false; 5], "at a point that takes nothing at all");
        holds.went_well(&"other");
        assert!(failed(&mut holds, 1, Cause::Seems, TRIES).parked);
        assert!(!failed(&mut holds, 1, Cause::Perhaps, 9).counts, "unless it may be anything");
        holds.went_well(&"other");
        assert!(failed(&mut holds, 1, Cause::Perhaps, 9).parked, "and others go well");
        let mut holds = Holds::default();
        failed(&mut holds, 1, Cause::Perhaps, 0);
        holds.went_well(&"kind");
        assert!(failed(&mut holds, 1, Cause::Perhaps, 9).parked, "or others of its own kind do");
    }

    #[test]
    fn a_kind_of_which_nothing_waits_is_not_looked_for_at_once_again() {
        let mut holds = Holds::default();
        failed(&mut holds, 1, Cause::Certain, 0);
        holds.ask_again();
        assert_eq!(holds.held().1, ["kind"]);
        holds.found_none(&["kind"]);
        assert_eq!(holds.held(), (vec!["kind"], vec![]));
    }

    #[test]
    fn many_that_fail_and_none_that_goes_well_park_nothing() {
        let mut holds = Holds::default();
        for round in 0..1_000_i64 {
            let held = failed(&mut holds, round % 16, Cause::Seems, 100);
            assert!(!held.parked || round < 4, "in round {round}: {held:?}");
        }
        assert!(holds.holds(&"kind"));
        holds.went_well(&"other");
        assert!(failed(&mut holds, 3, Cause::Seems, 100).parked, "it is this kind alone");
    }
}
