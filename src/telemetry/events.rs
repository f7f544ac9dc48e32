//! The process's own log: what `tracing` is told, one line an event on standard output.
//!
//! Does not know: the access log, which has a queue of its own.

use super::metrics::EVENT_LINES_DROPPED;
use super::out::{Line, Out};
use crate::model::plain_lines;
use std::io::{self, Write};
use std::time::Duration;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::fmt::{MakeWriter, fmt};

/// Why the log cannot be set up: the settings' fault, the machine's, or a second call.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{level:?} is no log level: give error, warn, info, debug, trace, or target=level parts joined by commas")]
    Level { level: String, source: ParseError },
    #[error("the log's thread can't be started: {0}")]
    Thread(#[source] io::Error),
    #[error("the log is set up already")]
    Again,
}

/// How many events may wait to be written.
const QUEUE: usize = 4096;

/// What an event became.
type Told = Box<[u8]>;

impl Line for Told {
    fn append(self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self);
    }
}

/// The log while the process lives.
#[derive(Debug)]
pub struct EventLog(Out<Told>);

impl EventLog {
    /// Waits until what was told before is out, or the limit. Blocks: for the end of the process.
    pub fn flush(&self, limit: Duration) -> bool {
        self.0.flush(limit)
    }
}

/// Sets up the log of the whole process, once.
pub fn install(level: &str) -> Result<EventLog, LogError> {
    let filter = EnvFilter::try_new(level).map_err(|source| LogError::Level { level: level.to_owned(), source })?;
    let out = Out::new("event-log", io::stdout(), QUEUE, EVENT_LINES_DROPPED.clone()).map_err(LogError::Thread)?;
    let builder = fmt().with_env_filter(filter).with_writer(Teller(out.clone())).json().flatten_event(true);
    // Spans are of the level debug: whoever asks for that sees how long each step took, and under which correlation.
    let builder = builder.with_span_list(false).with_span_events(FmtSpan::CLOSE);
    builder.try_init().map_err(|_| LogError::Again)?;
    Ok(EventLog(out))
}

/// What JSON leaves as it is and a terminal obeys is told there too.
struct Teller(Out<Told>);

impl<'a> MakeWriter<'a> for Teller {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Teller {
    /// An event is written at once; what should not be text goes on as it is.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(match std::str::from_utf8(bytes) {
            Ok(text) => plain_lines(text).as_bytes().into(),
            Err(_) => bytes.into(),
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::IntCounter;
    use std::sync::{Arc, Mutex};

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

    #[test]
    fn an_event_is_one_line_that_no_terminal_obeys() {
        let kept = Kept::default();
        let out = Out::new("test", kept.clone(), 8, IntCounter::new("dropped", "of a test").unwrap()).unwrap();
        let builder = fmt().with_writer(Teller(out.clone())).json().flatten_event(true);
        let foreign = "a\r\n{\"level\":\"INFO\"}\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2028}\"";
        tracing::subscriber::with_default(builder.finish(), || {
            tracing::error!(%foreign, debugged = ?foreign, "told of {foreign}");
        });
        assert!(out.flush(Duration::from_secs(5)));
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.trim_end().contains(|c: char| c.is_control() || "\u{202e}\u{2028}".contains(c)), "{text:?}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&read["foreign"], &read["level"]), (&foreign.into(), &"ERROR".into()));
    }

    #[test]
    fn a_level_that_is_none_is_named() {
        let error = install("gateway=loudly").unwrap_err();
        assert!(error.to_string().contains("gateway=loudly"), "{error}");
    }
}
