//! Proofs that were used, remembered for as long as they could be used again.
//!
//! Bounded in all, and a client may hold no more places than are still free: one alone gets half, two a third each,
//! and however many hold how much, there is room for the next. Who would need more is refused until its own proofs are over.
//! Invariant: a proof that was taken once is not taken again while it is of its time.
//! Does not know: what makes a proof good.

use super::unproven::Unproven;
use crate::model::ClientId;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Of a key and the id of its proof.
pub(super) type ProofId = [u8; 16];

/// Proofs that are over and forgotten in one go: nobody waits for all of them.
const AT_ONCE: usize = 256;

#[derive(Debug)]
pub(super) struct Spent {
    held: Mutex<Held>,
    most: usize,
    lives: u64,
}

#[derive(Debug, Default)]
struct Held {
    ids: HashSet<ProofId>,
    /// In the order in which they came.
    order: VecDeque<(u64, ProofId, Arc<ClientId>)>,
    shares: HashMap<Arc<ClientId>, usize>,
}

impl Spent {
    /// `lives`: seconds after which a proof that was good is not of its time any more.
    pub(super) fn new(most: usize, lives: u64) -> Self {
        Self { held: Mutex::default(), most, lives }
    }

    pub(super) fn spend(&self, who: &ClientId, id: ProofId, now: u64) -> Result<(), Unproven> {
        // A poisoned lock still holds whole values: nothing in here panics between two of them.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.forget(now, AT_ONCE);
        if held.ids.contains(&id) {
            return Err(Unproven::Replayed);
        }
        if !held.has_room(who, self.most) {
            held.forget(now, usize::MAX);
            if !held.has_room(who, self.most) {
                return Err(Unproven::Full);
            }
        }
        let who = held.shares.get_key_value(who).map_or_else(|| Arc::new(who.clone()), |(known, _)| Arc::clone(known));
        *held.shares.entry(Arc::clone(&who)).or_default() += 1;
        held.ids.insert(id);
        held.order.push_back((now.saturating_add(self.lives), id, who));
        Ok(())
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let held = self.held.lock().expect("whole");
        assert_eq!((held.ids.len(), held.shares.values().sum::<usize>()), (held.order.len(), held.order.len()));
        held.order.len()
    }
}

impl Held {
    fn has_room(&self, who: &ClientId, most: usize) -> bool {
        self.shares.get(who).copied().unwrap_or_default() < most.saturating_sub(self.order.len())
    }

    fn forget(&mut self, now: u64, most: usize) {
        for _ in 0..most {
            if self.order.front().is_none_or(|(until, _, _)| *until >= now) {
                return;
            }
            let Some((_, id, who)) = self.order.pop_front() else { return };
            self.ids.remove(&id);
            if let Some(share) = self.shares.get_mut(&who) {
                *share -= 1;
                if *share == 0 {
                    self.shares.remove(&who);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn client(id: &str) -> ClientId {
        ClientId { issuer: "https://issuer.example".into(), id: id.into() }
    }

    fn id(n: u32) -> ProofId {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        id
    }

    #[test]
    fn a_proof_is_taken_once_in_its_time() {
        let spent = Spent::new(10, 70);
        assert_eq!(spent.spend(&client("a"), id(1), NOW), Ok(()));
        for (who, later) in [("a", 0), ("a", 70), ("b", 0)] {
            assert_eq!(spent.spend(&client(who), id(1), NOW + later), Err(Unproven::Replayed), "{who} {later}");
        }
        // By then its time is over, and whoever shows it is refused for that.
        assert_eq!(spent.spend(&client("a"), id(1), NOW + 71), Ok(()));
        assert_eq!(spent.len(), 1);
    }

    #[test]
    fn a_flood_of_one_client_leaves_room_for_every_other() {
        let spent = Spent::new(1_000, 70);
        let flood = |who: &str, from: u32| {
            let taken = |n: &u32| spent.spend(&client(who), id(from + n), NOW) == Ok(());
            (0..100_000).filter(taken).count()
        };
        assert_eq!(flood("a", 0), 500);
        assert_eq!(flood("b", 100_000), 250);
        assert_eq!(spent.spend(&client("a"), id(4_000_000_000), NOW), Err(Unproven::Full));
        for quiet in 0..50_u32 {
            let who = format!("quiet-{quiet}");
            assert_eq!(spent.spend(&client(&who), id(1_000_000 + quiet), NOW), Ok(()), "{who}");
        }
        assert!(spent.len() <= 1_000, "{}", spent.len());
        // Once its own are over it may go on; nothing is held for nobody.
        assert_eq!(spent.spend(&client("a"), id(4_000_000_000), NOW + 71), Ok(()));
        assert_eq!(spent.spend(&client("z"), id(4_000_000_001), NOW + 200), Ok(()));
        let held = spent.held.lock().expect("whole");
        assert!(held.ids.capacity() < 10_000 && held.order.capacity() < 10_000);
    }

    #[test]
    fn a_burst_that_is_over_holds_nobody_up() {
        let spent = Spent::new(10_000, 70);
        for n in 0..4_000 {
            spent.spend(&client("a"), id(n), NOW).expect("room");
        }
        spent.spend(&client("b"), id(9_999), NOW + 100).expect("room");
        assert_eq!(spent.len(), 4_000 + 1 - AT_ONCE);
    }
}
