//! M3's answer over REST, a record at a time while the document arrives.

use super::super::error::Error;
use super::super::pool::Lease;
use super::super::settings::{RestSettings, RestVersion};
use super::answer::{Found, Reader};
use super::image;
use crate::model::{Call, Effect, Record, Refusal, TransactionLayout, TransactionName};
use crate::telemetry::Metrics;
use futures_util::FutureExt;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prometheus::IntCounter;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Whoever drops it before its end closes what it came over.
#[derive(Debug)]
pub(in crate::m3) struct Reply {
    body: Option<(Document, Lease<()>)>,
    layout: Arc<TransactionLayout>,
    /// Read and not given out yet.
    held: VecDeque<Record>,
    /// Nothing was given out yet, and nothing was changed: a call that may be made again.
    repeatable: bool,
    reported: bool,
    records: IntCounter,
}

/// One document on its way.
#[derive(Debug)]
struct Document {
    body: Incoming,
    reader: Reader,
    status: StatusCode,
    patience: Duration,
    /// Bytes in which something has to be found.
    most: usize,
    /// What came is none of M3's from here on.
    broken: bool,
}

impl Document {
    fn new(response: Response<Incoming>, rest: &RestSettings, patience: Duration) -> Self {
        let status = response.status();
        let reader = Reader::new(rest.version == RestVersion::V2, rest.max_value);
        // One frame of HTTP/2 may end a value and hold most of the next.
        let most = rest.max_value.saturating_mul(4);
        Self { body: response.into_body(), reader, status, patience, most, broken: false }
    }

    /// A status that speaks for itself. 400 is v2's way to say no, with the reason in its document.
    fn refusal(&self) -> Option<Error> {
        let lost = |what: String| Error::Lost { sent: true, source: Arc::new(io::Error::other(what)) };
        match self.status.as_u16() {
            200 | 400 => None,
            405 | 406 | 413 | 414 | 415 | 431 => {
                Some(Error::Protocol { sent: false, what: "m3api-rest did not take the request" })
            }
            404 => Some(Error::Protocol { sent: false, what: "there is no m3api-rest at m3.url" }),
            // Sent away at the door.
            429 => Some(Error::Busy { waited: Duration::ZERO }),
            _ => Some(lost(format!("m3api-rest answered HTTP {}", self.status))),
        }
    }

    /// A 400 is a refusal whatever else it holds: nothing was done.
    async fn next(&mut self) -> Result<Found, Error> {
        loop {
            let found = self.read_on().await;
            if self.status != StatusCode::BAD_REQUEST {
                return found;
            }
            match found {
                Ok(Found::Record(_)) => {}
                Ok(Found::Refused(refusal)) => return Ok(Found::Refused(refusal)),
                Ok(Found::End | Found::Terminated(_)) | Err(_) => return Err(self.incomprehensible()),
            }
        }
    }

    /// One deadline for whatever is found next, however many bytes drip by until then.
    async fn read_on(&mut self) -> Result<Found, Error> {
        let deadline = tokio::time::Instant::now() + self.patience;
        // What comes without ever being something is no answer of M3's, however patiently it comes.
        let mut left = self.most;
        loop {
            if let Some(found) = self.reader.found() {
                return Ok(found);
            }
            if self.broken {
                return Err(self.incomprehensible());
            }
            let frame = match tokio::time::timeout_at(deadline, self.body.frame()).await {
                Ok(frame) => frame,
                Err(_) => return Err(Error::TimedOut { sent: true, waited: self.patience }),
            };
            let data = match frame {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Err(Error::Lost { sent: true, source: Arc::new(io::Error::other(error)) }),
                None => return Err(self.cut_off()),
            };
            let Some(fewer) = left.checked_sub(data.len()) else { return Err(self.incomprehensible()) };
            left = fewer;
            if let Err(fault) = self.reader.feed(&data) {
                tracing::debug!(%fault, "an answer of m3api-rest");
                // What was whole before it is given out first, and nothing after it.
                self.broken = true;
            }
        }
    }

    fn ready(&mut self) -> Option<Found> {
        if self.status == StatusCode::OK { self.reader.found() } else { None }
    }

