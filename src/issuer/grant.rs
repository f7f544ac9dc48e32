//! Who asks, what for, and whether that may be: the three grants and the way back.
//!
//! The client proves itself first; only then is anything else in the request believed or answered.
//! Does not know: how tokens are signed, or where clients are kept.

use super::answer::{TokenAnswer, TokenAsk, TokenError};
use super::authenticate::Proof;
use super::authentication::Authentication;
use super::client::Client;
use super::error::Error;
use super::form::Form;
use super::mint::{self, Claims, Confirmation, Kind};
use super::run::{Inner, Known};
use super::secrets::random;
use crate::auth::{Proven, RequireBound, Shown, Unproven};
use crate::model::{ClientCertificate, ClientId};
use crate::stoplist::TokenFacts;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Scopes that clients ask for out of habit; they ask for nothing of ours.
const MEANINGLESS: [&str; 5] = ["openid", "offline_access", "email", "profile", "address"];
const WRONG_OWNER: &str = "the user name or password is wrong";
const WRONG_REFRESH: &str = "the refresh token is unknown, expired, revoked, or of another client or certificate";
const WRONG_KEY: &str = "the refresh token is bound to another key than the proof's";

/// What a grant comes down to.
struct Granted<'a> {
    subject: String,
    scope: String,
    family: String,
    with_refresh: bool,
    /// What the tokens are bound to.
    certificate: Option<&'a ClientCertificate>,
}

impl Inner {
    pub(super) async fn grant(&self, ask: TokenAsk<'_>, label: &mut &'static str) -> Result<TokenAnswer, TokenError> {
        let form = Form::parse(ask.form).map_err(TokenError::Request)?;
        let kind = form.value("grant_type").ok_or(TokenError::Request("grant_type is missing"))?;
        *label = match kind {
            "client_credentials" => "client_credentials",
            "password" => "password",
            "refresh_token" => "refresh_token",
            _ => return Err(TokenError::GrantType),
        };
        let known = self.known.load_full();
        let client = self.authenticate(&known, &ask, &form).await?;
        self.paced(&client, ask.now)?;
        let proven = self.proven_key(&client, &ask)?;
        let granted = match *label {
            "client_credentials" => self.for_itself(&client, &ask, &form)?,
            "password" => self.for_service_account(&client, &ask, &form).await?,
            _ => self.refreshed(&known, &client, (&ask, proven), &form)?,
        };
        self.issue(&known, &client, (granted, proven), ask.now).map_err(TokenError::Failed)
    }

    /// The key that the tokens are bound to: that of the proof, where one is shown. Some clients get none without.
    fn proven_key(&self, client: &Client, ask: &TokenAsk<'_>) -> Result<Option<Proven>, TokenError> {
        let held_to = match self.settings.require_bound {
            RequireBound::Key => true,
            // One of the two is enough.
            RequireBound::Anything => !client.bound,
            RequireBound::Nothing | RequireBound::Certificate => false,
        };
        if ask.proof == Shown::None && !client.dpop && !held_to {
            return Ok(None);
        }
        let who = ClientId { issuer: self.settings.public_url.as_str().into(), id: Arc::clone(&client.id) };
        self.proofs.at_issuer(ask.proof, ask.path, &who, ask.now).map(Some).map_err(TokenError::Proof)
    }

