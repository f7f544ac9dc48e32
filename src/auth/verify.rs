//! The one question: whose token is this, if anybody's?
//!
//! Order matters: size and form, issuer, algorithm and type, key, signature, claims, and last what is known about
//! the client. Everything before the signature only chooses how to check; nothing is granted on it.
//! Does not know: where the token stood in the request.

use super::cache::{Digest, Entry, TokenCache};
use super::claims::{self, Verified};
use super::directory::{Directory, Held as Facts};
use super::error::Error;
use super::keys::{Held as HeldKeys, Keys};
use super::opaque::{Introspector, is_opaque};
use super::parse::{MAX_TOKEN, Unverified};
use super::presented::Presented;
use super::proofs::Proofs;
use super::remote::Remote;
use super::resource::Resource;
use super::rules::{IssuerRules, KeySource, RequireBound, TypRule, UnknownClients};
use crate::model::{ClientId, Principal};
use crate::outbound;
use crate::stoplist::TokenFacts;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use prometheus::IntCounter;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A clone is the same verifier with the same cache.
#[derive(Debug, Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    issuers: HashMap<Arc<str>, Trusted>,
    resource: Arc<Resource>,
    proofs: Proofs,
    /// Of the one issuer that is asked about tokens without a form.
    opaque: Option<(Arc<str>, Introspector)>,
    directory: Directory,
    cache: TokenCache,
    hit: IntCounter,
    miss: IntCounter,
    over: IntCounter,
}

/// Good, for whoever shows what it is bound to.
struct Admitted {
    principal: Arc<Principal>,
    verified: Arc<Verified>,
    issuer: Arc<str>,
}

/// A token that was let in, for whoever goes on for long: it can be asked about again without being at hand.
#[derive(Clone)]
pub struct Pass {
    inner: Arc<Inner>,
    issuer: Arc<str>,
    verified: Arc<Verified>,
    digest: Digest,
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Pass {
    /// It was taken back, or its client was: by an operator, by its own client, or with its grant. That it has expired
    /// meanwhile is another matter.
    pub fn is_revoked(&self, now: u64) -> bool {
        let Some(trusted) = self.inner.issuers.get(&self.issuer) else { return true };
        let facts = facts_of(&self.issuer, &trusted.rules, &self.verified, &self.digest);
        let known = self.inner.directory.held();
        self.inner.directory.stops().held().revoked(&facts, now)
            || principal(&self.issuer, &trusted.rules, &self.verified, &known).is_err()
    }
}

#[derive(Debug)]
struct Trusted {
    rules: IssuerRules,
    keys: Source,
}

#[derive(Debug)]
enum Source {
    Local(Keys),
    Remote(Arc<Remote>),
}

impl Source {
    fn keys(&self) -> &Keys {
        match self {
            Self::Local(keys) => keys,
            Self::Remote(remote) => remote.keys(),
        }
    }
}

impl Verifier {
    /// Starts fetching the key sets of issuers elsewhere. A URL that may not be fetched is an error here, not later.
    /// `url` is what the tokens are for: scheme, host and port of the gateway.
    pub fn new(
        url: &str,
        issuers: Vec<IssuerRules>,
        directory: Directory,
        proofs: Proofs,
        metrics: &Metrics,
        tasks: &Tasks,
    ) -> Result<Self, outbound::Error> {
        let resource = Arc::new(Resource {
            url: url.to_owned(),
            issuers: issuers.iter().map(|rules| rules.issuer.clone()).collect(),
            scopes: issuers.iter().flat_map(|rules| rules.scopes.iter().cloned()).collect(),
            proof_required: issuers.iter().all(|rules| rules.require_bound == RequireBound::Key),
        });
        let mut trusted = HashMap::new();
        let mut opaque = None;
        for rules in issuers {
            let keys = match &rules.keys {
                KeySource::Local(keys) => Source::Local(keys.clone()),
                KeySource::Remote(settings) => {
                    let remote = Remote::start(&rules.issuer, settings, metrics, tasks)?;
                    if let Some(introspection) = rules.introspection.as_ref().filter(|_| opaque.is_none()) {
                        let introspector = Introspector::new(introspection, Arc::clone(&remote), metrics)?;
                        opaque = Some((rules.issuer.as_str().into(), introspector));
                    }
                    Source::Remote(remote)
                }
            };
            trusted.insert(rules.issuer.as_str().into(), Trusted { rules, keys });
        }
        let count = |result| metrics.token_cache.with_label_values(&[result]);
        let (hit, miss, over, cache) = (count("hit"), count("miss"), count("expired"), TokenCache::new());
        let issuers = trusted;
        Ok(Self { inner: Arc::new(Inner { issuers, resource, proofs, opaque, directory, cache, hit, miss, over }) })
    }

    pub fn resource(&self) -> &Arc<Resource> {
        &self.inner.resource
    }

