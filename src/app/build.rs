//! Settings in, parts out: the only file that knows every part.

use super::error::Error;
use super::first_start;
use super::issuers::{foreign_clients, foreign_rules};
use super::outbox::audited;
use super::policies::{limits_check, parse};
use crate::admin::OperatorToken;
use crate::audit;
use crate::auth::{Directory, IssuerRules, Keys, Proofs, Verifier};
use crate::catalog::Catalog;
use crate::clock::unix_seconds;
use crate::config::{Backend, Certificate, Settings};
use crate::edge::{TlsSource, ensure_development};
use crate::gateway::Parts;
use crate::issuer::{Clients, Issuer};
use crate::limit::Limits;
use crate::m3;
use crate::mock_m3::Mock;
use crate::outbox::Outbox;
use crate::points::Point;
use crate::policies::{self, Active};
use crate::relay;
use crate::stoplist::Stoplist;
use crate::store::{self, Store};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Development things are refused where others can reach them, unless somebody said that this is meant.
pub(super) fn guard(settings: &Settings) -> Result<(), Error> {
    let Some(address) = settings.reachable().first().copied().filter(|_| !settings.development) else { return Ok(()) };
    let refused = |what, hint| Err(Error::DevelopmentInReach { what, address, hint });
    match (&settings.certificate, &settings.backend) {
        (Certificate::Development(_), _) => {
            refused("the development certificate would be used", "give edge.certificate and edge.key")
        }
        (_, Backend::Mock { .. }) => {
            refused("the mock M3 and the demo client would be used", "set m3.backend = \"socket\" and m3.address")
        }
        (Certificate::Files { .. }, Backend::Real(_)) => Ok(()),
    }
}

/// The shipped rules let a demo client write: they stand in for a folder that is missing in a trial alone.
fn guard_policies(settings: &Settings) -> Result<(), Error> {
    let trial = matches!(settings.backend, Backend::Mock { .. }) && settings.reachable().is_empty();
    match trial || settings.development || settings.policies.exists() {
        true => Ok(()),
        false => Err(Error::NoPolicies(settings.policies.clone())),
    }
}

/// Their secrets lie in files that a trial run wrote.
async fn guard_clients(settings: &Settings, clients: &Clients) -> Result<(), Error> {
    let Some(address) = settings.reachable().first().copied().filter(|_| !settings.development) else { return Ok(()) };
    let demo = |name: &str| [first_start::DEMO, first_start::READER].contains(&name);
    let listed = clients.list().await?;
    let left: Vec<&str> =
        listed.iter().filter(|one| !one.revoked() && demo(&one.name)).map(|one| one.name.as_str()).collect();
    if left.is_empty() { Ok(()) } else { Err(Error::DemoClients(left.join(" and "), address)) }
}

pub(super) fn state(path: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| Error::State { path: path.to_owned(), source })
}

/// The certificate's source, and the authority that a client of the development certificate trusts.
pub(super) fn certificate(certificate: &Certificate) -> Result<(TlsSource, Option<PathBuf>), Error> {
    Ok(match certificate {
        Certificate::Development(folder) => {
            let files = ensure_development(folder)?;
            (TlsSource::Files { chain: files.chain, key: files.key }, Some(files.ca))
        }
        Certificate::Files { chain, key } => (TlsSource::Files { chain: chain.clone(), key: key.clone() }, None),
    })
}

/// The mock, where it is asked for, and a client that is told where M3 is.
pub(super) async fn m3(
    backend: &Backend,
    metrics: &Arc<Metrics>,
    tasks: &Tasks,
) -> Result<(m3::Client, Option<Mock>), Error> {
    let (settings, mock) = match backend {
        Backend::Real(client) => ((**client).clone(), None),
        Backend::Mock { mock, client } => {
            let address = mock.listen;
            let started = Mock::start((**mock).clone(), tasks).await;
            let started = started.map_err(|source| Error::Mock { address, source })?;
            let mut client = (**client).clone();
            client.address = started.address().to_string();
            if let (Some(rest), Some(address)) = (&mut client.rest, started.rest_address()) {
                rest.base = format!("http://{address}");
            }
            (client, Some(started))
        }
    };
    if settings.is_exposed() {
        return Err(Error::Exposed);
    }
    Ok((m3::Client::new(settings, metrics.clone(), tasks.clone())?, mock))
}

/// Gateways that share it take each other's nonces.
const NONCE_KEY: &str = "dpop-nonce.key";

/// The tokens that are trusted here, and the issuer of our own.
pub(super) struct Tokens {
    pub(super) verifier: Verifier,
    pub(super) directory: Directory,
    pub(super) issuer: Option<Issuer>,
    pub(super) store: Store,
    pub(super) stoplist: Stoplist,
    /// Clients were registered just now.
    pub(super) first_start: bool,
}

