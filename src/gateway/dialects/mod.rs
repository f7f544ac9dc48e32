//! The dialects of the REST contract: how a call is asked for and how its answer is written.

pub(super) mod answer;
pub(super) mod bulk;
pub(super) mod execute;
pub(super) mod shelf;
pub(super) mod surface;
