//! The body of a request: given up when its caller keeps whoever reads it waiting, in one piece or by trickles.
//!
//! Waited for is only while somebody asks for the next piece: what we are slow to take is not the caller's fault.
//! Does not know: what is done with it.

use super::pace::Rule;
use super::serve::Door;
use super::watch::Watch;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// A request's body as it comes over a connection. Its error is hyper's, or of the kind `TimedOut`.
pub struct Received {
    body: Incoming,
    patience: Option<Patience>,
}

struct Patience {
    door: Arc<Door>,
    watch: Arc<Watch>,
    rule: Rule,
    left: u64,
    waiting: Option<(u64, Pin<Box<Sleep>>)>,
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Received").field("body", &self.body).finish_non_exhaustive()
    }
}

impl Received {
    pub(super) fn new(body: Incoming, door: &Arc<Door>, watch: &Arc<Watch>) -> Self {
        // Most requests have none.
        let patience = (!body.is_end_stream()).then(|| {
            let rule = Rule::new(door.limits.body_stall, door.limits.min_body_rate);
            let (door, watch) = (Arc::clone(door), Arc::clone(watch));
            Patience { door, watch, rule, left: rule.full(), waiting: None }
        });
        Self { body, patience }
    }
}

impl Patience {
    fn came(&mut self, bytes: usize) {
        if let Some((since, _)) = self.waiting.take() {
            let waited = self.watch.now().saturating_sub(since);
            self.left = self.rule.after(self.left, waited, bytes, 1);
        }
    }

    /// Ready when it is over.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (watch, left) = (&self.watch, self.left);
        if left == 0 {
            return Poll::Ready(());
        }
        let begin = || (watch.now(), Box::pin(sleep(Duration::from_millis(left))));
        self.waiting.get_or_insert_with(begin).1.as_mut().poll(cx)
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        let Some(patience) = &mut this.patience else { return frame.map_err(Into::into) };
        match frame {
            Poll::Pending => match patience.wait(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    patience.door.ended("body_stall");
                    let what = "the caller sent too little of the body for too long";
                    Poll::Ready(Some(Err(Box::new(io::Error::new(io::ErrorKind::TimedOut, what)))))
                }
            },
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                patience.came(data.map_or(0, Bytes::len));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
