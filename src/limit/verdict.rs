//! What a limit says of one call, and how the answer tells it (RateLimit and RateLimit-Policy as structured fields).

use super::quota::seconds;
use http::HeaderValue;
use std::fmt::Write as _;
use std::time::Duration;

/// Which limit speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// The client's own.
    Client,
    /// The client's into one program.
    Program,
}

impl Policy {
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Program => "program",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub allowed: bool,
    pub policy: Policy,
    /// The bucket's size.
    pub limit: u32,
    pub remaining: u32,
    /// Seconds until the bucket is full again, if nothing else comes.
    pub reset_seconds: u64,
    /// How long until this call would be allowed; zero if it is.
    pub wait: Duration,
    /// `RateLimit-Policy`, shared by all verdicts of the bucket.
    pub policy_header: HeaderValue,
}

impl Verdict {
    /// `Retry-After` in seconds, at least one; nothing for a call that is allowed.
    pub fn retry_after(&self) -> Option<u64> {
        (!self.allowed).then(|| seconds(self.wait).max(1))
    }

    /// `RateLimit`: `"client";r=9999;t=1`.
    pub fn rate_header(&self) -> HeaderValue {
        // The longest text has 47 characters.
        let mut text = Text { held: [0; 64], len: 0 };
        let fits = write!(text, "\"{}\";r={};t={}", self.policy.name(), self.remaining, self.reset_seconds);
        debug_assert!(fits.is_ok());
        HeaderValue::from_bytes(&text.held[..text.len]).expect("names and digits are header text")
    }

    /// The one to tell when two limits have spoken: a refusal, else the one with less left.
    pub fn tighter(self, other: Self) -> Self {
        match (self.allowed, other.allowed) {
            (true, false) => other,
            (false, true) => self,
            (false, false) => {
                if other.wait > self.wait {
                    other
                } else {
                    self
                }
            }
            (true, true) => {
                if other.remaining < self.remaining {
                    other
                } else {
                    self
                }
            }
        }
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
