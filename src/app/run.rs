//! Start, wait, drain in order.

use super::audit as retention;
use super::build;
use super::error::Error;
use super::health::Watched;
use super::learning;
use super::limits;
use super::operator::actions;
use super::orders;
use super::outbox as door;
use super::policies as sets;
use super::stops;
use crate::admin::{Action, Health, Operations};
use crate::audit;
use crate::auth::install_crypto;
use crate::catalog::Catalog;
use crate::clock::unix_seconds;
use crate::config::Settings;
use crate::edge::{self, Drained, Edge, raise_open_files, small_pages};
use crate::gateway::{self, BodyFault, Parts};
use crate::issuer::{self, Authentication, Clients, IonApi, Issuer, NewClient, write_private};
use crate::limit::Limits;
use crate::mock_m3::Mock;
use crate::model::{Standing, TenantId};
use crate::outbox::Outbox;
use crate::store::{self, Store};
use crate::tasks::Tasks;
use crate::telemetry::{AccessLog, Metrics};
use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use serde::Serialize;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder};

/// Where the house can be found; written to `{state}/addresses.json` as well.
#[derive(Debug, Clone, Serialize)]
pub struct Addresses {
    pub public_url: String,
    pub public: Vec<SocketAddr>,
    pub operations: SocketAddr,
    /// The mock's, where it runs in this process.
    pub mock: Option<SocketAddr>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Requests that were still in flight when the drain's time was up.
    pub unfinished: usize,
    /// Every write that M3 may have seen was waited for.
    pub writes_settled: bool,
}

/// A house that runs until it is told to stop.
#[derive(Debug)]
pub struct Running {
    pub addresses: Addresses,
    /// The authority of the development certificate.
    pub authority: PathBuf,
    pub mock: Option<Mock>,
    pub metrics: Arc<Metrics>,
    /// What the public door serves, for a bench that measures it without the door.
    pub gateway: gateway::Service,
    /// The demo clients were registered by this very start.
    pub first_start: bool,
    settings: Settings,
    store: Store,
    limits: Arc<Limits>,
    issuer: Option<Issuer>,
    catalog: Catalog,
    health: Health,
    access_log: Option<AccessLog>,
    audit: audit::Log,
    outbox: Outbox,
    tasks: Tasks,
    writes: Tasks,
    close_public: CancellationToken,
    public: JoinHandle<Drained>,
    close_operations: CancellationToken,
    operations: JoinHandle<Drained>,
}

const OPERATIONS_END: Duration = Duration::from_secs(5);
const TASKS_END: Duration = Duration::from_secs(5);