    fn cut_off(&self) -> Error {
        Error::Lost { sent: true, source: Arc::new(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// A 400 is a refusal whatever it looks like: nothing was done.
    fn incomprehensible(&self) -> Error {
        if self.status == StatusCode::BAD_REQUEST {
            let message = "M3's REST layer refused the call without a reason (HTTP 400)".to_owned();
            return Error::Refused(Refusal { message, id: String::new(), field: None });
        }
        Error::Protocol { sent: true, what: "an answer that is not m3api-rest's" }
    }

    /// The end was read; so is the body's, where it is here already, and the connection serves another call.
    fn finish(mut self) {
        let _ = self.body.frame().now_or_never();
    }
}

/// The first record of an answer that has one, by name; for the gateway's own questions.
pub(super) async fn only_record(
    response: Response<Incoming>,
    rest: &RestSettings,
    patience: Duration,
) -> Result<Vec<(String, String)>, Error> {
    let mut document = Document::new(response, rest, patience);
    if let Some(error) = document.refusal() {
        return Err(error.before_the_call());
    }
    let mut record = None;
    loop {
        match document.next().await.map_err(Error::before_the_call)? {
            Found::Record(found) => {
                record.get_or_insert(found);
            }
            Found::End => {
                document.finish();
                return record
                    .ok_or(Error::Protocol { sent: false, what: "a question of the gateway's was not answered" });
            }
            Found::Refused(refusal) => {
                let question = TransactionName::parse("GetUserInfo").expect("a name of this file");
                return Err(Error::Unprepared { question, refusal });
            }
            Found::Terminated(_) => return Err(Error::Protocol { sent: false, what: TERMINATED }),
        }
    }
}

const TERMINATED: &str = "M3's REST layer ended the run";

impl Reply {
    pub(super) fn new(
        response: Response<Incoming>,
        lease: Lease<()>,
        call: &Call,
        rest: &RestSettings,
        metrics: &Metrics,
    ) -> Self {
        let document = Document::new(response, rest, call.patience);
        let records = metrics.m3_records.with_label_values(&[call.layout.program.as_str()]);
        Self {
            body: Some((document, lease)),
            layout: call.layout.clone(),
            held: VecDeque::new(),
            repeatable: call.effect == Effect::Read,
            reported: true,
            records,
        }
    }

    /// Takes M3's first word: NOK is an error. A record is none where a single one is the answer, for a refusal may stand
    /// behind it, and an answer that breaks off behind it leaves a write unknown.
    pub(super) async fn begin(mut self) -> Result<Self, Error> {
        if let Some(error) = self.body.as_ref().and_then(|(document, _)| document.refusal()) {
            return Err(error);
        }
        let most = if self.layout.multi { 1 } else { 2 };
        while self.held.len() < most
            && let Some(record) = self.read_on().await?
        {
            self.held.push_back(record);
        }
        Ok(self)
    }

    pub(super) fn unreported(self) -> Self {
        Self { reported: false, ..self }
    }

    pub(in crate::m3) fn outcome_reported(&self) -> bool {
        self.reported
    }

    pub(in crate::m3) async fn next(&mut self) -> Result<Option<Record>, Error> {
        match self.held.pop_front() {
            Some(record) => Ok(Some(record)),
            None => self.read_on().await,
        }
    }

    pub(in crate::m3) fn ready(&mut self) -> Option<Result<Option<Record>, Error>> {
        if let Some(record) = self.held.pop_front() {
            return Some(Ok(Some(record)));
        }
        let Some((document, _)) = &mut self.body else { return Some(Ok(None)) };
        let found = document.ready()?;
        Some(self.take(Ok(found)))
    }

    async fn read_on(&mut self) -> Result<Option<Record>, Error> {
        let Some((document, _)) = &mut self.body else { return Ok(None) };
        let found = document.next().await;
        self.take(found)
    }

    fn take(&mut self, found: Result<Found, Error>) -> Result<Option<Record>, Error> {
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                self.body = None;
                return Err(error);
            }
        };
        match found {
            Found::Record(values) => {
                self.records.inc();
                let repeatable = std::mem::take(&mut self.repeatable);
                let record = image::record(&self.layout, &values);
                if record.is_some() {
                    return Ok(record);
                }
                // A value longer than its field: M3 has another layout by now.
                self.body = None;
                Err(if repeatable {
                    Error::LayoutChanged { program: self.layout.program, transaction: self.layout.name }
                } else {
                    Error::Protocol { sent: true, what: "a value longer than its field: the layout is old" }
                })
            }
            Found::End => {
                self.end();
                Ok(None)
            }
            Found::Refused(refusal) => {
                self.end();
                Err(Error::Refused(refusal))
            }
            Found::Terminated(why) => {
                self.body = None;
                tracing::warn!(%why, "m3api-rest ended a run");
                Err(Error::Protocol { sent: true, what: TERMINATED })
            }
        }
    }

    fn end(&mut self) {
        if let Some((document, _lease)) = self.body.take() {
            document.finish();
        }
    }
}
