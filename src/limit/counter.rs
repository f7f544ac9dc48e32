//! What one client has used of its day and its month.
//!
//! Invariant: nothing is let through beyond what was reserved, and what was reserved stands in the store; so a crash
//! counts a block too much at most, and never too little. But where a shadow alone counts nobody waits for the store: it
//! refuses nothing, and a crash may cost it what was not written. A clock that was set back finds the later day's count, and
//! goes on with that for as long as a day lasts: one that was years ahead for a moment keeps nobody out for years.

use super::book::Used;
use super::calendar::{Calendar, Per, Span};
use super::verdict::{Policy, Verdict};
use crate::model::ClientId;
use http::HeaderValue;
use jiff::tz::TimeZone;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What is reserved ahead: a twentieth of the quota, so that large ones are written rarely, and no more than this.
const BLOCK: u64 = 1_000;

/// The limits of one call over a day or a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Caps {
    pub(super) real: Option<u32>,
    pub(super) shadow: Option<u32>,
}

impl Caps {
    fn counts(self) -> bool {
        self.real.is_some() || self.shadow.is_some()
    }
}

#[derive(Debug)]
pub(super) struct Counter {
    pub(super) client: ClientId,
    state: Mutex<State>,
    /// More was reserved.
    pub(super) reserved: Notify,
}

#[derive(Debug)]
struct State {
    /// Another counter counts now.
    closed: bool,
    /// The keeper knows.
    asked: bool,
    counts: [Option<Count>; 2],
}

/// When a call comes: by the wall clock, which can be set, and by one that only ever goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    /// Seconds since 1970.
    pub(super) wall: u64,
    /// Seconds since some moment.
    pub(super) steady: u64,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    span: Span,
    /// When its counting began, by the steady clock. Unknown of what was read from the store, until it is asked.
    since: Option<u64>,
    used: u64,
    reserved: u64,
    /// Of the last call that asked; it says how large a block is.
    most: Option<u32>,
    block: u64,
    /// What a waiting call needs at once.
    need: u64,
}

/// What became of a call.
pub(super) enum Took {
    /// Everything that limits it, and the shadows that would have refused it. `true`: more should be reserved.
    Said(Vec<Verdict>, Vec<Policy>, bool),
    /// More has to be reserved first.
    Wait,
    Closed,
}

impl Count {
    fn new(span: Span) -> Self {
        Self { span, since: None, used: 0, reserved: 0, most: None, block: 1, need: 0 }
    }

    /// A later day begins anew. An earlier one is a clock that was set back, and goes on counting where it was, until as
    /// much time has passed in truth as the day is long.
    fn roll(&mut self, now: Span, at: At) {
        let since = *self.since.get_or_insert(at.steady);
        if now.first > self.span.first || self.lasts(since, at) == 0 {
            let Self { most, block, .. } = *self;
            *self = Self { most, block, since: Some(at.steady), ..Self::new(now) };
        } else if now.first == self.span.first {
            self.span = now;
        }
    }

    /// Seconds until as much time has passed as it is long, and the little by which clocks differ over it. With a clock
    /// that nobody sets, midnight is always sooner.
    fn lasts(&self, since: u64, at: At) -> u64 {
        let long = self.span.seconds();
        (long + long / 1_000).saturating_sub(at.steady.saturating_sub(since))
    }

    fn verdict(&self, per: Per, most: u32, units: u32, at: At) -> Verdict {
        let units = units.clamp(1, most);
        let allowed = self.used + u64::from(units) <= u64::from(most);
        let policy = match per {
            Per::Day => Policy::Daily,
            Per::Month => Policy::Monthly,
        };
        let lasts = self.lasts(self.since.unwrap_or(at.steady), at);
        let wait = self.span.end.saturating_sub(at.wall).min(lasts).max(1);
        let left = u64::from(most).saturating_sub(self.used);
        let text = format!("\"{}\";q={most};w={}", policy.name(), self.span.seconds());
        Verdict {
            allowed,
            policy,
            line: 0,
            limit: most,
            remaining: u32::try_from(left).unwrap_or(u32::MAX),
            weight: units,
            reset_seconds: wait,
            wait: if allowed { Duration::ZERO } else { Duration::from_secs(wait) },
            policy_header: HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
                .expect("names and digits are header text"),
        }
    }