    /// The certificate that the client's tokens are bound to, where it was registered so or all of them must be.
    fn certificate<'a>(
        &self,
        client: &Client,
        ask: &TokenAsk<'a>,
    ) -> Result<Option<&'a ClientCertificate>, TokenError> {
        const MISSING: &str =
            "the client's tokens are bound to a certificate: ask for them on a connection that was made with it";
        match client.bound || self.settings.require_bound == RequireBound::Certificate {
            false => Ok(None),
            true => ask.certificate.map(Some).ok_or(TokenError::Request(MISSING)),
        }
    }

    pub(super) async fn revoke(&self, ask: TokenAsk<'_>) -> Result<(), TokenError> {
        let form = Form::parse(ask.form).map_err(TokenError::Request)?;
        let known = self.known.load_full();
        let client = self.authenticate(&known, &ask, &form).await?;
        self.paced(&client, ask.now)?;
        let token = form.value("token").ok_or(TokenError::Request("token is missing"))?;
        let Some((_, claims)) = mint::read(&known.keys, token) else { return Ok(()) };
        if claims.client_id != *client.id {
            return Err(TokenError::NotAllowed("the token belongs to another client"));
        }
        if known.ended.contains(claims.grant_id.as_str()) {
            return Ok(());
        }
        self.end_family(&claims, ask.now).await.map_err(TokenError::Failed)
    }

    fn paced(&self, client: &Client, now: u64) -> Result<(), TokenError> {
        if self.pace.takes(&client.id, now) { Ok(()) } else { Err(TokenError::TooFast { retry_after: 1 }) }
    }

    async fn end_family(&self, claims: &Claims, now: u64) -> Result<(), Error> {
        // Its youngest token may have been made this second, its oldest under other settings, and one that is alone is all
        // of it. What is over is forgotten.
        let until = if claims.is_alone() { claims.exp } else { now.saturating_add(self.longest_life) };
        let mut write = self.store.write().await?;
        sqlx::query("INSERT OR REPLACE INTO ended_families (family, until) VALUES (?, ?)")
            .bind(claims.grant_id.clone())
            .bind(until.saturating_add(60).cast_signed())
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        self.refresh().await
    }

    fn for_itself<'a>(&self, client: &Client, ask: &TokenAsk<'a>, form: &Form<'_>) -> Result<Granted<'a>, TokenError> {
        Ok(Granted {
            subject: client.id.to_string(),
            scope: scope(form, &client.scopes)?,
            family: random::<16>().map_err(TokenError::Failed)?,
            with_refresh: self.settings.refresh_for_client_credentials,
            certificate: self.certificate(client, ask)?,
        })
    }

    fn refreshed<'a>(
        &self,
        known: &Known,
        client: &Client,
        (ask, proven): (&TokenAsk<'a>, Option<Proven>),
        form: &Form<'_>,
    ) -> Result<Granted<'a>, TokenError> {
        let token = form.value("refresh_token").ok_or(TokenError::Request("refresh_token is missing"))?;
        let Some((Kind::Refresh, claims)) = mint::read(&known.keys, token) else {
            return Err(TokenError::Grant(WRONG_REFRESH));
        };
        let good = claims.client_id == *client.id
            && claims.client_generation == client.generation
            && ask.now < claims.exp
            && claims.cnf.as_ref().is_none_or(|bound| bound.fits(ask.certificate))
            && !known.ended.contains(claims.grant_id.as_str())
            && !self.directory.stops().held().revoked(&facts(&claims), ask.now);
        if !good {
            return Err(TokenError::Grant(WRONG_REFRESH));
        }
        // Who has stolen it needs the key as well.
        if let Some(bound) = claims.cnf.as_ref().and_then(|cnf| cnf.jkt.as_deref())
            && !proven.ok_or(TokenError::Proof(Unproven::Missing))?.is_of(bound)
        {
            return Err(TokenError::Grant(WRONG_KEY));
        }
        // Never more than at first, and never what the client has lost since.
        let first: Vec<&str> = claims.scope.split(' ').filter(|word| !word.is_empty()).collect();
        let still: Vec<Box<str>> = client.scopes.iter().filter(|scope| first.contains(&&***scope)).cloned().collect();
        // What was bound stays so, whatever became of the registration.
        let certificate = match claims.cnf.as_ref().is_some_and(Confirmation::names_certificate) {
            true => ask.certificate,
            false => self.certificate(client, ask)?,
        };
        let scope = scope(form, &still)?;
        Ok(Granted { subject: claims.sub, scope, family: claims.grant_id, with_refresh: true, certificate })
    }

    async fn for_service_account<'a>(
        &self,
        client: &Client,
        ask: &TokenAsk<'a>,
        form: &Form<'_>,
    ) -> Result<Granted<'a>, TokenError> {
        if client.authentication != Authentication::Secret {
            return Err(TokenError::NotAllowed(
                "the client has no service account: it proves itself by a key of its own",
            ));
        }
        let user = form.value("username").ok_or(TokenError::Request("username is missing"))?;
        let secret = form.value("password").ok_or(TokenError::Request("password is missing"))?;
        let own = bool::from(client.saak.as_bytes().ct_eq(user.as_bytes()));
        let proof = Proof { id: &client.id, hashed: own.then_some(&client.sask_hash), secret };
        if !self.proven(proof, ask).await? {
            return Err(TokenError::Grant(WRONG_OWNER));
        }
        Ok(Granted {
            subject: client.saak.clone(),
            scope: scope(form, &client.scopes)?,
            family: random::<16>().map_err(TokenError::Failed)?,
            with_refresh: true,
            certificate: self.certificate(client, ask)?,
        })
    }

    fn issue(
        &self,
        known: &Known,
        client: &Client,
        (granted, proven): (Granted<'_>, Option<Proven>),
        now: u64,
    ) -> Result<TokenAnswer, Error> {
        let url = &self.settings.public_url;
        let mut claims = Claims {
            iss: url.clone(),
            aud: url.clone(),
            sub: granted.subject,
            client_id: client.id.to_string(),
            iat: now,
            exp: now.saturating_add(self.settings.token_seconds),
            // Who gets no other token has a family of one.
            jti: if granted.with_refresh { random::<16>()? } else { granted.family.clone() },
            scope: granted.scope,
            tenant: client.tenant.to_string(),
            grant_id: granted.family,
            client_generation: client.generation,
            cnf: Confirmation::of(proven.map(|proven| proven.jkt()), granted.certificate),
        };
        let access_token = mint::sign(&known.signing, Kind::Access, &claims)?;
        let mut refresh_token = None;
        if granted.with_refresh {
            claims.exp = now.saturating_add(self.settings.refresh_seconds);
            claims.jti = random::<16>()?;
            refresh_token = Some(mint::sign(&known.signing, Kind::Refresh, &claims)?);
        }
        let expires_in = self.settings.token_seconds;
        let token_type = if proven.is_some() { "DPoP" } else { "Bearer" };
        Ok(TokenAnswer { access_token, token_type, expires_in, refresh_token, scope: claims.scope })
    }
}

/// By what an operator may have taken a refresh token back. The clock that it was made by is ours.
fn facts(claims: &Claims) -> TokenFacts<'_> {
    TokenFacts {
        issuer: &claims.iss,
        client: &claims.client_id,
        id: &claims.jti,
        grant: Some(&claims.grant_id),
        issued: Some(claims.iat),
        text: None,
        leeway: 0,
    }
}

/// What was asked for of what may be had; everything, when nothing of ours was asked for.
fn scope(form: &Form<'_>, allowed: &[Box<str>]) -> Result<String, TokenError> {
    let asked = form.value("scope").unwrap_or_default();
    let mut granted: Vec<&str> = Vec::new();
    for word in asked.split(' ').filter(|word| !word.is_empty() && !MEANINGLESS.contains(word)) {
        let own = allowed.iter().find(|scope| ***scope == *word).ok_or(TokenError::Scope)?;
        if !granted.contains(&&**own) {
            granted.push(own);
        }
    }
    Ok(if granted.is_empty() { allowed.join(" ") } else { granted.join(" ") })
}
