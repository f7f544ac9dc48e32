//! The client: a call in, a session found or opened, M3's first frame awaited.

use super::error::{Error, may_repeat};
use super::home::Homes;
use super::settings::Settings;
use super::socket::{Dialler, Key, Lease, Pool, Reply, Session};
use crate::model::{Call, ClientId, Effect, M3User, ProgramName, Slot, TransactionName};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where the fields of a transaction stand, as a session of M3 says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    pub input: Vec<Slot>,
    pub output: Vec<Slot>,
}

#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    dialler: Dialler,
    pool: Pool,
    users: ArcSwap<HashMap<M3User, SecretString>>,
    gates: Mutex<HashMap<M3User, Arc<tokio::sync::Mutex<Gate>>>>,
    homes: Homes,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

/// What is known of a user's logon.
#[derive(Debug, Default)]
struct Gate {
    let_in: Option<Instant>,
    /// Why the last attempt failed, and until when it speaks for everybody who waits.
    failed: Option<(Instant, Error)>,
}

/// Which session a call may go over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice {
    Any,
    /// One that answered just now: a session that M3 ended silently would swallow a write and leave its outcome unknown.
    Proven,
    New,
}

/// How long a failed connection speaks for those who waited behind it: they must not each wait for their own.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// How often idle sessions are looked through, or as often as they are to end.
const SWEEP: Duration = Duration::from_secs(5);

impl Client {
    pub fn new(settings: Settings, metrics: Arc<Metrics>, tasks: Tasks) -> Result<Self, Error> {
        let settings = Arc::new(settings);
        let unreachable =
            |source: std::io::Error| Error::Unreachable { address: settings.address.clone(), source: source.into() };
        let dialler = Dialler::new(settings.clone()).map_err(unreachable)?;
        let client = Self(Arc::new(Inner {
            dialler,
            pool: Pool::new(settings.pool, &metrics),
            users: ArcSwap::from_pointee(settings.users.clone()),
            gates: Mutex::default(),
            homes: Homes::new(),
            metrics,
            tasks,
            settings,
        }));
        let every = client.0.settings.pool.idle.clamp(Duration::from_millis(10), SWEEP);
        let (pool, stopping) = (client.0.pool.clone(), client.0.tasks.stopping());
        client.0.tasks.spawn(async move {
            while tokio::time::timeout(every, stopping.cancelled()).await.is_err() {
                pool.sweep();
            }
            pool.shut();
        });
        Ok(client)
    }

    /// The gateway's own user.
    pub fn user(&self) -> M3User {
        self.0.settings.user.clone()
    }

    pub(super) fn homes(&self) -> &Homes {
        &self.0.homes
    }

    /// How many sessions one client may hold of one user, program and company.
    pub fn share(&self) -> usize {
        self.0.settings.pool.share()
    }

    /// Awaits M3's first frame; NOK as the first frame is an error.
    pub async fn call(&self, call: &Call) -> Result<Reply, Error> {
        let metrics = &self.0.metrics;
        let program = call.layout.program;
        let begun = Instant::now();
        let mut answer = self.attempt(call, Choice::Any).await;
        if !call.effect.is_write() && answer.as_ref().is_err_and(may_repeat) {
            answer = self.attempt(call, Choice::New).await;
        }
        metrics.m3_seconds.with_label_values(&[program.as_str()]).observe(begun.elapsed().as_secs_f64());
        let outcome = match &answer {
            Ok(_) => "ok",
            Err(error) if call.effect.is_write() && error.may_have_been_seen() => "unknown",
            Err(error) => error.outcome(),
        };
        let effect = if call.effect == Effect::Read { "read" } else { "write" };
        metrics.m3_calls.with_label_values(&[program.as_str(), effect, outcome]).inc();
        answer
    }

