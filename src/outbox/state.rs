//! Where one message stands on its way to one point, and what may become of that.
//!
//! Invariant: a state that is final is left by an operator's word alone; what comes late, twice or out of its order
//! changes nothing.

use Change as C;
use State as S;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    Pending,
    /// To be sent again, as an operator said.
    Replayed,
    /// Given away; what became of it is not known yet.
    Sent,
    /// The point has taken it. Where an answer is asked for, it is waited for.
    Delivered,
    /// Its receiver has said that it could use it.
    Confirmed,
    /// It will never be taken as it is, or its receiver could not use it.
    Failed,
    /// An answer was asked for, and none came in its time.
    Expired,
    /// Tried as often as may be, or set aside by hand.
    Parked,
    /// The point's filter keeps it away.
    Filtered,
    /// Given up by hand, or because nobody looked after it.
    Dropped,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It is given away now.
    Send,
    Arrive,
    /// It did not arrive, and is tried again.
    Miss,
    /// It did not arrive, and never will.
    Refuse,
    /// It did not arrive once too often.
    GiveUp,
    /// Its receiver says that it could be used.
    Confirm,
    /// Its receiver says that it could not be used.
    Reject,
    /// No answer came in its time.
    Expire,
    Park,
    Replay,
    /// Nobody shall get it any more.
    Drop,
}

/// All that may happen; anything else changes nothing.
const TABLE: &[(State, Change, State)] = &[
    (S::Pending, C::Send, S::Sent),
    (S::Replayed, C::Send, S::Sent),
    // A crash left it so.
    (S::Sent, C::Send, S::Sent),
    (S::Sent, C::Arrive, S::Delivered),
    // Set aside while it was on its way: it is there all the same.
    (S::Parked, C::Arrive, S::Delivered),
    (S::Sent, C::Miss, S::Pending),
    (S::Sent, C::Refuse, S::Failed),
    (S::Sent, C::GiveUp, S::Parked),
    // An answer may overtake the word that it arrived, and tells of one that got lost.
    (S::Pending, C::Confirm, S::Confirmed),
    (S::Sent, C::Confirm, S::Confirmed),
    (S::Delivered, C::Confirm, S::Confirmed),
    (S::Parked, C::Confirm, S::Confirmed),
    (S::Pending, C::Reject, S::Failed),
    (S::Sent, C::Reject, S::Failed),
    (S::Delivered, C::Reject, S::Failed),
    (S::Parked, C::Reject, S::Failed),
    (S::Delivered, C::Expire, S::Expired),
    (S::Pending, C::Park, S::Parked),
    (S::Replayed, C::Park, S::Parked),
    (S::Sent, C::Park, S::Parked),
    (S::Pending, C::Replay, S::Replayed),
    (S::Sent, C::Replay, S::Replayed),
    (S::Delivered, C::Replay, S::Replayed),
    (S::Confirmed, C::Replay, S::Replayed),
    (S::Failed, C::Replay, S::Replayed),
    (S::Expired, C::Replay, S::Replayed),
    (S::Parked, C::Replay, S::Replayed),
    (S::Dropped, C::Replay, S::Replayed),
    (S::Pending, C::Drop, S::Dropped),
    (S::Replayed, C::Drop, S::Dropped),
    (S::Sent, C::Drop, S::Dropped),
    (S::Failed, C::Drop, S::Dropped),
    (S::Expired, C::Drop, S::Dropped),
    (S::Parked, C::Drop, S::Dropped),
];

impl State {
    pub const ALL: &'static [Self] = &[
        Self::Pending,
        Self::Replayed,
        Self::Sent,
        Self::Delivered,
        Self::Confirmed,
        Self::Failed,
        Self::Expired,
        Self::Parked,
        Self::Filtered,
        Self::Dropped,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Replayed => "replayed",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Parked => "parked",
            Self::Filtered => "filtered",
            Self::Dropped => "dropped",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.as_str() == text)
    }

    /// `None`: it stays as it is.
    pub fn after(self, change: Change) -> Option<Self> {
        TABLE.iter().find(|(from, what, _)| (*from, *what) == (self, change)).map(|(_, _, to)| *to)
    }

    /// Nothing but an operator changes it any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Confirmed | Self::Failed | Self::Expired | Self::Filtered | Self::Dropped)
    }

    /// It is still to arrive, and the messages of its record behind it wait.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Pending | Self::Replayed | Self::Sent)
    }

    /// What an attempt did that left it so.
    pub(super) fn attempted(self) -> Option<Change> {
        match self {
            Self::Delivered => Some(Change::Arrive),
            Self::Pending => Some(Change::Miss),
            Self::Failed => Some(Change::Refuse),
            Self::Parked => Some(Change::GiveUp),
            Self::Replayed | Self::Sent | Self::Confirmed | Self::Expired | Self::Filtered | Self::Dropped => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHANGES: &[Change] = &[
        C::Send,
        C::Arrive,
        C::Miss,
        C::Refuse,
        C::GiveUp,
        C::Confirm,
        C::Reject,
        C::Expire,
        C::Park,
        C::Replay,
        C::Drop,
    ];

    fn is_of_the_operator(change: Change) -> bool {
        matches!(change, C::Replay | C::Drop)
    }

    fn change() -> impl Strategy<Value = Change> {
        proptest::sample::select(CHANGES)
    }

    fn walk(from: State, changes: &[Change]) -> State {
        changes.iter().fold(from, |state, change| state.after(*change).unwrap_or(state))
    }

    proptest! {
        #[test]
        fn a_final_state_is_left_by_an_operator_alone(
            from in proptest::sample::select(State::ALL), changes in proptest::collection::vec(change(), 0..12)
        ) {
            let without: Vec<Change> = changes.iter().copied().filter(|change| !is_of_the_operator(*change)).collect();
            let end = walk(from, &without);
            if from.is_final() {
                prop_assert_eq!(end, from);
            }
            // Whoever has filtered it away is not overruled by a replay either.
            prop_assert!(walk(from, &changes) != S::Filtered || from == S::Filtered);
        }

        #[test]
        fn an_answer_that_comes_again_or_late_turns_nothing_back(
            before in proptest::collection::vec(change(), 0..8), again in proptest::collection::vec(
                proptest::sample::select(&[C::Confirm, C::Reject, C::Expire, C::Arrive][..]), 0..6)
        ) {
            for answer in [C::Confirm, C::Reject] {
                let answered = walk(walk(S::Pending, &before), &[answer]);
                if answered.is_final() {
                    prop_assert_eq!(walk(answered, &again), answered, "the first final answer wins");
                }
            }
        }

        #[test]
        fn what_was_confirmed_or_failed_is_not_sent_again(changes in proptest::collection::vec(change(), 0..12)) {
            let without: Vec<Change> = changes.into_iter().filter(|change| *change != C::Replay).collect();
            for done in [S::Confirmed, S::Failed, S::Expired, S::Delivered] {
                prop_assert!(!walk(done, &without).is_waiting());
            }
        }
    }

    #[test]
    fn every_state_has_a_word_of_its_own_and_each_cell_of_the_table_one_entry() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(*state));
        }
        for (at, (from, what, to)) in TABLE.iter().enumerate() {
            assert!(TABLE[..at].iter().all(|(f, w, _)| (f, w) != (from, what)), "{from:?} {what:?} twice");
            assert!(!from.is_final() || is_of_the_operator(*what), "{from:?} {what:?} {to:?}");
        }
    }
}
