//! Calls in flight, by client. A slot is free again when whoever holds it lets go.
//!
//! Invariant: only clients with calls in flight are remembered.

use crate::model::ClientId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Slots {
    held: Mutex<HashMap<ClientId, u32>>,
    freed: Notify,
}

/// One call in flight. Dropped when it has ended, whoever still waits for it.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    client: ClientId,
}

impl Slots {
    /// A slot, if fewer than `most` are held; with it, how many are held now.
    pub(super) fn take(self: &Arc<Self>, client: &ClientId, most: u32) -> Result<(Slot, u32), u32> {
        let mut held = self.held();
        let count = held.get(client).copied().unwrap_or_default();
        if count >= most {
            return Err(count);
        }
        held.insert(client.clone(), count + 1);
        Ok((Slot { slots: Arc::clone(self), client: client.clone() }, count + 1))
    }

    pub(super) fn count(&self, client: &ClientId) -> u32 {
        self.held().get(client).copied().unwrap_or_default()
    }

    /// Clients with calls in flight.
    pub(super) fn holders(&self) -> Vec<ClientId> {
        self.held().keys().cloned().collect()
    }

    /// Until fewer than `most` are held, or the time is up.
    pub(super) async fn free(&self, client: &ClientId, most: u32, patience: Duration) {
        let waiting = async {
            loop {
                let freed = self.freed.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                if self.count(client) < most {
                    return;
                }
                freed.await;
            }
        };
        let _ = tokio::time::timeout(patience, waiting).await;
    }

    fn held(&self) -> MutexGuard<'_, HashMap<ClientId, u32>> {
        // Held for an insertion at a time; a poisoned one still holds good counts.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn clients(&self) -> usize {
        self.held().len()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.slots.held();
        match held.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                held.remove(&self.client);
            }
        }
        drop(held);
        self.slots.freed.notify_waiters();
    }
}
