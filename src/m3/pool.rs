//! The pool: sessions by user, program and company, with a queue that is fair between clients.
//!
//! A session is lent with a lease; a lease that is dropped without giving it back frees the place, and the session is
//! closed. Everything is counted and bounded: sessions in all, for one key, for one client, and who waits.
//! Does not know: how a session is opened, or what is said on it.

use super::error::Error;
use super::queue::{Full, Queue};
use super::settings::PoolSettings;
use crate::model::{ClientId, M3User, Place, ProgramName};
use crate::telemetry::Metrics;
use prometheus::IntGauge;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::m3) struct Key {
    pub(in crate::m3) user: M3User,
    pub(in crate::m3) program: ProgramName,
    pub(in crate::m3) place: Option<Place>,
}

/// What is lent. Where nothing is kept between calls it is `()`, and the pool only counts.
pub(in crate::m3) trait Lent: std::fmt::Debug + Send + 'static {
    /// It is not wanted any longer.
    fn farewell(self);
}

impl Lent for () {
    fn farewell(self) {}
}

#[derive(Debug)]
pub(in crate::m3) struct Pool<S: Lent>(Arc<Inner<S>>);

impl<S: Lent> Clone for Pool<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Inner<S: Lent> {
    settings: PoolSettings,
    state: Mutex<State<S>>,
    idle: IntGauge,
    busy: IntGauge,
    waiting: IntGauge,
}

#[derive(Debug)]
struct State<S: Lent> {
    keys: HashMap<Key, Bucket<S>>,
    /// Idle and busy together.
    total: usize,
    by_client: HashMap<ClientId, usize>,
    queue: Queue<oneshot::Sender<Lease<S>>>,
    /// Good sessions that are not wanted any longer; they are told so when the lock is free.
    leaving: Vec<S>,
    /// The house stops: nothing is kept any longer.
    shut: bool,
}

#[derive(Debug)]
struct Bucket<S> {
    idle: Vec<(S, Instant)>,
    busy: usize,
    by_client: HashMap<ClientId, usize>,
    /// Sessions lent before this moment are not taken back: their layout or their secret has changed.
    closed_before: Option<Instant>,
}

impl<S> Default for Bucket<S> {
    fn default() -> Self {
        Self { idle: Vec::new(), busy: 0, by_client: HashMap::new(), closed_before: None }
    }
}

/// The right to one session of a key, perhaps with an idle one in it.
#[derive(Debug)]
pub(in crate::m3) struct Lease<S: Lent> {
    pool: Pool<S>,
    key: Key,
    client: ClientId,
    since: Instant,
    idle: Option<S>,
    back: Option<S>,
    /// Booked out already.
    settled: bool,
}

impl<S: Lent> Pool<S> {
    pub(in crate::m3) fn new(settings: PoolSettings, metrics: &Metrics) -> Self {
        Self(Arc::new(Inner {
            settings,
            state: Mutex::new(State {
                keys: HashMap::new(),
                total: 0,
                by_client: HashMap::new(),
                queue: Queue::new(settings.max_waiting),
                leaving: Vec::new(),
                shut: false,
            }),
            idle: metrics.m3_sessions.with_label_values(&["idle"]),
            busy: metrics.m3_sessions.with_label_values(&["busy"]),
            waiting: metrics.m3_waiting.clone(),
        }))
    }

    /// Does the books, then says farewell to the sessions that they dropped: nothing is sent while the lock is held.
    fn books<T>(&self, work: impl FnOnce(&mut State<S>) -> T) -> T {
        let (done, leaving) = {
            // Held for bookkeeping alone; the books are right between any two lines that can panic.
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            let done = work(&mut state);
            (done, std::mem::take(&mut state.leaving))
        };
        leaving.into_iter().for_each(S::farewell);
        done
    }

