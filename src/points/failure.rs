//! Why a message did not arrive, and whether another try can help.

use crate::clock::unix_seconds;
use crate::outbound;
use std::time::Duration;

/// What a failure may be held against, as far as the way to the target can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The point: nobody is there, or who sends is not let in. No document can help it.
    Point,
    /// This kind of document, of which the target takes none; others may arrive.
    Kind,
    /// The target was asked and can't at the moment: what it would have said of another document is open.
    Busy,
    /// The target met this document and failed: it may fail with others, or with this one alone.
    Unclear,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// The same message will never be taken: somebody has to look at it.
    pub lasting: bool,
    /// How long the target wants to be left alone.
    pub retry_after: Option<Duration>,
    pub blame: Blame,
    pub reason: String,
}

/// Nobody is believed who wants to be left alone for longer.
const LONGEST: Duration = Duration::from_secs(3_600);
/// Of an answer's text, in a reason.
const SHOWN: usize = 200;

impl Failure {
    pub(super) fn passing(reason: impl Into<String>) -> Self {
        Self { lasting: false, retry_after: None, blame: Blame::Point, reason: reason.into() }
    }

    pub(super) fn lasting(reason: impl Into<String>) -> Self {
        Self { lasting: true, blame: Blame::Unclear, ..Self::passing(reason) }
    }

    pub(super) fn of(mut self, blame: Blame) -> Self {
        self.blame = blame;
        self
    }

    /// By the status of an answer that is not taken as lasting.
    pub(super) fn answered(self, status: u16) -> Self {
        self.of(match status {
            401 | 407 => Blame::Point,
            429 | 502..=504 => Blame::Busy,
            _ => Blame::Unclear,
        })
    }

    pub(super) fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait.map(|wait| wait.min(LONGEST));
        self
    }
}

impl From<outbound::Error> for Failure {
    fn from(error: outbound::Error) -> Self {
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            reason = format!("{reason}: {source}");
            cause = source.source();
        }
        // A URL that may not be asked is a fault of the settings; it was looked at when they were read.
        let blame = match error {
            // It was there, and something of what it was asked with, or of the time, went wrong.
            outbound::Error::TimedOut { .. } | outbound::Error::Broken { .. } => Blame::Busy,
            outbound::Error::Unreachable { ref source, .. } if !source.is_connect() => Blame::Busy,
            outbound::Error::TooLarge { .. } | outbound::Error::Compressed { .. } => Blame::Unclear,
            _ => Blame::Point,
        };
        Self { lasting: false, retry_after: None, blame, reason }
    }
}

/// `Retry-After`: seconds, or a day and a time.
pub(super) fn retry_after(text: Option<&str>) -> Option<Duration> {
    let text = text?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second();
    Some(Duration::from_secs(u64::try_from(until).ok()?.saturating_sub(unix_seconds())))
}

/// The beginning of an answer, on one line, as a reason may show it.
pub(super) fn shown(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(SHOWN).collect();
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_in_seconds_or_as_a_time() {
        assert_eq!(retry_after(Some(" 7 ")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(Some("Sun, 06 Nov 1994 08:49:37 GMT")), Some(Duration::ZERO));
        assert!(retry_after(Some("Fri, 31 Dec 2100 23:59:59 GMT")).is_some_and(|wait| wait > LONGEST));
        assert_eq!(retry_after(Some("soon")), None);
        assert_eq!(Failure::passing("x").after(retry_after(Some("99999999"))).retry_after, Some(LONGEST));
    }

    #[test]
    fn an_answer_is_shown_on_one_line() {
        assert_eq!(shown(b"{\n \"a\": \x1b[31m\xff}"), "{  \"a\":  [31m\u{fffd}}");
        assert_eq!(shown(&[b'x'; 1000]).len(), 200);
    }
}
