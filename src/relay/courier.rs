//! The way of messages to one point: the oldest of each document, documents beside each other, again and again until it
//! is there, or until trying helps no more.
//!
//! A point that fails for everybody is left alone for a while: then one message asks whether it is back.

use super::backoff::wait;
use crate::bod::{Action, Verb};
use crate::outbox::{self, Attempt, Delivery, Ledger, State};
use crate::points::{Message, Point};
use crate::telemetry::Metrics;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Messages to one point beside each other.
const BESIDE: usize = 16;
/// Failures behind each other, of whatever document, after which the point counts as away.
const AWAY_AFTER: u32 = 5;
const LONGEST: Duration = Duration::from_secs(600);
const PROBE: Duration = Duration::from_secs(60);
/// Nothing tells the relay of what another process wrote.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Courier {
    pub(super) ledger: Ledger,
    pub(super) points: Arc<Vec<Point>>,
    pub(super) at: usize,
    pub(super) tries: u32,
    pub(super) metrics: Arc<Metrics>,
    pub(super) made: Arc<Vec<Notify>>,
}

impl Courier {
    pub(super) async fn run(self) {
        let point = &self.points[self.at];
        let mut failing = 0_u32;
        let mut away_until: Option<Instant> = None;
        let mut under_way = FuturesUnordered::new();
        let mut busy: HashMap<i64, i64> = HashMap::new();
        let mut ended: Vec<Attempt> = Vec::new();
        loop {
            let now = Instant::now();
            let away = away_until.is_some();
            let may = if away {
                usize::from(under_way.is_empty() && away_until.is_some_and(|until| until <= now))
            } else {
                BESIDE - under_way.len()
            };
            if may > 0 || !ended.is_empty() {
                let over: Vec<i64> = ended.iter().map(|attempt| attempt.message).collect();
                let held: Vec<i64> =
                    busy.iter().filter(|(id, _)| !over.contains(id)).map(|(_, document)| *document).collect();
                match self.ledger.turn(point.name(), &ended, &held, may).await {
                    Ok(taken) => {
                        ended.clear();
                        busy.retain(|id, _| !over.contains(id));
                        for delivery in taken {
                            busy.insert(delivery.kept.id, delivery.document);
                            under_way.push(self.attempt(point, delivery));
                        }
                    }
                    // What came of attempts is kept, and written down as soon as it can be.
                    Err(error) => {
                        tracing::error!(%error, point = point.name(), "deliveries can't be read or written down");
                        tokio::time::sleep(LOOK).await;
                    }
                }
            }
            let pause = self.pause(point, away_until).await;
            let first = tokio::select! {
                Some(first) = under_way.next(), if !under_way.is_empty() => first,
                () = self.made[self.at].notified(), if !away => continue,
                () = tokio::time::sleep(pause) => continue,
            };
            let before = ended.len();
            ended.push(first);
            while let Some(Some(next)) = under_way.next().now_or_never() {
                ended.push(next);
            }
            for attempt in &ended[before..] {
                match attempt.state {
                    State::Delivered => (failing, away_until) = (0, None),
                    State::Pending | State::Parked => {
                        failing = failing.saturating_add(1);
                        if failing >= AWAY_AFTER {
                            away_until =
                                Some(Instant::now() + wait(failing - AWAY_AFTER, PROBE).max(attempt.wait.min(PROBE)));
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    async fn pause(&self, point: &Point, away_until: Option<Instant>) -> Duration {
        if let Some(until) = away_until {
            return until.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(10), LOOK);
        }
        let next = self.ledger.until_pending(point.name()).await.ok().flatten().unwrap_or(LOOK);
        next.clamp(Duration::from_millis(10), LOOK)
    }

    async fn attempt(&self, point: &Point, delivery: Delivery) -> Attempt {
        let kept = &delivery.kept;
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
            Ok(delivered) => (State::Delivered, Duration::ZERO, delivered.reference),
            Err(failure) if failure.lasting => (State::Failed, Duration::ZERO, failure.reason),
            Err(failure) if delivery.tries + 1 >= self.tries => (State::Parked, Duration::ZERO, failure.reason),
            Err(failure) => {
                let own = wait(delivery.tries, LONGEST);
                (State::Pending, failure.retry_after.map_or(own, |asked| asked.max(own)), failure.reason)
            }
        };
        let outcome = if state == State::Pending { "retry" } else { state.as_str() };
        self.metrics.publishing.deliveries.with_label_values(&[point.name(), &name, outcome]).inc();
        if state == State::Delivered {
            let since = kept.age().as_secs_f64();
            self.metrics.publishing.delivery_seconds.with_label_values(&[point.name(), &name]).observe(since);
            tracing::info!(
                point = point.name(),
                document = name,
                bod_id = kept.made.bod_id,
                cause = kept.cause,
                "a document was delivered"
            );
        } else {
            tracing::warn!(
                point = point.name(),
                document = name,
                bod_id = kept.made.bod_id,
                cause = kept.cause,
                state = state.as_str(),
                reason = words,
                "a document was not delivered"
            );
        }
        Attempt { message: kept.id, state, wait, took, words, answer_within }
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