    /// A session's place, at once or after waiting in line.
    pub(in crate::m3) async fn lease(&self, key: Key, client: &ClientId) -> Result<Lease<S>, Error> {
        let waiting = self.books(|state| {
            if !state.queue.is_waited_for(&key)
                && let Some(lease) = self.grant(state, &key, client)
            {
                return Ok(Err(lease));
            }
            let (granted, waiting) = oneshot::channel();
            state.queue.join(key, client, granted, oneshot::Sender::is_closed).map_err(|Full| Error::QueueFull)?;
            // Whoever is ahead may be held back by his own share, and the newcomer not.
            self.serve(state);
            Ok(Ok(waiting))
        })?;
        let waiting = match waiting {
            Ok(waiting) => waiting,
            Err(lease) => return Ok(lease),
        };
        let _counted = Waiting::new(&self.0.waiting);
        let wait = self.0.settings.wait;
        match tokio::time::timeout(wait, waiting).await {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(_)) | Err(_) => Err(Error::Busy { waited: wait }),
        }
    }

    /// One lease if the key, the client's share and the whole pool have room.
    fn grant(&self, state: &mut State<S>, key: &Key, client: &ClientId) -> Option<Lease<S>> {
        let settings = &self.0.settings;
        let share = |most: usize| (most / 2).max(1);
        let (held, busy, idle) = state.keys.get(key).map_or((0, 0, 0), |bucket| {
            (bucket.by_client.get(client).copied().unwrap_or(0), bucket.busy, bucket.idle.len())
        });
        let everywhere = state.by_client.get(client).copied().unwrap_or(0);
        if held >= share(settings.max_per_key) || everywhere >= share(settings.max_sessions) {
            return None;
        }
        if idle == 0 {
            if busy >= settings.max_per_key || (state.total >= settings.max_sessions && !self.evict(state)) {
                return None;
            }
            state.total += 1;
        }
        let bucket = state.keys.entry(key.clone()).or_default();
        // The one that answered last is the one most likely to be alive.
        let session = bucket.idle.pop().map(|(session, _)| session);
        if session.is_some() {
            self.0.idle.dec();
        }
        bucket.busy += 1;
        *bucket.by_client.entry(client.clone()).or_default() += 1;
        *state.by_client.entry(client.clone()).or_default() += 1;
        self.0.busy.inc();
        Some(Lease {
            pool: self.clone(),
            key: key.clone(),
            client: client.clone(),
            since: Instant::now(),
            idle: session,
            back: None,
            settled: false,
        })
    }

    /// Closes the idle session that has been idle longest, of whatever key.
    fn evict(&self, state: &mut State<S>) -> bool {
        let oldest = state
            .keys
            .iter()
            .filter_map(|(key, bucket)| Some((bucket.idle.first()?.1, key)))
            .min_by_key(|(since, _)| *since)
            .map(|(_, key)| key.clone());
        let Some(key) = oldest else { return false };
        if let Some(bucket) = state.keys.get_mut(&key) {
            let (session, _) = bucket.idle.remove(0);
            self.0.idle.dec();
            state.total -= 1;
            state.leaving.push(session);
            Self::tidy(state, &key);
        }
        true
    }

    /// Gives what is free to those who wait: a client with less goes before one with more, then first come, first served.
    fn serve(&self, state: &mut State<S>) {
        loop {
            state.queue.forget(oneshot::Sender::is_closed);
            let held = |key: &Key, client: &ClientId| {
                state.keys.get(key).and_then(|bucket| bucket.by_client.get(client)).copied().unwrap_or(0)
            };
            let order = state.queue.order(held);
            let granted = order
                .into_iter()
                .find_map(|(key, client)| self.grant(state, &key, &client).map(|lease| (lease, key, client)));
            let Some((lease, key, client)) = granted else { return };
            let unwanted = match state.queue.take(&key, &client) {
                Some(waiter) => waiter.send(lease).err(),
                None => Some(lease),
            };
            if let Some(mut lease) = unwanted {
                // He has just gone. The books are done here: the lock is held, and `Drop` would want it too.
                let session = lease.idle.take();
                lease.settled = true;
                self.settle(state, &lease.key, &lease.client, lease.since, session);
            }
        }
    }

    fn settle(&self, state: &mut State<S>, key: &Key, client: &ClientId, since: Instant, session: Option<S>) {
        self.0.busy.dec();
        Self::less(&mut state.by_client, client);
        let Some(bucket) = state.keys.get_mut(key) else { return };
        bucket.busy -= 1;
        Self::less(&mut bucket.by_client, client);
        let welcome = !state.shut && bucket.closed_before.is_none_or(|moment| since > moment);
        match session {
            Some(session) if welcome => {
                bucket.idle.push((session, Instant::now()));
                self.0.idle.inc();
            }
            other => {
                state.total -= 1;
                state.leaving.extend(other);
            }
        }
        Self::tidy(state, key);
    }

    fn less(held: &mut HashMap<ClientId, usize>, client: &ClientId) {
        if let Some(count) = held.get_mut(client) {
            *count -= 1;
            if *count == 0 {
                held.remove(client);
            }
        }
    }

    fn tidy(state: &mut State<S>, key: &Key) {
        if state.keys.get(key).is_some_and(|bucket| bucket.busy == 0 && bucket.idle.is_empty()) {
            state.keys.remove(key);
        }
    }

    fn release(&self, lease: &mut Lease<S>) {
        let session = lease.back.take();
        self.books(|state| {
            self.settle(state, &lease.key, &lease.client, lease.since, session);
            self.serve(state);
        });
    }

    /// Closes the idle sessions that `which` picks; those that are lent to it are closed when they come back.
    pub(in crate::m3) fn close(&self, which: impl Fn(&Key) -> bool) {
        self.books(|state| {
            let now = Instant::now();
            for (_, bucket) in state.keys.iter_mut().filter(|(key, _)| which(key)) {
                bucket.closed_before = Some(now);
                let gone = bucket.idle.len();
                self.0.idle.sub(gone as i64);
                state.total -= gone;
                state.leaving.extend(bucket.idle.drain(..).map(|(session, _)| session));
            }
            state.keys.retain(|_, bucket| bucket.busy > 0 || !bucket.idle.is_empty());
            self.serve(state);
        });
    }

    /// For good: what is idle ends now, what is lent when it comes back.
    pub(in crate::m3) fn shut(&self) {
        self.books(|state| state.shut = true);
        self.close(|_| true);
    }

    /// Closes what has been idle for too long.
    pub(in crate::m3) fn sweep(&self) {
        let limit = self.0.settings.idle;
        self.books(|state| {
            for bucket in state.keys.values_mut() {
                let before = bucket.idle.len();
                state.leaving.extend(
                    bucket.idle.extract_if(.., |(_, since)| since.elapsed() >= limit).map(|(session, _)| session),
                );
                let gone = before - bucket.idle.len();
                self.0.idle.sub(gone as i64);
                state.total -= gone;
            }
            state.keys.retain(|_, bucket| bucket.busy > 0 || !bucket.idle.is_empty());
            // Room may have come for another key.
            self.serve(state);
        });
    }
}

impl<S: Lent> Lease<S> {
    pub(in crate::m3) fn key(&self) -> &Key {
        &self.key
    }

    /// The idle session that came with the lease.
    pub(in crate::m3) fn take_idle(&mut self) -> Option<S> {
        self.idle.take()
    }

    /// The exchange came to its end: the session may serve another call.
    pub(in crate::m3) fn give_back(mut self, session: S) {
        self.back = Some(session);
    }
}

impl<S: Lent> Drop for Lease<S> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // An idle session that nobody took is as good as before.
        if self.back.is_none() {
            self.back = self.idle.take();
        }
        self.pool.clone().release(self);
    }
}

/// Counts one waiter for as long as it lives.
struct Waiting<'a>(&'a IntGauge);

impl<'a> Waiting<'a> {
    fn new(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
