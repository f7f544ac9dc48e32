//! The keys of `[outbox]` and `[publish]`.

use super::keys::{flag, number, path, seconds, set};
use super::m3::user_of;
use super::points::{confirmation, logical_id};
use super::reader::Reader;
use super::secret::first_line;
use super::settings::Backend;
use crate::bod::{Action, Mapping, Source, shipped};
use crate::model::{Company, Division};
use crate::outbox::{Seal, Settings};
use crate::relay;
use crate::relay::{BodId, Entity, Location, M3S_OWN, Mode, Rule};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

pub(super) fn outbox(reader: &mut Reader, state: &Path) -> Settings {
    let mut outbox = Settings::under(state.join("outbox"));
    set(&mut outbox.required, flag(reader, "outbox.required"));
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    set(&mut outbox.key_lifetime, number::<u64>(reader, "outbox.key_hours", 1..=8_760).map(hours));
    set(&mut outbox.retention, number::<u64>(reader, "outbox.retention_hours", 1..=87_600).map(hours));
    let days = |days: u64| Duration::from_secs(days * 86_400);
    set(&mut outbox.parked, number::<u64>(reader, "outbox.parked_days", 1..=3_650).map(days));
    set(&mut outbox.entries, number::<u64>(reader, "outbox.entry_days", 1..=3_650).map(days));
    set(&mut outbox.most_bytes, number::<u64>(reader, "outbox.most_mib", 16..=16_777_216).map(|mib| mib * MIB));
    outbox.seal = encryption(reader);
    outbox
}

/// What lies in the outbox is sealed with a secret that lies elsewhere.
fn encryption(reader: &mut Reader) -> Seal {
    const KEY: &str = "outbox.encryption.secret_file";
    let of_file = path(reader, KEY).and_then(|file| first_line(reader, KEY, &file));
    let own = of_file.or(reader.secret("outbox.encryption.secret"));
    let mut former = Vec::new();
    for name in reader.below("outbox.encryption.former") {
        let key = format!("outbox.encryption.former.{name}");
        former.extend(path(reader, &key).and_then(|file| first_line(reader, &key, &file)));
    }
    Seal::new(own.as_ref(), &former).unwrap_or_else(|error| {
        let hint = "make one with `openssl rand -base64 32`, and keep it elsewhere than the outbox and its backups";
        reader.faults.add(reader.place(KEY), "outbox.encryption", format!("has a secret that {error}"), hint);
        Seal::default()
    })
}

/// A trial publishes; a real M3 has a publisher already, and somebody has to say that this one is meant.
pub(super) fn publish(reader: &mut Reader, backend: &Backend) -> relay::Settings {
    let trial = matches!(backend, Backend::Mock { .. });
    let mut publish = if trial { relay::Settings::trial() } else { relay::Settings::default() };
    set(&mut publish.enabled, flag(reader, "publish.enabled"));
    let millis = number::<u64>(reader, "publish.quiet_milliseconds", 0..=600_000);
    set(&mut publish.quiet, millis.map(Duration::from_millis));
    set(&mut publish.most_wait, seconds(reader, "publish.most_wait_seconds", 1..=3_600));
    set(&mut publish.settle_after, seconds(reader, "publish.settle_after_seconds", 0..=86_400));
    set(&mut publish.tries, number(reader, "publish.tries", 1..=1_000));
    set(&mut publish.compare, seconds(reader, "publish.compare_seconds", 1..=86_400));
    let days = number::<u64>(reader, "publish.entry_days", 1..=365);
    set(&mut publish.entries, days.map(|days| Duration::from_secs(days * 86_400)));
    let right = "the tenant's name, of letters, digits and _";
    set(&mut publish.tenant, reader.one("publish.tenant", right, word));
    set(
        &mut publish.logical_id,
        reader.one("publish.logical_id", "a logical id, like lid://mi-gateway.m3", logical_id),
    );
    set(&mut publish.bod_id, bod_id(reader, "publish.bod_id"));
    set(&mut publish.confirmation, confirmation(reader, "publish.confirmation"));
    publish.user = user_of(reader, "publish.user", backend);
    if let Some(folder) = path(reader, "publish.mappings") {
        publish.mappings = Arc::new(mappings(reader, &folder));
    }
    let replaces = flag(reader, "publish.replaces_m3_publisher").unwrap_or(false);
    not_m3s_own(reader, "publish.logical_id", Some(&publish.logical_id), replaces);
    for at in reader.below("publish.documents") {
        let key = |name: &str| format!("publish.documents.{at}.{name}");
        let rule = rule(reader, &publish.mappings, &key);
        not_m3s_own(reader, &key("logical_id"), rule.logical_id.as_deref(), replaces);
        publish.rules.push(rule);
    }
    publish
}

