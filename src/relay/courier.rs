//! The way of messages to one point: the oldest of each document, documents beside each other, again and again until it
//! is there, or until trying helps no more.
//!
//! A point that fails for everybody is left alone for a while: then one message asks whether it is back. That a point is
//! away is held against no message.

use super::backoff::wait;
use crate::bod::{Action, Verb};
use crate::outbox::{self, Attempt, Delivery, Ledger, Room, State};
use crate::points::{Message, Point};
use crate::telemetry::Metrics;
use futures_util::future::{Fuse, FusedFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Messages to one point beside each other.
const BESIDE: usize = 32;
/// Messages that are fetched ahead of their turn, and when it is time to fetch more.
const AHEAD: usize = 256;
const LOW: usize = AHEAD / 4;
/// Of what is fetched and not yet done with.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Failures behind each other, of whatever document, after which the point counts as away.
const AWAY_AFTER: u32 = 5;
const LONGEST: Duration = Duration::from_secs(600);
const PROBE: Duration = Duration::from_secs(60);
/// Nothing tells the relay of what another process wrote.
const LOOK: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_millis(10);

pub(super) struct Courier {
    pub(super) ledger: Ledger,
    pub(super) points: Arc<Vec<Point>>,
    pub(super) at: usize,
    pub(super) tries: u32,
    pub(super) metrics: Arc<Metrics>,
    pub(super) made: Arc<Vec<Notify>>,
}

/// Whether a point takes anything at the moment.
#[derive(Debug, Default)]
struct Health {
    failing: u32,
    away_until: Option<Instant>,
}

impl Health {
    /// A failure is held against its message as long as the point takes others. Once it is away, that is no fault of what
    /// it is asked with: a weekend parks nothing.
    fn learn(&mut self, attempt: &mut Attempt, tries: u32, most: u32) {
        match attempt.state {
            State::Delivered => *self = Self::default(),
            State::Pending => {
                self.failing = self.failing.saturating_add(1);
                attempt.counts = self.failing < AWAY_AFTER;
                if !attempt.counts {
                    let pause = wait(self.failing - AWAY_AFTER, PROBE).max(attempt.wait.min(PROBE));
                    self.away_until = Some(Instant::now() + pause);
                } else if tries + 1 >= most {
                    (attempt.state, attempt.wait) = (State::Parked, Duration::ZERO);
                }
            }
            _ => {}
        }
    }

    fn is_away(&self) -> bool {
        self.away_until.is_some()
    }

    /// How many may be taken beside those on their way, `over` of them having ended: one alone asks whether the point is
    /// back.
    fn room(&self, busy: &Busy, over: usize) -> usize {
        let held = busy.documents.len() - over;
        match self.away_until {
            None if busy.bytes < MOST_BYTES => AHEAD.saturating_sub(held),
            None => 0,
            Some(until) => usize::from(held == 0 && until <= Instant::now()),
        }
    }

    /// How long until somebody has to look.
    fn rest(&self, busy: &Busy, pause: Duration) -> Duration {
        let now = Instant::now();
        let usual = if busy.documents.is_empty() { pause } else { LOOK };
        let rest = self.away_until.filter(|until| *until > now).map_or(usual, |until| until - now);
        rest.clamp(SOON, LOOK)
    }
}

/// An attempt that has ended, and what to tell of it.
struct Ended {
    document: i64,
    /// Those that counted before it.
    tries: u32,
    attempt: Attempt,
    name: String,
    bod_id: String,
    cause: String,
}

/// Documents that are on their way, with the size of the message.
#[derive(Debug, Default)]
struct Busy {
    documents: HashMap<i64, usize>,
    bytes: usize,
}

impl Busy {
    fn begin(&mut self, delivery: &Delivery) {
        let bytes = delivery.kept.made.xml.len();
        self.bytes += bytes;
        self.documents.insert(delivery.document, bytes);
    }

    fn end(&mut self, document: i64) {
        self.bytes -= self.documents.remove(&document).unwrap_or_default();
    }
}

/// What a turn gave: what may go now, what is written down, and when there may be more.
struct Turned {
    taken: Vec<Delivery>,
    written: Vec<i64>,
    more: bool,
    pause: Duration,
}

impl Courier {
    /// Two things go on beside each other, each in its own batches: messages are taken there, and with one commit it is
    /// written down what came of some and which others are sent next. A document is busy from the one to the other.
    pub(super) async fn run(&self) {
        let point = &self.points[self.at];
        let (mut health, mut busy) = (Health::default(), Busy::default());
        let mut queue: VecDeque<Delivery> = VecDeque::new();
        let mut under_way = FuturesUnordered::new();
        let mut ended: Vec<(i64, Attempt)> = Vec::new();
        let mut turning = pin!(Fuse::terminated());
        // What waits may have changed since it was last looked at; and when to look all the same.
        let (mut look, mut pause) = (true, LOOK);
        loop {
            let away = health.is_away();
            if away && busy.documents.len() > 1 {
                // Not begun, so nothing came of them.
                queue.drain(..).for_each(|left| busy.end(left.document));
            }
            while let Some(next) = if under_way.len() < BESIDE { queue.pop_front() } else { None } {
                under_way.push(self.attempt(point, next));
            }
            if turning.is_terminated() {
                let hungry = queue.len() <= LOW && (look || !ended.is_empty());
                let room = if hungry { health.room(&busy, ended.len()) } else { 0 };
                if room > 0 || !ended.is_empty() {
                    look &= room == 0;
                    let room = Room { most: room, bytes: MOST_BYTES, probe: away };
                    turning.set(self.turn(point, std::mem::take(&mut ended), &busy, room).fuse());
                }
            }
            tokio::select! {
                Some(first) = under_way.next(), if !under_way.is_empty() => {
                    let mut next = Some(first);
                    while let Some(mut one) = next {
                        health.learn(&mut one.attempt, one.tries, self.tries);
                        self.tell(point, &one);
                        ended.push((one.document, one.attempt));
                        next = under_way.next().now_or_never().flatten();
                    }
                }
                turned = &mut turning, if !turning.is_terminated() => {
                    turned.written.iter().for_each(|document| busy.end(*document));
                    (look, pause) = (look || turned.more || !turned.written.is_empty(), turned.pause);
                    turned.taken.iter().for_each(|delivery| busy.begin(delivery));
                    queue.extend(turned.taken);
                }
                () = self.made[self.at].notified(), if !away => look = true,
                () = tokio::time::sleep(health.rest(&busy, pause)) => look = true,
            }
        }
    }

    /// Ends once what came of the attempts is on the disk: it is tried for as long as it takes, and until then nothing
    /// more of those documents goes out.
    fn turn<'a>(
        &'a self,
        point: &'a Point,
        ended: Vec<(i64, Attempt)>,
        busy: &Busy,
        room: Room,
    ) -> impl Future<Output = Turned> + use<'a> {
        let (written, ended): (Vec<i64>, Vec<Attempt>) = ended.into_iter().unzip();
        let held: Vec<i64> = busy.documents.keys().copied().filter(|document| !written.contains(document)).collect();
        async move {
            loop {
                match self.ledger.turn(point.name(), &ended, &held, room).await {
                    Ok((taken, more)) => {
                        let pause = if taken.is_empty() { self.pause(point, &held).await } else { LOOK };
                        return Turned { taken, written, more, pause };
                    }
                    Err(error) => {
                        tracing::error!(%error, point = point.name(), "deliveries can't be read or written down");
                        tokio::time::sleep(LOOK).await;
                    }
                }
            }
        }
    }

    async fn pause(&self, point: &Point, busy: &[i64]) -> Duration {
        let next = self.ledger.until_pending(point.name(), busy).await.ok().flatten();
        next.unwrap_or(LOOK).clamp(SOON, LOOK)
    }

    async fn attempt(&self, point: &Point, delivery: Delivery) -> Ended {
        let (kept, tries) = (&delivery.kept, delivery.tries);
        let begun = Instant::now();
        let (xml, answer_within) = match kept.verb.as_str() {
            // Nobody answers an answer.
            "Confirm" => (Cow::Borrowed(kept.made.xml.as_str()), None),
            _ => point.asks(&kept.made.xml),
        };
        let delivered = point.deliver(&message(point, kept, &xml)).await;
        let took = begun.elapsed();
        let name = format!("{}.{}", kept.verb, kept.noun);
        let (state, wait, words) = match delivered {
            Ok(delivered) => {
                let since = kept.age().as_secs_f64();
                self.metrics.publishing.delivery_seconds.with_label_values(&[point.name(), &name]).observe(since);
                (State::Delivered, Duration::ZERO, delivered.reference)
            }
            Err(failure) if failure.lasting => (State::Failed, Duration::ZERO, failure.reason),
            Err(failure) => {
                let own = wait(tries, LONGEST);
                (State::Pending, failure.retry_after.map_or(own, |asked| asked.max(own)), failure.reason)
            }
        };
        let attempt = Attempt { message: kept.id, state, counts: true, wait, took, words, answer_within };
        let (bod_id, cause) = (kept.made.bod_id.clone(), kept.cause.clone());
        Ended { document: delivery.document, tries, attempt, name, bod_id, cause }
    }

    fn tell(&self, point: &Point, Ended { attempt, name, bod_id, cause, .. }: &Ended) {
        let (point, state, words) = (point.name(), attempt.state.as_str(), &attempt.words);
        let outcome = if attempt.state == State::Pending { "retry" } else { state };
        self.metrics.publishing.deliveries.with_label_values(&[point, name, outcome]).inc();
        if attempt.state == State::Delivered {
            tracing::info!(point, document = name, bod_id, cause, "a document was delivered");
        } else {
            tracing::warn!(
                point,
                document = name,
                bod_id,
                cause,
                state,
                reason = words,
                "a document was not delivered"
            );
        }
    }
}

