//! The records of one call as the caller wanted them: no more than he asked for, from where he left off, and with an
//! answer to whether there were more.
//!
//! M3 cuts a list without a word; so it is asked for one record more, and that one is never handed on.

use super::cursor::{Bound, Seal};
use super::flow::Flow;
use crate::clock::unix_seconds;
use crate::limit::Held;
use crate::m3;
use crate::model::Record;
use crate::translate::Mark;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Listing {
    flow: Flow,
    /// What the caller wants; `None` is all of them.
    most: Option<u64>,
    given: u64,
    /// More than this M3 never gives, whatever it is asked for: as many mean that there may be more.
    ceiling: Option<u64>,
    received: u64,
    /// The record that the list was left at: M3 begins with it again if it is still there.
    left_at: Option<Vec<String>>,
    pen: Option<Pen>,
    last: Option<Record>,
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
            received: 0,
            left_at,
            pen,
            last: None,
            truncated: false,
            unwanted: 0,
            held: Held::default(),
        }
    }

    pub(super) fn under(self, ceiling: Option<u64>) -> Self {
        Self { ceiling, ..self }
    }

    pub(super) fn holding(self, held: Held) -> Self {
        Self { held, ..self }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Record>, m3::Error> {
        loop {
            let next = self.flow.next().await;
            if let Some(next) = self.take(next) {
                return next;
            }
        }
    }

    /// What is here already: `None` when it would have to be waited for, `Some(Ok(None))` at the end.
    pub(super) fn ready(&mut self) -> Option<Result<Option<Record>, m3::Error>> {
        loop {
            let next = self.flow.ready()?;
            if let Some(next) = self.take(next) {
                return Some(next);
            }
        }
    }

    /// `None`: this one is not for the caller.
    fn take(&mut self, next: Result<Option<Record>, m3::Error>) -> Option<Result<Option<Record>, m3::Error>> {
        let record = match next {
            Ok(Some(record)) => record,
            Ok(None) => {
                self.truncated |= self.ceiling.is_some_and(|ceiling| self.received >= ceiling);
                self.held = Held::default();
                return Some(Ok(None));
            }
            Err(error) => {
                self.held = Held::default();
                return Some(Err(error));
            }
        };
        self.received += 1;
        if let Some(place) = self.left_at.take()
            && self.pen.as_ref().is_some_and(|pen| pen.place(&record) == place)
        {
            return None;
        }
        if self.most.is_some_and(|most| self.given >= most) {
            // More than this one may come, from an M3 that gives more than it was asked for: its end is read for if near.
            self.truncated = true;
            self.unwanted += 1;
            if self.unwanted > READ_ON {
                self.flow = Flow::Ended;
                self.held = Held::default();
                return Some(Ok(None));
            }
            return None;
        }
        self.given += 1;
        let may_be_the_last = self.most == Some(self.given) || self.ceiling == Some(self.received);
        if self.pen.is_some() && may_be_the_last {
            self.last = Some(record.clone());
        }
        Some(Ok(Some(record)))
    }

    /// Known at the end: that there were more, and where they begin.
    pub(super) fn mark(&self) -> Option<Mark> {
        self.truncated
            .then(|| Mark { next: self.pen.as_ref().zip(self.last.as_ref()).map(|(pen, last)| pen.write(last)) })
    }
}

impl Pen {
    fn place(&self, record: &Record) -> Vec<String> {
        self.bound.continuation().place(self.bound.layout(), record)
    }

    fn write(&self, last: &Record) -> String {
        let until = unix_seconds().saturating_add(self.lifetime.as_secs());
        self.seal.write(&self.bound, &self.place(last), until)
    }
}
