//! The access log: one JSON line a request, written beside the request's way and never on it.
//!
//! A line has no query and no token in it, for it has no place for either; control characters come out escaped.
//!
//! Invariant: writing a line never waits. Does not know: who reads it.

use super::Metrics;
use super::out::{Line, Out};
use super::trace::{RequestId, TraceId};
use crate::model::{ClientId, Company, Division, Effect, M3User, Peer, ProgramName, TenantId, TransactionName, plain};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// One request as the log shows it. What was not known when it ended is left out.
#[derive(Debug, Clone, Serialize)]
pub struct AccessLine {
    #[serde(serialize_with = "shown")]
    pub time: Timestamp,
    #[serde(serialize_with = "shown")]
    pub request_id: RequestId,
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    method: String,
    /// The template, never the target: a target has values in it.
    pub route: &'static str,
    pub status: u16,
    #[serde(serialize_with = "milliseconds", rename = "duration_ms")]
    pub duration: Duration,
    /// Of the answer's body.
    pub bytes: u64,
    #[serde(serialize_with = "address")]
    pub peer: Peer,
    pub protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    client: Option<Arc<str>>,
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    issuer: Option<Arc<str>>,
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub program: Option<ProgramName>,
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub transaction: Option<TransactionName>,
    /// Of a bulk call: how many were begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transactions: Option<u32>,
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub company: Option<Company>,
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub division: Option<Division>,
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub m3_user: Option<M3User>,
    /// How the call to M3 ended: `ok`, `nok`, `timeout` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// The code of the problem answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<&'static str>,
}

/// What a caller may put into a line, in characters: a queue of lines must not hold his megabytes.
const MOST_METHOD: usize = 16;
const MOST_USER_AGENT: usize = 256;

impl AccessLine {
    /// A line with what is known when a request comes in; the rest is filled in on its way.
    pub fn new(request_id: RequestId, method: &str, protocol: &'static str, peer: Peer) -> Self {
        Self {
            time: Timestamp::now(),
            request_id,
            trace_id: None,
            method: capped(method, MOST_METHOD),
            route: "",
            status: 0,
            duration: Duration::ZERO,
            bytes: 0,
            peer,
            protocol,
            user_agent: None,
            tenant: None,
            client: None,
            issuer: None,
            program: None,
            transaction: None,
            transactions: None,
            effect: None,
            company: None,
            division: None,
            m3_user: None,
            outcome: None,
            problem: None,
        }
    }

    /// The header's bytes as the caller sent them.
    pub fn user_agent(&mut self, header: &[u8]) {
        self.user_agent = Some(capped(&String::from_utf8_lossy(header), MOST_USER_AGENT));
    }

    pub fn client(&mut self, client: &ClientId) {
        self.client = Some(Arc::clone(&client.id));
        self.issuer = Some(Arc::clone(&client.issuer));
    }

    /// The line as it is written, without its end.
    pub fn to_json(&self) -> String {
        let line = serde_json::to_string(self).unwrap_or_default();
        match plain(&line) {
            Cow::Borrowed(_) => line,
            Cow::Owned(told) => told,
        }
    }
}

fn capped(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

fn shown<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

#[expect(clippy::ref_option, reason = "the shape serde asks for")]
fn shown_if<T: Display, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}

fn milliseconds<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((value.as_secs_f64() * 1e6).round() / 1e3)
}

fn address<S: Serializer>(peer: &Peer, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&peer.address)
}

/// How many lines may wait.
const QUEUE: usize = 8192;

/// The way into the log. Clones share one queue; the thread ends when the last of them is gone.
#[derive(Debug, Clone)]
pub struct AccessLog(Out<Box<AccessLine>>);

impl Line for Box<AccessLine> {
    fn append(self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.to_json().as_bytes());
        to.push(b'\n');
    }
}

impl AccessLog {
    /// To standard output.
    pub fn stdout(metrics: &Metrics) -> io::Result<Self> {
        Self::to(io::stdout(), metrics)
    }

    /// To any writer: a test's own buffer, for one.
    pub fn to(writer: impl Write + Send + 'static, metrics: &Metrics) -> io::Result<Self> {
        Out::new("access-log", writer, QUEUE, metrics.log_lines_dropped.clone()).map(Self)
    }

    pub fn write(&self, line: AccessLine) {
        self.0.write(Box::new(line));
    }

    /// Waits until what was written before is out, or the limit. Blocks: for the end of the process.
    pub fn flush(&self, limit: Duration) -> bool {
        self.0.flush(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line() -> AccessLine {
        AccessLine::new(RequestId::new(), "GET", "HTTP/2.0", Peer::of("[::ffff:10.0.0.7]:5".parse().unwrap()))
    }

    #[test]
    fn a_line_is_one_json_line_whatever_the_caller_sends() {
        let kept = Kept::default();
        let log = AccessLog::to(kept.clone(), &Metrics::new()).unwrap();
        let mut sent = line();
        sent.user_agent(b"curl\r\n{\"status\":200}\x1b[2J\x00\xff\xc2\x9b\xe2\x80\xae\xe2\x80\xa8");
        sent.client(&ClientId { issuer: "https://localhost:8443".into(), id: "demo".into() });
        (sent.route, sent.status) = ("/m3api-rest/v2/execute/{program}/{transaction}", 200);
        sent.program = Some(ProgramName::parse("MMS200MI").unwrap());
        sent.duration = Duration::from_micros(1234);
        log.write(sent);
        assert!(log.flush(Duration::from_secs(5)));
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.trim_end().contains(|c: char| c.is_control()), "{text:?}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(!text.contains(['\u{202e}', '\u{2028}']), "nor directions, nor separators: {text}");
        assert_eq!(read["user_agent"], "curl\r\n{\"status\":200}\u{1b}[2J\0\u{fffd}\u{9b}\u{202e}\u{2028}");
        assert_eq!((&read["client"], &read["program"]), (&"demo".into(), &"MMS200MI".into()));
        assert_eq!((&read["peer"], &read["duration_ms"]), (&"10.0.0.7".into(), &1.234.into()));
        assert_eq!(read.get("company"), None);
    }

    #[test]
    fn a_long_user_agent_is_cut() {
        let mut line = line();
        line.user_agent("ü".repeat(9_000).as_bytes());
        assert_eq!(line.user_agent.map(|text| text.chars().count()), Some(MOST_USER_AGENT));
    }
}
