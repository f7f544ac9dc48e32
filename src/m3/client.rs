//! The client: a call in, a session found or opened, M3's first frame awaited.

use super::error::{Error, may_repeat};
use super::gates::{Gate, Gates};
use super::home::Homes;
use super::settings::Settings;
use super::socket::{Dialler, Key, Lease, Pool, Reply, Session};
use crate::model::{Call, ClientId, Division, Effect, M3User, Place, ProgramName, Slot, TransactionName};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

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
    gates: Gates,
    homes: Homes,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

/// Which session a call may go over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice {
    Any,
    /// One that answered just now: a session that M3 ended silently would swallow a write and leave its outcome unknown.
    Proven,
    New,
}

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
            gates: Gates::default(),
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

    pub(super) fn tasks(&self) -> &Tasks {
        &self.0.tasks
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
        // Where the call itself says its division, any session of the company carries it. A field that is left out
        // would be filled by M3 with the session's own division: then the session has to stand where was decided.
        let says_division = call.says_division();
        let Place { company, division } = call.place;
        let division = if says_division { Division::BLANK } else { division };
        let key = Key { user: call.user.clone(), program: layout.program, place: Some(Place { company, division }) };
        let lease = self.0.pool.lease(key, &call.client).await?;
        let choice = if call.effect.is_write() { Choice::Proven } else { choice };
        let (mut session, lease) = self.session(lease, choice).await?;
        let elsewhere =
            session.place.company != company || (!says_division && session.place.division != call.place.division);
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
        Reply::new((session, lease), call.patience, &call.layout, &self.0.metrics, self.0.tasks.clone())
    }

    /// The lease's idle session if it is good enough, else a new one.
    async fn session(&self, mut lease: Lease, choice: Choice) -> Result<(Session, Lease), Error> {
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
                return Ok((session, lease));
            }
        }
        Box::pin(self.open(lease)).await
    }

    /// Logs on. While a user is not known to be good one attempt serves all who wait for it.
    async fn open(&self, lease: Lease) -> Result<(Session, Lease), Error> {
        let user = &lease.key().user;
        let password = self.0.users.load().get(user).cloned().ok_or_else(|| Error::UnknownUser(user.clone()))?;
        let gate = self.0.gates.of(user);
        // On a task of its own: a caller who goes away in the middle must not take a refusal with him, for the next one
        // would try the same wrong password again. The lease goes along: what is being opened is counted.
        let (done, opened) = oneshot::channel();
        let client = self.clone();
        self.0.tasks.spawn(async move {
            let opened = client.log_on(&gate, lease.key(), &password).await;
            // For a caller who has gone the session is as good as for the next one.
            if let Err(Ok((session, lease))) = done.send(opened.map(|session| (session, lease))) {
                lease.give_back(session);
            }
        });
        let ended = |_| Error::Lost { sent: false, source: Arc::new(std::io::ErrorKind::Interrupted.into()) };
        opened.await.map_err(ended)?
    }

    async fn log_on(
        &self,
        gate: &tokio::sync::Mutex<Gate>,
        key: &Key,
        password: &SecretString,
    ) -> Result<Session, Error> {
        let (user, door) = (&key.user, (key.program, key.place));
        let mut known = gate.lock().await;
        known.may_try(user, door)?;
        let held = if known.is_open(self.0.settings.logon_trust) {
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
        let pause = self.0.settings.logon_pause;
        match held {
            Some(known) => known.learn(door, &opened, pause),
            // Of those who go side by side a refusal alone speaks for others.
            None if matches!(opened, Err(Error::LogonRefused { .. })) => {
                gate.lock().await.learn(door, &opened, pause);
            }
            None => {}
        }
        opened
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
        let lease = self.0.pool.lease(key, &client).await?;
        self.session(lease, choice).await
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
        let changed: HashSet<M3User> =
            before.keys().chain(users.keys()).filter(|user| changed(user)).cloned().collect();
        self.0.gates.forget(&changed);
        self.0.pool.close(|key| changed.contains(&key.user));
    }

    /// Ends every session in good manners: what is idle now, what is lent when it comes back.
    pub fn close(&self) {
        self.0.pool.shut();
    }
}
