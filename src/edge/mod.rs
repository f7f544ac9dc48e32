//! The edge: sockets, TLS, the two HTTP protocols, and every timer a connection lives under.
//!
//! A request reaches the service given to [`Edge::run`] with its peer in the extensions, and with the certificate that
//! its client showed on the connection, where it showed one. No header says either; a balancer that the settings name
//! says who the peer is before TLS begins.
//! A drain tells every connection at once, finishes what is in flight, and says what it could not.
//!
//! Invariant: each connection is counted from its accept to its end, and ends by one of the timers at the latest.
//! Does not know: a route, a token, M3, or what the service answers.

mod answer;
mod clients;
mod development;
mod heads;
mod lines;
mod listener;
mod machine;
mod metered;
mod pace;
mod peers;
mod proxy_protocol;
mod received;
mod serve;
mod settings;
mod stream;
mod subject;
mod tap;
#[cfg(test)]
mod tests;
mod tls;
mod toll;
mod watch;

pub use clients::{certificate as client_certificate, read_authorities};
pub use development::{DevelopmentFiles, Error as DevelopmentError, ensure as ensure_development};
pub use heads::Heads;
pub use listener::{Drained, Edge, Error, ServiceFault};
pub use machine::{OpenFiles, raise as raise_open_files, small_pages};
pub use proxy_protocol::{Announced, Error as ProxyError, Network, NoNetwork, Step as ProxyStep, step as proxy_step};
pub use received::Received;
pub use settings::{ClientCertificates, Http2, Limits, Settings, TlsSource};
pub use tls::{Error as TlsError, Pair, read_pair};
