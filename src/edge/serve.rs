//! One connection: handshake, protocol, service, timers, and its end.
//!
//! hyper keeps no timer but a backstop: its header timer also runs while a connection idles, so it is set just above
//! the idle time. Everything finer comes from the watch over the decrypted stream.
//!
//! Invariant: a connection that is told to stop takes no further request and ends when its answers have.
//! Does not know: who listens, or what the service answers.

use super::answer::{Caller, Counted};
use super::clients::Clients;
use super::metered::Metered;
use super::pace::{Pace, Rule};
use super::peers::{Full, Seat};
use super::proxy_protocol::{self, Network, announced};
use super::received::Received;
use super::settings::Limits;
use super::stream::{Stream, Watched};
use super::watch::Watch;
use crate::model::Peer;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service;
use uuid::Uuid;

/// What all connections of a door share.
pub(super) struct Door {
    pub(super) name: &'static str,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) clients: Option<Arc<Clients>>,
    pub(super) proxies: Vec<Network>,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    /// The connections and the streams on them.
    pub(super) tasks: Tasks,
    /// Ends what the drain could not wait for.
    pub(super) kill: CancellationToken,
    pub(super) in_flight: Arc<AtomicUsize>,
}

/// Our own idle timer ends a connection politely; hyper's only if ours failed to.
const BACKSTOP: Duration = Duration::from_secs(5);

impl Door {
    /// Whether this peer has to say whom it speaks for.
    pub(super) fn is_proxy(&self, peer: Peer) -> bool {
        self.proxies.iter().any(|network| network.contains(peer.address))
    }

    pub(super) fn ended(&self, reason: &str) {
        self.metrics.connections_ended.with_label_values(&[self.name, reason]).inc();
    }

    fn over<T>(&self, reason: &str) -> Option<T> {
        self.ended(reason);
        None
    }
}

/// Serves an accepted socket to its end. Its seat is still nobody's where a balancer says whom it speaks for.
pub(super) async fn connection<S, B>(door: Arc<Door>, service: S, mut socket: TcpStream, peer: Peer, seat: Seat)
where
    S: Service<Request<Received>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let began = Instant::now();
    let (peer, _seat) = if door.is_proxy(peer) {
        let introduced = Box::pin(introduced(&door, &mut socket, peer, seat)).await;
        let Some(introduced) = introduced else { return };
        introduced
    } else {
        (peer, seat)
    };
    let pace = Arc::new(Pace::new(Rule::new(door.limits.write_stall, door.limits.min_write_rate)));
    let socket = Metered::new(socket, Arc::clone(&pace));
    let Some(acceptor) = door.tls.clone() else {
        return speak(&door, service, socket, pace, Caller { peer, certificate: None }, false).await;
    };
    let stop = door.tasks.stopping();
    // Both in boxes: a connection lives for hours, and its task keeps room for all that it ever holds.
    let handshake = Box::pin(timeout_at(began + door.limits.handshake, acceptor.accept(socket)));
    let shaken = tokio::select! {
        () = stop.cancelled() => return,
        shaken = handshake => shaken,
    };
    match shaken {
        Err(_) => door.ended("handshake_time"),
        Ok(Err(_)) => door.ended("tls_handshake"),
        Ok(Ok(stream)) => {
            door.metrics.tls_handshake_seconds.observe(began.elapsed().as_secs_f64());
            // After the handshake we have nothing to say, so the kernel would sit on the acknowledgement, and a caller
            // without TCP_NODELAY would hold its first request back for it: 40 ms. It fails only on a dead socket.
            #[cfg(target_os = "linux")]
            let _ = stream.get_ref().0.inner().set_quickack(true);
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let shown = stream.get_ref().1.peer_certificates();
            let certificate = door.clients.as_ref().zip(shown).and_then(|(clients, chain)| clients.shown(chain));
            speak(&door, service, Box::new(stream), pace, Caller { peer, certificate }, http2).await;
        }
    }
}

/// Who a balancer speaks for, in that one's seat. `None`: it did not say, and the connection is over.
async fn introduced(door: &Door, socket: &mut TcpStream, proxy: Peer, seat: Seat) -> Option<(Peer, Seat)> {
    let stop = door.tasks.stopping();
    let said = tokio::select! {
        () = stop.cancelled() => return None,
        said = timeout(door.limits.handshake, announced(socket, proxy)) => said,
    };
    let peer = match said {
        Err(_) => return door.over("handshake_time"),
        Ok(Err(proxy_protocol::Error::Nothing)) => return None,
        Ok(Err(error)) => {
            tracing::warn!(door = door.name, proxy = %proxy.address, %error, "a balancer did not say whom it speaks for");
            return door.over("proxy_protocol");
        }
        Ok(Ok(peer)) => peer,
    };
    match seat.take(peer.address) {
        Ok(seat) => Some((peer, seat)),
        Err(Full::All) => door.over("total"),
        Err(Full::Peer) => door.over("per_peer"),
    }
}

