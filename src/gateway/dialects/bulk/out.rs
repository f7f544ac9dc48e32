//! Results on their way to the caller: a bounded number of bytes waits, whoever makes more waits himself.

use super::super::super::body::{Body, Fault};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// Bytes that wait for a caller who does not read yet.
const ROOM: usize = 8 * 1024 * 1024;

/// The caller has gone.
#[derive(Debug)]
pub(super) struct Gone;

#[derive(Debug)]
pub(super) struct Out {
    /// `None` is the end. A channel that closes without it was left by a run that broke down.
    chunks: mpsc::UnboundedSender<Option<Bytes>>,
    room: Arc<Semaphore>,
}

#[derive(Debug, thiserror::Error)]
#[error("the run ended before its answer did")]
struct Broken;

pub(super) fn pipe() -> (Out, Body) {
    let (chunks, taken) = mpsc::unbounded_channel::<Option<Bytes>>();
    let room = Arc::new(Semaphore::new(ROOM));
    let freed = room.clone();
    let stream = futures_util::stream::unfold(Some((taken, freed)), |taken| async move {
        let (mut taken, freed) = taken?;
        match taken.recv().await {
            Some(Some(chunk)) => {
                freed.add_permits(chunk.len().min(ROOM));
                Some((Ok(Frame::data(chunk)), Some((taken, freed))))
            }
            Some(None) => None,
            None => Some((Err(Fault::new(Broken)), None)),
        }
    });
    // Whatever compresses it asks once more after its end.
    (Out { chunks, room }, StreamBody::new(stream.fuse()).boxed_unsync())
}

impl Out {
    pub(super) async fn send(&self, chunk: Vec<u8>) -> Result<(), Gone> {
        let room = u32::try_from(chunk.len().min(ROOM)).unwrap_or(u32::MAX);
        tokio::select! {
            permit = self.room.acquire_many(room) => permit.map_err(|_| Gone)?.forget(),
            () = self.chunks.closed() => return Err(Gone),
        }
        self.chunks.send(Some(chunk.into())).map_err(|_| Gone)
    }

    /// Everything was said.
    pub(super) fn end(&self) {
        // Whether it is taken changes nothing any more.
        let _ = self.chunks.send(None);
    }

    /// When the caller has gone nothing more has to be begun.
    pub(super) async fn gone(&self) {
        self.chunks.closed().await;
    }
}