    /// Issuers whose keys were never fetched, or too long ago: none of their tokens can be accepted now.
    pub fn without_keys(&self) -> Vec<&str> {
        let without = self.inner.issuers.values().filter(|trusted| trusted.keys.keys().is_empty());
        without.map(|trusted| trusted.rules.issuer.as_str()).collect()
    }

    /// `now` is in seconds since 1970. Whose a token is may be remembered; what it is bound to is asked for every time.
    pub async fn verify(&self, token: &str, with: &Presented<'_>, now: u64) -> Result<Arc<Principal>, Error> {
        Ok(self.let_in(token, with, now).await?.0)
    }

    /// The same, with what can be asked of the token later.
    pub async fn let_in(&self, token: &str, with: &Presented<'_>, now: u64) -> Result<(Arc<Principal>, Pass), Error> {
        if token.len() > MAX_TOKEN {
            return Err(Error::TooLarge);
        }
        let digest = TokenCache::digest(token);
        let Admitted { principal, verified, issuer } = self.admitted(token, digest, with.peer, now).await?;
        let binding = verified.binding;
        binding.fits(with)?;
        if let Some(key) = &binding.key {
            let (call, bound) = ((with.method, with.path), (&digest, key));
            self.inner.proofs.beside(with.proof, call, bound, &principal.client, now)?;
        }
        Ok((principal, Pass { inner: Arc::clone(&self.inner), issuer, verified, digest }))
    }

    /// The nonce that the next proof is to carry, where one is asked for.
    pub fn nonce(&self, now: u64) -> Option<String> {
        self.inner.proofs.nonce(now)
    }

    async fn admitted(&self, token: &str, digest: Digest, peer: Option<IpAddr>, now: u64) -> Result<Admitted, Error> {
        if let Some(known) = self.inner.cached(&digest, now) {
            return known;
        }
        self.inner.miss.inc();
        if let Some((issuer, introspector)) = self.inner.opaque.as_ref().filter(|_| is_opaque(token)) {
            let trusted = self.inner.issuers.get(issuer).ok_or(Error::Issuer)?;
            let verified = introspector.ask(token, digest, peer, &trusted.rules, now).await?;
            // What is remembered of it is the issuer's word, which has an end of its own: who the client is is asked anew.
            return self.inner.admit(digest, issuer, trusted, verified, None, now);
        }
        let parsed = Unverified::parse(token)?;
        let issuer = claims::required(&parsed.claims, "iss")?;
        let (issuer, trusted) = self.inner.issuers.get_key_value(issuer).ok_or(Error::Issuer)?;
        let keys_epoch = trusted.check(&parsed).await?;
        let verified = Arc::new(Verified::read(&parsed.claims, &trusted.rules)?);
        self.inner.admit(digest, issuer, trusted, verified, Some(keys_epoch), now)
    }
}

impl Inner {
    /// What the cache says; `None` sends the token through the whole check.
    fn cached(&self, digest: &Digest, now: u64) -> Option<Result<Admitted, Error>> {
        let entry = self.cache.look(digest)?;
        let (issuer, trusted) = self.issuers.get_key_value(&*entry.issuer)?;
        if let Err(error) = entry.verified.in_time(now, trusted.rules.leeway) {
            self.cache.forget(digest);
            self.over.inc();
            return Some(Err(error));
        }
        if trusted.keys.keys().held().epoch != entry.keys_epoch {
            return None;
        }
        self.hit.inc();
        let directory = self.directory.held().epoch == entry.directory_epoch;
        if directory && self.directory.stops().held().epoch == entry.stops_epoch {
            let (principal, verified) = (Arc::clone(&entry.principal), Arc::clone(&entry.verified));
            return Some(Ok(Admitted { principal, verified, issuer: Arc::clone(issuer) }));
        }
        // The signature still holds; who the client is may have changed.
        Some(self.admit(*digest, issuer, trusted, Arc::clone(&entry.verified), Some(entry.keys_epoch), now))
    }

    /// The one way in. What a key has proven is kept, with the epoch of the keys; an issuer's word is kept elsewhere.
    fn admit(
        &self,
        digest: Digest,
        issuer: &Arc<str>,
        trusted: &Trusted,
        verified: Arc<Verified>,
        keys_epoch: Option<u64>,
        now: u64,
    ) -> Result<Admitted, Error> {
        verified.in_time(now, trusted.rules.leeway)?;
        let stops = self.directory.stops().held();
        if stops.revoked(&facts_of(issuer, &trusted.rules, &verified, &digest), now) {
            self.cache.forget(&digest);
            return Err(Error::Revoked);
        }
        let facts = self.directory.held();
        let principal = match principal(issuer, &trusted.rules, &verified, &facts) {
            Ok(principal) => Arc::new(principal),
            Err(error) => {
                self.cache.forget(&digest);
                return Err(error);
            }
        };
        let admitted =
            Admitted { principal: Arc::clone(&principal), verified: Arc::clone(&verified), issuer: Arc::clone(issuer) };
        let Some(keys_epoch) = keys_epoch else { return Ok(admitted) };
        let entry = Entry {
            principal,
            verified,
            issuer: Arc::clone(issuer),
            directory_epoch: facts.epoch,
            stops_epoch: stops.epoch,
            keys_epoch,
        };
        self.cache.keep(digest, entry);
        Ok(admitted)
    }
}

/// By what a token can be taken back. Our own issuer's clock is ours.
fn facts_of<'a>(issuer: &'a str, rules: &IssuerRules, token: &'a Verified, digest: &'a Digest) -> TokenFacts<'a> {
    let leeway = if matches!(rules.keys, KeySource::Local(_)) { 0 } else { rules.leeway };
    TokenFacts {
        issuer,
        client: &token.client,
        id: &token.token_id,
        grant: token.family.as_deref(),
        issued: token.issued,
        text: Some(digest),
        leeway,
    }
}

