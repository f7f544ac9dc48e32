//! The integration tests: one binary, a file per promise.

mod floors;
mod scan;
