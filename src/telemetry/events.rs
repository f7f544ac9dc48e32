//! The process's own log: what `tracing` is told, one line an event on standard output.
//!
//! Does not know: the access log, which has a writer of its own.

use std::io;
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
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => builder.try_init(),
    }
    .map_err(|_| LogError::Again)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_named() {
        let error = install("gateway=loudly", LogFormat::Json).unwrap_err();
        assert!(error.to_string().contains("gateway=loudly"), "{error}");
    }
}
