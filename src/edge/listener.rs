//! The sockets: bound at once or not at all, accepted from until the stop, drained after it.
//!
//! Invariant: no accept error ends the loop; what the system lacks (files, memory) is waited for.
//! Does not know: what is spoken on a connection.

use super::clients;
use super::peers::{Full, Peers};
use super::received::Received;
use super::serve::{Door, connection};
use super::settings::Settings;
use super::tls;
use crate::model::Peer;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use prometheus::IntGauge;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::Service;

/// Why a door cannot open. The settings' or the machine's fault; may be tried again once mended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the {door} door has no address to listen on: give at least one")]
    NoAddress { door: &'static str },
    #[error("cannot listen on {address} ({door} door): {}", mend(source))]
    Bind { door: &'static str, address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

fn mend(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is taken; stop its owner or set another port".into(),
        io::ErrorKind::PermissionDenied => "this user may not use the port; take one above 1023".into(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have the address; set one that it has".into(),
        _ => error.to_string(),
    }
}

/// What a service's body may fail with.
pub type ServiceFault = Box<dyn StdError + Send + Sync>;

/// What a drain could not finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct Drained {
    /// Requests cut off at the drain's limit.
    pub unfinished: usize,
}

/// A door with its sockets bound, nothing accepted yet.
pub struct Edge {
    settings: Settings,
    metrics: Metrics,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    tls: Option<tls::Tls>,
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("door", &self.settings.door).field("addresses", &self.addresses).finish()
    }
}

const BACKLOG: u32 = 1024;
/// Port 0 on two addresses: how often a port that is free on one and taken on the other is given back.
const PORT_TRIES: usize = 16;
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl Edge {
    /// Reads the certificate and binds every address. Must run inside the runtime.
    pub fn bind(settings: Settings, metrics: Metrics) -> Result<Self, Error> {
        let asked = settings.clients.as_ref();
        let tls = settings.tls.as_ref().map(|source| tls::acceptor(source, asked)).transpose()?;
        let listeners = bind_all(settings.door, &settings.listen)?;
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        Ok(Self { settings, metrics, listeners, addresses, tls })
    }

    /// The addresses in fact, chosen ports included.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop`, then drains: sockets closed, every connection told, what is in flight finished.
    pub async fn run<S, B>(self, service: S, stop: CancellationToken, tasks: &Tasks) -> Drained
    where
        S: Service<Request<Received>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<ServiceFault>,
    {
        let limits = self.settings.limits;
        let connections = Tasks::new();
        let acceptors = Tasks::new();
        if let (Some(source), Some(tls)) = (&self.settings.tls, &self.tls) {
            tls::reload(Arc::clone(&tls.served), source, limits.reload, &self.metrics, &acceptors);
        }
        let (acceptor, clients) = self.tls.map(|tls| (tls.acceptor, tls.clients)).unzip();
        let clients = clients.flatten();
        if let (Some(asked), Some(clients)) = (&self.settings.clients, &clients) {
            clients::reload(Arc::clone(clients), asked, limits.reload, &self.metrics, &acceptors);
        }
        let door = Arc::new(Door {
            name: self.settings.door,
            tls: acceptor,
            clients,
            proxies: self.settings.proxies,
            limits,
            metrics: self.metrics,
            tasks: connections.clone(),
            kill: CancellationToken::new(),
            in_flight: Arc::default(),
        });
        let peers = Peers::new(limits.max_connections, limits.max_per_peer);
        for listener in self.listeners {
            acceptors.spawn_until_stop(accept(listener, Arc::clone(&door), service.clone(), peers.clone()));
        }
        let house = tasks.stopping();
        tokio::select! {
            () = stop.cancelled() => {}
            () = house.cancelled() => {}
        }
        // The sockets close before the connections are told: nobody comes in behind the goodbye.
        acceptors.finish(LONGEST_WAIT).await;
        if connections.finish(limits.drain).await {
            return Drained::default();
        }
        let unfinished = door.in_flight.load(Ordering::Relaxed);
        door.kill.cancel();
        connections.finish(LONGEST_WAIT).await;
        Drained { unfinished }
    }
}