    async fn attempt(&self, call: &Call, choice: Choice) -> Result<Reply, Error> {
        let layout = &call.layout;
        let key = Key { user: call.user.clone(), program: layout.program, place: Some(call.place) };
        let mut lease = self.0.pool.lease(key, &call.client).await?;
        let choice = if call.effect.is_write() { Choice::Proven } else { choice };
        let mut session = self.session(&mut lease, choice).await?;
        let elsewhere = session.place.company != call.place.company
            || (session.place.division != call.place.division && !Session::has_division(layout));
        if elsewhere && !(self.0.settings.unproven_reads && call.effect == Effect::Read) {
            let found = session.place;
            // For a while the session answers the same question again, without another logon.
            if session.opened.elapsed() < self.0.settings.pool.idle {
                lease.give_back(session);
            }
            return Err(Error::CompanyNotProvable { wanted: call.place, found });
        }
        // What a warm session seldom has to do lives in boxes: this future is moved with every call, and stays small.
        if !session.has_confirmed(layout) {
            match Box::pin(session.confirm(layout)).await {
                Ok(()) => {}
                Err(error @ Error::LayoutChanged { .. }) => {
                    self.forget(Some(layout.program));
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        if layout.multi {
            Box::pin(session.limit(call.max_records)).await?;
        }
        if let Err(error) = session.encode(call) {
            // Nothing was sent: the session is as good as before.
            lease.give_back(session);
            return Err(error);
        }
        session.send(call.patience).await?;
        if Effect::is_unanswered(layout.name) {
            Box::pin(session.has_taken_it(call.patience)).await?;
            return Ok(self.reply(session, lease, call).unreported());
        }
        self.reply(session, lease, call).begin().await
    }

    fn reply(&self, session: Session, lease: Lease, call: &Call) -> Reply {
        Reply::new((session, lease), call.patience, call.layout.program, &self.0.metrics, self.0.tasks.clone())
    }

    /// The lease's idle session if it is good enough, else a new one.
    async fn session(&self, lease: &mut Lease, choice: Choice) -> Result<Session, Error> {
        if let Some(mut session) = lease.take_idle()
            && session.is_quiet()
        {
            let fresh = session.answered.elapsed() <= self.0.settings.pool.fresh_for;
            let good = match choice {
                Choice::Any => true,
                Choice::Proven => fresh || Box::pin(session.is_alive()).await,
                Choice::New => false,
            };
            if good {
                return Ok(session);
            }
        }
        Box::pin(self.open(lease.key())).await
    }

    /// Logs on. While a user is not known to be good one attempt serves all who wait for it.
    async fn open(&self, key: &Key) -> Result<Session, Error> {
        let user = &key.user;
        let password = self.0.users.load().get(user).cloned().ok_or_else(|| Error::UnknownUser(user.clone()))?;
        let gate = {
            let mut gates = self.0.gates.lock().unwrap_or_else(PoisonError::into_inner);
            // Bounded by the users of the settings: others were refused above.
            gates.entry(user.clone()).or_default().clone()
        };
        // On a task of its own: a caller who goes away in the middle must not take a refusal with him, for the next one
        // would try the same wrong password again.
        let (client, key) = (self.clone(), key.clone());
        let opened = self.0.tasks.spawn(async move { client.log_on(&gate, &key, &password).await });
        let ended = |_| Error::Lost { sent: false, source: Arc::new(std::io::ErrorKind::Interrupted.into()) };
        opened.await.map_err(ended)?
    }

    async fn log_on(
        &self,
        gate: &tokio::sync::Mutex<Gate>,
        key: &Key,
        password: &SecretString,
    ) -> Result<Session, Error> {
        let user = &key.user;
        let mut known = gate.lock().await;
        if let Some((until, error)) = &known.failed {
            let left = until.saturating_duration_since(Instant::now());
            match error {
                _ if left.is_zero() => {}
                Error::LogonRefused { .. } => {
                    return Err(Error::LogonHeld { user: user.clone(), retry_after: left });
                }
                error => return Err(error.clone()),
            }
        }
        let held = if known.let_in.is_some_and(|at| at.elapsed() < self.0.settings.logon_trust) {
            drop(known);
            None
        } else {
            Some(&mut known)
        };
        let limit = self.0.settings.logon_timeout;
        let opened = Session::open(&self.0.dialler, user, password, key.program, key.place, limit).await;
        let outcome = match &opened {
            Ok(_) => "ok",
            Err(error) => error.outcome(),
        };
        self.0.metrics.m3_logons.with_label_values(&[outcome]).inc();
        match held {
            Some(known) => self.remember(known, &opened),
            // Of those who go side by side a refusal alone speaks for others.
            None if matches!(opened, Err(Error::LogonRefused { .. })) => {
                self.remember(&mut *gate.lock().await, &opened)
            }
            None => {}
        }
        opened
    }

    fn remember(&self, gate: &mut Gate, opened: &Result<Session, Error>) {
        *gate = match opened {
            // The user was let in; that the program is not there is no fault of his.
            Ok(_) | Err(Error::NoSuchProgram(_)) => Gate { let_in: Some(Instant::now()), failed: None },
            // A connection that broke off at once keeps nobody waiting and says nothing about the user: the next may try.
            Err(Error::Lost { .. } | Error::Protocol { .. }) => return,
            Err(error) => {
                let refused = matches!(error, Error::LogonRefused { .. });
                let pause = if refused { self.0.settings.logon_pause } else { FAILED_FOR };
                Gate { let_in: None, failed: Some((Instant::now() + pause, error.clone())) }
            }
        };
    }

    /// Name and place of a transaction's fields, from a session of the gateway's own user.
    pub async fn slots(&self, program: ProgramName, transaction: TransactionName) -> Result<Slots, Error> {
        let (mut session, lease) = self.session_of(&self.0.settings.user, program, Choice::Proven).await?;
        let input = session.slots("GetInLayout", transaction).await?;
        let output = session.slots("GetOutLayout", transaction).await?;
        lease.give_back(session);
        Ok(Slots { input, output })
    }

    /// A session of this user, wherever he is at home.
    pub(super) async fn session_of(
        &self,
        user: &M3User,
        program: ProgramName,
        choice: Choice,
    ) -> Result<(Session, Lease), Error> {
        let client = ClientId { issuer: "".into(), id: "gateway".into() };
        let key = Key { user: user.clone(), program, place: None };
        let mut lease = self.0.pool.lease(key, &client).await?;
        let session = self.session(&mut lease, choice).await?;
        Ok((session, lease))
    }

    /// Closes the sessions of one program, or all: after a layout changed, or by an operations call.
    pub fn forget(&self, program: Option<ProgramName>) {
        self.0.pool.close(|key| program.is_none_or(|program| key.program == program));
    }

    /// New passwords. Users whose secret changed may try again at once, and their sessions are closed; a user whom M3
    /// refused and whose secret is the same is still left alone.
    pub fn set_users(&self, users: HashMap<M3User, SecretString>) {
        let users = Arc::new(users);
        let before = self.0.users.swap(users.clone());
        let changed = |user: &M3User| {
            before.get(user).map(ExposeSecret::expose_secret) != users.get(user).map(ExposeSecret::expose_secret)
        };
        self.0.gates.lock().unwrap_or_else(PoisonError::into_inner).retain(|user, _| !changed(user));
        self.0.pool.close(|key| changed(&key.user));
    }

    /// Ends every session in good manners: what is idle now, what is lent when it comes back.
    pub fn close(&self) {
        self.0.pool.shut();
    }
}
