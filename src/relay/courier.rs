//! The way of messages to one point: the oldest of each document, documents beside each other, again and again until it
//! is there, or until trying helps no more.
//!
//! A point that fails for everybody is left alone for a while: then one message asks whether it is back. That a point is
//! away is held against no message. A kind of document that the point does not take is left alone in the same way, and
//! others go on.

use super::backoff::wait;
use super::health::{Health, Tried};
use super::parcel::{About, parcel};
use crate::outbox::{Attempt, Delivery, Ledger, Room, State};
use crate::points::{Blame, Message, Point};
use crate::telemetry::Metrics;
use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::{Fuse, FusedFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Write as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use uuid::Uuid;

/// Messages to one point beside each other.
const BESIDE: usize = 32;
/// Messages that are fetched ahead of their turn, and when it is time to fetch more.
const AHEAD: usize = 256;
const LOW: usize = AHEAD / 4;
/// Of what is fetched and not yet done with.
const MOST_BYTES: usize = 16 * 1024 * 1024;
const LONGEST: Duration = Duration::from_secs(600);
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

/// An attempt that has ended, and what to tell of it.
struct Ended {
    record: i64,
    /// Those that counted before it.
    tries: u32,
    attempt: Attempt,
    blame: Blame,
    asked: Duration,
    age: Duration,
    name: String,
    bod_id: String,
    cause: String,
}

/// Records of which something is on its way, with the size of the message and its kind.
#[derive(Debug, Default)]
struct Busy {
    records: HashMap<i64, (usize, String)>,
    bytes: usize,
}

impl Busy {
    fn begin(&mut self, delivery: &Delivery) {
        let bytes = delivery.kept.made.xml.len();
        self.bytes += bytes;
        self.records.insert(delivery.record, (bytes, delivery.kept.name()));
    }

    fn end(&mut self, record: i64) {
        self.bytes -= self.records.remove(&record).map_or(0, |(bytes, _)| bytes);
    }

    /// How much more may be taken, what of it by itself alone, `over` of what is busy having ended.
    fn room(&self, health: &Health, over: usize) -> Room {
        let held = self.records.len() - over;
        let (probe, most) = (health.is_away(), health.room(held, (AHEAD, self.bytes, MOST_BYTES)));
        let (held, ready) = health.kinds.held();
        let busy: HashSet<&str> = self.records.values().map(|(_, kind)| kind.as_str()).collect();
        let ready = ready.into_iter().filter(|kind| most > 0 && !busy.contains(kind.as_str()));
        let probes = ready.take(if probe { 1 } else { usize::MAX }).collect();
        Room { most, bytes: MOST_BYTES, probe, held, probes }
    }
}

/// What a turn gave: what may go now, what is written down, and when there may be more.
struct Turned {
    taken: Vec<Delivery>,
    written: Vec<i64>,
    more: bool,
    pause: Duration,
    /// Kinds that were asked for, and of which there was nothing.
    in_vain: Vec<String>,
}

impl Courier {
    /// Two things go on beside each other, each in its own batches: messages are taken there, and with one commit it is
    /// written down what came of some and which others are sent next. A record is busy from the one to the other.
    pub(super) async fn run(&self) {
        let point = &self.points[self.at];
        let (mut health, mut busy) = (Health::default(), Busy::default());
        let mut queue: VecDeque<Delivery> = VecDeque::new();
        let mut under_way = FuturesUnordered::new();
        let mut ended: Vec<(i64, Attempt)> = Vec::new();
        let mut refused: HashSet<String> = HashSet::new();
        let mut turning = pin!(Fuse::terminated());
        // What waits may have changed since it was last looked at; and when to look all the same.
        let (mut look, mut pause) = (true, LOOK);
        loop {
            let away = health.is_away();
            // Not begun, so nothing came of them.
            if away && busy.records.len() > 1 {
                queue.drain(..).for_each(|left| busy.end(left.record));
            }
            for kind in std::mem::take(&mut refused) {
                queue.retain(|next| {
                    next.kept.name() != kind || {
                        busy.end(next.record);
                        false
                    }
                });
            }
            while let Some(next) = if under_way.len() < BESIDE { queue.pop_front() } else { None } {
                let (made, kept) = (&next.kept.made, &next.kept);
                let span = tracing::debug_span!(
                    "relay.deliver",
                    correlation = kept.cause,
                    noun = kept.noun,
                    verb = kept.verb,
                    bod_id = made.bod_id,
                    point = point.name(),
                    outcome = Empty,
                );
                under_way.push(self.attempt(point, next).instrument(span));
            }
            if turning.is_terminated() {
                let hungry = queue.len() <= LOW && (look || !ended.is_empty());
                let room = if hungry { busy.room(&health, ended.len()) } else { Room::default() };
                if room.most > 0 || !ended.is_empty() {
                    look &= room.most == 0;
                    turning.set(self.turn(point, std::mem::take(&mut ended), &busy, room).fuse());
                }
            }
            tokio::select! {
                Some(first) = under_way.next(), if !under_way.is_empty() => {
                    let mut next = Some(first);
                    while let Some(mut one) = next {
                        let Ended { record, tries, blame, asked, age, name, attempt, .. } = &mut one;
                        let tried = Tried { record: *record, kind: name, tries: *tries, blame: *blame, asked: *asked, age: *age };
                        health.learn(attempt, &tried, self.tries);
                        if health.kinds.holds(name) {
                            refused.insert(name.clone());
                        }
                        self.tell(point, &one);
                        ended.push((one.record, one.attempt));
                        next = under_way.next().now_or_never().flatten();
                    }
                }
                turned = &mut turning, if !turning.is_terminated() => {
                    turned.written.iter().for_each(|record| busy.end(*record));
                    (look, pause) = (look || turned.more || !turned.written.is_empty(), turned.pause);
                    health.kinds.found_none(&turned.in_vain);
                    turned.taken.iter().for_each(|delivery| busy.begin(delivery));
                    queue.extend(turned.taken);
                }
                () = self.made[self.at].notified(), if !away => look = true,
                () = tokio::time::sleep(rest(&health, &busy, pause)) => look = true,
            }
        }
    }

    /// Ends once what came of the attempts is on the disk: it is tried for as long as it takes, and until then nothing
    /// more of those records goes out.
    fn turn<'a>(
        &'a self,
        point: &'a Point,
        ended: Vec<(i64, Attempt)>,
        busy: &Busy,
        room: Room,
    ) -> impl Future<Output = Turned> + use<'a> {
        let (written, ended): (Vec<i64>, Vec<Attempt>) = ended.into_iter().unzip();
        let held: Vec<i64> = busy.records.keys().copied().filter(|record| !written.contains(record)).collect();
        async move {
            loop {
                match self.ledger.turn(point.name(), &ended, &held, &room).await {
                    Ok((taken, more)) => {
                        let pause = if taken.is_empty() { self.pause(point, &held).await } else { LOOK };
                        let of = |kind: &&String| taken.iter().all(|one: &Delivery| one.kept.name() != **kind);
                        let in_vain = room.probes.iter().filter(of).cloned().collect();
                        return Turned { taken, written, more, pause, in_vain };
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
        let id = message_id(&kept.made.bod_id);
        let parcel = Message { id: &id, ..parcel(point, About::kept(kept), &kept.made, &xml) };
        let delivered = point.deliver(&parcel).await;
        let took = begun.elapsed();
        let name = kept.name();
        let (mut blame, mut asked) = (Blame::Unclear, Duration::ZERO);
        let (state, wait, words) = match delivered {
            Ok(delivered) => {
                let since = kept.age().as_secs_f64();
                self.metrics.publishing.delivery_seconds.with_label_values(&[point.name(), &name]).observe(since);
                (State::Delivered, Duration::ZERO, delivered.reference)
            }
            Err(failure) if failure.lasting => (State::Failed, Duration::ZERO, failure.reason),
            Err(failure) => {
                (blame, asked) = (failure.blame, failure.retry_after.unwrap_or_default());
                (State::Pending, wait(tries, LONGEST).max(asked), failure.reason)
            }
        };
        Span::current().record("outcome", state.as_str());
        let attempt = Attempt { message: kept.id, state, counts: true, wait, took, words, answer_within };
        let (bod_id, cause) = (kept.made.bod_id.clone(), kept.cause.clone());
        let age = kept.age();
        Ended { record: delivery.record, tries, attempt, blame, asked, age, name, bod_id, cause }
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

/// How long until somebody has to look.
fn rest(health: &Health, busy: &Busy, pause: Duration) -> Duration {
    health.rest(if busy.records.is_empty() { pause } else { LOOK }).clamp(SOON, LOOK)
}

/// As ION names a message: 32 hexadecimal digits, for every attempt the same. A BODID may have other characters, and more.
fn message_id(bod_id: &str) -> String {
    match Uuid::try_parse(bod_id) {
        Ok(id) => id.simple().to_string(),
        Err(_) => digest(&SHA256, bod_id.as_bytes()).as_ref()[..16].iter().fold(String::new(), |mut id, byte| {
            let _ = write!(id, "{byte:02x}");
            id
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_uuid_is_named_by_its_own_digits() {
        assert_eq!(message_id("0198c0de-0000-7000-8000-000000000001"), "0198c0de000070008000000000000001");
    }

    proptest! {
        #[test]
        fn every_message_has_a_name_that_ion_takes(bod_id in ".{1,255}", other in ".{1,255}") {
            let id = message_id(&bod_id);
            prop_assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
            prop_assert_eq!(&id, &message_id(&bod_id));
            prop_assert_eq!(bod_id == other, id == message_id(&other));
        }
    }
}
