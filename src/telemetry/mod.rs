//! What the house tells about itself: metrics (all names in one place) and the log.
//!
//! Does not know: who asks for them, or where they are shown.

mod events;
mod log;
mod metrics;
mod out;
mod trace;

pub use events::{EventLog, LogError, install};
pub use log::{AccessLine, AccessLog};
pub use metrics::Metrics;
pub use trace::{BadTraceparent, RequestId, SpanId, TraceContext, TraceId};
