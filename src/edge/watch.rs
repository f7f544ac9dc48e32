//! What a connection has done so far, and when it has gone too long without doing it.
//!
//! The stream, the service and the answers' bodies note what happens; `serve` asks when to look again and for a verdict.
//! Does not know: how a connection is closed.

use super::heads::Heads;
use super::lines::Length;
use super::pace::{Pace, Rule};
use super::settings::Limits;
use super::toll::{ANSWER, Purse};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Why a connection is ended. Also the metric's label, so a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    FirstByte,
    HeaderRead,
    WriteStall,
    Idle,
    Age,
    /// It was told to end, has nothing in flight, and its caller does not go.
    Goodbye,
}

impl Reason {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::FirstByte => "first_byte",
            Self::HeaderRead => "header_read",
            Self::WriteStall => "write_stall",
            Self::Idle => "idle",
            Self::Age => "age",
            Self::Goodbye => "goodbye",
        }
    }

    /// Nothing of a caller's is lost when these end, so they end politely.
    pub(super) fn is_polite(self) -> bool {
        matches!(self, Self::Idle | Self::Age)
    }
}

/// Writes above this are answers; below it they may be pings, which must not keep a connection alive.
const MORE_THAN_CONTROL: usize = 64;
/// Answers remembered before those that ended are swept out.
const SWEEP: usize = 256;
/// How long a caller may take to go after its connection was told to end.
const GOODBYE: Duration = Duration::from_secs(5);
/// Of a body: nobody has said, and it comes in chunks.
const UNSAID: u64 = u64::MAX;
const CHUNKS: u64 = u64::MAX - 1;

/// Times are milliseconds since the connection began, plus one: zero is never.
#[derive(Debug)]
pub(super) struct Watch {
    began: Instant,
    limits: Limits,
    age: Duration,
    read_any: AtomicBool,
    head_since: AtomicU64,
    quiet_since: AtomicU64,
    /// When the last request in flight ended.
    served_at: AtomicU64,
    leaving_since: AtomicU64,
    /// When the answers in flight are looked through next; zero when none was since the last look.
    look_at: AtomicU64,
    in_flight: AtomicUsize,
    /// How long the body of the newest request is, until the stream has asked.
    length: AtomicU64,
    /// In flight on the whole door, for the drain's account.
    on_door: Arc<AtomicUsize>,
    /// `None` on HTTP/1, where any byte while nothing is in flight begins a head.
    frames: Option<Mutex<(Heads, Purse)>>,
    /// What answers gave since frames were last paid for.
    earned: AtomicU32,
    flooded: AtomicBool,
    /// What the socket takes.
    pace: Arc<Pace>,
    /// When each answer that its caller does not take will have waited too long; zero while it is not waiting.
    answers: Mutex<Vec<Weak<AtomicU64>>>,
}

impl Watch {
    pub(super) fn new(limits: Limits, jitter: f64, http2: bool, pace: Arc<Pace>, on_door: Arc<AtomicUsize>) -> Self {
        Self {
            began: Instant::now(),
            limits,
            age: limits.age + limits.age.mul_f64(jitter.clamp(0.0, 1.0) / 10.0),
            read_any: AtomicBool::new(false),
            head_since: AtomicU64::new(0),
            quiet_since: AtomicU64::new(1),
            served_at: AtomicU64::new(1),
            leaving_since: AtomicU64::new(0),
            look_at: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            length: AtomicU64::new(UNSAID),
            on_door,
            frames: http2.then(|| Mutex::new((Heads::begin(), Purse::new(&limits.http2)))),
            earned: AtomicU32::new(0),
            flooded: AtomicBool::new(false),
            pace,
            answers: Mutex::default(),
        }
    }