pub async fn start(settings: Settings) -> Result<Running, Error> {
    prepare(&settings)?;
    let (tasks, writes) = (Tasks::new(), Tasks::new());
    let metrics = Arc::new(Metrics::new());
    let health = Health::new(&metrics);
    health.set("m3", Err("not connected yet".into()));

    // The doors are bound first: a taken port is told before anything else is begun, and a chosen one names the issuer.
    let (public, operations, authority) = doors(&settings, &metrics)?;
    let port = public.addresses().first().map_or(0, SocketAddr::port);
    let public_url = settings.public_url.clone().unwrap_or_else(|| format!("https://localhost:{port}"));

    let (m3, mock) = build::m3(&settings.backend, &metrics, &tasks).await?;
    let catalog = Catalog::new(settings.catalog.clone(), m3.clone(), metrics.clone(), tasks.clone()).await;
    let tokens = build::tokens(&settings, &public_url, &metrics, &tasks).await?;
    let (policies, limits) = build::policies(&settings, &public_url, &catalog, &metrics, &tokens.store, &tasks).await?;
    let access_log = settings.log.access.then(|| AccessLog::stdout(&metrics)).transpose().map_err(Error::Log)?;
    let audit = build::audit(&settings, &metrics).await?;
    let outbox = build::outbox(&settings, &metrics, &tasks).await?;
    let parts = Parts {
        verifier: tokens.verifier.clone(),
        issuer: tokens.issuer.clone(),
        limits: limits.clone(),
        policies: policies.clone(),
        catalog: catalog.clone(),
        m3,
        metrics: metrics.clone(),
        access_log: access_log.clone(),
        audit: audit.clone(),
        outbox: outbox.clone(),
        stops: tokens.stoplist.stops(),
        tasks: writes.clone(),
        group_users: Arc::new(settings.group_users.clone()),
        guard_user: settings.guard_user.clone(),
        seal: gateway::Seal::ensure(&settings.state).map_err(Error::Seal)?,
    };
    let inside = inside(&settings, &parts, &public_url);
    let service = ServiceBuilder::new().map_request(incoming).service(inside.clone());

    let at = operations.addresses().to_vec();
    let mut may = kept(&settings, &public_url, &tokens, &parts, mock.as_ref(), &tasks);
    may.extend(stops::begin(&settings, &public_url, &tokens, &audit, &health, &tasks));
    let door = guarded(&settings, &parts, &health, &at, may)?;
    let addresses = Addresses {
        public_url,
        public: public.addresses().to_vec(),
        operations: at.first().copied().unwrap_or(settings.operations.listen),
        mock: mock.as_ref().map(Mock::address),
    };
    let watched = Watched::over(&parts, &health);
    watched.look().await;
    watched.watch(&tasks);
    learning::begin(&parts, metrics.panics.clone(), &tasks);

    build::relay(&settings, &parts, &tasks)?;
    let (public, close_public) = open(public, service, &tasks);
    let (operations, close_operations) = open(operations, door, &tasks);
    let running = Running {
        addresses,
        authority: authority.unwrap_or_default(),
        mock,
        metrics,
        gateway: inside,
        first_start: tokens.first_start,
        store: tokens.store,
        limits,
        issuer: tokens.issuer,
        catalog,
        health,
        access_log,
        audit,
        outbox,
        tasks,
        writes,
        close_public,
        public,
        close_operations,
        operations,
        settings,
    };
    running.tell_addresses().await?;
    Ok(running)
}

fn inside(settings: &Settings, parts: &Parts, public_url: &str) -> gateway::Service {
    let mut door = settings.gateway.clone();
    public_url.clone_into(&mut door.inbound.own_issuer);
    gateway::service(parts, &door)
}

/// Before anything is begun.
fn prepare(settings: &Settings) -> Result<(), Error> {
    install_crypto();
    raise_open_files();
    small_pages();
    build::guard(settings)?;
    build::state(&settings.state)?;
    for (key, path) in settings.open_secrets() {
        tracing::warn!(key, path = %path.display(), "a file with a secret {}", store::OPEN_ADVICE);
    }
    Ok(())
}

/// What operators may do about what is known, counted and written down, and what they do elsewhere.
fn kept(
    settings: &Settings,
    public_url: &str,
    tokens: &build::Tokens,
    parts: &Parts,
    mock: Option<&Mock>,
    tasks: &Tasks,
) -> Vec<Action> {
    sets::follow(&parts.policies, &parts.limits, public_url, &parts.audit, tasks);
    orders::audited(&tokens.store, &parts.audit, parts.metrics.panics.clone(), tasks);
    let mut may = actions(&parts.catalog, &parts.m3, mock, &parts.policies);
    may.extend(limits::actions(settings, public_url, tokens, &parts.limits, &parts.audit, tasks));
    may.extend(retention::begin(&parts.audit, settings.audit.keep, tasks));
    may
}

fn incoming(request: http::Request<edge::Received>) -> gateway::Request {
    request.map(|body| body.map_err(BodyFault::new).boxed_unsync())
}

/// The operations door, with what an operator may do there.
fn guarded(
    settings: &Settings,
    parts: &Parts,
    health: &Health,
    at: &[SocketAddr],
    mut may: Vec<Action>,
) -> Result<Operations, Error> {
    may.extend(door::actions(&parts.outbox));
    let operator = build::operator(settings)?;
    Ok(Operations::new(health.clone(), parts.metrics.as_ref().clone(), operator, at, &[], may)?)
}

/// Both doors, bound and still closed, and the authority of a development certificate.
fn doors(settings: &Settings, metrics: &Metrics) -> Result<(Edge, Edge, Option<PathBuf>), Error> {
    let (tls, authority) = build::certificate(&settings.certificate)?;
    let public = edge::Settings { tls: Some(tls), ..settings.edge.clone() };
    let operations = edge::Settings { listen: vec![settings.operations.listen], ..edge::Settings::operations() };
    Ok((Edge::bind(public, metrics.clone())?, Edge::bind(operations, metrics.clone())?, authority))
}

