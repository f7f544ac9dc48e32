//! Who may knock at M3's door: a user that M3 refused is left alone, each time for longer.
//!
//! A refusal does not say whether the password is wrong or the program forbidden. For a user who was let in before, one
//! refusal is held against the program and place alone; a second one elsewhere, with no welcome between, is held against
//! the user: a password that was changed in M3 is tried twice, and not once for each program.
//! Does not know: how a logon is made.

use super::error::Error;
use crate::model::{M3User, Place, ProgramName};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a session is logged on to.
pub(super) type Door = (ProgramName, Option<Place>);

#[derive(Debug, Default)]
pub(super) struct Gates(Mutex<HashMap<M3User, Arc<tokio::sync::Mutex<Gate>>>>);

/// What is known of one user's logons.
#[derive(Debug, Default)]
pub(super) struct Gate {
    let_in: Option<Instant>,
    /// Let in somewhere since the last refusal.
    proven: bool,
    held: Option<Held>,
    doors: HashMap<Door, Held>,
}

/// A failure that speaks for everybody who comes before its end.
#[derive(Debug)]
struct Held {
    until: Instant,
    error: Error,
    /// Refusals in a row.
    times: u32,
}

/// How long a failed connection speaks for those who waited behind it: they must not each wait for their own.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// No pause is longer: a user who was unlocked is let in again without a restart.
const LONGEST: Duration = Duration::from_secs(3_600);
/// Doors of one user that are held apart; with more of them it is the user.
const MOST_DOORS: usize = 256;

impl Gates {
    /// Bounded by the users of the settings: the client asks for no others.
    pub(super) fn of(&self, user: &M3User) -> Arc<tokio::sync::Mutex<Gate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(user.clone()).or_default().clone()
    }

    pub(super) fn forget(&self, users: &HashSet<M3User>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|user, _| !users.contains(user));
    }
}

impl Gate {
    /// Whether a logon may be tried now, or why not.
    pub(super) fn may_try(&self, user: &M3User, door: Door) -> Result<(), Error> {
        for held in [self.held.as_ref(), self.doors.get(&door)].into_iter().flatten() {
            let left = held.until.saturating_duration_since(Instant::now());
            match &held.error {
                _ if left.is_zero() => {}
                Error::LogonRefused { .. } => {
                    return Err(Error::LogonHeld { user: user.clone(), retry_after: left });
                }
                error => return Err(error.clone()),
            }
        }
        Ok(())
    }

    /// Others may go side by side: the user was let in just now.
    pub(super) fn is_open(&self, trust: Duration) -> bool {
        self.let_in.is_some_and(|at| at.elapsed() < trust)
    }

    pub(super) fn learn<T>(&mut self, door: Door, opened: &Result<T, Error>, pause: Duration) {
        match opened {
            // The user was let in; that the program is not there is no fault of his.
            Ok(_) | Err(Error::NoSuchProgram(_)) => {
                (self.let_in, self.proven, self.held) = (Some(Instant::now()), true, None);
                self.doors.remove(&door);
            }
            // A connection that broke off at once keeps nobody waiting and says nothing about the user: the next may try.
            // Nor does a company that he may not work in keep him out of his own.
            Err(Error::Lost { .. } | Error::Protocol { .. } | Error::Unprepared { .. } | Error::NotHim { .. }) => {}
            Err(error @ Error::LogonRefused { .. }) => {
                self.let_in = None;
                let apart = self.proven || self.doors.contains_key(&door);
                let before = if apart { self.doors.get(&door) } else { self.held.as_ref() };
                let times = before.map_or(0, |held| held.times).saturating_add(1);
                let pause = pause.saturating_mul(1 << (times - 1).min(16)).min(LONGEST.max(pause));
                let held = Held { until: Instant::now() + pause, error: error.clone(), times };
                if apart && self.doors.len() < MOST_DOORS {
                    self.proven = false;
                    self.doors.insert(door, held);
                } else {
                    self.held = Some(held);
                }
            }
            Err(error) => {
                self.let_in = None;
                let times = self.held.as_ref().map_or(0, |held| held.times);
                self.held = Some(Held { until: Instant::now() + FAILED_FOR, error: error.clone(), times });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(60);

    fn user() -> M3User {
        M3User::parse("MIDEMO").expect("a user of the test")
    }

    fn door(program: &str) -> Door {
        (ProgramName::parse(program).expect("a program of the test"), None)
    }

    fn refused() -> Result<(), Error> {
        Err(Error::LogonRefused { user: user(), message: "no".into() })
    }

    fn pause(gate: &Gate, program: &str) -> Option<u64> {
        match gate.may_try(&user(), door(program)) {
            Err(Error::LogonHeld { retry_after, .. }) => Some(retry_after.as_secs_f64().round() as u64),
            Ok(()) => None,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_user_who_was_never_let_in_is_held_everywhere_and_each_time_for_longer() {
        let mut gate = Gate::default();
        let pauses: Vec<_> = (0..8)
            .map(|_| {
                gate.learn(door("CRS610MI"), &refused(), PAUSE);
                pause(&gate, "MMS200MI").expect("held")
            })
            .collect();
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        gate.learn(door("MMS200MI"), &Ok(()), PAUSE);
        assert_eq!(pause(&gate, "CRS610MI"), None);
    }

    #[test]
    fn one_forbidden_program_holds_nobody_back_from_another() {
        let mut gate = Gate::default();
        gate.learn(door("CRS610MI"), &Ok(()), PAUSE);
        gate.learn(door("MMS200MI"), &refused(), PAUSE);
        assert_eq!((pause(&gate, "MMS200MI"), pause(&gate, "CRS610MI")), (Some(60), None));
        gate.learn(door("MMS200MI"), &refused(), PAUSE);
        assert_eq!((pause(&gate, "MMS200MI"), pause(&gate, "CRS610MI")), (Some(120), None));
    }

    #[test]
    fn a_password_that_was_changed_is_tried_at_two_doors_and_no_more() {
        let mut gate = Gate::default();
        gate.learn(door("CRS610MI"), &Ok(()), PAUSE);
        gate.learn(door("MMS200MI"), &refused(), PAUSE);
        gate.learn(door("CRS610MI"), &refused(), PAUSE);
        assert_eq!((pause(&gate, "OIS100MI"), pause(&gate, "CRS610MI")), (Some(60), Some(60)));
    }
}
