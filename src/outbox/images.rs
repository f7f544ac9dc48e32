//! Records as they were before they were deleted: looked at before the delete goes to M3, held until they are on the disk.
//!
//! Invariant: together they take no more than so many bytes, however many deletes come at once.
//! Does not know: how a record is read, or what it looks like.

use super::intent::{Before, Due, Intent};
use crate::model::Place;
use futures_util::future::BoxFuture;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Looks at a record that is about to be deleted.
pub type Look = Arc<dyn Fn(Due, Place) -> BoxFuture<'static, Before> + Send + Sync>;

/// How long a delete waits for a look at what it deletes.
const LOOKS: Duration = Duration::from_secs(5);
const KIB: usize = 1024;
/// Of one record, in KiB: what is larger is told as deleted by its name alone.
const ONE: u32 = 4 * 1024;
/// Of all that wait for the disk, in KiB.
const ALL: usize = 64 * 1024;

pub(super) struct Images {
    look: OnceLock<Look>,
    room: Arc<Semaphore>,
}

impl Default for Images {
    fn default() -> Self {
        Self { look: OnceLock::new(), room: Arc::new(Semaphore::new(ALL)) }
    }
}

impl Images {
    pub(super) fn look_with(&self, look: Look) {
        let _ = self.look.set(look);
    }

    /// With what is about to be deleted, and the room that it takes until it is on the disk.
    pub(super) async fn looked_at(&self, mut intent: Intent) -> (Intent, Vec<OwnedSemaphorePermit>) {
        let mut rooms = Vec::new();
        let Some(look) = self.look.get() else { return (intent, rooms) };
        let place = intent.place;
        for due in intent.due.iter_mut().filter(|due| due.deletes && due.is_known()) {
            let looked = tokio::time::timeout(LOOKS, self.seen(look, due, place)).await;
            match looked.unwrap_or((Before::Unseen, None)) {
                (Before::Image(image), Some(room)) => {
                    due.before = Some(image);
                    rooms.push(room);
                }
                // Whether anybody was told of it is seen when its outcome is known.
                (Before::Absent, _) => due.absent = true,
                (Before::Image(_) | Before::Unseen, _) => {}
            }
        }
        (intent, rooms)
    }

    async fn seen(&self, look: &Look, due: &Due, place: Place) -> (Before, Option<OwnedSemaphorePermit>) {
        // Before the look: what was read has to have its place.
        let Ok(mut room) = self.room.clone().acquire_many_owned(ONE).await else { return (Before::Unseen, None) };
        let seen = look(due.clone(), place).await;
        let Before::Image(image) = &seen else { return (seen, None) };
        let takes = image.len().div_ceil(KIB);
        if takes > ONE as usize {
            return (Before::Unseen, None);
        }
        let room = room.split(takes);
        (seen, room)
    }
}
