//! Which points a document goes to: those that want it, and in their way those that have its record and want it no longer.

use super::parcel::{About, action, parcel};
use crate::bod::{Action, OnLeave, Verb};
use crate::outbox::{DueDocument, Has, Made, Stood};
use crate::points::Point;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ways {
    /// Those that it goes to, and with the rule that keeps it away those that it does not go to.
    pub(super) points: Vec<(String, Option<String>)>,
    /// Those that are told that the record is gone, from where they have it.
    pub(super) left: Vec<Has>,
    /// Those that have the record from now on.
    pub(super) told_at: Vec<Has>,
}

/// `told_at`: the points that have it; `from`: where it was before it was where it is.
pub(super) fn ways(points: &[Point], due: &DueDocument, told_at: &[Has], from: Option<&Stood>, made: &Made) -> Ways {
    let company = due.company.to_string();
    let about = About::due(due, &company);
    let mut ways = Ways::default();
    for point in points {
        let had = told_at.iter().find(|has| has.point == point.name());
        let action = action(made);
        let deleted = action == Action::Delete;
        // What is gone may have nothing left for a condition to look at: whoever has it is told all the same.
        let told = had.filter(|_| deleted && point.takes(action));
        if let Some(elsewhere) = told.filter(|has| has.stood.is_some()) {
            ways.left.push(elsewhere.clone());
            continue;
        }
        let kept_away = point.wants(&parcel(point, about, made, &made.xml)).err().filter(|_| told.is_none());
        ways.add(point.name(), kept_away, (had, from), deleted, of(about.verb(), point.on_leave()));
    }
    ways
}

/// What keeps a document away where nothing is told of such records.
pub(super) const SWITCHED_OFF: &str = "the document is switched off in the record's division";
pub(super) const IN_SHADOW: &str = "the document is only compared in the record's division";

/// A record that is where its document is told to nobody.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) verb: Verb,
    /// It is nowhere any more.
    pub(super) gone: bool,
    /// Where it was before.
    pub(super) from: Option<&'a Stood>,
    pub(super) why: &'static str,
}

/// Those that have such a record are told as when it leaves a filter of theirs; and that it is gone, once it is.
pub(super) fn leaving(points: &[Point], told_at: &[Has], left: &Left<'_>) -> Ways {
    let mut ways = Ways::default();
    for point in points {
        let Some(had) = told_at.iter().find(|has| has.point == point.name()) else { continue };
        if left.gone && point.takes(Action::Delete) {
            ways.left.push(had.clone());
            continue;
        }
        let (kept_away, on_leave) = (Some(left.why.to_owned()), of(left.verb, point.on_leave()));
        ways.add(point.name(), kept_away, (Some(had), left.from), left.gone, on_leave);
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
    fn add(
        &mut self,
        point: &str,
        kept_away: Option<String>,
        (had, from): (Option<&Has>, Option<&Stood>),
        deleted: bool,
        on_leave: OnLeave,
    ) {
        let name = point.to_owned();
        let has = |stood| Has { point: point.to_owned(), stood };
        let leaves = had.filter(|_| kept_away.is_some());
        if kept_away.is_none() && !deleted {
            self.told_at.push(has(None));
        }
        match (on_leave, leaves) {
            (OnLeave::SendOnce, Some(_)) => self.points.push((name, None)),
            (OnLeave::Delete, Some(had)) => {
                self.points.push((name, kept_away));
                self.left.push(had.clone());
            }
            _ => {
                self.points.push((name, kept_away));
                // It keeps what it has, where it has it, and is told once that is gone.
                if let Some(had) = leaves.filter(|_| !deleted) {
                    self.told_at.push(has(had.stood.clone().or_else(|| from.cloned())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stood(division: &str) -> Stood {
        Stood { division: division.into(), location: String::new() }
    }

    fn added(wanted: bool, had: Option<&Has>, from: Option<&Stood>, deleted: bool, on_leave: OnLeave) -> Ways {
        let mut ways = Ways::default();
        ways.add("p", (!wanted).then(|| "rule".to_owned()), (had, from), deleted, on_leave);
        ways
    }

    #[test]
    fn a_record_that_leaves_a_filter_is_told_so_once_and_in_the_points_own_way() {
        let goes = |ways: &Ways| ways.points[0].1.is_none();
        let has = Has { point: "p".into(), stood: None };
        let added = |wanted, had: bool, deleted, on_leave| added(wanted, had.then_some(&has), None, deleted, on_leave);
        for on_leave in [OnLeave::Nothing, OnLeave::SendOnce, OnLeave::Delete] {
            let wanted = added(true, false, false, on_leave);
            assert!(goes(&wanted) && wanted.left.is_empty() && wanted.told_at == [has.clone()], "{on_leave:?}");
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
    fn who_keeps_what_left_him_has_it_where_it_was_when_he_was_told() {
        let (here, there) = (stood("BBB"), stood("AAA"));
        let has = |stood: Option<&Stood>| Has { point: "p".into(), stood: stood.cloned() };
        let kept = |had: &Has, from| added(false, Some(had), from, false, OnLeave::Nothing).told_at;
        assert_eq!(kept(&has(None), Some(&there)), [has(Some(&there))]);
        assert_eq!(kept(&has(Some(&there)), Some(&here)), [has(Some(&there))], "it moved on without him");
        assert_eq!(kept(&has(None), None), [has(None)], "it left and did not move");
        let wanted = added(true, Some(&has(Some(&there))), Some(&here), false, OnLeave::Nothing);
        assert_eq!(wanted.told_at, [has(None)], "he is told where it is");
        let told_gone = added(false, Some(&has(Some(&there))), Some(&here), false, OnLeave::Delete);
        assert_eq!(told_gone.left, [has(Some(&there))]);
    }

    #[test]
    fn a_request_is_never_taken_back() {
        for on_leave in [OnLeave::Nothing, OnLeave::SendOnce, OnLeave::Delete] {
            assert_eq!(of(Verb::Sync, on_leave), on_leave);
            assert_eq!(of(Verb::Process, on_leave), OnLeave::Nothing, "{on_leave:?}");
        }
    }
}
