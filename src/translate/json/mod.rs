//! JSON of others, before it is parsed: how deep it goes, and a long document split into its parts as it arrives.
//!
//! One state machine serves bodies of calls, answers of a REST backend and the depth cap. It does not parse values:
//! a part is handed on as bytes, bounded in length and depth, for serde_json to read.
//! Does not know: where bytes come from, or what the parts mean.

mod nesting;
mod split;

pub use nesting::{TooDeep, within_depth};
pub use split::{Part, SplitFault, SplitLimits, Splitter};

#[cfg(test)]
mod tests;
