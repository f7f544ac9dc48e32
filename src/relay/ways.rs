//! Which points a document goes to: those that want it, and in their way those that have its record and want it no longer.

use super::parcel::{About, action, parcel};
use crate::bod::{Action, OnLeave, Verb};
use crate::outbox::{DueDocument, Made};
use crate::points::Point;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ways {
    /// Those that it goes to, and with the rule that keeps it away those that it does not go to.
    pub(super) points: Vec<(String, Option<String>)>,
    /// Those that are told that the record is gone.
    pub(super) left: Vec<String>,
    /// Those that have the record from now on.
    pub(super) told_at: Vec<String>,
}

/// `told_at`: the points that have it.
pub(super) fn ways(points: &[Point], due: &DueDocument, told_at: &[String], made: &Made) -> Ways {
    let company = due.company.to_string();
    let about = About::due(due, &company);
    let mut ways = Ways::default();
    for point in points {
        let had_it = told_at.iter().any(|known| known == point.name());
        let action = action(made);
        let deleted = action == Action::Delete;
        // What is gone may have nothing left for a condition to look at: whoever has it is told all the same.
        let told = deleted && had_it && point.takes(action);
        let kept_away = point.wants(&parcel(point, about, made, &made.xml)).err().filter(|_| !told);
        ways.add(point.name(), kept_away, had_it, deleted, of(about.verb(), point.on_leave()));
    }
    ways
}

/// What keeps a document away where nothing is told of such records.
const SWITCHED_OFF: &str = "the document is switched off in the record's division";

/// The record is where its document is switched off: those that have it are told as when it leaves a filter of theirs.
pub(super) fn leaving(points: &[Point], verb: Verb, told_at: &[String]) -> Ways {
    let mut ways = Ways::default();
    for point in points.iter().filter(|point| told_at.iter().any(|known| known == point.name())) {
        ways.add(point.name(), Some(SWITCHED_OFF.to_owned()), true, false, of(verb, point.on_leave()));
    }
    ways
}

impl Ways {
    /// Anybody is to hear of it.
    pub(super) fn tell(&self) -> bool {
        self.goes() || !self.left.is_empty()
    }

    /// The document itself goes somewhere.
    pub(super) fn goes(&self) -> bool {
        self.points.iter().any(|(_, kept_away)| kept_away.is_none())
    }
}

/// A request that is not made again is not taken back: records alone are there, or gone.
fn of(verb: Verb, on_leave: OnLeave) -> OnLeave {
    if verb == Verb::Sync { on_leave } else { OnLeave::Nothing }
}

impl Ways {
    fn add(&mut self, point: &str, kept_away: Option<String>, had_it: bool, deleted: bool, on_leave: OnLeave) {
        let name = point.to_owned();
        let leaves = kept_away.is_some() && had_it;
        if kept_away.is_none() && !deleted {
            self.told_at.push(name.clone());
        }
        match on_leave {
            OnLeave::SendOnce if leaves => self.points.push((name, None)),
            OnLeave::Delete if leaves => {
                self.points.push((name.clone(), kept_away));
                self.left.push(name);
            }
            _ => {
                self.points.push((name.clone(), kept_away));
                // It keeps what it has, and is told once that is gone.
                if leaves && !deleted {
                    self.told_at.push(name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(wanted: bool, had_it: bool, deleted: bool, on_leave: OnLeave) -> Ways {
        let mut ways = Ways::default();
        ways.add("p", (!wanted).then(|| "rule".to_owned()), had_it, deleted, on_leave);
        ways
    }

    #[test]
    fn a_record_that_leaves_a_filter_is_told_so_once_and_in_the_points_own_way() {
        let goes = |ways: &Ways| ways.points[0].1.is_none();
        for on_leave in [OnLeave::Nothing, OnLeave::SendOnce, OnLeave::Delete] {
            let wanted = added(true, false, false, on_leave);
            assert!(goes(&wanted) && wanted.left.is_empty() && wanted.told_at == ["p"], "{on_leave:?}");
            let never_was_there = added(false, false, false, on_leave);
            assert!(!goes(&never_was_there) && never_was_there.left.is_empty(), "{on_leave:?}");
            let leaves = added(false, true, false, on_leave);
            assert_eq!(goes(&leaves), on_leave == OnLeave::SendOnce, "{on_leave:?}");
            assert_eq!(leaves.left.len(), usize::from(on_leave == OnLeave::Delete), "{on_leave:?}");
            let keeps = usize::from(on_leave == OnLeave::Nothing);
            assert_eq!(leaves.told_at.len(), keeps, "who was told that it left has it no more: {on_leave:?}");
            assert!(added(false, true, true, on_leave).told_at.is_empty(), "what is gone is nowhere: {on_leave:?}");
            assert!(added(true, true, true, on_leave).told_at.is_empty(), "what is gone is nowhere: {on_leave:?}");
        }
    }

    #[test]
    fn a_request_is_never_taken_back() {
        for on_leave in [OnLeave::Nothing, OnLeave::SendOnce, OnLeave::Delete] {
            assert_eq!(of(Verb::Sync, on_leave), on_leave);
            assert_eq!(of(Verb::Process, on_leave), OnLeave::Nothing, "{on_leave:?}");
        }
    }
}
