//! The way to M3, whichever it is: over sockets or over m3api-rest. Nothing above this room knows which.

use super::error::{Error, may_repeat};
use super::home::Homes;
use super::reply::Reply;
use super::rest::Rest;
use super::settings::Settings;
use super::socket::Sockets;
use crate::model::{Call, Effect, M3User, Place, ProgramName, Slot, TransactionName};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use secrecy::SecretString;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Where the fields of a transaction stand, as M3 says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    pub input: Vec<Slot>,
    pub output: Vec<Slot>,
}

/// Who M3 says that a user is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) user: M3User,
    pub(super) place: Place,
    pub(super) language: String,
    pub(super) build: String,
}

#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    way: Way,
    homes: Homes,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

#[derive(Debug)]
enum Way {
    Socket(Sockets),
    Rest(Rest),
}

/// Which session a call may go over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice {
    Any,
    /// One that answered just now: a session that M3 ended silently would swallow a write and leave its outcome unknown.
    Proven,
    New,
}

impl Client {
    pub fn new(settings: Settings, metrics: Arc<Metrics>, tasks: Tasks) -> Result<Self, Error> {
        let settings = Arc::new(settings);
        let way = match &settings.rest {
            None => Way::Socket(Sockets::new(settings.clone(), metrics.clone(), tasks.clone())?),
            Some(rest) => Way::Rest(Rest::new(rest, &settings, metrics.clone(), tasks.clone())?),
        };
        Ok(Self(Arc::new(Inner { way, homes: Homes::new(), metrics, tasks, settings })))
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

    /// Fields travel by name, and where M3 keeps them says nothing here.
    pub fn speaks_by_name(&self) -> bool {
        matches!(self.0.way, Way::Rest(_))
    }

    /// A read may run in another company than was decided, where a session can't prove its own.
    pub fn accepts_unproven_reads(&self) -> bool {
        self.0.settings.unproven_reads
    }

    /// How many sessions one client may hold of one user, program and company.
    pub fn share(&self) -> usize {
        self.0.settings.pool.share()
    }

    /// Awaits M3's first word; NOK as the first word is an error.
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
        match &self.0.way {
            Way::Socket(sockets) => Ok(sockets.attempt(call, choice).await?.into()),
            Way::Rest(rest) => Ok(Box::pin(rest.attempt(call)).await?.into()),
        }
    }

    /// Name and place of a transaction's fields, as the gateway's own user is told.
    pub async fn slots(&self, program: ProgramName, transaction: TransactionName) -> Result<Slots, Error> {
        match &self.0.way {
            Way::Socket(sockets) => sockets.slots(program, transaction).await,
            Way::Rest(_) => Rest::slots(program, transaction),
        }
    }

    /// Whom M3 sees in this user. `Any`: as was seen a moment ago; else M3 is asked now.
    pub(super) async fn who(&self, user: &M3User, choice: Choice) -> Result<Who, Error> {
        match &self.0.way {
            Way::Socket(sockets) => sockets.who(user, choice).await,
            Way::Rest(rest) => rest.who(user, None).await,
        }
    }

    /// Closes the sessions of one program, or all: after a layout changed, or by an operations call.
    pub fn forget(&self, program: Option<ProgramName>) {
        match &self.0.way {
            Way::Socket(sockets) => sockets.forget(program),
            Way::Rest(rest) => rest.forget(),
        }
    }

    /// New passwords. Users whose secret changed may try again at once, and their sessions are closed; a user whom M3
    /// refused and whose secret is the same is still left alone.
    pub fn set_users(&self, users: HashMap<M3User, SecretString>) {
        match &self.0.way {
            Way::Socket(sockets) => sockets.set_users(users),
            Way::Rest(rest) => rest.set_users(&users),
        }
    }

    /// Ends every session in good manners: what is idle now, what is lent when it comes back.
    pub fn close(&self) {
        if let Way::Socket(sockets) = &self.0.way {
            sockets.close();
        }
    }
}