/// A good token of a client that is known, not revoked, and of this generation and family.
fn principal(issuer: &Arc<str>, rules: &IssuerRules, token: &Verified, known: &Facts) -> Result<Principal, Error> {
    let facts = known.facts(issuer, &token.client);
    if rules.unknown_clients == UnknownClients::Refused {
        let facts = facts.ok_or(Error::Client)?;
        let family = token.family.as_deref().ok_or_else(|| Error::Missing(claims::FAMILY.into()))?;
        let generation = token.generation.ok_or_else(|| Error::Missing(claims::GENERATION.into()))?;
        if generation != facts.generation || known.ended(issuer, family) {
            return Err(Error::Revoked);
        }
    }
    if facts.is_some_and(|facts| facts.revoked) {
        return Err(Error::Revoked);
    }
    let own_tenant = facts.and_then(|facts| facts.tenant.as_ref());
    if own_tenant.is_some_and(|own| token.tenant.as_ref().is_some_and(|given| given != own)) {
        return Err(Error::Client);
    }
    let standing = facts.map(|facts| Arc::clone(&facts.standing)).unwrap_or_default();
    let standing = match &token.companies {
        None => standing,
        // Where the two have nothing in common the client has no place to work in.
        Some(proven) => Arc::new(standing.within(proven).ok_or(Error::Client)?),
    };
    Ok(Principal {
        client: ClientId { issuer: Arc::clone(issuer), id: Arc::clone(&token.client) },
        tenant: token.tenant.as_ref().or(own_tenant).cloned(),
        scopes: Arc::clone(&token.scopes),
        claims: Arc::clone(&token.seen),
        groups: facts.map(|facts| Arc::clone(&facts.groups)).unwrap_or_default(),
        expires_at: token.expires,
        token_id: token.token_id.clone(),
        standing,
    })
}

impl Trusted {
    /// Algorithm, type, key and signature. Gives the epoch of the keys that were asked.
    async fn check(&self, token: &Unverified<'_>) -> Result<u64, Error> {
        if !self.rules.algorithms.contains(&token.algorithm) {
            return Err(Error::Algorithm);
        }
        if !typ_fits(self.rules.typ, token.typ.as_deref()) {
            return Err(Error::Type);
        }
        if let Some(epoch) = signed(token, &self.keys.keys().held())? {
            return Ok(epoch);
        }
        match &self.keys {
            Source::Local(_) => Err(Error::UnknownKey),
            Source::Remote(remote) => {
                remote.look_again(token.kid.as_deref()).await?;
                signed(token, &self.keys.keys().held())?.ok_or(Error::UnknownKey)
            }
        }
    }
}

/// `None`: no key fits. One that fits and doesn't agree is the end of it.
fn signed(token: &Unverified<'_>, held: &HeldKeys) -> Result<Option<u64>, Error> {
    let mut tried = false;
    for key in held.set.fitting(token.kid.as_deref(), token.algorithm) {
        tried = true;
        let (signature, message) = (token.signature, token.message.as_bytes());
        let good = jsonwebtoken::crypto::verify(signature, message, &key.decoding, token.algorithm.named());
        if good.unwrap_or(false) {
            return Ok(Some(held.epoch));
        }
    }
    if tried { Err(Error::Signature) } else { Ok(None) }
}

/// Media types have no case, and may leave out `application/`.
fn typ_fits(rule: TypRule, typ: Option<&str>) -> bool {
    let is = |typ: &str, name: &str| {
        let bare = typ.get(..12).filter(|start| start.eq_ignore_ascii_case("application/")).map_or(typ, |_| &typ[12..]);
        bare.eq_ignore_ascii_case(name)
    };
    match (rule, typ) {
        (TypRule::AccessToken, typ) => typ.is_some_and(|typ| is(typ, "at+jwt")),
        (TypRule::Any, typ) => typ.is_none_or(|typ| is(typ, "at+jwt") || is(typ, "JWT")),
    }
}
