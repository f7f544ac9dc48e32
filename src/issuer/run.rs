//! The running issuer: what it knows, how it follows the store, and the documents it publishes.
//!
//! Everything a token request reads is in memory and swapped whole after a commit, by this process or another.
//! Invariant: the key ring and the directory that requests are judged by are filled from the same reading.

use super::answer::{TokenAnswer, TokenAsk, TokenError};
use super::attempts::Attempts;
use super::client::Client;
use super::clients::Clients;
use super::error::Error;
use super::once::Used;
use super::pace::Pace;
use super::schema;
use super::secrets::Secrets;
use super::settings::Settings;
use super::signing::SigningKey;
use super::signing_keys::SigningKeys;
use crate::auth::{Algorithm, Directory, KeySet, Keys, Proofs, install_crypto, proof_algorithms};
use crate::clock::unix_seconds;
use crate::store::{Store, Watch};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use prometheus::IntCounterVec;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Interval;

/// How often expired keys and families are forgotten.
const TIDY: Duration = Duration::from_secs(3600);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// A clone is the same issuer.
#[derive(Debug, Clone)]
pub struct Issuer {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) store: Store,
    pub(super) secrets: Secrets,
    pub(super) attempts: Attempts,
    pub(super) pace: Pace,
    /// What is ended is known as ended for so long.
    pub(super) longest_life: u64,
    pub(super) used: Used,
    pub(super) known: ArcSwap<Known>,
    clients: Clients,
    keys: SigningKeys,
    ring: Keys,
    pub(super) directory: Directory,
    pub(super) proofs: Proofs,
    issued: IntCounterVec,
    /// One reading at a time, so that an older one never replaces a newer.
    reading: Mutex<()>,
}

/// One reading of the store.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) clients: HashMap<Arc<str>, Arc<Client>>,
    pub(super) ended: HashSet<Box<str>>,
    /// Newest first.
    pub(super) keys: Vec<Arc<SigningKey>>,
    pub(super) signing: Arc<SigningKey>,
    jwks: Arc<str>,
}

impl Issuer {
    /// Makes the first signing key, fills ring and directory, and follows the store from then on.
    pub async fn open(
        store: &Store,
        settings: Settings,
        ring: Keys,
        directory: Directory,
        proofs: Proofs,
        metrics: &Metrics,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        install_crypto();
        let (clients, keys) = (Clients::open(store, settings.hash_cost).await?, SigningKeys::open(store).await?);
        keys.ensure(settings.algorithm, unix_seconds()).await?;
        // Before the first reading: a commit in between is seen as a change.
        let watch = store.watch().await?;
        let known = read(&clients, &keys, store, &settings, &HashMap::new()).await?;
        publish(&known, &settings, &ring, &directory)?;
        let inner = Arc::new(Inner {
            secrets: Secrets::new(settings.hash_cost).await?,
            attempts: Attempts::new(),
            pace: Pace::new(),
            longest_life: schema::longest_life(store, settings.longest_life()).await?,
            used: Used::default(),
            known: ArcSwap::from_pointee(known),
            store: store.clone(),
            issued: metrics.tokens_issued.clone(),
            reading: Mutex::new(()),
            settings,
            clients,
            keys,
            ring,
            directory,
            proofs,
        });
        tasks.spawn_until_stop(follow(Arc::clone(&inner), watch));
        Ok(Self { inner })
    }

    pub async fn token(&self, ask: TokenAsk<'_>) -> Result<TokenAnswer, TokenError> {
        let mut grant = "unknown";
        let answer = self.inner.grant(ask, &mut grant).await;
        let outcome = answer.as_ref().map_or_else(TokenError::code, |_| "ok");
        self.inner.issued.with_label_values(&[grant, outcome]).inc();
        answer
    }

    /// RFC 7009: ends the family of a refresh or access token. A token that means nothing is no error.
    pub async fn revoke(&self, ask: TokenAsk<'_>) -> Result<(), TokenError> {
        let answer = self.inner.revoke(ask).await;
        let outcome = answer.as_ref().map_or_else(TokenError::code, |()| "ok");
        self.inner.issued.with_label_values(&["revoke", outcome]).inc();
        answer
    }

    /// The nonce that the next proof is to carry, where one is asked for.
    pub fn nonce(&self, now: u64) -> Option<String> {
        self.inner.proofs.nonce(now)
    }

    /// Reads the store now, without waiting for its next look at it.
    pub async fn reload(&self) -> Result<(), Error> {
        self.inner.refresh().await
    }

    /// The key set document (RFC 7517).
    pub fn jwks(&self) -> Arc<str> {
        Arc::clone(&self.inner.known.load().jwks)
    }