pub(super) async fn tokens(
    settings: &Settings,
    public_url: &str,
    metrics: &Arc<Metrics>,
    tasks: &Tasks,
) -> Result<Tokens, Error> {
    let store = Store::open(&settings.state).await?;
    let stoplist = Stoplist::open(&store, metrics).await?;
    let directory = Directory::heeding(stoplist.stops());
    let key = store::ensure_key(&settings.state.join(NONCE_KEY)).map_err(Error::NonceKey)?;
    let proofs = Proofs::new(public_url, settings.proofs, &key, metrics);
    let mut rules = Vec::new();
    let mut issuer = None;
    let mut first_start = false;
    if let Some(own) = &settings.tokens {
        let mut own = own.clone();
        own.public_url = public_url.to_owned();
        let require_bound = own.require_bound;
        own.tls_client_auth = settings.edge.clients.as_ref().is_some_and(|asked| asked.authorities.is_some());
        own.self_signed_tls_client_auth = settings.edge.clients.as_ref().is_some_and(|asked| asked.self_signed);
        let clients = Clients::open(&store, own.hash_cost).await?;
        guard_clients(settings, &clients).await?;
        if matches!(settings.backend, Backend::Mock { .. }) {
            first_start = first_start::clients(&clients, &settings.state, public_url, unix_seconds()).await?;
        }
        let ring = Keys::new();
        issuer =
            Some(Issuer::open(&store, own, ring.clone(), directory.clone(), proofs.clone(), metrics, tasks).await?);
        rules.push(IssuerRules { require_bound, ..IssuerRules::local(public_url, ring) });
    }
    for foreign in &settings.issuers {
        if rules.iter().any(|known| known.issuer == foreign.issuer) {
            return Err(Error::IssuerTwice(foreign.issuer.clone()));
        }
        rules.push(foreign_rules(foreign, &settings.state));
    }
    foreign_clients(settings, &directory);
    let verifier = Verifier::new(public_url, rules, directory.clone(), proofs, metrics, tasks)?;
    Ok(Tokens { verifier, directory, issuer, store, stoplist, first_start })
}

pub(super) fn operator(settings: &Settings) -> Result<OperatorToken, Error> {
    Ok(match &settings.operations.token {
        Some(token) => OperatorToken::given(token)?,
        None => OperatorToken::ensure(&settings.state)?,
    })
}

/// The log of decisions, taken up where the last run left it.
pub(super) async fn audit(settings: &Settings, metrics: &Arc<Metrics>) -> Result<audit::Log, Error> {
    let (settings, metrics) = (settings.audit.clone(), metrics.clone());
    let started = tokio::task::spawn_blocking(move || audit::Log::start(settings, &metrics)).await;
    Ok(started.map_err(|_| Error::Task)??)
}

/// The outbox, taken up where the last run left it.
pub(super) async fn outbox(settings: &Settings, metrics: &Metrics, tasks: &Tasks) -> Result<Outbox, Error> {
    let coverage = settings.publish.coverage();
    Ok(Outbox::start(settings.outbox.clone(), coverage, metrics, tasks).await?)
}

/// Documents are made and taken to the points from here on.
pub(super) fn relay(settings: &Settings, parts: &Parts, tasks: &Tasks) -> Result<(), Error> {
    let points: Result<Vec<Point>, _> = settings.points.iter().cloned().map(Point::open).collect();
    let points = points.map_err(Error::Point)?;
    let user = settings.publish.user.clone().unwrap_or_else(|| parts.m3.user());
    let reader = relay::Reader::new(parts.m3.clone(), parts.catalog.clone(), user, parts.metrics.clone());
    if settings.publish.enabled {
        fitted(settings, &parts.catalog);
        parts.outbox.looks_with(relay::look(reader.clone(), settings.publish.mappings.clone()));
    }
    relay::start(&parts.outbox, reader, points, settings.publish.clone(), &parts.metrics, tasks);
    audited(&parts.outbox, &parts.audit, parts.metrics.panics.clone(), tasks);
    Ok(())
}

/// What the mappings name and M3 did not have the last time that it was asked. That may have been another release: it is
/// told, and each document is held against M3 as it is then.
fn fitted(settings: &Settings, catalog: &Catalog) {
    for mapping in settings.publish.mappings.iter() {
        let fit = mapping.fit(&|program, transaction| catalog.at_hand(program, transaction));
        fit.faults.iter().for_each(|fault| tracing::error!(%fault, "a mapping doesn't fit this M3"));
        fit.cuts.iter().for_each(|cut| tracing::warn!(%cut, "a mapping cuts what is written"));
    }
}

/// Policies and limits: a set with a fault in either never becomes active.
pub(super) async fn policies(
    settings: &Settings,
    public_url: &str,
    catalog: &Catalog,
    metrics: &Arc<Metrics>,
    store: &Store,
    tasks: &Tasks,
) -> Result<(Arc<Active>, Arc<Limits>), Error> {
    guard_policies(settings)?;
    let folder = policies::Settings {
        dir: settings.policies.clone(),
        trust: settings.policy_trust.clone(),
        gate: settings.policy_gate,
        kept: Some(settings.kept_policies()),
        shadow: settings.policy_shadow(),
        ..policies::Settings::default()
    };
    let at_hand = catalog.clone();
    let layouts: policies::Layouts = Arc::new(move |program, transaction| at_hand.at_hand(program, transaction));
    let (site, counted) = (settings.site(public_url), metrics.as_ref().clone());
    let checked = limits_check(public_url);
    let load = move || Active::load(folder, site, layouts, checked, counted);
    let active = tokio::task::spawn_blocking(load).await.map_err(|_| Error::Task)?.map_err(Error::Policies)?;
    let plan = parse(&active.limits(), public_url).map_err(Error::Limits)?;
    let limits = Arc::new(Limits::kept(plan, store, tasks).await?);
    Ok((active, limits))
}
