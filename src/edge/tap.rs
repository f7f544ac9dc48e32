//! A stream as it is, with somebody who is told what passes, and who says how it ends.
//!
//! Does not know: what is made of it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Who is told.
pub(super) trait Ear {
    fn read<T: AsyncRead + Unpin>(
        &mut self,
        inner: &mut T,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(inner).poll_read(cx, into)
    }

    fn written(&self, written: &Poll<io::Result<usize>>);

    fn end<T: AsyncRead + AsyncWrite + Unpin>(&mut self, inner: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(inner).poll_shutdown(cx)
    }
}

#[derive(Debug)]
pub(super) struct Tap<T, E> {
    inner: T,
    ear: E,
}

impl<T, E> Tap<T, E> {
    pub(super) fn new(inner: T, ear: E) -> Self {
        Self { inner, ear }
    }

    pub(super) fn inner(&self) -> &T {
        &self.inner
    }
}

impl<T: AsyncRead + Unpin, E: Ear + Unpin> AsyncRead for Tap<T, E> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { inner, ear } = &mut *self;
        ear.read(inner, cx, into)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin, E: Ear + Unpin> AsyncWrite for Tap<T, E> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.ear.written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.ear.written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { inner, ear } = &mut *self;
        ear.end(inner, cx)
    }
}
