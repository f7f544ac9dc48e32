//! HTTP to m3api-rest and to its token service: connections kept for seconds, TLS by the settings, no redirects.
//!
//! Invariant: a request is written once. What could not be written at all is said to be unreachable; everything later may
//! have been seen.

use super::super::error::Error;
use super::super::settings::{RestSettings, Settings};
use super::account::Pass;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use zeroize::Zeroizing;

#[derive(Debug, Clone)]
pub(super) struct Http {
    client: Client<Timed, Full<Bytes>>,
    base: Arc<str>,
}

/// A short document: a token, or what a token service says instead.
const MOST_SHORT: usize = 64 * 1024;

impl Http {
    pub(super) fn new(rest: &RestSettings, settings: &Settings) -> io::Result<Self> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(settings.connect_timeout));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls(rest)?)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        // A connection that was quiet for long may be gone without a word, and would leave a write unknown.
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.pool.fresh_for.max(Duration::from_millis(1)))
            .pool_max_idle_per_host(settings.pool.max_sessions)
            .build(Timed { connector: https, limit: settings.connect_timeout.saturating_mul(2) });
        Ok(Self { client, base: rest.base.as_str().into() })
    }

    /// The head of an answer; `path` follows the base.
    pub(super) async fn get(&self, path: &str, pass: &Pass, patience: Duration) -> Result<Response<Incoming>, Error> {
        let mut request = Request::new(Full::default());
        let unreadable = |_| Error::Protocol { sent: false, what: "m3.url and the call make no URL" };
        *request.uri_mut() = format!("{}{path}", self.base).parse().map_err(unreadable)?;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, pass.authorization.clone());
        if let Some(csrf) = &pass.csrf {
            headers.insert("fnd-csrf-token", csrf.clone());
        }
        self.send(request, patience).await
    }

    /// A form to a token service: status and answer.
    /// A form that holds secrets: its bytes end with the request.
    pub(super) async fn post(
        &self,
        url: &str,
        form: Zeroizing<String>,
        patience: Duration,
    ) -> Result<(StatusCode, Bytes), Error> {
        let mut request = Request::new(Full::new(Bytes::from_owner(form)));
        let unreadable = |_| Error::Protocol { sent: false, what: "the .ionapi file names no URL for tokens" };
        *request.uri_mut() = url.parse().map_err(unreadable)?;
        *request.method_mut() = Method::POST;
        let media = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, media);
        let response = self.send(request, patience).await?;
        Ok((response.status(), short(response, patience).await?))
    }

    async fn send(&self, mut request: Request<Full<Bytes>>, patience: Duration) -> Result<Response<Incoming>, Error> {
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static("mi-gateway"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let address = || request_host(&self.base);
        match tokio::time::timeout(patience, self.client.request(request)).await {
            Ok(Ok(response)) if !plain(response.headers()) => {
                Err(Error::Protocol { sent: true, what: "an answer is compressed, which was not asked for" })
            }
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => {
                Err(Error::Unreachable { address: address(), source: Arc::new(io::Error::other(error)) })
            }
            // Handed back unsent.
            Ok(Err(error)) if is_canceled(&error) => {
                Err(Error::Lost { sent: false, source: Arc::new(io::Error::other(error)) })
            }
            Ok(Err(error)) => Err(Error::Lost { sent: true, source: Arc::new(io::Error::other(error)) }),
            Err(_) => Err(Error::TimedOut { sent: true, waited: patience }),
        }
    }
}

/// What is packed is never unpacked: it may be more than anybody can hold.
fn plain(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn is_canceled(error: &hyper_util::client::legacy::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<hyper::Error>());
    source.is_some_and(hyper::Error::is_canceled)
}

/// Name, connection and TLS within one time: until then nothing of a request was sent.
#[derive(Debug, Clone)]
struct Timed {
    connector: HttpsConnector<HttpConnector>,
    limit: Duration,
}

type Connected = <HttpsConnector<HttpConnector> as tower::Service<Uri>>::Response;

impl tower::Service<Uri> for Timed {
    type Response = Connected;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Connected, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, limit) = (self.connector.call(uri), self.limit);
        Box::pin(async move { tokio::time::timeout(limit, connecting).await? })
    }
}

fn request_host(base: &str) -> String {
    base.split_once("://").map_or(base, |(_, rest)| rest).split('/').next().unwrap_or_default().to_owned()
}

/// A whole short answer.
pub(super) async fn short(response: Response<Incoming>, patience: Duration) -> Result<Bytes, Error> {
    let mut body = response.into_body();
    let read = async {
        let mut held = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Error::Lost { sent: false, source: Arc::new(io::Error::other(error)) })?;
            let data = frame.into_data().unwrap_or_default();
            if held.len() + data.len() > MOST_SHORT {
                return Err(Error::Protocol { sent: false, what: "an answer that should be short is not" });
            }
            held.extend_from_slice(&data);
        }
        Ok(held.freeze())
    };
    tokio::time::timeout(patience, read).await.unwrap_or(Err(Error::TimedOut { sent: false, waited: patience }))
}

fn tls(rest: &RestSettings) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?;
    let builder = match &rest.ca_pem {
        None if rest.base.starts_with("https://") => builder.with_native_roots()?,
        // Nothing is encrypted, so nobody is trusted for it.
        None => builder.with_root_certificates(RootCertStore::empty()),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
            }
            if roots.is_empty() {
                return Err(io::Error::other("the file of M3's authority has no certificate in it"));
            }
            builder.with_root_certificates(roots)
        }
    };
    let Some(identity) = &rest.identity else { return Ok(builder.with_no_client_auth()) };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&identity.chain_pem).collect();
    let key = PrivateKeyDer::from_pem_slice(&identity.key_pem).map_err(io::Error::other)?;
    builder.with_client_auth_cert(chain.map_err(io::Error::other)?, key).map_err(io::Error::other)
}
