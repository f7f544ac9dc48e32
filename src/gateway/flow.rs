//! The records of one call on their way out, straight from the session or through the task of a write.
//!
//! Invariant: once a write is handed to its task, nothing that happens to the caller ends it; the task reads M3's
//! answer to its end and says in the log what the caller could no longer be told.

use super::intent;
use crate::audit::{Outcome, Ticket};
use crate::limit::Held;
use crate::m3;
use crate::model::{Call, Record};
use crate::outbox::{self, Pledge};
use crate::tasks::Tasks;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument, Span};

#[derive(Debug)]
pub(super) enum Flow {
    Direct(Box<m3::Reply>),
    /// `Ok(None)` is the end. A channel that closes without it was left by a task that broke down.
    Task(mpsc::Receiver<Result<Option<Record>, m3::Error>>),
    /// Of a write that was done before.
    Kept(std::vec::IntoIter<Record>),
    Ended,
}

/// Records that wait for a slow caller of a write; the session waits behind them.
const WAITING: usize = 256;
/// What is read from M3 for a caller who has gone, before the session is given up.
const READ_ON: usize = 256;

/// The caller's patience ended before M3's answer began.
#[derive(Debug)]
pub(super) struct Unknown;

impl Flow {
    pub(super) fn direct(reply: m3::Reply) -> Self {
        Self::Direct(Box::new(reply))
    }

    pub(super) fn kept(records: Vec<Record>) -> Self {
        Self::Kept(records.into_iter())
    }

    pub(super) async fn next(&mut self) -> Result<Option<Record>, m3::Error> {
        match self {
            Self::Direct(reply) => reply.next().await,
            Self::Task(records) => {
                let next = records.recv().await.unwrap_or_else(|| Err(broken_down()));
                self.seen(next)
            }
            Self::Kept(records) => Ok(records.next()),
            Self::Ended => Ok(None),
        }
    }

    fn seen(&mut self, next: Result<Option<Record>, m3::Error>) -> Result<Option<Record>, m3::Error> {
        if !matches!(next, Ok(Some(_))) {
            *self = Self::Ended;
        }
        next
    }

    /// A record that is here already: `None` when it would have to be waited for, `Some(Ok(None))` at the end.
    pub(super) fn ready(&mut self) -> Option<Result<Option<Record>, m3::Error>> {
        match self {
            Self::Direct(reply) => reply.ready(),
            Self::Task(records) => match records.try_recv() {
                Ok(next) => Some(self.seen(next)),
                Err(mpsc::error::TryRecvError::Empty) => None,
                Err(mpsc::error::TryRecvError::Disconnected) => Some(self.seen(Err(broken_down()))),
            },
            Self::Kept(records) => Some(Ok(records.next())),
            Self::Ended => Some(Ok(None)),
        }
    }
}

fn broken_down() -> m3::Error {
    m3::Error::Lost { sent: true, source: Arc::new(std::io::ErrorKind::BrokenPipe.into()) }
}

/// A call on its way to M3, under the name by which its document and its deliveries are known.
pub(super) fn span(call: &Call, intent: &str) -> Span {
    let (program, transaction) = (call.layout.program, call.layout.name);
    tracing::debug_span!("m3.call", correlation = intent, %program, %transaction)
}