    /// The metadata document (RFC 8414).
    pub fn metadata(&self) -> Value {
        let settings = &self.inner.settings;
        let url = &settings.public_url;
        let mut methods = vec!["client_secret_basic", "client_secret_post", "private_key_jwt"];
        methods.extend(settings.tls_client_auth.then_some("tls_client_auth"));
        methods.extend(settings.self_signed_tls_client_auth.then_some("self_signed_tls_client_auth"));
        let algorithms: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
        json!({
            "issuer": url,
            "dpop_signing_alg_values_supported": proof_algorithms().collect::<Vec<_>>(),
            "token_endpoint": format!("{url}/oauth2/token"),
            "revocation_endpoint": format!("{url}/oauth2/revoke"),
            "jwks_uri": format!("{url}/oauth2/jwks"),
            "grant_types_supported": ["client_credentials", "password", "refresh_token"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
            "tls_client_certificate_bound_access_tokens": settings.shows_certificates(),
        })
    }
}

impl Inner {
    /// Reads the store again, and lets everybody see it.
    pub(super) async fn refresh(&self) -> Result<(), Error> {
        let _one = self.reading.lock().await;
        let old = self.known.load_full();
        let keys = old.keys.iter().map(|key| (key.kid.clone(), Arc::clone(key))).collect();
        let new = read(&self.clients, &self.keys, &self.store, &self.settings, &keys).await?;
        // Other rooms commit to the same file: what is as it was disturbs nobody's cache.
        if new.clients != old.clients || new.ended != old.ended || new.jwks != old.jwks {
            publish(&new, &self.settings, &self.ring, &self.directory)?;
            self.known.store(Arc::new(new));
        }
        Ok(())
    }

    /// Waits for a change, or for something to be over, and takes it in.
    pub(super) async fn look(&self, watch: &mut Option<Watch>, tidy: &mut Interval) -> Result<(), Error> {
        let Some(known) = watch else {
            // What was committed in the meantime would not be seen as a change: it is read at once.
            let again = self.store.watch().await?;
            self.refresh().await?;
            *watch = Some(again);
            return Ok(());
        };
        tokio::select! {
            changed = known.changed() => changed?,
            _ = tidy.tick() => return self.tidy().await,
        }
        self.refresh().await
    }

    async fn tidy(&self) -> Result<(), Error> {
        let now = unix_seconds();
        self.used.tidy(now);
        self.keys.purge(now.saturating_sub(self.settings.longest_life() + 60)).await?;
        let mut write = self.store.write().await?;
        sqlx::query("DELETE FROM ended_families WHERE until < ?").bind(now.cast_signed()).execute(&mut *write).await?;
        write.commit().await?;
        self.refresh().await
    }
}

async fn follow(inner: Arc<Inner>, watch: Watch) {
    let (mut watch, mut tidy) = (Some(watch), tokio::time::interval(TIDY));
    loop {
        if let Err(error) = inner.look(&mut watch, &mut tidy).await {
            tracing::error!(%error, "the issuer could not read its store; it goes on with what it knows");
            tokio::time::sleep(AGAIN).await;
            // A change that was seen and not read is lost with its signal: it is read again until that succeeds.
            watch = None;
        }
    }
}

async fn read(
    clients: &Clients,
    keys: &SigningKeys,
    store: &Store,
    settings: &Settings,
    known: &HashMap<String, Arc<SigningKey>>,
) -> Result<Known, Error> {
    let clients = clients.list().await?.into_iter().map(|client| (Arc::clone(&client.id), Arc::new(client))).collect();
    let ended: Vec<(String,)> = sqlx::query_as("SELECT family FROM ended_families").fetch_all(store.read()).await?;
    let keys = keys.load(known).await?;
    let live = keys.iter().find(|(info, _)| info.retired_at.is_none() && info.algorithm == settings.algorithm);
    // The command line may have rotated to another algorithm: better that one than none.
    let signing = live.or(keys.first()).map(|(_, key)| Arc::clone(key)).ok_or(Error::Key)?;
    let keys: Vec<_> = keys.into_iter().map(|(_, key)| key).collect();
    let published: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    let jwks = json!({"keys": published}).to_string().into();
    let ended = ended.into_iter().map(|(family,)| family.into()).collect();
    Ok(Known { clients, ended, keys, signing, jwks })
}

fn publish(known: &Known, settings: &Settings, ring: &Keys, directory: &Directory) -> Result<(), Error> {
    ring.replace(KeySet::parse(known.jwks.as_bytes())?);
    let facts = known.clients.iter().map(|(id, client)| (Arc::clone(id), client.facts())).collect();
    directory.replace(&settings.public_url, facts, known.ended.clone());
    Ok(())
}