/// Lets callers in, until the token that comes back is cancelled.
fn open<S, B>(door: Edge, service: S, tasks: &Tasks) -> (JoinHandle<Drained>, CancellationToken)
where
    S: Service<http::Request<edge::Received>, Response = http::Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<edge::ServiceFault>,
{
    let stop = CancellationToken::new();
    let (told, on) = (stop.clone(), tasks.clone());
    (tasks.spawn(async move { door.run(service, told, &on).await }), stop)
}

impl Running {
    async fn tell_addresses(&self) -> Result<(), Error> {
        let path = self.settings.state.join("addresses.json");
        let text = serde_json::to_vec_pretty(&self.addresses).unwrap_or_default();
        tokio::fs::write(&path, text).await.map_err(|source| Error::State { path, source })
    }

    /// Readiness off, after a while no new connections, what is in flight finished, writes waited for, then everything else.
    pub async fn stop(self) -> Ended {
        self.health.drain();
        tokio::time::sleep(self.settings.edge.limits.drain_wait).await;
        self.close_public.cancel();
        let unfinished = self.public.await.map_or(0, |drained| drained.unfinished);
        // Longer than the drain: a write that M3 is at is waited for as long as it may take.
        let patience = self.settings.gateway.exchange.write_patience;
        let writes_settled = self.writes.finish(patience).await;
        if !writes_settled {
            tracing::error!(waited = ?patience, "writes were still at M3 at the end; their outcome is unknown");
        }
        // Behind the writes, which settle there.
        if !self.outbox.finish(TASKS_END).await {
            tracing::error!("the outbox could not be brought to the disk; the next start asks M3");
        }
        self.close_operations.cancel();
        let _ = tokio::time::timeout(OPERATIONS_END, self.operations).await;
        self.tasks.finish(TASKS_END).await;
        if let Err(error) = self.catalog.save().await {
            tracing::warn!(%error, "catalog not saved; a restart will ask M3 again");
        }
        self.outbox.close().await;
        // Nobody calls any more: what was used is known exactly.
        if let Err(error) = self.limits.settle().await {
            tracing::warn!(%error, "the usage of clients could not be written; what was reserved counts as used");
        }
        self.store.close().await;
        // Behind the writes, whose outcomes it tells.
        if !self.audit.close(TASKS_END).await {
            tracing::error!("the end of the audit log could not be signed");
        }
        if let Some(log) = self.access_log {
            // Waits for a thread, a moment at the very end.
            log.flush(TASKS_END);
        }
        Ended { unfinished, writes_settled }
    }

    /// Registers a client as the command line does, and writes its file under `{state}/clients/`.
    pub async fn add_client(&self, name: &str, scopes: &[&str], groups: &[&str]) -> Result<(), issuer::Error> {
        self.add_client_with(name, scopes, groups, Standing::default()).await
    }

    /// One that is somebody to M3 by itself.
    pub async fn add_client_with(
        &self,
        name: &str,
        scopes: &[&str],
        groups: &[&str],
        standing: Standing,
    ) -> Result<(), issuer::Error> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let tenant = TenantId::parse("DEMO_TST").map_err(|_| issuer::Error::Random)?;
        let (name, scopes, groups) = (name.to_owned(), words(scopes), words(groups));
        let authentication = Authentication::Secret;
        let new = NewClient { name, tenant, scopes, groups, standing, authentication, bound: false, dpop: false };
        self.add_new_client(new).await
    }

    /// One that proves itself in its own way.
    pub async fn add_new_client(&self, new: NewClient) -> Result<(), issuer::Error> {
        let own = self.settings.tokens.clone().unwrap_or_else(|| issuer::Settings::of(&self.addresses.public_url));
        let clients = Clients::open(&self.store, own.hash_cost).await?;
        let name = new.name.clone();
        let (client, credentials) = clients.add(new, unix_seconds()).await?;
        if let Some(issuer) = &self.issuer {
            issuer.reload().await?;
        }
        let ionapi = IonApi { public_url: &self.addresses.public_url, environment: super::first_start::ENVIRONMENT };
        let path = super::first_start::folder(&self.settings.state)?.join(format!("{name}.ionapi"));
        write_private(&path, &ionapi.text(&client, credentials.as_ref()))
    }
}
