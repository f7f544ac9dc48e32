//! The decrypted stream, telling the watch what passes.
//!
//! On HTTP/1 a read ends where a head does; what came behind it is read next.
//! On its end it half-closes and reads on for a moment: a request that was on its way when we closed is then
//! answered by an orderly end, not by a reset that could also destroy the answer before it.

use super::lines::Lines;
use super::tap::{Ear, Tap};
use super::watch::Watch;
use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

pub(super) type Stream<T> = Tap<T, Watched>;

#[derive(Debug)]
pub(super) struct Watched {
    watch: Arc<Watch>,
    /// On HTTP/1.
    lines: Option<Lines>,
    /// What was read behind the end of a head.
    held: Bytes,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Watched {
    pub(super) fn by(watch: Arc<Watch>) -> Self {
        let lines = (!watch.is_http2()).then(Lines::begin);
        Self { watch, lines, held: Bytes::new(), linger: None }
    }

    /// Of what was just read, what goes on; the rest is held.
    fn look_through(&mut self, into: &mut ReadBuf<'_>, before: usize, was_held: bool) {
        let Some(lines) = &mut self.lines else { return };
        let fresh = &mut into.filled_mut()[before..];
        let goes = lines.pass(fresh, || self.watch.length());
        if was_held {
            self.held.advance(goes);
        } else if goes < fresh.len() {
            self.held = Bytes::copy_from_slice(&fresh[goes..]);
        }
        into.set_filled(before + goes);
    }
}

impl Ear for Watched {
    fn read<T: AsyncRead + Unpin>(
        &mut self,
        inner: &mut T,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let was_held = !self.held.is_empty();
        let read = if was_held {
            into.put_slice(&self.held[..self.held.len().min(into.remaining())]);
            Poll::Ready(Ok(()))
        } else {
            Pin::new(inner).poll_read(cx, into)
        };
        self.look_through(into, before, was_held);
        if let Some(bytes) = into.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            self.watch.was_read(bytes);
            if self.watch.is_flooded() {
                // Not one of these frames is looked at any more.
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
        }
        read
    }

    fn written(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = written {
            self.watch.wrote(*count);
        }
    }

    fn end<T: AsyncRead + AsyncWrite + Unpin>(&mut self, inner: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut *inner).poll_shutdown(cx))?;
        }
        let (until, read) = self.linger.get_or_insert_with(|| (Box::pin(sleep(LINGER)), 0));
        let mut held = [0; 4096];
        while *read < LINGER_BYTES {
            let mut rest = ReadBuf::new(&mut held);
            match Pin::new(&mut *inner).poll_read(cx, &mut rest) {
                Poll::Ready(Ok(())) if !rest.filled().is_empty() => *read += rest.filled().len(),
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return until.as_mut().poll(cx).map(Ok),
            }
        }
        Poll::Ready(Ok(()))
    }
}
