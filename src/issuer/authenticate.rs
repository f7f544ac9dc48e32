//! Which client is asking: each proves itself in the way it was registered with, and in no other.
//!
//! Does not know: what it is asking for.

use super::answer::{TokenAsk, TokenError};
use super::attempts::Slot;
use super::authentication::Authentication;
use super::basic::{Reading, readings};
use super::client::Client;
use super::form::Form;
use super::once::Refused;
use super::run::{Inner, Known};
use super::secrets::Hashed;
use crate::auth::{Assertion, BadAssertion};
use crate::model::ClientCertificate;
use std::sync::Arc;
use subtle::ConstantTimeEq;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An outcome that counts against the client at its address, or not.
pub(super) struct Proof<'a> {
    pub(super) id: &'a str,
    pub(super) hashed: Option<&'a Hashed>,
    pub(super) secret: &'a str,
}

/// What a request brings to prove its client.
enum Brought<'a> {
    Secret(Vec<Reading>),
    Assertion(Assertion<'a>),
    /// A name alone: the connection's certificate is all that could prove it.
    Name(&'a str),
}

impl Inner {
    /// The client behind a request: its proof is right, it is not revoked, and the path is its tenant's.
    pub(super) async fn authenticate(
        &self,
        known: &Known,
        ask: &TokenAsk<'_>,
        form: &Form<'_>,
    ) -> Result<Arc<Client>, TokenError> {
        let basic = ask.authorization.is_some();
        let live = |id: &str| known.clients.get(id).filter(|client| !client.revoked());
        let at_home = |client: &Client| ask.tenant.is_none_or(|tenant| tenant == client.tenant.as_str());
        let found = match brought(ask, form)? {
            Brought::Secret(readings) => self.by_secret(known, ask, &readings).await?,
            Brought::Assertion(assertion) => match live(assertion.client()) {
                Some(client) if at_home(client) => {
                    self.by_assertion(client, &assertion, ask)?;
                    Some(client)
                }
                _ => None,
            },
            Brought::Name(id) => {
                live(id).filter(|client| ask.certificate.is_some_and(|shown| is_of(&client.authentication, shown)))
            }
        };
        found.filter(|client| at_home(client)).map(Arc::clone).ok_or(TokenError::Client { basic })
    }

    async fn by_secret<'k>(
        &self,
        known: &'k Known,
        ask: &TokenAsk<'_>,
        readings: &[Reading],
    ) -> Result<Option<&'k Arc<Client>>, TokenError> {
        for reading in readings {
            let client = known.clients.get(reading.id.as_str()).filter(|client| !client.revoked());
            // One that proves itself otherwise has no secret: it is as if there were no such client.
            let client = client.filter(|client| client.authentication == Authentication::Secret);
            let hashed = client.map(|client| &client.secret_hash);
            let proof = Proof { id: &reading.id, hashed, secret: &reading.secret };
            if self.proven(proof, ask).await?
                && let Some(client) = client
                && ask.tenant.is_none_or(|tenant| tenant == client.tenant.as_str())
            {
                return Ok(Some(client));
            }
        }
        Ok(None)
    }

    /// Nobody can guess a signature, so wrong ones hold nobody up; a client that is unknown and a signature that is wrong
    /// look the same.
    fn by_assertion(&self, client: &Client, said: &Assertion<'_>, ask: &TokenAsk<'_>) -> Result<(), TokenError> {
        let Authentication::PrivateKeyJwt(keys) = &client.authentication else {
            return Err(TokenError::Client { basic: false });
        };
        let url = &self.settings.public_url;
        let audiences =
            [url.clone(), format!("{url}/oauth2/token"), format!("{url}/{}/as/token.oauth2", client.tenant)];
        let once = said.proves(keys, &audiences, ask.now).map_err(|bad| match bad {
            BadAssertion::Signature => TokenError::Client { basic: false },
            bad => TokenError::Assertion(bad),
        })?;
        self.used.first(&client.id, &once.id, once.until, ask.now).map_err(|refused| match refused {
            Refused::Again => TokenError::Assertion(BadAssertion::Used),
            Refused::Full => TokenError::Busy,
        })
    }

    /// Whether a secret is right. Only what was really checked counts as a failure.
    pub(super) async fn proven(&self, proof: Proof<'_>, ask: &TokenAsk<'_>) -> Result<bool, TokenError> {
        let remembered = || proof.hashed.is_some_and(|hashed| self.secrets.remembers(hashed, proof.secret));
        if remembered() {
            return Ok(true);
        }
        let slot: Arc<Slot> = self.attempts.of(proof.id, ask.address);
        if !slot.open(ask.now) {
            return Err(TokenError::TooManyAttempts { retry_after: 1 });
        }
        let _turn = slot.turn.lock().await;
        // While this one waited, another may have been right, or too many wrong.
        if remembered() {
            return Ok(true);
        }
        if !slot.open(ask.now) {
            return Err(TokenError::TooManyAttempts { retry_after: 1 });
        }
        let right = self.secrets.check(proof.hashed, proof.secret).await.map_err(|_| TokenError::Busy)?;
        if !right {
            slot.failed(ask.now);
        }
        Ok(right)
    }
}

