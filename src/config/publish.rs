//! The keys of `[outbox]` and `[publish]`.

use super::keys::{flag, number, seconds, set};
use super::points::{confirmation, logical_id};
use super::reader::Reader;
use crate::bod::{Action, shipped};
use crate::model::{Company, Division, M3User};
use crate::outbox::Settings;
use crate::relay;
use crate::relay::{BodId, Entity, M3S_OWN, Mode, Rule};
use std::path::Path;
use std::time::Duration;

pub(super) fn outbox(reader: &mut Reader, state: &Path) -> Settings {
    let mut outbox = Settings::under(state.join("outbox"));
    set(&mut outbox.required, flag(reader, "outbox.required"));
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    set(&mut outbox.key_lifetime, number::<u64>(reader, "outbox.key_hours", 1..=8_760).map(hours));
    set(&mut outbox.retention, number::<u64>(reader, "outbox.retention_hours", 1..=87_600).map(hours));
    let days = |days: u64| Duration::from_secs(days * 86_400);
    set(&mut outbox.parked, number::<u64>(reader, "outbox.parked_days", 1..=3_650).map(days));
    outbox
}

/// A trial publishes; a real M3 has a publisher already, and somebody has to say that this one is meant.
pub(super) fn publish(reader: &mut Reader, trial: bool) -> relay::Settings {
    let mut publish = if trial { relay::Settings::trial() } else { relay::Settings::default() };
    set(&mut publish.enabled, flag(reader, "publish.enabled"));
    let millis = number::<u64>(reader, "publish.quiet_milliseconds", 0..=600_000);
    set(&mut publish.quiet, millis.map(Duration::from_millis));
    set(&mut publish.most_wait, seconds(reader, "publish.most_wait_seconds", 1..=3_600));
    set(&mut publish.settle_after, seconds(reader, "publish.settle_after_seconds", 0..=86_400));
    set(&mut publish.tries, number(reader, "publish.tries", 1..=1_000));
    let right = "the tenant's name, of letters, digits and _";
    set(&mut publish.tenant, reader.one("publish.tenant", right, word));
    set(
        &mut publish.logical_id,
        reader.one("publish.logical_id", "a logical id, like lid://mi-gateway.m3", logical_id),
    );
    let bod_id = reader.one("publish.bod_id", "uuid or infor-nid", |text| match text {
        "uuid" => Some(BodId::Uuid),
        "infor-nid" => Some(BodId::InforNid),
        _ => None,
    });
    set(&mut publish.bod_id, bod_id);
    set(&mut publish.confirmation, confirmation(reader, "publish.confirmation"));
    publish.user = reader.one("publish.user", "an M3 user of [m3.users]", |text| M3User::parse(text).ok());
    let replaces = flag(reader, "publish.replaces_m3_publisher").unwrap_or(false);
    if publish.logical_id.eq_ignore_ascii_case(M3S_OWN) && !replaces {
        let place = reader.place("publish.logical_id");
        let hint =
            "receivers would drop the documents of one of the two; name another, or say replaces_m3_publisher = true";
        reader.faults.add(place, "publish.logical_id", "is that of M3's own publisher", hint);
    }
    for at in reader.below("publish.documents") {
        let rule = rule(reader, &|name: &str| format!("publish.documents.{at}.{name}"));
        publish.rules.push(rule);
    }
    publish
}

fn word(text: &str) -> Option<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (!text.is_empty() && text.len() <= 22 && text.bytes().all(fits)).then(|| text.to_owned())
}

fn rule(reader: &mut Reader, key: &dyn Fn(&str) -> String) -> Rule {
    let nouns = shipped().unwrap_or_default();
    let names: Vec<String> = nouns
        .iter()
        .flat_map(|mapping| ["Sync", "Process"].map(|verb| format!("{verb}.{}", mapping.noun())))
        .filter(|name| !name.starts_with("Process.") || name == "Process.PurchaseOrder")
        .collect();
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
            [Action::Add, Action::Replace, Action::Change].into_iter().find(|action| action.as_str() == text)
        }),
        entity: reader.one(&key("entity"), "company or division", |text| match text {
            "company" => Some(Entity::Company),
            "division" => Some(Entity::Division),
            _ => None,
        }),
        confirmation: confirmation(reader, &key("confirmation")),
    }
}
