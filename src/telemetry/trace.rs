//! Who a request is in the logs of others: W3C trace context, and the request's own id.
//!
//! `traceparent` is read strictly; what is not exactly right counts as absent and a new trace begins.
//! Does not know: headers' places, or where spans are sent.

use std::fmt;
use uuid::Uuid;

/// The id of one request: sorts by time, made here, never taken from a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(Uuid);

impl RequestId {
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0.as_hyphenated(), f)
    }
}

/// Sixteen bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// Eight bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// A request's place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    pub trace: TraceId,
    /// The caller's span on the way in, ours on the way out.
    pub span: SpanId,
    pub is_sampled: bool,
}

/// Why a `traceparent` counts as absent. The caller's fault, and not worth refusing a request for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTraceparent {
    #[error("not of the form 00-<32 hex>-<16 hex>-<2 hex>")]
    Form,
    #[error("version ff is none")]
    Version,
    #[error("an id of zeros only")]
    Zero,
}

impl TraceContext {
    /// A new trace that begins here.
    pub fn begin() -> Self {
        Self { trace: TraceId::new(), span: SpanId::new(), is_sampled: false }
    }

    /// The next step of the same trace, with a span of our own.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: SpanId::new(), ..self }
    }

    /// Reads the header's bytes. A later version may carry more after the four parts, version 00 may not.
    pub fn parse(header: &[u8]) -> Result<Self, BadTraceparent> {
        let (head, rest) = header.split_at_checked(55).ok_or(BadTraceparent::Form)?;
        if [2, 35, 52].iter().any(|&at| head[at] != b'-') {
            return Err(BadTraceparent::Form);
        }
        let [version] = hex(&head[..2])?;
        let (trace, span, [flags]) = (hex(&head[3..35])?, hex(&head[36..52])?, hex(&head[53..])?);
        match (version, rest) {
            (0xff, _) => return Err(BadTraceparent::Version),
            (0, []) | (1.., [] | [b'-', ..]) => {}
            _ => return Err(BadTraceparent::Form),
        }
        if trace == [0; 16] || span == [0; 8] {
            return Err(BadTraceparent::Zero);
        }
        Ok(Self { trace: TraceId(trace), span: SpanId(span), is_sampled: flags & 1 == 1 })
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.is_sampled))
    }
}

impl TraceId {
    fn new() -> Self {
        // The version bits of a UUID keep it from being zero.
        Self(Uuid::new_v4().into_bytes())
    }
}

impl SpanId {
    fn new() -> Self {
        let [.., a, b, c, d, e, f, g, h] = Uuid::new_v4().into_bytes();
        // The variant bits in the first of these keep it from being zero.
        Self([a, b, c, d, e, f, g, h])
    }
}

/// Lower-case digits only, as the standard has it.
fn hex<const N: usize>(text: &[u8]) -> Result<[u8; N], BadTraceparent> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(BadTraceparent::Form),
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}

macro_rules! shown_as_hex {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

shown_as_hex!(TraceId);
shown_as_hex!(SpanId);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_standards_own_example_reads_and_writes_the_same() {
        let context = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert!(context.is_sampled);
        assert_eq!(context.to_string(), GOOD);
    }

    #[test]
    fn what_is_not_exactly_right_is_refused() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let zero_span = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16));
        for text in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replace("00-4", "ff-4"),
            &format!("{GOOD}-more"),
            &format!("{GOOD} "),
            &GOOD.replace('-', "_"),
            &GOOD.replace("4bf9", "4bg9"),
            &zero_trace,
            &zero_span,
            &format!("cc{}x", &GOOD[2..]),
        ] {
            assert!(TraceContext::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        let later = format!("cc{}-what-the-future-will-be-like", &GOOD[2..]);
        assert_eq!(TraceContext::parse(later.as_bytes()), TraceContext::parse(GOOD.as_bytes()));
    }

    #[test]
    fn a_child_stays_in_its_trace_with_a_span_of_its_own() {
        let parent = TraceContext::parse(GOOD.as_bytes()).unwrap();
        let child = parent.child();
        assert_eq!((child.trace, child.is_sampled), (parent.trace, parent.is_sampled));
        assert_ne!(child.span, parent.span);
        assert_eq!(TraceContext::parse(child.to_string().as_bytes()), Ok(child));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it_and_what_it_accepts_it_can_say_again(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(context) = TraceContext::parse(&bytes) {
                prop_assert_eq!(TraceContext::parse(context.to_string().as_bytes()), Ok(context));
            }
        }
    }
}
