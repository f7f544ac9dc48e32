//! The pool: sessions by user, program and company, with a queue that is fair between clients.
//!
//! A session is lent with a lease; a lease that is dropped without giving it back frees the place, and the session is
//! closed. Everything is counted and bounded: sessions in all, for one key, and who waits.
//! Does not know: how a session is opened, or what is said on it.

use super::super::error::Error;
use super::super::settings::PoolSettings;
use super::session::Session;
use crate::model::{ClientId, M3User, Place, ProgramName};
use crate::telemetry::Metrics;
use prometheus::IntGauge;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::m3) struct Key {
    pub(in crate::m3) user: M3User,
    pub(in crate::m3) program: ProgramName,
    pub(in crate::m3) place: Option<Place>,
}

#[derive(Debug, Clone)]
pub(in crate::m3) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: PoolSettings,
    state: Mutex<State>,
    idle: IntGauge,
    busy: IntGauge,
    waiting: IntGauge,
}

#[derive(Debug, Default)]
struct State {
    keys: HashMap<Key, Bucket>,
    /// Idle and busy together.
    total: usize,
    queue: VecDeque<Waiter>,
}

#[derive(Debug, Default)]
struct Bucket {
    idle: Vec<(Session, Instant)>,
    busy: usize,
    by_client: HashMap<ClientId, usize>,
    /// Sessions lent before this moment are not taken back: their layout or their secret has changed.
    closed_before: Option<Instant>,
}

#[derive(Debug)]
struct Waiter {
    key: Key,
    client: ClientId,
    granted: oneshot::Sender<Lease>,
}

/// The right to one session of a key, perhaps with an idle one in it.
#[derive(Debug)]
pub(in crate::m3) struct Lease {
    pool: Pool,
    key: Key,
    client: ClientId,
    since: Instant,
    idle: Option<Session>,
    back: Option<Session>,
    /// Booked out already.
    settled: bool,
}

