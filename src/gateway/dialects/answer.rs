//! The body of an answer: records flow from the session to the response, a chunk at a time, never a whole list.

use super::super::body::{Body, Fault, full};
use super::super::flow::Flow;
use super::super::visit::Visit;
use crate::m3;
use crate::model::Record;
use crate::translate::{Document, Failure};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::sync::Arc;

/// A chunk is sent when it is this large, or when the next record is not here yet.
const CHUNK: usize = 16 * 1024;

struct Writing {
    document: Document,
    flow: Flow,
    chunk: Vec<u8>,
    ended: bool,
    visit: Arc<Visit>,
}

/// Writes what is here already; an answer that is whole by then has a length, any other is streamed.
pub(in crate::gateway) fn body(document: Document, flow: Flow, visit: Arc<Visit>) -> Body {
    let mut chunk = Vec::with_capacity(1024);
    document.head(&mut chunk);
    let mut writing = Writing { document, flow, chunk, ended: false, visit };
    writing.take_ready();
    if writing.ended {
        return full(writing.chunk);
    }
    let stream = futures_util::stream::unfold(writing, |mut writing| async move {
        let chunk = writing.next_chunk().await?;
        Some((Ok::<_, Fault>(Frame::data(chunk)), writing))
    });
    StreamBody::new(stream).boxed_unsync()
}

impl Writing {
    async fn next_chunk(&mut self) -> Option<Bytes> {
        // What was ready before the first poll goes out at once: the caller sees the first record before the last exists.
        if self.chunk.is_empty() {
            if self.ended {
                return None;
            }
            let next = self.flow.next().await;
            self.take(next);
            self.take_ready();
        }
        Some(std::mem::take(&mut self.chunk).into())
    }

    fn take_ready(&mut self) {
        while !self.ended && self.chunk.len() < CHUNK {
            match self.flow.ready() {
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
                self.end(Some(&Failure::cut_short(format!("M3 stopped before the end of the list: {error}"))));
            }
        }
    }

    fn end(&mut self, failure: Option<&Failure>) {
        self.visit.learnt().outcome = Some(match failure {
            None => "ok",
            Some(failure) if failure.terminated => "cut-short",
            Some(_) => "nok",
        });
        self.document.tail(failure, &mut self.chunk);
        self.ended = true;
    }
}