fn message<'a>(point: &'a Point, kept: &'a outbox::Kept, xml: &'a str) -> Message<'a> {
    let made = &kept.made;
    let action =
        [Action::Add, Action::Change, Action::Delete].into_iter().find(|action| action.as_str() == made.action);
    Message {
        id: &made.bod_id,
        bod_id: &made.bod_id,
        verb: match kept.verb.as_str() {
            "Process" => Verb::Process,
            "Confirm" => Verb::Confirm,
            _ => Verb::Sync,
        },
        noun: &kept.noun,
        action: action.unwrap_or(Action::Replace),
        tenant: &made.tenant,
        from: &made.lid,
        to: point.receiver(),
        company: &kept.company,
        division: &made.division,
        entity: &made.entity,
        location: &made.location,
        document_id: &made.document_id,
        variation: made.variation,
        created: &made.created,
        correlation: &kept.cause,
        xml,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One attempt of a message with so many tries behind it, of three.
    fn learnt(health: &mut Health, state: State, tries: u32) -> (State, bool) {
        let (wait, took) = (Duration::from_secs(1), Duration::ZERO);
        let mut attempt =
            Attempt { message: 1, state, counts: true, wait, took, words: String::new(), answer_within: None };
        health.learn(&mut attempt, tries, 3);
        (attempt.state, attempt.counts)
    }

    #[test]
    fn a_weekend_of_a_point_parks_nothing() {
        let mut health = Health::default();
        let mut tries = [0_u32; 16];
        for round in 0..4_000 {
            let one = &mut tries[round % 16];
            let (state, counts) = learnt(&mut health, State::Pending, *one);
            assert_eq!(state, State::Pending, "in round {round}");
            *one += u32::from(counts);
        }
        assert_eq!(tries.iter().sum::<u32>(), 4, "until it counts as away");
        assert!(health.away_until.is_some_and(|until| until <= Instant::now() + PROBE));
        assert_eq!(learnt(&mut health, State::Delivered, 0), (State::Delivered, true));
        assert!(!health.is_away());
    }

    #[test]
    fn what_a_point_never_takes_is_parked_while_it_takes_others() {
        let mut health = Health::default();
        for tries in 0..2 {
            assert_eq!(learnt(&mut health, State::Pending, tries), (State::Pending, true));
            learnt(&mut health, State::Delivered, 0);
        }
        assert_eq!(learnt(&mut health, State::Pending, 2), (State::Parked, true));
        assert_eq!(learnt(&mut health, State::Failed, 0), (State::Failed, true));
    }
}
