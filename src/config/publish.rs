//! The keys of `[outbox]`.

use super::keys::{flag, number, set};
use super::reader::Reader;
use crate::outbox::Settings;
use std::path::Path;
use std::time::Duration;

pub(super) fn outbox(reader: &mut Reader, state: &Path) -> Settings {
    let mut outbox = Settings::under(state.join("outbox"));
    set(&mut outbox.required, flag(reader, "outbox.required"));
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    set(&mut outbox.key_lifetime, number::<u64>(reader, "outbox.key_hours", 1..=8_760).map(hours));
    set(&mut outbox.retention, number::<u64>(reader, "outbox.retention_hours", 1..=87_600).map(hours));
    outbox
}
