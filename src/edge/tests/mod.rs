//! Promises of the edge, over real sockets. This file holds the words the others speak in.

mod clients;
mod drain;
mod http;
mod proxies;
mod slow;
mod timers;
mod tls;

use super::development::{DevelopmentFiles, ensure};
use super::listener::{Drained, Edge};
use super::received::Received;
use super::settings::{ClientCertificates, Limits, Settings, TlsSource};
use crate::model::{ClientCertificate, Peer};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use ::http::{Request, Response};
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Nothing here takes so long unless it hangs.
pub(super) const HANGS: Duration = Duration::from_secs(20);

pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(HANGS, what).await.expect("nothing here takes so long")
}

/// Waits for a fact without a clock.
pub(super) async fn until(fact: impl Fn() -> bool) {
    soon(async {
        while !fact() {
            yield_now().await;
        }
    })
    .await;
}

/// What the test's service and the test tell each other.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    pub(super) begun: Arc<Semaphore>,
    pub(super) go_on: Arc<Semaphore>,
    pub(super) dropped: Arc<Semaphore>,
}

struct OnDrop(Arc<Semaphore>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

async fn serve(request: Request<Received>, signals: Signals) -> Result<Response<Body>, Infallible> {
    let body = match request.uri().path() {
        // Begins, waits for the test, ends.
        "/hold" => {
            signals.begun.add_permits(1);
            signals.go_on.acquire().await.expect("never closed").forget();
            Full::new(Bytes::from_static(b"held")).boxed_unsync()
        }
        // Never ends; says when it is dropped.
        "/flood" => {
            let guard = OnDrop(signals.dropped.clone());
            let piece = Bytes::from(vec![b'x'; 16 * 1024]);
            let pieces = stream::unfold((guard, piece), |(guard, piece)| async move {
                Some((Ok(Frame::data(piece.clone())), (guard, piece)))
            });
            StreamBody::new(pieces).boxed_unsync()
        }
        // Head at once, one piece, then waits for the test.
        "/slow" => {
            let pieces = stream::unfold((0, signals), |(at, signals)| async move {
                match at {
                    0 => signals.begun.add_permits(1),
                    1 => signals.go_on.acquire().await.expect("never closed").forget(),
                    _ => return None,
                }
                Some((Ok(Frame::data(Bytes::from_static(b"piece"))), (at + 1, signals)))
            });
            StreamBody::new(pieces).boxed_unsync()
        }
        "/large" => Full::new(large()).boxed_unsync(),
        "/echo" => {
            signals.begun.add_permits(1);
            match whole(request.into_body()).await {
                Ok(bytes) => Full::new(bytes).boxed_unsync(),
                Err(fault) => Full::new(fault.to_string().into()).boxed_unsync(),
            }
        }
        "/peer" => {
            let peer = request.extensions().get::<Peer>().map(|peer| peer.address.to_string());
            Full::new(Bytes::from(peer.unwrap_or_default())).boxed_unsync()
        }
        "/certificate" => {
            let shown = request.extensions().get::<Arc<ClientCertificate>>();
            let told = shown.map(|shown| format!("{} {} {}", shown.vouched, shown.subject, shown.dns_names.join(",")));
            Full::new(Bytes::from(told.unwrap_or_default())).boxed_unsync()
        }
        _ => Full::new(Bytes::from_static(b"hello")).boxed_unsync(),
    };
    Ok(Response::new(body))
}

pub(super) fn large() -> Bytes {
    (0..100_000u32).map(|at| b'a' + (at % 23) as u8).collect()
}

#[expect(clippy::disallowed_methods, reason = "a test's own short body")]
pub(super) async fn whole<B: http_body::Body<Data = Bytes>>(body: B) -> Result<Bytes, B::Error> {
    body.collect().await.map(|all| all.to_bytes())
}

/// A door with the test's service behind it.
pub(super) struct House {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) metrics: Metrics,
    pub(super) signals: Signals,
    pub(super) stop: CancellationToken,
    pub(super) run: JoinHandle<Drained>,
    pub(super) files: DevelopmentFiles,
    pub(super) _dir: TempDir,
}

impl House {
    pub(super) async fn plain(limits: Limits) -> Self {
        Self::open(limits, false, None, &[]).await
    }

    pub(super) async fn tls(limits: Limits) -> Self {
        Self::open(limits, true, None, &[]).await
    }

    pub(super) async fn open(limits: Limits, tls: bool, clients: Option<ClientCertificates>, proxies: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = ensure(dir.path()).unwrap();
        let source = TlsSource::Files { chain: files.chain.clone(), key: files.key.clone() };
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let proxies = proxies.iter().map(|network| network.parse().unwrap()).collect();
        let settings = Settings { door: "test", listen, tls: tls.then_some(source), clients, proxies, limits };
        let metrics = Metrics::new();
        let edge = Edge::bind(settings, metrics.clone()).unwrap();
        let addresses = edge.addresses().to_vec();
        let empty = || Arc::new(Semaphore::new(0));
        let signals = Signals { begun: empty(), go_on: empty(), dropped: empty() };
        let (stop, tasks, told) = (CancellationToken::new(), Tasks::new(), signals.clone());
        let stopping = stop.clone();
        let house = tasks.clone();
        let run = tasks.spawn(async move {
            let service = tower::service_fn(move |request| serve(request, told.clone()));
            edge.run(service, stopping, &house).await
        });
        Self { addresses, metrics, signals, stop, run, files, _dir: dir }
    }

    pub(super) async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.addresses[0]).await.unwrap()
    }

    pub(super) async fn dial_tls(&self, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.dial().await).await
    }

    pub(super) fn ended(&self, reason: &str) -> u64 {
        self.metrics.connections_ended.with_label_values(&["test", reason]).get()
    }

    pub(super) fn open_connections(&self) -> i64 {
        self.metrics.connections_open.with_label_values(&["test"]).get()
    }

    /// An HTTP/2 caller over TLS.
    pub(super) async fn http2(&self, window: u32) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
        let stream = self.dial_tls(client(&self.files.ca, &["h2"], BOTH)).await.unwrap();
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window).initial_connection_window_size(window);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        Tasks::new().spawn(connection);
        sender
    }
}

pub(super) const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

pub(super) fn client(ca: &Path, protocols: &[&str], versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

pub(super) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://localhost{path}")).body(Full::default()).unwrap()
}

/// Sends text and reads until the other side closes.
pub(super) async fn last_words(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    rest(stream).await
}

pub(super) async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = soon(stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one answer with a length of at most a few bytes: until the text ends so.
pub(super) async fn answer(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    soon(async {
        while !bytes.ends_with(end.as_bytes()) {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "{}", String::from_utf8_lossy(&bytes));
        }
    })
    .await;
    String::from_utf8_lossy(&bytes).into_owned()
}
