//! The records of one call as the caller wanted them: no more than he asked for, from where he left off, and with an
//! answer to whether there were more.
//!
//! M3 cuts a list without a word; so it is asked for one record more, and that one is never handed on. Records of a
//! place outside the decision are not handed on either; where they took the place of others, the list is cut.

use super::cursor::{Bound, Seal};
use super::flow::Flow;
use super::sieve::{Fate, Sieve};
use crate::clock::unix_seconds;
use crate::limit::Held;
use crate::m3;
use crate::model::Record;
use crate::translate::Mark;
use std::sync::OnceLock;
use std::time::Duration;

pub(super) struct Listing {
    flow: Flow,
    /// What the caller wants; `None` is all of them.
    most: Option<u64>,
    given: u64,
    /// More than this M3 never gives, whatever it is asked for: as many mean that there may be more.
    ceiling: Option<u64>,
    /// So many M3 was asked for.
    limit: Option<u64>,
    received: u64,
    sieve: Option<Sieve>,
    /// Its place has to be learnt before it is anybody's.
    parked: Option<Record>,
    /// The record that the list was left at: M3 begins with it again if it is still there.
    left_at: Option<Vec<String>>,
    pen: Option<Pen>,
    last: Option<Record>,
    /// Sealed once: head, trailers and body name one cursor.
    next: OnceLock<Option<String>>,
    truncated: bool,
    /// Records that came beyond what was wanted.
    unwanted: u32,
    /// Of the client's limits; let go when the list has ended or its reader has gone.
    held: Held,
}

/// So many records are read for nobody, before an M3 that goes on and on is left.
const READ_ON: u32 = 256;

/// Writes where the list can be taken up again.
#[derive(Debug)]
pub(super) struct Pen {
    pub(super) seal: Seal,
    pub(super) bound: Bound,
    pub(super) lifetime: Duration,
}

impl Listing {
    pub(super) fn new(flow: Flow, most: Option<u64>, left_at: Option<Vec<String>>, pen: Option<Pen>) -> Self {
        Self {
            flow,
            most,
            given: 0,
            ceiling: None,
            limit: None,
            received: 0,
            sieve: None,
            parked: None,
            left_at,
            pen,
            last: None,
            next: OnceLock::new(),
            truncated: false,
            unwanted: 0,
            held: Held::default(),
        }
    }

    pub(super) fn under(self, ceiling: Option<u64>) -> Self {
        Self { ceiling, ..self }
    }

    /// `limit`: what M3 was asked for, where that is a number.
    pub(super) fn through(self, sieve: Option<Sieve>, limit: Option<u64>) -> Self {
        Self { sieve, limit, ..self }
    }

    /// Whether something may be said of it at its end.
    pub(super) fn is_sifted(&self) -> bool {
        self.sieve.is_some()
    }

