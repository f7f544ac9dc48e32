//! GET one document, POST one form, or ask whatever somebody else has put together, under every limit.

use super::guard::{Guarded, Rule};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

#[derive(Debug, Clone)]
pub struct Settings {
    /// From the first packet to the last byte of the body.
    pub timeout: Duration,
    pub most_bytes: usize,
    /// Private networks may be asked, as when an identity provider is a neighbour: somebody says so.
    pub private_addresses: bool,
    /// Plain http and loopback addresses: for tests and one-machine set-ups.
    pub loopback_http: bool,
    /// Authorities trusted instead of the system's, in DER; empty = the system's.
    pub roots: Vec<CertificateDer<'static>>,
    /// Connections that are kept to one host for the next question.
    pub idle_connections: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            most_bytes: 1024 * 1024,
            private_addresses: false,
            loopback_http: false,
            roots: Vec::new(),
            idle_connections: 1,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} is not a URL that may be fetched: https with a host, no user and no password")]
    Url(String),
    #[error("a root certificate cannot be used")]
    Root(#[source] rustls::Error),
    #[error("the system has no root certificates; install ca-certificates or name the roots to trust")]
    NoRoots(#[source] std::io::Error),
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    #[error("cannot reach {host}")]
    Unreachable { host: String, source: hyper_util::client::legacy::Error },
    #[error("{host} answered with status {status}")]
    Status { host: String, status: u16 },
    #[error("the answer of {host} is compressed, which was not asked for and is not unpacked")]
    Compressed { host: String },
    #[error("the answer of {host} is larger than {most} bytes")]
    TooLarge { host: String, most: usize },
    #[error("the answer of {host} broke off")]
    Broken { host: String, source: hyper::Error },
    #[error("no complete answer from {host} in {waited:?}")]
    TimedOut { host: String, waited: Duration },
}

/// What came back with status 200.
#[derive(Debug)]
pub struct Fetched {
    pub body: Bytes,
    /// `max-age` of the answer's `Cache-Control`.
    pub max_age: Option<Duration>,
}

/// What came back, whatever its status.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    /// As it was written.
    pub retry_after: Option<String>,
    /// Its beginning, where it is longer than allowed.
    pub body: Bytes,
}

/// A clone shares connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Pooled<HttpsConnector<HttpConnector<Guarded>>, Full<Bytes>>,
    settings: Arc<Settings>,
    rule: Rule,
}

impl Client {
    /// The crypto provider must have been installed before.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let rule = Rule { private: settings.private_addresses, loopback: settings.loopback_http };
        let mut http = HttpConnector::new_with_resolver(Guarded::new(rule));
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(settings.timeout));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls(&settings)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let inner =
            Pooled::builder(TokioExecutor::new()).pool_max_idle_per_host(settings.idle_connections).build(https);
        Ok(Self { inner, settings: Arc::new(settings), rule })
    }

    /// Whether this URL may be fetched at all; for settings, before anything is asked.
    pub fn check(&self, url: &str) -> Result<Uri, Error> {
        let refused = || Error::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| refused())?;
        let host = uri.host().ok_or_else(refused)?;
        let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let inside = literal.is_some_and(|address| address.to_canonical().is_loopback()) || host == "localhost";
        let scheme_ok = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => self.settings.loopback_http && inside,
            _ => false,
        };
        // The connector asks no resolver for a literal address, so the guard looks here.
        let address_ok = literal.is_none_or(|address| self.rule.allows(address));
        let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if scheme_ok && address_ok && plain { Ok(uri) } else { Err(refused()) }
    }

    pub async fn fetch(&self, url: &str, accept: &'static str) -> Result<Fetched, Error> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = self.check(url)?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
        self.within(request).await
    }

    /// A form, from a client that shows its secret as RFC 6749, 2.3.1 says.
    pub async fn post_form(&self, url: &str, client: (&str, &str), form: Zeroizing<String>) -> Result<Fetched, Error> {
        let coded = |word: &str| form_urlencoded::byte_serialize(word.as_bytes()).collect::<String>();
        let secret = Zeroizing::new(coded(client.1));
        let pair = Zeroizing::new(format!("{}:{}", coded(client.0), *secret));
        let basic = Zeroizing::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
        let mut request = Request::new(Full::new(Bytes::from_owner(form)));
        *request.uri_mut() = self.check(url)?;
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        if let Ok(mut basic) = HeaderValue::try_from(basic.as_str()) {
            basic.set_sensitive(true);
            headers.insert(AUTHORIZATION, basic);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        self.within(request).await
    }

    /// For those who know what the statuses of their counterpart mean; nobody is followed anywhere.
    pub async fn ask(&self, request: Request<Bytes>) -> Result<Answered, Error> {
        self.check(&request.uri().to_string())?;
        self.in_time(request.map(Full::new), |response, host| self.answered(response, host)).await
    }

    async fn within(&self, request: Request<Full<Bytes>>) -> Result<Fetched, Error> {
        self.in_time(request, |response, host| self.fetched(response, host)).await
    }

    async fn in_time<T, F: Future<Output = Result<T, Error>>>(
        &self,
        mut request: Request<Full<Bytes>>,
        read: impl FnOnce(Response<Incoming>, String) -> F,
    ) -> Result<T, Error> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("mi-gateway"));
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let waited = self.settings.timeout;
        let exchange = async {
            let failed = |source| Error::Unreachable { host: host.clone(), source };
            read(self.inner.request(request).await.map_err(failed)?, host.clone()).await
        };
        let ended = tokio::time::timeout(waited, exchange).await;
        ended.unwrap_or_else(|_| Err(Error::TimedOut { host, waited }))
    }

    async fn fetched(&self, response: Response<Incoming>, host: String) -> Result<Fetched, Error> {
        // A redirect is a refusal too: it would lead where nobody looked.
        if response.status() != http::StatusCode::OK {
            return Err(Error::Status { host, status: response.status().as_u16() });
        }
        let plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
        if !response.headers().get_all(CONTENT_ENCODING).iter().all(plain) {
            return Err(Error::Compressed { host });
        }
        let max_age = max_age(response.headers());
        let (body, whole) = capped(response.into_body(), self.settings.most_bytes, &host).await?;
        if whole {
            Ok(Fetched { body, max_age })
        } else {
            Err(Error::TooLarge { host, most: self.settings.most_bytes })
        }
    }

    async fn answered(&self, response: Response<Incoming>, host: String) -> Result<Answered, Error> {
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (body, _) = capped(response.into_body(), self.settings.most_bytes, &host).await?;
        Ok(Answered { status, retry_after, body })
    }
}

