//! M3 over m3api-rest: the same calls, asked as URLs and answered as JSON documents.
//!
//! What is kept from call to call is no session but who M3 says that a user is in a place: asked once, remembered for a
//! while, and a call runs only where that is the company that was decided.
//! Does not know: columns of the socket protocol; fields travel by name.

mod account;
mod answer;
mod image;
mod reply;
mod url;
mod wire;

pub use answer::{Found, Reader};
pub(super) use reply::Reply;

use super::client::{Slots, Who};
use super::error::Error;
use super::gates::Gates;
use super::pool::Key;
use super::pools::Pools;
use super::settings::{RestSettings, RestVersion, Settings};
use crate::model::{Call, Company, Division, Effect, M3User, Place, ProgramName, TransactionName};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use account::{Account, Accounts};
use hyper::body::Incoming;
use moka::future::Cache;
use secrecy::SecretString;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use wire::Http;

#[derive(Debug, Clone)]
pub(super) struct Rest(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rest: RestSettings,
    settings: Arc<Settings>,
    http: Http,
    pool: Pools<()>,
    accounts: Accounts,
    gates: Gates,
    /// Who M3 says that a user is who asked for a place, or for none.
    proven: Cache<(M3User, Option<Place>), Who>,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

const MOST_PROVEN: u64 = 10_000;
/// How long what M3 said of a user and a place is believed.
const PROVEN_FOR: Duration = Duration::from_secs(300);
/// How long a question of the gateway's own may take.
const QUESTION: Duration = Duration::from_secs(10);

impl Rest {
    pub(super) fn new(
        rest: &RestSettings,
        settings: &Arc<Settings>,
        metrics: Arc<Metrics>,
        tasks: Tasks,
    ) -> Result<Self, Error> {
        let unusable = |source: io::Error| Error::Unreachable { address: rest.base.clone(), source: source.into() };
        let http = Http::new(rest, settings).map_err(unusable)?;
        let accounts = Accounts::new(rest, &settings.users, settings.plaintext_accepted)
            .map_err(|fault| unusable(io::Error::other(fault)))?;
        Ok(Self(Arc::new(Inner {
            http,
            accounts,
            pool: Pools::new(settings.pool, &metrics),
            gates: Gates::default(),
            proven: Cache::builder().max_capacity(MOST_PROVEN).time_to_live(PROVEN_FOR).build(),
            rest: rest.clone(),
            settings: settings.clone(),
            metrics,
            tasks,
        })))
    }

    /// A read is repeated by who calls, as with sessions; a write never is.
    pub(super) async fn attempt(&self, call: &Call) -> Result<Reply, Error> {
        let settings = &self.0.settings;
        let found = self.proven(&call.user, call.place).await?;
        if call.would_run_elsewhere(found) && !(settings.unproven_reads && call.effect == Effect::Read) {
            return Err(Error::CompanyNotProvable { wanted: call.place, found });
        }
        let key = Key { user: call.user.clone(), program: call.layout.program, place: None };
        let lease = self.0.pool.lease(key, &call.client).await?;
        let account = self.0.accounts.of(&call.user, &settings.user)?;
        let gate = self.0.gates.of(account.user());
        let door = (introduces(), None);
        // Whoever waited for his turn may have been overtaken by a refusal.
        if let Ok(gate) = gate.try_lock() {
            gate.may_try(&call.user, door)?;
        }
        let path = url::call(self.0.rest.version, call, account.names(&call.user));
        let response = self.ask(&account, &call.user, &path, call.patience).await;
        if matches!(response, Err(Error::LogonRefused { .. })) {
            gate.lock().await.learn(door, &response, settings.logon_pause);
            self.0.proven.invalidate_all();
        }
        let response = response?;
        let reply = Reply::new(response, lease, call, &self.0.rest, &self.0.metrics);
        let reply = reply.begin().await?;
        // Answered or not, it is never said whether it worked.
        if Effect::is_unanswered(call.layout.name) { Ok(reply.unreported()) } else { Ok(reply) }
    }

    /// One request; a token that is not taken any more, and a lapsed CSRF token, are had anew once: M3 refused at the
    /// door, so nothing was done.
    async fn ask(
        &self,
        account: &Account,
        user: &M3User,
        path: &str,
        patience: Duration,
    ) -> Result<http::Response<Incoming>, Error> {
        for last in [false, true] {
            let pass = match account.at_hand() {
                Some(pass) => pass,
                // On a task of its own: others wait for the same token, and none of them for whoever asked first.
                None => {
                    let (account, http, limit) = (account.clone(), self.0.http.clone(), self.0.settings.logon_timeout);
                    let pass = async move { tokio::time::timeout(limit, account.pass(&http)).await };
                    let pass = self.0.tasks.spawn(pass).await.map_err(|_| Error::interrupted())?;
                    pass.unwrap_or(Err(Error::TimedOut { sent: false, waited: limit }))?
                }
            };
            let response = self.0.http.get(path, &pass, patience).await?;
            let status = response.status();
            if !matches!(status.as_u16(), 401 | 403) {
                return Ok(response);
            }
            if last || !account.may_have_lapsed(status, &pass).await {
                // The secret is good; it is this user whom it may not name.
                if status == http::StatusCode::FORBIDDEN && account.names(user).is_some() {
                    return Err(Error::NotHim { user: user.clone() });
                }
                return Err(Error::LogonRefused { user: user.clone(), message: format!("HTTP {status}") });
            }
        }
        unreachable!("the second round returns")
    }

    async fn proven(&self, user: &M3User, place: Place) -> Result<Place, Error> {
        let key = (user.clone(), Some(place));
        if let Some(who) = self.0.proven.get(&key).await {
            return Ok(who.place);
        }
        // On a task of its own: many may wait for this one answer, and none of them for whoever asked first.
        let rest = self.clone();
        let asked = self.0.tasks.spawn(async move {
            let (user, place) = key.clone();
            rest.0.proven.try_get_with(key, rest.who(&user, place)).await
        });
        let who = asked.await.map_err(|_| Error::interrupted())?.map_err(|error: Arc<Error>| (*error).clone())?;
        Ok(who.place)
    }

    /// Asks M3 now. One logon at a time for each user: a wrong password must not be tried by a crowd.
    pub(super) async fn who(&self, user: &M3User, place: Option<Place>) -> Result<Who, Error> {
        let account = self.0.accounts.of(user, &self.0.settings.user)?;
        // Whose secret it is: where the gateway's account names others, one gate stands before all of them.
        let gate = self.0.gates.of(account.user());
        let settings = &self.0.settings;
        let mut held = Some(gate.lock().await);
        let door = (introduces(), place);
        if let Some(known) = &held {
            known.may_try(user, door)?;
        }
        // A user who was let in just now is asked for side by side.
        if held.as_ref().is_some_and(|known| known.is_open(settings.logon_trust)) {
            held = None;
        }
        let limit = settings.logon_timeout;
        let found = tokio::time::timeout(limit, self.introduce(&account, user, place)).await;
        let found = found.unwrap_or(Err(Error::TimedOut { sent: false, waited: limit }));
        // The call itself was not sent, whatever becomes of this.
        let found = found.map_err(Error::before_the_call);
        match held {
            Some(mut known) => known.learn(door, &found, settings.logon_pause),
            None if matches!(found, Err(Error::LogonRefused { .. })) => {
                gate.lock().await.learn(door, &found, settings.logon_pause);
            }
            None => {}
        }
        let outcome = found.as_ref().map_or_else(Error::outcome, |_| "ok");
        self.0.metrics.m3_logons.with_label_values(&[outcome]).inc();
        found
    }

    async fn introduce(&self, account: &Account, user: &M3User, place: Option<Place>) -> Result<Who, Error> {
        let path = url::who(self.0.rest.version, place, account.names(user));
        let response = self.ask(account, user, &path, QUESTION).await?;
        let told = reply::only_record(response, &self.0.rest, QUESTION).await?;
        let text = |name: &str| told.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value.trim());
        let wrong = |what| Error::Protocol { sent: false, what };
        let company = Company::parse(text("ZDCONO")).map_err(|_| wrong("GetUserInfo without a company"))?;
        let division = Division::parse(text("ZDDIVI")).map_err(|_| wrong("GetUserInfo without a division"))?;
        // An account of another user would write in his name; one that does not say whose it is proves nothing.
        if !text("ZZUSID").eq_ignore_ascii_case(user.as_str()) {
            return Err(Error::NotHim { user: user.clone() });
        }
        let dates = text("ZDDTFM");
        if self.0.rest.version == RestVersion::V1 && !dates.is_empty() && !dates.starts_with("YMD") {
            let setting = format!("date format {}", dates.chars().take(10).collect::<String>());
            return Err(Error::ConventionUnsupported { user: user.clone(), setting });
        }
        let build = format!("m3api-rest {}", self.0.rest.version);
        Ok(Who { user: user.clone(), place: Place { company, division }, language: text("ZDLANC").to_owned(), build })
    }

    /// The lists of MRS001MI, which the catalog begins with. Fields travel by name here: where they stand in a session's
    /// columns nobody asks.
    pub(super) fn slots(program: ProgramName, transaction: TransactionName) -> Result<Slots, Error> {
        image::repository(program, transaction)
            .ok_or(Error::Protocol { sent: false, what: "m3api-rest has no transaction that tells where fields stand" })
    }

    pub(super) fn forget(&self) {
        self.0.proven.invalidate_all();
    }

    /// Secrets that can't be read leave the old ones in force.
    pub(super) fn set_users(&self, users: &HashMap<M3User, SecretString>) {
        match self.0.accounts.replace(users) {
            Ok(changed) => {
                self.0.gates.forget(&changed);
                self.0.proven.invalidate_all();
            }
            Err(fault) => tracing::error!(%fault, "the secrets of M3's users were not taken over"),
        }
    }
}

/// The program that tells who and where a user is.
fn introduces() -> ProgramName {
    ProgramName::parse("GENERAL").expect("a name of this file")
}
