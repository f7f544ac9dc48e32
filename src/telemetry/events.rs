//! The process's own log: what `tracing` is told, one line an event on standard output.
//!
//! Does not know: the access log, which has a writer of its own.

use crate::model::plain_lines;
use std::io::{self, Write};
use tracing::Metadata;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::{MakeWriter, SubscriberBuilder, fmt};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Json,
    /// For a person at a terminal.
    Text,
}

/// Why the log cannot be set up: the settings' fault, or a second call.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{level:?} is no log level: give error, warn, info, debug, trace, or target=level parts joined by commas")]
    Level { level: String, source: ParseError },
    #[error("the log is set up already")]
    Again,
}

/// Sets up the log of the whole process, once.
pub fn install(level: &str, format: LogFormat) -> Result<(), LogError> {
    install_to(level, format, io::stdout)
}

/// The same to any writer.
pub fn install_to<W>(level: &str, format: LogFormat, writer: W) -> Result<(), LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(level).map_err(|source| LogError::Level { level: level.to_owned(), source })?;
    let builder: SubscriberBuilder<_, _, EnvFilter, W> = fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Json => builder.map_writer(Plain).json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => builder.try_init(),
    }
    .map_err(|_| LogError::Again)
}

/// What JSON leaves as it is and a terminal obeys is told there too.
struct Plain<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Plain<W> {
    type Writer = PlainWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        PlainWriter(self.0.make_writer())
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        PlainWriter(self.0.make_writer_for(meta))
    }
}

struct PlainWriter<W>(W);

impl<W: Write> Write for PlainWriter<W> {
    /// An event is written at once; what should not be text goes on as it is.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(plain_lines(text).as_bytes())?,
            Err(_) => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let writer = kept.clone();
        let builder = fmt().with_writer(move || writer.clone()).map_writer(Plain).json().flatten_event(true);
        let foreign = "a\r\n{\"level\":\"INFO\"}\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2028}\"";
        tracing::subscriber::with_default(builder.finish(), || {
            tracing::error!(%foreign, debugged = ?foreign, "told of {foreign}");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.trim_end().contains(|c: char| c.is_control() || "\u{202e}\u{2028}".contains(c)), "{text:?}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&read["foreign"], &read["level"]), (&foreign.into(), &"ERROR".into()));
    }

    #[test]
    fn a_level_that_is_none_is_named() {
        let error = install("gateway=loudly", LogFormat::Json).unwrap_err();
        assert!(error.to_string().contains("gateway=loudly"), "{error}");
    }
}
