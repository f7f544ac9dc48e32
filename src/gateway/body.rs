//! Bodies on both ways. Request bodies are read through one capped function; answers are told to the log when they end.

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Full, Limited};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Why a body broke off, on either way.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Fault(Box<dyn std::error::Error + Send + Sync>);

impl Fault {
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }

    fn is_length(&self) -> bool {
        self.0.is::<http_body_util::LengthLimitError>() || self.0.downcast_ref::<Self>().is_some_and(Self::is_length)
    }
}

pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Fault>;
pub type Request = http::Request<Body>;
pub type Response = http::Response<Body>;

pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Why a request body could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadFault {
    TooLarge,
    /// The caller went away, or broke the framing.
    Broken,
}

/// What a body's fault means for who reads it.
pub(super) fn read_fault(fault: &Fault) -> ReadFault {
    if fault.is_length() { ReadFault::TooLarge } else { ReadFault::Broken }
}

/// The one way to read a request body whole: never more than `most` bytes are held.
pub(super) async fn read(body: Body, most: usize) -> Result<Bytes, ReadFault> {
    let mut body = Limited::new(body, most);
    let mut out = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|fault| read_fault(&Fault::new(fault)))?;
        if let Ok(mut data) = frame.into_data() {
            while data.has_remaining() {
                let chunk = data.chunk();
                out.extend_from_slice(chunk);
                let taken = chunk.len();
                data.advance(taken);
            }
        }
    }
    Ok(out.into())
}

/// The body is said to be of one of these media types, whatever its parameters.
pub(super) fn has_media_type(headers: &HeaderMap, wanted: &[&str]) -> bool {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = said.split(';').next().unwrap_or_default().trim();
    wanted.iter().any(|media| said.eq_ignore_ascii_case(media))
}

/// Calls `ended` once: with the bytes sent, and whether the body came to its end.
pub(super) struct Watched<F: FnOnce(u64, bool)> {
    inner: Body,
    sent: u64,
    whole: bool,
    ended: Option<F>,
}

impl<F: FnOnce(u64, bool)> Watched<F> {
    pub(super) fn new(inner: Body, ended: F) -> Self {
        let whole = inner.is_end_stream();
        Self { inner, sent: 0, whole, ended: Some(ended) }
    }
}

impl<F: FnOnce(u64, bool) + Unpin> http_body::Body for Watched<F> {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                self.whole = self.inner.is_end_stream();
            }
            Poll::Ready(None) => self.whole = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<F: FnOnce(u64, bool)> Drop for Watched<F> {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            ended(self.sent, self.whole);
        }
    }
}