    /// How far may be counted before the next writing.
    fn target(&self) -> u64 {
        let target = self.used + self.block.max(self.need);
        self.most.map_or(target, |most| target.min(u64::from(most)).max(self.used))
    }
}

impl Counter {
    /// Everything that was reserved counts as used: nobody knows how much of it was.
    pub(super) fn new(client: ClientId, rows: &[Used], zone: &TimeZone) -> Self {
        let counts = Per::ALL.map(|per| {
            rows.iter().find(|row| row.per == per).map(|row| {
                let span = Span::of(per, row.first, zone);
                Count { used: row.reserved, reserved: row.reserved, ..Count::new(span) }
            })
        });
        let state = Mutex::new(State { closed: false, asked: false, counts });
        Self { client, state, reserved: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Held for sums alone; a poisoned one still holds good numbers.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `really`: counts it, unless a limit refuses; else it is only asked. `durable`: nothing is counted that is not
    /// reserved.
    pub(super) fn take(&self, calendar: &Calendar, caps: [Caps; 2], units: u32, at: At, really: bool) -> Took {
        let mut state = self.state();
        if state.closed {
            return Took::Closed;
        }
        let (mut said, mut shadows, mut wait) = (Vec::new(), Vec::new(), false);
        for (n, per) in Per::ALL.into_iter().enumerate().filter(|(n, _)| caps[*n].counts()) {
            let span = calendar.span(per);
            let count = state.counts[n].get_or_insert(Count::new(span));
            count.roll(span, at);
            let (cap, most) = (caps[n], caps[n].real.or(caps[n].shadow).unwrap_or(u32::MAX));
            count.most = cap.real;
            count.block = u64::from(most / 20).clamp(1, BLOCK);
            said.extend(cap.real.map(|most| count.verdict(per, most, units, at)));
            let shadow = cap.shadow.map(|most| count.verdict(per, most, units, at));
            shadows.extend(shadow.filter(|verdict| !verdict.allowed).map(|verdict| verdict.policy));
        }
        if !really || said.iter().any(|verdict| !verdict.allowed) {
            return Took::Said(said, shadows, false);
        }
        for (count, cap) in state.counts.iter_mut().zip(caps).filter(|(_, cap)| cap.counts()) {
            let Some(count) = count else { continue };
            let units = charged(units, cap);
            if cap.real.is_some() && count.used + units > count.reserved {
                count.need = count.need.max(units);
                wait = true;
            }
        }
        if wait {
            return Took::Wait;
        }
        let mut low = false;
        for (count, cap) in state.counts.iter_mut().zip(caps).filter(|(_, cap)| cap.counts()) {
            let Some(count) = count else { continue };
            count.used += charged(units, cap);
            low |=
                count.reserved.saturating_sub(count.used) < count.block.div_ceil(2) && count.target() > count.reserved;
        }
        for verdict in &mut said {
            verdict.remaining = verdict.remaining.saturating_sub(verdict.weight);
        }
        Took::Said(said, shadows, low)
    }

    /// Puts back what was counted for a call that another limit refused.
    pub(super) fn give(&self, caps: [Caps; 2], units: u32) {
        let mut state = self.state();
        for (count, cap) in state.counts.iter_mut().zip(caps).filter(|(_, cap)| cap.counts()) {
            if let Some(count) = count {
                count.used = count.used.saturating_sub(charged(units, cap));
            }
        }
    }

    /// `true` the first time since it was written.
    pub(super) fn asks(&self) -> bool {
        !std::mem::replace(&mut self.state().asked, true)
    }

    /// What is to be written, so that more may be counted.
    pub(super) fn wanted(&self) -> Vec<Used> {
        let mut state = self.state();
        state.asked = false;
        if state.closed {
            return Vec::new();
        }
        // Never less than stands there: what was given back since is not known to the store.
        self.rows(&state, |count| count.target().max(count.reserved))
    }

    /// It stands in the store.
    pub(super) fn written(&self, rows: &[Used]) {
        let mut state = self.state();
        for row in rows {
            let at = usize::from(row.per == Per::Month);
            // A day that began meanwhile is written by itself.
            if let Some(count) = state.counts[at].as_mut().filter(|count| count.span.first == row.first) {
                count.reserved = count.reserved.max(row.reserved);
                count.need = 0;
            }
        }
        drop(state);
        self.reserved.notify_waiters();
    }

    /// Counts no more: what was used is exact now.
    pub(super) fn close(&self) -> Vec<Used> {
        let mut state = self.state();
        state.closed = true;
        let rows = self.rows(&state, |count| count.used);
        drop(state);
        self.reserved.notify_waiters();
        rows
    }

    /// What stands in the store once it has begun anew.
    pub(super) fn anew(&self, per: Option<Per>) -> Vec<Used> {
        let mut rows = self.rows(&self.state(), |count| count.reserved);
        for row in rows.iter_mut().filter(|row| per.is_none_or(|per| per == row.per)) {
            (row.used, row.reserved) = (0, 0);
        }
        rows
    }

    /// Begins anew; what comes next waits until more is reserved.
    pub(super) fn reset(&self, per: Option<Per>) {
        for (count, own) in self.state().counts.iter_mut().zip(Per::ALL) {
            if let Some(count) = count.as_mut().filter(|_| per.is_none_or(|per| per == own)) {
                (count.used, count.reserved) = (0, 0);
            }
        }
    }

    pub(super) fn used(&self) -> Vec<Used> {
        self.rows(&self.state(), |count| count.used)
    }

    fn rows(&self, state: &State, reserved: impl Fn(&Count) -> u64) -> Vec<Used> {
        let rows = state.counts.iter().zip(Per::ALL).filter_map(|(count, per)| {
            count.as_ref().map(|count| Used {
                client: self.client.clone(),
                per,
                first: count.span.first,
                used: count.used,
                reserved: reserved(count),
            })
        });
        rows.collect()
    }
}

/// A call that costs more than the whole quota takes all of it; it is not refused for ever.
fn charged(units: u32, cap: Caps) -> u64 {
    u64::from(units.clamp(1, cap.real.unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_takes_no_reservation_from_the_store() {
        let (at, zone) = (At { wall: 1_800_000_000, steady: 0 }, TimeZone::UTC);
        let counter = Counter::new(ClientId { issuer: "https://here".into(), id: "shop".into() }, &[], &zone);
        let (calendar, caps) =
            (Calendar::at(at.wall, &zone), [Caps { real: Some(100), shadow: None }, Caps::default()]);
        let take = |units| counter.take(&calendar, caps, units, at, true);
        assert!(matches!(take(50), Took::Wait));
        counter.written(&counter.wanted());
        assert!(matches!(take(50), Took::Said(..)));
        counter.give(caps, 40);
        assert_eq!(counter.wanted()[0].reserved, 50, "as much may be counted without asking again");
    }

    #[test]
    fn a_word_of_an_earlier_writing_takes_nothing_from_a_later_one() {
        let (at, zone) = (At { wall: 1_800_000_000, steady: 0 }, TimeZone::UTC);
        let counter = Counter::new(ClientId { issuer: "https://here".into(), id: "shop".into() }, &[], &zone);
        let (calendar, caps) =
            (Calendar::at(at.wall, &zone), [Caps { real: Some(100), shadow: None }, Caps::default()]);
        let take = |units| matches!(counter.take(&calendar, caps, units, at, true), Took::Said(..));
        assert!(!take(10));
        let earlier = counter.wanted();
        assert!(!take(60));
        counter.written(&counter.wanted());
        counter.written(&earlier);
        assert!(take(60), "what stands in the store is reserved");
    }
}
