//! What the house tells about itself: metrics (all names in one place) and the log.
//!
//! Does not know: who asks for them, or where they are shown.

mod metrics;

pub use metrics::Metrics;