async fn accept<S, B>(listener: TcpListener, door: Arc<Door>, service: S, peers: Peers)
where
    S: Service<Request<Received>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<ServiceFault>,
{
    let mut wait = SHORTEST_WAIT;
    loop {
        match listener.accept().await {
            Ok((socket, address)) => {
                wait = SHORTEST_WAIT;
                welcome(socket, Peer::of(address), &door, service.clone(), &peers);
            }
            // The caller left between its knock and our opening.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(door = door.name, %error, "cannot accept connections for the moment");
                door.ended("accept");
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

fn welcome<S, B>(socket: TcpStream, peer: Peer, door: &Arc<Door>, service: S, peers: &Peers)
where
    S: Service<Request<Received>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<ServiceFault>,
{
    // Whoever a balancer speaks for says so later, and is counted then.
    let seat = peers.enter().and_then(|seat| if door.is_proxy(peer) { Ok(seat) } else { seat.take(peer.address) });
    let seat = match seat {
        Ok(seat) => seat,
        Err(Full::All) => return door.ended("total"),
        Err(Full::Peer) => return door.ended("per_peer"),
    };
    // Without it an HTTP/2 answer waits 40 ms for the peer's acknowledgement. It fails only on a dead socket.
    let _ = socket.set_nodelay(true);
    let open = Open::new(door.metrics.connections_open.with_label_values(&[door.name]));
    let held = Arc::clone(door);
    // Made inside the task: one that is carried in would have its place there twice, on every connection.
    let task = async move {
        connection(held, service, socket, peer, seat).await;
        drop(open);
    };
    door.tasks.spawn(task);
}

/// One on the gauge, taken off when dropped, so that a panic in a connection leaves no ghost behind.
struct Open(IntGauge);

impl Open {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn bind_all(door: &'static str, wanted: &[SocketAddr]) -> Result<Vec<TcpListener>, Error> {
    let mut last = Error::NoAddress { door };
    for _ in 0..PORT_TRIES {
        match bind_once(door, wanted) {
            Ok(listeners) if listeners.is_empty() => return Err(last),
            Ok(listeners) => return Ok(listeners),
            Err((error, may_repeat)) => {
                last = error;
                if !may_repeat {
                    break;
                }
            }
        }
    }
    Err(last)
}

/// Addresses with port 0 share the port that the first of them was given.
fn bind_once(door: &'static str, wanted: &[SocketAddr]) -> Result<Vec<TcpListener>, (Error, bool)> {
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(wanted.len());
    let mut chosen = None;
    for address in wanted {
        let shared_port = chosen.filter(|_| address.port() == 0);
        let address = SocketAddr::new(address.ip(), shared_port.unwrap_or(address.port()));
        match listen(address) {
            Ok(listener) => {
                if address.port() == 0 {
                    chosen = listener.local_addr().ok().map(|given| given.port());
                }
                listeners.push(listener);
            }
            // A machine without IPv6 is no reason not to serve on its IPv4 loopback.
            Err(error) if !listeners.is_empty() && is_absent_loopback(address, &error) => {
                tracing::warn!(door, %address, "this machine has no IPv6 loopback: not listening there");
            }
            Err(source) => {
                let may_repeat = shared_port.is_some() && source.kind() == io::ErrorKind::AddrInUse;
                return Err((Error::Bind { door, address, source }, may_repeat));
            }
        }
    }
    Ok(listeners)
}

fn is_absent_loopback(address: SocketAddr, error: &io::Error) -> bool {
    let no_family = error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
    address.is_ipv6() && address.ip().is_loopback() && (no_family || error.kind() == io::ErrorKind::AddrNotAvailable)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
