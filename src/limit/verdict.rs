//! What a limit says of one call, and how the answer tells it (RateLimit and RateLimit-Policy as structured fields).

use super::quota::seconds;
use http::HeaderValue;
use std::fmt::Write as _;
use std::time::Duration;

/// As the folder of policies calls the file of the limits.
pub(super) const FILE: &str = "limits.toml";

/// Which limit speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// The client's own.
    Client,
    /// The client's into one program.
    Program,
    Transaction,
    /// The client's calls that read, or that write, or that query any table.
    Effect,
    Daily,
    Monthly,
    /// Calls in flight.
    Concurrent,
}

impl Policy {
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Program => "program",
            Self::Transaction => "transaction",
            Self::Effect => "effect",
            Self::Daily => "daily",
            Self::Monthly => "monthly",
            Self::Concurrent => "concurrent",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub allowed: bool,
    pub policy: Policy,
    /// Of the table in the file of limits that says so.
    pub line: u32,
    /// The bucket's size.
    pub limit: u32,
    pub remaining: u32,
    /// What the call costs here.
    pub weight: u32,
    /// Seconds until the bucket is full again, if nothing else comes.
    pub reset_seconds: u64,
    /// How long until this call would be allowed; zero if it is, and if nobody can know.
    pub wait: Duration,
    /// `RateLimit-Policy`, shared by all verdicts of the bucket.
    pub policy_header: HeaderValue,
}

impl Verdict {
    pub(super) fn on(self, line: u32) -> Self {
        Self { line, ..self }
    }

    /// Where the table stands that says so: `limits.toml:12`.
    pub fn place(&self) -> String {
        format!("{FILE}:{}", self.line)
    }

    /// When to come back; nothing for a call that is allowed, and for one that waits for others to end.
    pub fn wait(&self) -> Option<Duration> {
        (!self.allowed && self.policy != Policy::Concurrent).then_some(self.wait)
    }

    /// `Retry-After` in seconds, at least one.
    pub fn retry_after(&self) -> Option<u64> {
        self.wait().map(|wait| seconds(wait).max(1))
    }

    /// `RateLimit`: `"client";r=9999;t=1`. When a call in flight ends nobody knows.
    pub fn rate_header(&self) -> HeaderValue {
        // The longest text has 52 characters.
        let mut text = Text { held: [0; 64], len: 0 };
        let (name, left, reset) = (self.policy.name(), self.remaining, self.reset_seconds);
        let fits = match self.policy {
            Policy::Concurrent => write!(text, "\"{name}\";r={left}"),
            _ => write!(text, "\"{name}\";r={left};t={reset}"),
        };
        debug_assert!(fits.is_ok());
        HeaderValue::from_bytes(&text.held[..text.len]).expect("names and digits are header text")
    }

    /// How many more calls like this one it lets through.
    fn left(&self) -> u32 {
        self.remaining / self.weight.max(1)
    }

    /// The one to tell when two limits have spoken: a refusal, and of two the longer; else the one that fewer more such
    /// calls would meet, and of two alike the one that lasts.
    pub fn tighter(self, other: Self) -> Self {
        let others = match (self.allowed, other.allowed) {
            (true, false) => true,
            (false, true) => false,
            (false, false) => other.wait > self.wait,
            (true, true) => {
                (other.left(), std::cmp::Reverse(other.reset_seconds))
                    < (self.left(), std::cmp::Reverse(self.reset_seconds))
            }
        };
        if others { other } else { self }
    }
}

/// A little text on the stack.
struct Text {
    held: [u8; 64],
    len: usize,
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let end = self.len + part.len();
        self.held.get_mut(self.len..end).ok_or(std::fmt::Error)?.copy_from_slice(part.as_bytes());
        self.len = end;
        Ok(())
    }
}
