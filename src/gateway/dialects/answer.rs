//! The answer to one call: records flow from the session to the response, a chunk at a time, never a whole list.
//!
//! A list is held back until it is known whether M3 had more, or until it is too large or too slow for that. Known in
//! time, that is said in the head; else in trailers and in the body's own end.

use super::super::body::{Fault, Response, full};
use super::super::listing::Listing;
use super::super::visit::Visit;
use crate::m3;
use crate::model::Record;
use crate::translate::{Document, Failure, Mark};
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::TRAILER;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::sync::Arc;
use std::time::Duration;

/// A chunk is sent when it is this large, or when the next record is not here yet.
const CHUNK: usize = 16 * 1024;
/// A list is held back for no more bytes and no longer than this.
const HELD: usize = 64 * 1024;
const HELD_FOR: Duration = Duration::from_millis(50);
/// Nor an answer of one record of which something may have to be said: its facility or warehouse is looked up first.
const ONE_HELD_FOR: Duration = Duration::from_secs(5);

pub(in crate::gateway) const TRUNCATED: HeaderName = HeaderName::from_static("mi-truncated");
pub(in crate::gateway) const NEXT: HeaderName = HeaderName::from_static("mi-next");
pub(in crate::gateway) const WITHHELD: HeaderName = HeaderName::from_static("mi-withheld");

struct Writing {
    document: Document,
    listing: Listing,
    chunk: Vec<u8>,
    /// The head of the answer has gone out.
    streamed: bool,
    ended: bool,
    trailers: Option<HeaderMap>,
    visit: Arc<Visit>,
}

/// What is here in time is written at once; an answer that is whole by then has a length, any other is streamed.
pub(in crate::gateway) async fn answer(
    document: Document,
    listing: Listing,
    list: bool,
    visit: Arc<Visit>,
) -> Response {
    // Of a record that is not shown something is said, be it the only one.
    let held_for = if list { HELD_FOR } else { ONE_HELD_FOR };
    let list = list || listing.is_sifted();
    let mut chunk = Vec::with_capacity(1024);
    document.head(&mut chunk);
    let mut writing = Writing { document, listing, chunk, streamed: false, ended: false, trailers: None, visit };
    writing.take_ready(HELD);
    if list && !writing.ended {
        writing.hold(held_for).await;
    }
    if writing.ended {
        let mark = writing.listing.mark();
        let mut response = Response::new(full(writing.chunk));
        if let Some(mark) = mark {
            response.headers_mut().extend(marked(&mark));
        }
        return response;
    }
    writing.streamed = true;
    let stream = futures_util::stream::unfold(writing, |mut writing| async move {
        let frame = writing.next_frame().await?;
        Some((Ok::<_, Fault>(frame), writing))
    });
    // Whatever compresses it asks once more after its end.
    let mut response = Response::new(StreamBody::new(stream.fuse()).boxed_unsync());
    if list {
        response.headers_mut().insert(TRAILER, HeaderValue::from_static("mi-truncated, mi-next, mi-withheld"));
    }
    response
}

fn marked(mark: &Mark) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if mark.truncated {
        headers.insert(TRUNCATED, HeaderValue::from_static("true"));
    }
    if mark.withheld > 0 {
        headers.insert(WITHHELD, mark.withheld.into());
    }
    // A cursor is base64: nothing that a header could not hold.
    if let Some(next) = mark.next.as_deref().and_then(|next| HeaderValue::try_from(next).ok()) {
        headers.insert(NEXT, next);
    }
    headers
}

impl Writing {
    async fn hold(&mut self, most: Duration) {
        let until = tokio::time::Instant::now() + most;
        while !self.ended && self.chunk.len() < HELD {
            // Waiting for a record and giving up takes nothing from the session: its bytes stay where they were read.
            let Ok(next) = tokio::time::timeout_at(until, self.listing.next()).await else { return };
            self.take(next);
            self.take_ready(HELD);
        }
    }

    async fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        // What was ready before the first poll goes out at once: the caller sees the first record before the last exists.
        if self.chunk.is_empty() {
            if self.ended {
                return self.trailers.take().map(Frame::trailers);
            }
            let next = self.listing.next().await;
            self.take(next);
            self.take_ready(CHUNK);
        }
        Some(Frame::data(std::mem::take(&mut self.chunk).into()))
    }

    fn take_ready(&mut self, most: usize) {
        while !self.ended && self.chunk.len() < most {
            match self.listing.ready() {
                Some(next) => self.take(next),
                None => return,
            }
        }
    }

    fn take(&mut self, next: Result<Option<Record>, m3::Error>) {
        match next {
            Ok(Some(record)) => self.document.record(&record, &mut self.chunk),
            Ok(None) => self.end(None),
            Err(m3::Error::Refused(refusal)) => self.end(Some(&Failure::refused(&refusal))),
            Err(error) => {
                tracing::warn!(request = %self.visit.id, %error, "a list ended before its end");
                self.end(Some(&Failure::cut_short("M3 stopped before the end of the list.".to_owned())));
            }
        }
    }

    fn end(&mut self, failure: Option<&Failure>) {
        self.visit.learnt().outcome = Some(match failure {
            None => "ok",
            Some(failure) if failure.terminated => "cut-short",
            Some(_) => "nok",
        });
        let mark = self.listing.mark().filter(|_| self.streamed);
        self.trailers = mark.as_ref().map(marked);
        // Lines have no head to say it in that a reader of lines would see.
        let told = if self.document.shape().tells_its_end() { self.listing.mark() } else { mark };
        self.document.tail(failure, told.as_ref(), &mut self.chunk);
        self.ended = true;
    }
}
