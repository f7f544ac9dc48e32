//! The one client address: used by limits, policy and logs alike.

use std::net::{IpAddr, SocketAddr};

/// Where a connection came from. IPv4 addresses that a dual-stack listener reports inside IPv6 are IPv4 here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    pub address: IpAddr,
    pub port: u16,
}

impl Peer {
    pub fn of(socket: SocketAddr) -> Self {
        Self { address: socket.ip().to_canonical(), port: socket.port() }
    }
}
