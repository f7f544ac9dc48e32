//! The token endpoints: RFC 6749 in and out, over the issuer's own words. Errors keep that RFC's shape.

use super::Settings;
use super::body::{ReadFault, Request, Response, full, has_media_type, read};
use super::layers::authn::proof;
use super::layers::limits::too_large;
use super::problem::{self, Kind, Problem};
use super::visit::Visit;
use crate::auth::{MAX_TOKEN, Resource, Shown};
use crate::clock::unix_seconds;
use crate::issuer::{Issuer, TokenAsk, TokenError};
use crate::model::{ClientCertificate, TenantId};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// What the issuer would look at, at most.
const MOST_FORM: usize = 32 * 1024;
const FORM_WAIT: Duration = Duration::from_secs(10);

/// The issuer behind its routes; without one the routes are not there, but for whose tokens are taken here.
pub(super) struct TokenDoor {
    issuer: Option<Issuer>,
    resource: Arc<Resource>,
    body_limit: usize,
    /// The door asks for certificates, so tokens that are bound to one can be used here.
    certificates: bool,
}

impl TokenDoor {
    pub(super) fn new(issuer: Option<Issuer>, resource: Arc<Resource>, settings: &Settings) -> Self {
        let (body_limit, certificates) = (settings.body_limit, settings.client_certificates);
        Self { issuer, resource, body_limit, certificates }
    }

    pub(super) async fn token(&self, tenant: Option<&TenantId>, request: Request, visit: &Visit) -> Response {
        let asked = match self.asked(request, visit).await {
            Ok(asked) => asked,
            Err(response) => return response,
        };
        let ask = asked.ask(tenant, visit);
        let answer = asked.issuer.token(ask).await;
        if ask.proof != Shown::None || matches!(answer, Err(TokenError::Proof(_))) {
            visit.learnt().nonce = asked.issuer.nonce(ask.now).and_then(|nonce| nonce.try_into().ok());
        }
        match answer {
            Ok(answer) => {
                visit.learnt().outcome = Some("ok");
                json(StatusCode::OK, &answer)
            }
            Err(error) => refused(&error, visit),
        }
    }

    pub(super) async fn revoke(&self, tenant: Option<&TenantId>, request: Request, visit: &Visit) -> Response {
        let asked = match self.asked(request, visit).await {
            Ok(asked) => asked,
            Err(response) => return response,
        };
        match asked.issuer.revoke(asked.ask(tenant, visit)).await {
            Ok(()) => {
                visit.learnt().outcome = Some("ok");
                let mut response = Response::new(full(Bytes::new()));
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
            Err(error) => refused(&error, visit),
        }
    }

    pub(super) fn keys(&self, request: &Request, visit: &Visit) -> Response {
        let Some(issuer) = &self.issuer else { return no_issuer().answer(visit) };
        document(request, visit, || Bytes::copy_from_slice(issuer.jwks().as_bytes()))
    }

    pub(super) fn metadata(&self, request: &Request, visit: &Visit) -> Response {
        let Some(issuer) = &self.issuer else { return no_issuer().answer(visit) };
        document(request, visit, || issuer.metadata().to_string().into())
    }

    pub(super) fn resource(&self, request: &Request, visit: &Visit) -> Response {
        document(request, visit, || {
            let mut told = self.resource.metadata();
            told["tls_client_certificate_bound_access_tokens"] = self.certificates.into();
            told.to_string().into()
        })
    }

    async fn asked(&self, request: Request, visit: &Visit) -> Result<Asked<'_>, Response> {
        let Some(issuer) = &self.issuer else { return Err(no_issuer().answer(visit)) };
        if request.method() != Method::POST {
            let problem = Problem::new(Kind::MethodNotAllowed, "Tokens are asked for with POST.").allow("POST");
            return Err(problem.answer(visit));
        }
        let (parts, body) = request.into_parts();
        if !has_media_type(&parts.headers, &["application/x-www-form-urlencoded"]) {
            return Err(Problem::new(Kind::MediaTypeUnsupported, "The body must be a form.").answer(visit));
        }
        let mut given = parts.headers.get_all(AUTHORIZATION).iter();
        let authorization =
            given.next().and_then(|value| value.to_str().ok()).map(|value| Zeroizing::new(value.to_owned()));
        if given.next().is_some() {
            let detail = "The request has more than one Authorization header.";
            return Err(Problem::new(Kind::RequestUnreadable, detail).answer(visit));
        }
        // Nobody is known yet, so nobody gets much room, and none for long.
        let most = self.body_limit.min(MOST_FORM);
        let read = tokio::time::timeout(FORM_WAIT, read(body, most)).await;
        let form = match read {
            Ok(Ok(form)) => wiped(form),
            Ok(Err(ReadFault::TooLarge)) => return Err(too_large(most).answer(visit)),
            Ok(Err(ReadFault::Broken)) => {
                return Err(Problem::new(Kind::RequestUnreadable, "The body ended before its end.").answer(visit));
            }
            Err(_) => {
                let detail = format!("The form did not come within {} s.", FORM_WAIT.as_secs());
                return Err(Problem::new(Kind::RequestUnreadable, detail).answer(visit));
            }
        };
        let certificate = parts.extensions.get::<Arc<ClientCertificate>>().cloned();
        Ok(Asked { issuer, authorization, certificate, form, headers: parts.headers, uri: parts.uri })
    }
}

