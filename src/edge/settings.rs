//! What can be set about a door, with the defaults that hold when nobody sets anything.

use super::proxy_protocol::Network;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

/// One door: where it listens, what it shows, how long it waits.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of the door in metrics and logs.
    pub door: &'static str,
    pub listen: Vec<SocketAddr>,
    /// `None` is plain HTTP: the operations door on loopback.
    pub tls: Option<TlsSource>,
    /// `None`: no client is asked for a certificate.
    pub clients: Option<ClientCertificates>,
    /// Balancers that say whom they speak for (PROXY protocol). They must, and nobody else may.
    pub proxies: Vec<Network>,
    pub limits: Limits,
}

/// Where the certificate chain and its key come from, both PEM.
#[derive(Clone)]
pub enum TlsSource {
    /// Read again when the files change.
    Files {
        chain: PathBuf,
        key: PathBuf,
    },
    Bytes {
        chain: Vec<u8>,
        key: Zeroizing<Vec<u8>>,
    },
}

/// Which certificates clients may show. None has to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// PEM of the authorities that answer for clients. Read again when it changes.
    pub authorities: Option<PathBuf>,
    /// One that is its own issuer is taken too: the handshake proves its key, and nothing but its thumbprint is believed.
    pub self_signed: bool,
}

impl fmt::Debug for TlsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files { chain, key } => f.debug_struct("Files").field("chain", chain).field("key", key).finish(),
            Self::Bytes { .. } => f.write_str("Bytes"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_connections: usize,
    /// Per address; an IPv6 network of 64 bits counts as one.
    pub max_per_peer: usize,
    pub handshake: Duration,
    /// From the end of the handshake to the first byte of a request.
    pub first_byte: Duration,
    /// From the first byte of a request's head to its last.
    pub header_read: Duration,
    /// How long a connection may stay open with nothing in flight.
    pub idle: Duration,
    /// After this and up to a tenth more, a connection takes no further requests.
    pub age: Duration,
    /// How long an answer may wait for a caller that does not read it.
    pub write_stall: Duration,
    /// Bytes of answers a second that a caller takes at least, after it was waited for so long; zero asks for none.
    pub min_write_rate: u32,
    /// How long a request's body may be waited for.
    pub body_stall: Duration,
    /// Bytes a second that a request's body has at least, after it was waited for so long; zero asks for none.
    pub min_body_rate: u32,
    pub header_list: u32,
    pub max_headers: usize,
    pub max_uri: usize,
    pub http2: Http2,
    /// How long callers are still let in after readiness is off, so that balancers notice before a door is closed.
    pub drain_wait: Duration,
    /// How long a drain waits for what is in flight.
    pub drain: Duration,
    /// How often the certificate files are looked at.
    pub reload: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2 {
    pub ping_every: Duration,
    pub ping_wait: Duration,
    pub max_streams: u32,
    /// Streams that a caller opened and took back before we looked at them; more end the connection.
    pub max_pending_resets: usize,
    /// Streams that we reset for a caller's faults; more end the connection.
    pub max_local_resets: usize,
    /// Frames that carry nothing, as many as may come at once and as many more a second. A reset counts for ten, as do
    /// settings; a piece of an answer pays for ten.
    pub frames_at_once: u32,
    pub frames_a_second: u32,
}

impl Settings {
    /// The public door. The certificate has no default: `app` brings the development files or the settings' own.
    pub fn public(tls: TlsSource) -> Self {
        let (listen, limits) = (loopback(8443), Limits::default());
        Self { door: "public", listen, tls: Some(tls), clients: None, proxies: Vec::new(), limits }
    }

    /// The operations door: plain HTTP on loopback.
    pub fn operations() -> Self {
        let listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 9090))];
        let limits =
            Limits { max_connections: 256, max_per_peer: 256, drain: Duration::from_secs(5), ..Limits::default() };
        Self { door: "operations", listen, tls: None, clients: None, proxies: Vec::new(), limits }
    }

    /// Whether only this machine can reach the door.
    pub fn is_loopback(&self) -> bool {
        self.listen.iter().all(|address| address.ip().to_canonical().is_loopback())
    }
}

fn loopback(port: u16) -> Vec<SocketAddr> {
    vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))]
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            max_per_peer: 16_384,
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(10),
            header_read: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            age: Duration::from_secs(3600),
            write_stall: Duration::from_secs(30),
            min_write_rate: 512,
            body_stall: Duration::from_secs(30),
            min_body_rate: 512,
            header_list: 16 * 1024,
            max_headers: 100,
            max_uri: 8 * 1024,
            http2: Http2::default(),
            drain_wait: Duration::ZERO,
            drain: Duration::from_secs(30),
            reload: Duration::from_secs(2),
        }
    }
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(20),
            ping_wait: Duration::from_secs(20),
            max_streams: 200,
            max_pending_resets: 20,
            max_local_resets: 256,
            frames_at_once: 5_000,
            frames_a_second: 100,
        }
    }
}