/// Whether the certificate is the one that the client was registered with. Its names count only where an authority
/// answers for them.
fn is_of(registered: &Authentication, shown: &ClientCertificate) -> bool {
    match registered {
        Authentication::Secret | Authentication::PrivateKeyJwt(_) => false,
        Authentication::TlsSubject(subject) => shown.vouched && *subject == shown.subject,
        Authentication::TlsDns(name) => {
            shown.vouched && shown.dns_names.iter().any(|own| own.eq_ignore_ascii_case(name))
        }
        Authentication::SelfSigned(thumbprint) => thumbprint.ct_eq(&shown.thumbprint).into(),
    }
}

/// The proof of the request, by one method and not by two.
fn brought<'a>(ask: &TokenAsk<'_>, form: &'a Form<'_>) -> Result<Brought<'a>, TokenError> {
    let (id, secret) = (form.value("client_id"), form.value("client_secret"));
    if form.value("client_assertion").is_some() || form.value("client_assertion_type").is_some() {
        if ask.authorization.is_some() || secret.is_some() {
            return Err(TokenError::Request("send a client assertion or the client's secret, not both"));
        }
        return asserted(id, form).map(Brought::Assertion);
    }
    let Some(header) = ask.authorization else {
        return match (id, secret) {
            (Some(id), Some(secret)) if id.len() <= 256 => {
                Ok(Brought::Secret(vec![Reading { id: id.into(), secret: secret.to_owned().into() }]))
            }
            (Some(id), None) => Ok(Brought::Name(id)),
            _ => Err(TokenError::Client { basic: false }),
        };
    };
    if secret.is_some() {
        return Err(TokenError::Request("send the client's secret in the header or in the form, not in both"));
    }
    let mut readings = readings(header);
    readings.retain(|reading| reading.id.len() <= 256);
    if readings.is_empty() {
        return Err(TokenError::Client { basic: true });
    }
    if id.is_some_and(|id| readings.iter().all(|reading| reading.id != id)) {
        return Err(TokenError::Request("client_id is not the client of the header"));
    }
    Ok(Brought::Secret(readings))
}

fn asserted<'a>(id: Option<&str>, form: &'a Form<'_>) -> Result<Assertion<'a>, TokenError> {
    if form.value("client_assertion_type") != Some(JWT_BEARER) {
        return Err(TokenError::Request("client_assertion_type must be that of a JWT (RFC 7523)"));
    }
    let text = form.value("client_assertion").ok_or(TokenError::Request("client_assertion is missing"))?;
    let assertion = Assertion::parse(text).map_err(TokenError::Assertion)?;
    if id.is_some_and(|id| id != assertion.client()) {
        return Err(TokenError::Request("client_id is not the client of the assertion"));
    }
    Ok(assertion)
}