impl Pool {
    pub(in crate::m3) fn new(settings: PoolSettings, metrics: &Metrics) -> Self {
        Self(Arc::new(Inner {
            settings,
            state: Mutex::default(),
            idle: metrics.m3_sessions.with_label_values(&["idle"]),
            busy: metrics.m3_sessions.with_label_values(&["busy"]),
            waiting: metrics.m3_waiting.clone(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Held for bookkeeping alone; the books are right between any two lines that can panic.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session's place, at once or after waiting in line.
    pub(in crate::m3) async fn lease(&self, key: Key, client: &ClientId) -> Result<Lease, Error> {
        let waiting = {
            let mut state = self.state();
            let ahead = state.queue.iter().any(|waiter| waiter.key == key);
            if !ahead && let Some(lease) = self.grant(&mut state, &key, client) {
                return Ok(lease);
            }
            if state.queue.len() >= self.0.settings.max_waiting {
                return Err(Error::QueueFull);
            }
            let (granted, waiting) = oneshot::channel();
            state.queue.push_back(Waiter { key, client: client.clone(), granted });
            // Whoever is ahead may be held back by his own share, and the newcomer not.
            self.serve(&mut state);
            waiting
        };
        let _counted = Waiting::new(&self.0.waiting);
        let wait = self.0.settings.wait;
        match tokio::time::timeout(wait, waiting).await {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(_)) | Err(_) => Err(Error::Busy { waited: wait }),
        }
    }

    /// One lease if the key, the client's share and the whole pool have room.
    fn grant(&self, state: &mut State, key: &Key, client: &ClientId) -> Option<Lease> {
        let settings = &self.0.settings;
        let share = (settings.max_per_key / 2).max(1);
        let total = state.total;
        let (held, busy, idle) = state.keys.get(key).map_or((0, 0, 0), |bucket| {
            (bucket.by_client.get(client).copied().unwrap_or(0), bucket.busy, bucket.idle.len())
        });
        if held >= share {
            return None;
        }
        if idle == 0 {
            if busy >= settings.max_per_key {
                return None;
            }
            if total >= settings.max_sessions && !self.evict(state) {
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
    fn evict(&self, state: &mut State) -> bool {
        let oldest = state
            .keys
            .iter()
            .filter_map(|(key, bucket)| Some((bucket.idle.first()?.1, key.clone())))
            .min_by_key(|(since, _)| *since);
        let Some((_, key)) = oldest else { return false };
        if let Some(bucket) = state.keys.get_mut(&key) {
            bucket.idle.remove(0);
            self.0.idle.dec();
            state.total -= 1;
            Self::tidy(state, &key);
        }
        true
    }

    /// Gives what is free to those who wait: first come, first served, but a client with less goes before one with more.
    fn serve(&self, state: &mut State) {
        loop {
            state.queue.retain(|waiter| !waiter.granted.is_closed());
            let held = |waiter: &Waiter| {
                state
                    .keys
                    .get(&waiter.key)
                    .and_then(|bucket| bucket.by_client.get(&waiter.client))
                    .copied()
                    .unwrap_or(0)
            };
            let mut order: Vec<usize> = (0..state.queue.len()).collect();
            order.sort_by_key(|at| held(&state.queue[*at]));
            let mut served = false;
            let mut full: Vec<(Key, ClientId)> = Vec::new();
            for at in order {
                let (key, client) = (state.queue[at].key.clone(), state.queue[at].client.clone());
                if full.iter().any(|(k, c)| *k == key && *c == client) {
                    continue;
                }
                let Some(lease) = self.grant(state, &key, &client) else {
                    full.push((key, client));
                    continue;
                };
                if let Some(waiter) = state.queue.remove(at)
                    && let Err(mut lease) = waiter.granted.send(lease)
                {
                    // He has just gone. The books are done here: the lock is held, and `Drop` would want it too.
                    let session = lease.idle.take();
                    lease.settled = true;
                    self.settle(state, &lease.key, &lease.client, lease.since, session);
                }
                served = true;
                break;
            }
            if !served {
                return;
            }
        }
    }

    fn settle(&self, state: &mut State, key: &Key, client: &ClientId, since: Instant, session: Option<Session>) {
        self.0.busy.dec();
        let Some(bucket) = state.keys.get_mut(key) else { return };
        bucket.busy -= 1;
        if let Some(held) = bucket.by_client.get_mut(client) {
            *held -= 1;
            if *held == 0 {
                bucket.by_client.remove(client);
            }
        }
        let welcome = bucket.closed_before.is_none_or(|moment| since > moment);
        match session.filter(|_| welcome) {
            Some(session) => {
                bucket.idle.push((session, Instant::now()));
                self.0.idle.inc();
            }
            None => state.total -= 1,
        }
        Self::tidy(state, key);
    }

    fn tidy(state: &mut State, key: &Key) {
        if state.keys.get(key).is_some_and(|bucket| bucket.busy == 0 && bucket.idle.is_empty()) {
            state.keys.remove(key);
        }
    }

    fn release(&self, lease: &mut Lease) {
        let session = lease.back.take();
        let mut state = self.state();
        self.settle(&mut state, &lease.key, &lease.client, lease.since, session);
        self.serve(&mut state);
    }

    /// Closes the idle sessions that `which` picks; those that are lent to it are closed when they come back.
    pub(in crate::m3) fn close(&self, which: impl Fn(&Key) -> bool) {
        let mut state = self.state();
        let keys: Vec<Key> = state.keys.keys().filter(|key| which(key)).cloned().collect();
        for key in keys {
            if let Some(bucket) = state.keys.get_mut(&key) {
                let gone = std::mem::take(&mut bucket.idle).len();
                bucket.closed_before = Some(Instant::now());
                self.0.idle.sub(gone as i64);
                state.total -= gone;
                Self::tidy(&mut state, &key);
            }
        }
        self.serve(&mut state);
    }

    /// Closes what has been idle for too long.
    pub(in crate::m3) fn sweep(&self) {
        let limit = self.0.settings.idle;
        let mut state = self.state();
        let mut gone = 0;
        for bucket in state.keys.values_mut() {
            let before = bucket.idle.len();
            bucket.idle.retain(|(_, since)| since.elapsed() < limit);
            gone += before - bucket.idle.len();
        }
        self.0.idle.sub(gone as i64);
        state.total -= gone;
        state.keys.retain(|_, bucket| bucket.busy > 0 || !bucket.idle.is_empty());
    }
}

impl Lease {
    /// The idle session that came with the lease.
    pub(in crate::m3) fn take_idle(&mut self) -> Option<Session> {
        self.idle.take()
    }

    /// The exchange came to its end: the session may serve another call.
    pub(in crate::m3) fn give_back(mut self, session: Session) {
        self.back = Some(session);
    }
}

impl Drop for Lease {
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