/// As much as is allowed, and whether that is all.
async fn capped(mut body: Incoming, most: usize, host: &str) -> Result<(Bytes, bool), Error> {
    let mut held = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| Error::Broken { host: host.to_owned(), source })?;
        if let Some(data) = frame.data_ref() {
            let room = most - held.len();
            held.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                return Ok((held.freeze(), false));
            }
        }
    }
    Ok((held.freeze(), true))
}

fn tls(settings: &Settings) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(Error::Tls)?;
    if settings.roots.is_empty() {
        return Ok(builder.with_native_roots().map_err(Error::NoRoots)?.with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    for root in &settings.roots {
        roots.add(root.clone()).map_err(Error::Root)?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(CACHE_CONTROL)?.to_str().ok()?;
    let seconds = text.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok())?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::ServerConfig;
    use rustls_pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    fn client(settings: Settings) -> Client {
        Client::new(Settings { loopback_http: true, ..settings }).expect("a client")
    }

    #[test]
    fn nothing_private_is_asked_unless_somebody_says_so() {
        let strict = client(Settings::default());
        let open = client(Settings { private_addresses: true, ..Settings::default() });
        for url in ["https://10.1.2.3/keys", "https://192.168.0.1", "https://[fd00::1]/", "https://100.64.0.1/"] {
            assert!(strict.check(url).is_err() && open.check(url).is_ok(), "{url}");
        }
    }

    /// A TLS server on a port of its own that gives one answer, and the certificate it shows.
    async fn server() -> (TcpListener, TlsAcceptor, CertificateDer<'static>) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.expect("versions").with_no_client_auth();
        let config = config.with_single_cert(vec![cert.der().clone()], key).expect("a server");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        (listener, TlsAcceptor::from(Arc::new(config)), cert.der().clone())
    }

    async fn fetched(roots: impl FnOnce(CertificateDer<'static>) -> CertificateDer<'static>) -> Result<Fetched, Error> {
        let (listener, acceptor, certificate) = server().await;
        let port = listener.local_addr().expect("an address").port();
        let serve = async {
            let (socket, _) = listener.accept().await.expect("a connection");
            // A client that doesn't trust us goes away here.
            let Ok(mut tls) = acceptor.accept(socket).await else { return };
            let mut head = [0; 1024];
            let _ = tls.read(&mut head).await;
            let answer = b"HTTP/1.1 200 OK\r\ncache-control: public, max-age=90\r\ncontent-length: 2\r\n\r\n{}";
            let _ = tls.write_all(answer).await;
        };
        let client = client(Settings { roots: vec![roots(certificate)], ..Settings::default() });
        let url = format!("https://localhost:{port}/");
        tokio::join!(client.fetch(&url, "application/json"), serve).0
    }

    #[tokio::test]
    async fn a_document_comes_over_tls_with_its_age() {
        let fetched = fetched(|certificate| certificate).await.expect("a document");
        assert_eq!((&*fetched.body, fetched.max_age), (&b"{}"[..], Some(Duration::from_secs(90))));
    }

    #[tokio::test]
    async fn a_server_that_is_not_trusted_is_not_asked() {
        let other = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate").cert.der().clone();
        assert!(matches!(fetched(|_| other).await, Err(Error::Unreachable { .. })));
    }
}