fn bod_id(reader: &mut Reader, key: &str) -> Option<BodId> {
    reader.one(key, "uuid or infor-nid", |text| match text {
        "uuid" => Some(BodId::Uuid),
        "infor-nid" => Some(BodId::InforNid),
        _ => None,
    })
}

fn not_m3s_own(reader: &mut Reader, key: &str, given: Option<&str>, replaces: bool) {
    if given.is_some_and(|id| id.eq_ignore_ascii_case(M3S_OWN)) && !replaces {
        let place = reader.place(key);
        let hint =
            "receivers would drop the documents of one of the two; name another, or say replaces_m3_publisher = true";
        reader.faults.add(place, key, "is that of M3's own publisher", hint);
    }
}

/// The site's mapping files over the shipped ones: what extends a noun's takes its place, and so does what stands for
/// itself.
fn mappings(reader: &mut Reader, folder: &Path) -> Vec<Mapping> {
    const KEY: &str = "publish.mappings";
    let shipped = shipped().unwrap_or_default();
    let mut mappings = shipped.clone();
    let files = std::fs::read_dir(folder).and_then(|entries| {
        let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        paths.map(|paths| paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "toml")))
    });
    let mut files: Vec<PathBuf> = match files {
        Ok(files) => files.collect(),
        Err(error) => {
            let place = reader.place(KEY);
            let message = format!("is {}, which can't be read: {error}", folder.display());
            reader.faults.add(place, KEY, message, "name the folder of the mapping files");
            return mappings;
        }
    };
    files.sort();
    let mut own = BTreeMap::new();
    for file in files {
        let name = file.display().to_string();
        let read = std::fs::read_to_string(&file)
            .map(|text| Mapping::parse_over(&Source { name: name.clone(), text }, &shipped));
        match read {
            Ok(Ok(mapping)) => {
                let noun = mapping.noun().to_owned();
                if let Some(first) = own.insert(noun.clone(), name.clone()) {
                    let message = format!("is of {noun}, and so is {first}: one of the two would say nothing");
                    reader.faults.add(name, "a mapping", message, "put both into one file");
                }
                mappings.retain(|known| *known.noun() != noun);
                mappings.push(mapping);
            }
            Ok(Err(faults)) => {
                for fault in faults {
                    reader.faults.add(fault.spot.to_string(), "a mapping", fault.message, fault.hint);
                }
            }
            Err(error) => reader.faults.add(name, "a mapping", format!("can't be read: {error}"), "make it readable"),
        }
    }
    mappings
}

fn word(text: &str) -> Option<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (!text.is_empty() && text.len() <= 22 && text.bytes().all(fits)).then(|| text.to_owned())
}

/// All that are ever made.
pub(super) fn documents(nouns: &[Mapping]) -> Vec<String> {
    nouns
        .iter()
        .flat_map(|mapping| ["Sync", "Process"].map(|verb| format!("{verb}.{}", mapping.noun())))
        .filter(|name| !name.starts_with("Process.") || name == "Process.PurchaseOrder")
        .collect()
}

fn rule(reader: &mut Reader, nouns: &[Mapping], key: &dyn Fn(&str) -> String) -> Rule {
    let names = documents(nouns);
    let right = format!("one of {}", names.join(", "));
    Rule {
        document: reader.one(&key("document"), &right, |text| names.iter().find(|name| *name == text).cloned()),
        company: reader.one(&key("company"), "a company, like 100", |text| Company::parse(text).ok()),
        division: reader.one(&key("division"), "a division, like AAA", |text| {
            Division::parse(text).ok().map(|division| division.as_str().to_owned())
        }),
        mode: reader.one(&key("mode"), "off, publish or shadow", |text| match text {
            "off" => Some(Mode::Off),
            "publish" => Some(Mode::Publish),
            "shadow" => Some(Mode::Shadow),
            _ => None,
        }),
        action: reader.one(&key("action"), "Add, Replace or Change", |text| {
            Action::parse(text).filter(|action| *action != Action::Delete)
        }),
        entity: reader.one(&key("entity"), "company or division", |text| match text {
            "company" => Some(Entity::Company),
            "division" => Some(Entity::Division),
            _ => None,
        }),
        location: reader.one(&key("location"), "record, none, or fixed: and the location", |text| match text {
            "record" => Some(Location::Record),
            "none" => Some(Location::None),
            other => other.strip_prefix("fixed:").and_then(word).map(Location::Fixed),
        }),
        bod_id: bod_id(reader, &key("bod_id")),
        tenant: reader.one(&key("tenant"), "the tenant's name, of letters, digits and _", word),
        logical_id: reader.one(&key("logical_id"), "a logical id, like lid://mi-gateway.m3", logical_id),
        confirmation: confirmation(reader, &key("confirmation")),
    }
}
