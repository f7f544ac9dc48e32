//! Bounds that more than one floor leans on.

/// The widest field that a layout may hold, in the session's units; M3's own widest reply is below 4,096.
pub const MAX_FIELD_UNITS: usize = 8_192;
