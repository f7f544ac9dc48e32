//! Room for what is read of M3 before a decision, so that what costs a client nothing of its limits costs M3 little.
//!
//! Reads at once, of all and of one client; and how many sites that M3 doesn't know one client may name.
//! Invariant: bounded in clients; the time is an argument.
//! Does not know: what is read.

use crate::model::ClientId;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// For reads that are under way.
#[derive(Clone)]
pub(super) struct Room {
    all: Arc<Semaphore>,
    /// No client takes all of it.
    shares: Cache<ClientId, Arc<Semaphore>>,
}

/// Reads at once, and those of one client.
const ROOM: usize = 64;
const SHARE: usize = 16;
const MOST_CLIENTS: u64 = 4_096;

impl Room {
    pub(super) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(ROOM)), shares: of_clients() }
    }

    /// The client's own share first: whoever waits for that holds nothing of the others'.
    pub(super) async fn enter(&self, client: &ClientId) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let share = self.shares.get_with_by_ref(client, || Arc::new(Semaphore::new(SHARE)));
        // Neither is ever closed.
        Some((share.acquire_owned().await.ok()?, Arc::clone(&self.all).acquire_owned().await.ok()?))
    }
}

/// The usual policy refuses newcomers in a flood, and a client that is not held begins anew each time.
fn of_clients<T: Clone + Send + Sync + 'static>() -> Cache<ClientId, T> {
    Cache::builder().max_capacity(MOST_CLIENTS).eviction_policy(EvictionPolicy::lru()).build()
}

/// What each client named and M3 didn't know: some are forgiven at once, then one after the other.
#[derive(Clone)]
pub(super) struct Unknown(Cache<ClientId, Arc<Mutex<Option<Instant>>>>);

/// Nobody mistypes more, and a list that is imported should not.
const FREE: u32 = 30;
const FORGIVEN: Duration = Duration::from_secs(1);

impl Unknown {
    pub(super) fn new() -> Self {
        Self(of_clients())
    }

    /// How long until M3 is asked about one more that this client names.
    pub(super) fn wait(&self, client: &ClientId, now: Instant) -> Option<Duration> {
        let until = *self.0.get(client)?.lock().unwrap_or_else(PoisonError::into_inner);
        let over = until?.saturating_duration_since(now).saturating_sub(FORGIVEN * (FREE - 1));
        (!over.is_zero()).then_some(over)
    }

    pub(super) fn named(&self, client: &ClientId, now: Instant) {
        let until = self.0.get_with_by_ref(client, Arc::default);
        let mut until = until.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that were asked for at once are as many as a client has room for.
        let most = now + FORGIVEN * (FREE + SHARE as u32);
        *until = Some((until.map_or(now, |until| until.max(now)) + FORGIVEN).min(most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: &str) -> ClientId {
        ClientId { issuer: "https://here".into(), id: id.into() }
    }

    #[tokio::test]
    async fn no_client_takes_all_the_room_for_reads() {
        let room = Room::new();
        let enter = async |id: &str| tokio::time::timeout(Duration::ZERO, room.enter(&client(id))).await.ok().flatten();
        let mut held = Vec::new();
        for client in ["a", "b", "c", "d"] {
            for _ in 0..SHARE {
                held.push(enter(client).await.expect("its share"));
            }
            assert!(enter(client).await.is_none(), "{client} has no more than its share");
        }
        assert_eq!(held.len(), ROOM);
        assert!(enter("e").await.is_none(), "nor have all of them more than there is");
        held.pop();
        assert!(enter("e").await.is_some());
    }

    #[test]
    fn who_makes_up_names_waits_and_is_forgiven_one_by_one() {
        let (unknown, begin) = (Unknown::new(), Instant::now());
        let (one, other) = (client("a"), client("b"));
        for n in 0..FREE {
            assert_eq!(unknown.wait(&one, begin), None, "{n}");
            unknown.named(&one, begin);
        }
        assert_eq!((unknown.wait(&one, begin), unknown.wait(&other, begin)), (Some(FORGIVEN), None));
        let later = begin + FORGIVEN;
        assert_eq!(unknown.wait(&one, later), None);
        unknown.named(&one, later);
        assert_eq!(unknown.wait(&one, later), Some(FORGIVEN), "one, and no more");
        assert_eq!(unknown.wait(&one, later + FORGIVEN * FREE), None);
    }
}