/// Runs a write on a tracked task, and waits for the first word of its answer.
pub(super) async fn write(
    m3: m3::Client,
    call: Call,
    tasks: &Tasks,
    wait: Duration,
    intent: String,
    (mut ticket, mut pledge, held): (Ticket, Option<Pledge>, Held),
) -> Result<Result<(Flow, bool), m3::Error>, Unknown> {
    let (begun, first) = oneshot::channel();
    let (records, rest) = mpsc::channel(WAITING);
    let span = span(&call, &intent);
    let sent = async move {
        let (program, transaction) = (call.layout.program, call.layout.name);
        let (client, user, place) = (call.client.clone(), call.user.clone(), call.place);
        // Dropped without another word, by a panic or at the end of the process, it says that nobody knows.
        ticket.sent();
        if let Some(pledge) = &mut pledge {
            pledge.sent();
        }
        match m3.call(&call).await {
            Ok(mut reply) => {
                let reported = reply.outcome_reported();
                ticket.ended(if reported { Outcome::Done } else { Outcome::NotReported });
                let mut early = Early::default();
                if let Some(pledge) = pledge {
                    if pledge.is_awaited() {
                        early.read(&mut reply).await;
                    }
                    let kept = intent::kept(&pledge, &call.layout, &early.records);
                    pledge.settle(&outbox::Outcome::Done { reported, records: kept }).await;
                }
                if begun.send(Ok(reported)).is_err() {
                    tracing::info!(%intent, client = %client.id, issuer = %client.issuer, m3_user = %user, company = %place.company, %program, %transaction, "a write whose caller had gone: M3 took it");
                }
                // The call is in flight until M3 has ended it, whoever has gone.
                early.pump(reply, records, held).await;
            }
            Err(error) => {
                ticket.ended(outcome(&error));
                drop(held);
                end(pledge, &error).await;
                let told = error.to_string();
                if begun.send(Err(error)).is_err() {
                    tracing::warn!(%intent, client = %client.id, issuer = %client.issuer, m3_user = %user, company = %place.company, %program, %transaction, error = told, "a write whose caller had gone: not done, or unknown");
                }
            }
        }
    };
    tasks.spawn(sent.instrument(span));
    match tokio::time::timeout(wait, first).await {
        Ok(Ok(begun)) => Ok(begun.map(|reported| (Flow::Task(rest), reported))),
        // The task ended without a word: it panicked, or the process is going down.
        Ok(Err(_)) | Err(_) => Err(Unknown),
    }
}

fn outcome(error: &m3::Error) -> Outcome {
    match error {
        m3::Error::Refused(_) => Outcome::Refused,
        error if error.may_have_been_seen() => Outcome::Unknown,
        _ => Outcome::NotSent,
    }
}

/// What M3's refusal, or its silence, says of the intent.
async fn end(pledge: Option<Pledge>, error: &m3::Error) {
    let Some(pledge) = pledge else { return };
    match error {
        m3::Error::Refused(refusal) => pledge.settle(&outbox::Outcome::refused(refusal)).await,
        error if error.may_have_been_seen() => pledge.lose(),
        _ => pledge.withdraw(),
    }
}

/// Records that were read before the caller got the first of them: an outcome is kept with what M3 answered.
#[derive(Default)]
struct Early {
    records: Vec<Record>,
    ended: Option<Result<(), m3::Error>>,
}

/// A write answers with one record at the most; what is a list all the same is handed on, and kept without the rest.
const KEPT: usize = 16;

impl Early {
    async fn read(&mut self, reply: &mut m3::Reply) {
        while self.records.len() < KEPT && self.ended.is_none() {
            match reply.next().await {
                Ok(Some(record)) => self.records.push(record),
                Ok(None) => self.ended = Some(Ok(())),
                Err(error) => self.ended = Some(Err(error)),
            }
        }
    }

    /// What is held is let go before the end is told: whoever has heard of it may call again at once.
    async fn pump(self, mut reply: m3::Reply, records: mpsc::Sender<Result<Option<Record>, m3::Error>>, held: Held) {
        let mut unheard = 0;
        for record in self.records {
            let _ = records.send(Ok(Some(record))).await;
        }
        if let Some(ended) = self.ended {
            drop(held);
            let _ = records.send(ended.map(|()| None)).await;
            return;
        }
        let ended = loop {
            match reply.next().await {
                Ok(None) => break Ok(None),
                Ok(Some(record)) => {
                    if records.send(Ok(Some(record))).await.is_err() {
                        unheard += 1;
                        if unheard > READ_ON {
                            return;
                        }
                    }
                }
                Err(error) => break Err(error),
            }
        };
        drop(held);
        let _ = records.send(ended).await;
    }
}