    pub(super) fn holding(self, held: Held) -> Self {
        Self { held, ..self }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Record>, m3::Error> {
        loop {
            if let (Some(record), Some(sieve)) = (&self.parked, &mut self.sieve) {
                // Whoever gives up waiting leaves the record where it is.
                sieve.learn(record).await;
                if let Some(next) = self.unparked() {
                    return next;
                }
                continue;
            }
            let next = self.flow.next().await;
            if let Some(next) = self.take(next) {
                return next;
            }
        }
    }

    /// What is here already: `None` when it would have to be waited for, `Some(Ok(None))` at the end.
    pub(super) fn ready(&mut self) -> Option<Result<Option<Record>, m3::Error>> {
        loop {
            if self.parked.is_some() {
                return None;
            }
            let next = self.flow.ready()?;
            if let Some(next) = self.take(next) {
                return Some(next);
            }
        }
    }

    /// `None`: this one is not for the caller, or not yet.
    fn take(&mut self, next: Result<Option<Record>, m3::Error>) -> Option<Result<Option<Record>, m3::Error>> {
        let record = match next {
            Ok(Some(record)) => record,
            Ok(None) => {
                let withheld = self.withheld() > 0;
                self.truncated |= self.ceiling.is_some_and(|ceiling| self.received >= ceiling)
                    || (withheld && self.limit.is_some_and(|limit| self.received >= limit));
                return Some(self.end(Ok(None)));
            }
            Err(error) => return Some(self.end(Err(error))),
        };
        self.received += 1;
        if let Some(place) = self.left_at.take()
            && self.pen.as_ref().is_some_and(|pen| pen.place(&record) == place)
        {
            return None;
        }
        self.sift(record)
    }

    fn end(&mut self, end: Result<Option<Record>, m3::Error>) -> Result<Option<Record>, m3::Error> {
        self.held = Held::default();
        if let Some(sieve) = &mut self.sieve {
            sieve.tell();
        }
        end
    }

    fn unparked(&mut self) -> Option<Result<Option<Record>, m3::Error>> {
        let record = self.parked.take()?;
        self.sift(record)
    }

    fn sift(&mut self, record: Record) -> Option<Result<Option<Record>, m3::Error>> {
        let fate = self.sieve.as_mut().map_or(Fate::Shown, |sieve| sieve.fate(&record));
        match fate {
            Fate::Shown => self.show(record),
            Fate::Withheld => self.withhold(record),
            Fate::Unknown => {
                self.parked = Some(record);
                None
            }
        }
    }

    fn show(&mut self, record: Record) -> Option<Result<Option<Record>, m3::Error>> {
        if self.most.is_some_and(|most| self.given >= most) {
            // More than this one may come, from an M3 that gives more than it was asked for: its end is read for if near.
            self.truncated = true;
            self.unwanted += 1;
            return if self.unwanted > READ_ON { Some(self.leave()) } else { None };
        }
        self.given += 1;
        if self.pen.is_some() && (self.most == Some(self.given) || self.may_be_the_last()) {
            self.last = Some(record.clone());
        }
        Some(Ok(Some(record)))
    }

    /// It counts for where the list goes on, and not for how many the caller wanted.
    fn withhold(&mut self, record: Record) -> Option<Result<Option<Record>, m3::Error>> {
        if let Some(sieve) = &mut self.sieve {
            sieve.withhold();
        }
        if self.pen.is_some() && self.unwanted == 0 && self.may_be_the_last() {
            self.last = Some(record);
        }
        let past = self.limit.is_some_and(|limit| self.received > limit.saturating_add(u64::from(READ_ON)));
        self.truncated |= past;
        past.then(|| self.leave())
    }

    /// M3 goes on and on.
    fn leave(&mut self) -> Result<Option<Record>, m3::Error> {
        self.flow = Flow::Ended;
        self.end(Ok(None))
    }

    /// As many as M3 gives at the most, or was asked for: it may stop here without having come to its end.
    fn may_be_the_last(&self) -> bool {
        let received = Some(self.received);
        self.ceiling == received || (self.sieve.is_some() && self.limit == received)
    }

    pub(super) fn withheld(&self) -> u64 {
        self.sieve.as_ref().map_or(0, Sieve::withheld)
    }

    /// Known at the end: that there were more, and where they begin; that some are not for the caller.
    pub(super) fn mark(&self) -> Option<Mark> {
        let withheld = self.withheld();
        (self.truncated || withheld > 0).then(|| {
            let written = || self.pen.as_ref().zip(self.last.as_ref()).and_then(|(pen, last)| pen.write(last));
            let next = if self.truncated { self.next.get_or_init(written).clone() } else { None };
            Mark { truncated: self.truncated, next, withheld }
        })
    }
}

impl Pen {
    fn place(&self, record: &Record) -> Vec<String> {
        self.bound.continuation().place(self.bound.layout(), record)
    }

    fn write(&self, last: &Record) -> Option<String> {
        let until = unix_seconds().saturating_add(self.lifetime.as_secs());
        self.seal.write(&self.bound, &self.place(last), until)
    }
}