/// A form holds secrets. The only holder of its bytes gets them whole, and they end with it.
fn wiped(form: Bytes) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::from(form))
}

/// What anybody may read, and keep for a while.
pub(super) fn document(request: &Request, visit: &Visit, text: impl Fn() -> Bytes) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Problem::new(Kind::MethodNotAllowed, "This document is read with GET.")
            .allow("GET, HEAD")
            .answer(visit);
    }
    visit.learnt().outcome = Some("ok");
    let mut response = Response::new(full(text()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

struct Asked<'a> {
    issuer: &'a Issuer,
    authorization: Option<Zeroizing<String>>,
    certificate: Option<Arc<ClientCertificate>>,
    form: Zeroizing<Vec<u8>>,
    headers: HeaderMap,
    uri: Uri,
}

impl Asked<'_> {
    fn ask<'b>(&'b self, tenant: Option<&'b TenantId>, visit: &Visit) -> TokenAsk<'b> {
        TokenAsk {
            tenant: tenant.map(TenantId::as_str),
            authorization: self.authorization.as_ref().map(|value| value.as_str()),
            form: &self.form,
            proof: proof(&self.headers),
            path: self.uri.path(),
            certificate: self.certificate.as_deref(),
            address: visit.peer.address,
            now: unix_seconds(),
        }
    }
}

fn no_issuer() -> Problem {
    Problem::new(Kind::RouteUnknown, "This gateway issues no tokens of its own.")
}

#[derive(Serialize)]
struct Refusal {
    error: &'static str,
    error_description: String,
}

/// RFC 6749's shape, with the status that fits whose fault it is.
fn refused(error: &TokenError, visit: &Visit) -> Response {
    visit.learnt().outcome = Some(error.code());
    let status = problem::token_status(error);
    let mut response = json(status, &Refusal { error: error.code(), error_description: error.to_string() });
    let headers = response.headers_mut();
    if matches!(error, TokenError::Client { basic: true }) {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"mi-gateway\", charset=\"UTF-8\""));
    }
    if let TokenError::TooManyAttempts { retry_after } | TokenError::TooFast { retry_after } = error {
        headers.insert(RETRY_AFTER, HeaderValue::from((*retry_after).max(1)));
    }
    if let TokenError::Failed(cause) = error {
        tracing::error!(request = %visit.id, %cause, "no token could be given");
    }
    response
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    // It may hold a token, so it is wiped once it is sent, and large enough not to leave pieces behind by growing.
    let mut text = Zeroizing::new(Vec::with_capacity(2 * MAX_TOKEN));
    // Strings and numbers: nothing that serialising could fail on.
    let _ = serde_json::to_writer(&mut *text, value);
    let mut response = Response::new(full(Bytes::from_owner(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
