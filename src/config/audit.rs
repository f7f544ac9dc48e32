//! The keys of `[audit]`.

use super::keys::{number, path, set};
use super::reader::Reader;
use crate::audit::{Fields, Required, Settings};
use crate::model::{FieldName, Sensitive};
use std::path::Path;

pub(super) fn audit(reader: &mut Reader, state: &Path, sensitive: &Sensitive) -> Settings {
    let dir = path(reader, "audit.dir").unwrap_or_else(|| state.join("audit"));
    let key = path(reader, "audit.key").unwrap_or_else(|| state.join("audit.key"));
    let mut audit = Settings::under(dir, key);
    let required = reader.one("audit.required", "\"writes\", \"all\" or \"nothing\"", |text| match text {
        "writes" => Some(Required::Writes),
        "all" => Some(Required::All),
        "nothing" => Some(Required::Nothing),
        _ => None,
    });
    set(&mut audit.required, required);
    let fields = reader.one("audit.fields", "\"keys\" or \"all\"", |text| match text {
        "keys" => Some(Fields::Keys),
        "all" => Some(Fields::All),
        _ => None,
    });
    set(&mut audit.fields, fields);
    let hashed = reader.many("audit.hashed", "field names, like CUNM", |text| {
        FieldName::parse(text).ok().map(|name| name.to_string())
    });
    set(&mut audit.hashed, hashed.map(|names| names.into_iter().collect()));
    audit.hashed.extend(sensitive.added().map(|name| name.to_string()));
    set(&mut audit.file_bytes, number::<u64>(reader, "audit.file_mib", 1..=65_536).map(|mib| mib * 1024 * 1024));
    audit.keep.days = number(reader, "audit.keep_days", 1..=36_500);
    audit.keep.bytes = number::<u64>(reader, "audit.keep_mib", 1..=1_073_741_824).map(|mib| mib * 1024 * 1024);
    audit
}
