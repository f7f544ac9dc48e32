//! How many connections are open, in all and per peer.
//!
//! Invariant: the map holds only peers with an open connection, so the cap on all connections bounds it too.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, Clone)]
pub(super) struct Peers {
    open: Arc<Mutex<Open>>,
    most: usize,
    most_per_peer: usize,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

/// Why a connection was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    All,
    Peer,
}

/// A place among the open connections, given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    open: Arc<Mutex<Open>>,
    peer: IpAddr,
}

impl Peers {
    pub(super) fn new(most: usize, most_per_peer: usize) -> Self {
        Self { open: Arc::default(), most, most_per_peer }
    }

    pub(super) fn seat(&self, address: IpAddr) -> Result<Seat, Full> {
        let peer = network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= self.most {
            return Err(Full::All);
        }
        let held = open.each.get(&peer).copied().unwrap_or_default();
        if held >= self.most_per_peer {
            return Err(Full::Peer);
        }
        open.each.insert(peer, held + 1);
        open.all += 1;
        drop(open);
        Ok(Seat { open: Arc::clone(&self.open), peer })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        if let Some(held) = open.each.get_mut(&self.peer) {
            *held -= 1;
            if *held == 0 {
                open.each.remove(&self.peer);
            }
        }
    }
}

/// Whoever holds one IPv6 address usually holds the 64 bits below it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_given_back_can_be_taken_again_and_leaves_nothing_behind() {
        let peers = Peers::new(2, 1);
        let (one, two, three) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]), IpAddr::from([10, 0, 0, 3]));
        let first = peers.seat(one).unwrap();
        assert_eq!(peers.seat(one).unwrap_err(), Full::Peer);
        let second = peers.seat(two).unwrap();
        assert_eq!(peers.seat(three).unwrap_err(), Full::All);
        drop(first);
        drop(peers.seat(one).unwrap());
        drop(second);
        assert!(peers.open.lock().unwrap().each.is_empty());
    }

    #[test]
    fn one_ipv6_network_is_one_peer() {
        let peers = Peers::new(9, 1);
        let _first = peers.seat("2001:db8::1".parse().unwrap()).unwrap();
        assert_eq!(peers.seat("2001:db8::2".parse().unwrap()).unwrap_err(), Full::Peer);
        assert!(peers.seat("2001:db8:0:1::1".parse().unwrap()).is_ok());
        let _mapped = peers.seat("::ffff:10.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(peers.seat("10.0.0.1".parse().unwrap()).unwrap_err(), Full::Peer);
    }
}