async fn speak<S, B, T>(door: &Arc<Door>, service: S, stream: T, pace: Arc<Pace>, caller: Caller, http2: bool)
where
    S: Service<Request<Received>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let watch = Arc::new(Watch::new(door.limits, jitter(), http2, pace, Arc::clone(&door.in_flight)));
    let io = TokioIo::new(Stream::new(stream, Watched::by(Arc::clone(&watch))));
    let service = Counted::new(service, Arc::clone(door), Arc::clone(&watch), caller);
    if http2 {
        let connection = http2_builder(&door.limits, door.tasks.clone()).serve_connection(io, service);
        drive(door, &watch, Box::pin(connection), |connection| connection.graceful_shutdown()).await;
    } else {
        let connection = http1_builder(&door.limits).serve_connection(io, service);
        drive(door, &watch, Box::pin(connection), |connection| connection.graceful_shutdown()).await;
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle + BACKSTOP)
        .max_header_size(limits.header_list as usize)
        .max_buf_size((limits.header_list as usize).max(64 * 1024))
        .half_close(false);
    // Any other number than hyper's own costs an allocation a request.
    if limits.max_headers != 100 {
        builder.max_headers(limits.max_headers);
    }
    builder
}

fn http2_builder(limits: &Limits, tasks: Tasks) -> http2::Builder<Spawner> {
    let mut builder = http2::Builder::new(Spawner(tasks));
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.http2.ping_every)
        .keep_alive_timeout(limits.http2.ping_wait)
        .max_concurrent_streams(limits.http2.max_streams)
        .max_header_list_size(limits.header_list)
        .max_pending_accept_reset_streams(limits.http2.max_pending_resets)
        .max_local_error_reset_streams(limits.http2.max_local_resets)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(64 * 1024);
    builder
}

/// What made the connection's task look up.
enum Turn {
    Ended(hyper::Result<()>),
    Time,
    Stop,
    Kill,
}

/// Polls the connection to its end under the watch's timers.
async fn drive<C>(door: &Door, watch: &Watch, mut connection: Pin<Box<C>>, goodbye: fn(Pin<&mut C>))
where
    C: Future<Output = hyper::Result<()>>,
{
    let stop = door.tasks.stopping();
    let (mut stopped, mut killed) = (pin!(stop.cancelled()), pin!(door.kill.cancelled()));
    let mut alarm = pin!(sleep_until(watch.due()));
    loop {
        let turn = poll_fn(|cx| {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(Turn::Ended(ended));
            }
            if killed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Turn::Kill);
            }
            if !watch.is_leaving() && stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Turn::Stop);
            }
            // What just happened may have brought the deadline nearer; a farther one is found when the alarm goes.
            let due = watch.due();
            if due < alarm.deadline() {
                alarm.as_mut().reset(due);
            }
            alarm.as_mut().poll(cx).map(|()| Turn::Time)
        })
        .await;
        match turn {
            Turn::Ended(_) if watch.is_flooded() => return door.ended("flood"),
            Turn::Ended(ended) => return account(door, ended),
            Turn::Kill => return door.ended("drain"),
            Turn::Stop => {
                watch.leave();
                goodbye(connection.as_mut());
            }
            Turn::Time => match watch.verdict(Instant::now()) {
                Some(reason) => {
                    door.ended(reason.label());
                    if !reason.is_polite() {
                        return;
                    }
                    watch.leave();
                    goodbye(connection.as_mut());
                }
                None => alarm.as_mut().reset(watch.due()),
            },
        }
    }
}

/// hyper answers 400, 408, 414 and 431 without asking the service: this is where they are seen.
fn account(door: &Door, ended: hyper::Result<()>) {
    let Err(error) = ended else { return };
    door.ended(if error.is_parse_too_large() {
        "head_too_large"
    } else if error.is_parse() {
        "bad_request"
    } else if error.is_timeout() {
        "no_answer"
    } else {
        "broken"
    });
}

/// Some chance, so that connections opened together do not all end together.
fn jitter() -> f64 {
    f64::from(Uuid::new_v4().as_bytes()[0]) / 255.0
}

/// hyper spawns a task for each stream of HTTP/2: through the house's own tracker.
#[derive(Debug, Clone)]
struct Spawner(Tasks);

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
