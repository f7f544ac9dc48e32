//! What may be used one time only, and was: the ids of client assertions, until they would have expired anyway.
//!
//! Invariant: bounded for each client, and none forgotten before its time; when a client's place is full its next one is
//! refused. Clients are known and have proven themselves before they come here, so nobody else fills anything.
//! It is in memory: after a restart what was used before could be used again, within the minutes that it is good for.
//! Does not know: clocks; the time is an argument.

use aws_lc_rs::digest::{SHA256, digest};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Some thirty a second for the whole life of one.
const MOST: usize = 10_000;

/// Digests, and when each is over.
type Ids = HashMap<[u8; 32], u64>;

#[derive(Debug, Default)]
pub(super) struct Used {
    clients: Mutex<HashMap<Arc<str>, Ids>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Again,
    Full,
}

impl Used {
    pub(super) fn first(&self, client: &Arc<str>, id: &str, until: u64, now: u64) -> Result<(), Refused> {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, id.as_bytes()).as_ref());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let used = clients.entry(Arc::clone(client)).or_default();
        if used.get(&key).is_some_and(|until| *until > now) {
            return Err(Refused::Again);
        }
        if used.len() >= MOST {
            used.retain(|_, until| *until > now);
            if used.len() >= MOST {
                return Err(Refused::Full);
            }
        }
        used.insert(key, until);
        Ok(())
    }

    /// Forgets what is over.
    pub(super) fn tidy(&self, now: u64) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|_, used| {
            used.retain(|_, until| *until > now);
            !used.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_is_once_until_its_time_is_over_and_for_each_client() {
        let (used, one, other) = (Used::default(), Arc::from("one"), Arc::from("other"));
        assert_eq!(used.first(&one, "a", 110, 100), Ok(()));
        assert_eq!(used.first(&one, "a", 110, 109), Err(Refused::Again));
        assert_eq!(used.first(&other, "a", 110, 109), Ok(()));
        assert_eq!(used.first(&one, "a", 120, 110), Ok(()));
        used.tidy(200);
        assert!(used.clients.lock().expect("not poisoned").is_empty());
    }

    #[test]
    fn a_full_place_refuses_and_forgets_nothing_before_its_time() {
        let (used, one, other) = (Used::default(), Arc::from("one"), Arc::from("other"));
        for n in 0..MOST {
            assert_eq!(used.first(&one, &n.to_string(), 110, 100), Ok(()));
        }
        assert_eq!(used.first(&one, "more", 110, 100), Err(Refused::Full));
        assert_eq!(used.first(&one, "0", 110, 100), Err(Refused::Again));
        assert_eq!(used.first(&other, "more", 110, 100), Ok(()));
        assert_eq!(used.first(&one, "more", 120, 110), Ok(()));
    }
}
