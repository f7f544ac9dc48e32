//! How many connections are open, in all and per peer.
//!
//! Invariant: the map holds only peers with an open connection, so the cap on all connections bounds it too.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    peers: Peers,
    /// `None` while it is not known whose it is.
    peer: Option<IpAddr>,
}

impl Peers {
    pub(super) fn new(most: usize, most_per_peer: usize) -> Self {
        Self { open: Arc::default(), most, most_per_peer }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for somebody who has still to say who it is.
    pub(super) fn enter(&self) -> Result<Seat, Full> {
        let mut open = self.lock();
        if open.all >= self.most {
            return Err(Full::All);
        }
        open.all += 1;
        drop(open);
        Ok(Seat { peers: self.clone(), peer: None })
    }
}

impl Seat {
    /// It is this peer's.
    pub(super) fn take(mut self, address: IpAddr) -> Result<Self, Full> {
        let peer = network(address);
        let mut open = self.peers.lock();
        let held = open.each.get(&peer).copied().unwrap_or_default();
        if held >= self.peers.most_per_peer {
            return Err(Full::Peer);
        }
        open.each.insert(peer, held + 1);
        drop(open);
        self.peer = Some(peer);
        Ok(self)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.peers.lock();
        open.all = open.all.saturating_sub(1);
        let Some(peer) = self.peer else { return };
        if let Some(held) = open.each.get_mut(&peer) {
            *held -= 1;
            if *held == 0 {
                open.each.remove(&peer);
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

    impl Peers {
        fn seat(&self, address: IpAddr) -> Result<Seat, Full> {
            self.enter()?.take(address)
        }
    }

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
        let open = peers.lock();
        assert!(open.each.is_empty() && open.all == 0);
    }

    #[test]
    fn who_has_not_said_who_it_is_has_a_seat_among_all() {
        let peers = Peers::new(1, 1);
        let unknown = peers.enter().unwrap();
        assert_eq!(peers.enter().unwrap_err(), Full::All);
        drop(unknown);
        assert!(peers.enter().is_ok());
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