    pub(super) fn was_read(&self, bytes: &[u8]) {
        self.read_any.store(true, Ordering::Relaxed);
        let open = match &self.frames {
            Some(frames) => {
                let (heads, purse) = &mut *frames.lock().unwrap_or_else(PoisonError::into_inner);
                let open = heads.feed(bytes);
                let cost = heads.cost();
                if cost > 0 && !purse.pay(cost, self.earned.swap(0, Ordering::Relaxed), self.now()) {
                    self.flooded.store(true, Ordering::Relaxed);
                }
                open
            }
            None => self.in_flight() == 0,
        };
        if !open {
            self.head_since.store(0, Ordering::Relaxed);
        } else if self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Its frames cost more than it may ask for.
    pub(super) fn is_flooded(&self) -> bool {
        self.flooded.load(Ordering::Relaxed)
    }

    pub(super) fn wrote(&self, count: usize) {
        if count > MORE_THAN_CONTROL {
            self.quiet_since.store(self.now(), Ordering::Relaxed);
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// It takes no further request: age and idleness no longer count, its caller's going does.
    pub(super) fn leave(&self) {
        self.leaving_since.store(self.now(), Ordering::Relaxed);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving_since.load(Ordering::Relaxed) != 0
    }

    /// The body of the request that came in is this long, or comes in chunks.
    pub(super) fn has_body(&self, length: Option<u64>) {
        self.length.store(length.map_or(CHUNKS, |length| length.min(CHUNKS - 1)), Ordering::Relaxed);
    }

    /// Once for each request.
    pub(super) fn length(&self) -> Option<Length> {
        match self.length.swap(UNSAID, Ordering::Relaxed) {
            UNSAID => None,
            CHUNKS => Some(Length::Chunks),
            length => Some(Length::Known(length)),
        }
    }

    /// A request's head came in whole; it is in flight until the returned value is dropped.
    pub(super) fn request(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.on_door.fetch_add(1, Ordering::Relaxed);
        if !self.is_http2() {
            self.head_since.store(0, Ordering::Relaxed);
        }
        if self.look_at.load(Ordering::Relaxed) == 0 {
            self.look_at.store(self.now() + self.limits.write_stall.as_millis() as u64, Ordering::Relaxed);
        }
        let rule = Rule::new(self.limits.write_stall, self.limits.min_write_rate);
        InFlight { watch: Arc::clone(self), rule, left: rule.full(), offered: None, deadline: None }
    }

    pub(super) fn is_http2(&self) -> bool {
        self.frames.is_some()
    }

    /// When to ask for a verdict at the latest. Cheap: asked whenever the connection stirs.
    pub(super) fn due(&self) -> Instant {
        let limits = [
            self.pace.due(),
            self.past(&self.head_since, self.limits.header_read),
            self.past(&self.look_at, Duration::ZERO),
            self.first_byte_due(),
            self.rest_due().map(|(due, _)| due),
        ];
        let last = if self.is_leaving() { Instant::now() + self.age } else { self.began + self.age };
        limits.into_iter().flatten().fold(last, Instant::min)
    }

    /// Whether an answer that its caller does not take has waited too long. Says when to look again.
    fn is_an_answer_stalled(&self) -> bool {
        let now = self.now();
        let mut next = now + self.limits.write_stall.as_millis() as u64;
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|answer| {
            let Some(deadline) = answer.upgrade() else { return false };
            let deadline = deadline.load(Ordering::Relaxed);
            if deadline != 0 {
                next = next.min(deadline);
            }
            true
        });
        self.look_at.store(if self.in_flight() == 0 { 0 } else { next }, Ordering::Relaxed);
        next <= now
    }

    pub(super) fn verdict(&self, now: Instant) -> Option<Reason> {
        let is_past = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if is_past(self.pace.due()) || self.is_an_answer_stalled() {
            return Some(Reason::WriteStall);
        }
        if is_past(self.past(&self.head_since, self.limits.header_read)) {
            return Some(Reason::HeaderRead);
        }
        if is_past(self.first_byte_due()) {
            return Some(Reason::FirstByte);
        }
        if let Some((_, reason)) = self.rest_due().filter(|(due, _)| *due <= now) {
            return Some(reason);
        }
        (!self.is_leaving() && self.began + self.age <= now).then_some(Reason::Age)
    }

    fn past(&self, since: &AtomicU64, limit: Duration) -> Option<Instant> {
        let since = since.load(Ordering::Relaxed);
        (since != 0).then(|| self.after(since, limit))
    }

    fn first_byte_due(&self) -> Option<Instant> {
        (!self.read_any.load(Ordering::Relaxed)).then(|| self.began + self.limits.first_byte)
    }

    /// When a connection with nothing in flight has rested enough.
    fn rest_due(&self) -> Option<(Instant, Reason)> {
        // A head on its way has a limit of its own; to close now would lose the request it begins.
        if self.in_flight() > 0 || self.head_since.load(Ordering::Relaxed) != 0 {
            return None;
        }
        let mut quiet = self.quiet_since.load(Ordering::Relaxed);
        if self.is_http2() {
            // What the library still holds of answers that ended is little, and taken by bits it does not count for ever.
            let tail = self.limits.write_stall.as_millis() as u64;
            quiet = quiet.min(self.served_at.load(Ordering::Relaxed) + tail);
        }
        let leaving = self.leaving_since.load(Ordering::Relaxed);
        if leaving != 0 {
            return Some((self.after(quiet.max(leaving), GOODBYE), Reason::Goodbye));
        }
        // Until the first byte the first byte's own limit holds.
        self.read_any.load(Ordering::Relaxed).then(|| (self.after(quiet, self.limits.idle), Reason::Idle))
    }

    pub(super) fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 + 1
    }

    pub(super) fn after(&self, since: u64, limit: Duration) -> Instant {
        self.began + Duration::from_millis(since) + limit
    }
}

/// A request in flight, from its head to the end of its answer.
#[derive(Debug)]
pub(super) struct InFlight {
    watch: Arc<Watch>,
    rule: Rule,
    /// How much longer its caller is waited for, in all.
    left: u64,
    /// When the answer's last piece was handed over, and its length, while no next one is asked for.
    offered: Option<(u64, usize)>,
    deadline: Option<Arc<AtomicU64>>,
}

impl InFlight {
    /// The answer gave a piece: until it is asked for the next one, its caller is the slow side.
    pub(super) fn offered(&mut self, bytes: usize) {
        let now = self.watch.now();
        self.offered = Some((now, bytes));
        if self.watch.is_http2() {
            self.watch.earned.fetch_add(ANSWER, Ordering::Relaxed);
        }
        let deadline = now + self.left;
        self.slot().store(deadline, Ordering::Relaxed);
        self.watch.look_at.fetch_min(deadline, Ordering::Relaxed);
    }

    /// The answer is asked for its next piece: the caller has taken what there was.
    pub(super) fn asked(&mut self) {
        if let Some((since, bytes)) = self.offered.take() {
            let waited = self.watch.now().saturating_sub(since);
            self.left = self.rule.after(self.left, waited, bytes, self.watch.in_flight());
            self.slot().store(0, Ordering::Relaxed);
        }
    }

    fn slot(&mut self) -> &AtomicU64 {
        let watch = &self.watch;
        self.deadline.get_or_insert_with(|| {
            let slot = Arc::new(AtomicU64::new(0));
            let mut answers = watch.answers.lock().unwrap_or_else(PoisonError::into_inner);
            if answers.len() >= SWEEP {
                answers.retain(|answer| answer.strong_count() > 0);
            }
            answers.push(Arc::downgrade(&slot));
            slot
        })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let now = self.watch.now();
        self.watch.quiet_since.store(now, Ordering::Relaxed);
        self.watch.served_at.store(now, Ordering::Relaxed);
        self.watch.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.watch.on_door.fetch_sub(1, Ordering::Relaxed);
    }
}
