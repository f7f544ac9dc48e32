//! Calls over sockets: a session found or opened, M3's first frame awaited.

use super::super::client::{Choice, Slots, Who};
use super::super::error::Error;
use super::super::gates::{Gate, Gates};
use super::super::pool::{Key, Lease};
use super::super::pools::Pools;
use super::super::settings::Settings;
use super::logon::Dialler;
use super::reply::Reply;
use super::session::Session;
use crate::model::{Call, ClientId, Division, Effect, M3User, Place, ProgramName, TransactionName};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

#[derive(Debug, Clone)]
pub(in crate::m3) struct Sockets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    dialler: Dialler,
    pool: Pools<Session>,
    users: ArcSwap<HashMap<M3User, SecretString>>,
    gates: Gates,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

/// How often idle sessions are looked through, or as often as they are to end.
const SWEEP: Duration = Duration::from_secs(5);

impl Sockets {
    pub(in crate::m3) fn new(settings: Arc<Settings>, metrics: Arc<Metrics>, tasks: Tasks) -> Result<Self, Error> {
        let unreachable =
            |source: std::io::Error| Error::Unreachable { address: settings.address.clone(), source: source.into() };
        let dialler = Dialler::new(settings.clone()).map_err(unreachable)?;
        let client = Self(Arc::new(Inner {
            dialler,
            pool: Pools::new(settings.pool, &metrics),
            users: ArcSwap::from_pointee(settings.users.clone()),
            gates: Gates::default(),
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

    pub(in crate::m3) async fn attempt(&self, call: &Call, choice: Choice) -> Result<Reply, Error> {
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
        if call.would_run_elsewhere(session.place) && !(self.0.settings.unproven_reads && call.effect == Effect::Read) {
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

    fn reply(&self, session: Session, lease: Lease<Session>, call: &Call) -> Reply {
        Reply::new((session, lease), call.patience, &call.layout, &self.0.metrics, self.0.tasks.clone())
    }

    /// The lease's idle session if it is good enough, else a new one.
    async fn session(&self, mut lease: Lease<Session>, choice: Choice) -> Result<(Session, Lease<Session>), Error> {
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
    async fn open(&self, lease: Lease<Session>) -> Result<(Session, Lease<Session>), Error> {
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
        opened.await.map_err(|_| Error::interrupted())?
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
    pub(in crate::m3) async fn slots(
        &self,
        program: ProgramName,
        transaction: TransactionName,
    ) -> Result<Slots, Error> {
        let (mut session, lease) = self.session_of(&self.0.settings.user, program, Choice::Proven).await?;
        let input = session.slots("GetInLayout", transaction).await?;
        let output = session.slots("GetOutLayout", transaction).await?;
        lease.give_back(session);
        Ok(Slots { input, output })
    }

    /// Whom M3 sees in this user, and where he is at home.
    pub(in crate::m3) async fn who(&self, user: &M3User, choice: Choice) -> Result<Who, Error> {
        let (session, lease) = self.session_of(user, anywhere(), choice).await?;
        let (user, language, build) = (session.named.clone(), session.language.clone(), session.build.clone());
        let who = Who { user, place: session.place, language, build };
        lease.give_back(session);
        Ok(who)
    }

    /// A session of this user, wherever he is at home.
    async fn session_of(
        &self,
        user: &M3User,
        program: ProgramName,
        choice: Choice,
    ) -> Result<(Session, Lease<Session>), Error> {
        let client = ClientId { issuer: "".into(), id: "gateway".into() };
        let key = Key { user: user.clone(), program, place: None };
        let lease = self.0.pool.lease(key, &client).await?;
        self.session(lease, choice).await
    }

    /// Closes the sessions of one program, or all: after a layout changed, or by an operations call.
    pub(in crate::m3) fn forget(&self, program: Option<ProgramName>) {
        self.0.pool.close(|key| program.is_none_or(|program| key.program == program));
    }

    /// New passwords. Users whose secret changed may try again at once, and their sessions are closed; a user whom M3
    /// refused and whose secret is the same is still left alone.
    pub(in crate::m3) fn set_users(&self, users: HashMap<M3User, SecretString>) {
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
    pub(in crate::m3) fn close(&self) {
        self.0.pool.shut();
    }
}

/// Any program tells who its session's user is; every M3 has this one.
fn anywhere() -> ProgramName {
    ProgramName::parse("MNS150MI").expect("a name of this file")
}
