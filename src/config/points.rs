//! Connection points: where documents go, one [[points]] each.

use super::issuers::authorities;
use super::keys::{flag, needed, number, path, seconds, set};
use super::publish::documents;
use super::reader::Reader;
use super::secret::{MOST_SECRET, first_line, text};
use crate::bod::{Action, ConfirmationCode, Filter, Mask, OnLeave};
use crate::model::{Company, Division};
use crate::outbound::TokenSource;
use crate::points::{
    Answers, DatabaseSettings, FileSettings, HttpSettings, ImsPaths, ImsSettings, Pattern, Settings, Target,
};
use crate::relay;
use secrecy::SecretString;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// In a trial without points of its own: so that whoever starts it sees what is published.
const TRIAL: &str = "bods";
/// A folder answers nothing, whatever documents ask for.
const NOBODY: Answers = Answers { code: Some(ConfirmationCode::OnError), within: Duration::from_secs(3_600) };
const PATTERN: &str = "{verb}{noun}_{document}_{entity}_{variation}.xml";
const KEPT_FILES: usize = 10_000;
const KEPT_MIB: u64 = 256;
const MIB: usize = 1024 * 1024;
/// What ION's own limits allow.
const ION_BYTES: usize = 5_000_000;

pub(super) fn points(reader: &mut Reader, state: &Path, trial: bool, publish: &relay::Settings) -> Vec<Settings> {
    let documents = documents(&publish.mappings);
    let mut points = Vec::new();
    let mut names = BTreeSet::new();
    for at in reader.below("points") {
        let key = |name: &str| format!("points.{at}.{name}");
        let name = name(reader, &key("name"));
        let target = target(reader, &key);
        let filter = filter(reader, &key, &documents);
        let mask = mask(reader, &key("mask"));
        let has_tenant = !publish.tenant.is_empty() || publish.rules.iter().any(|rule| rule.tenant.is_some());
        if matches!(target, Some(Target::Database(_))) && !has_tenant {
            let (place, key) = (reader.place(&key("kind")), key("kind"));
            let hint = "give publish.tenant: ION takes no message without its tenant";
            reader.faults.add(place, key, "is database, and documents have no tenant", hint);
        }
        let usual = if matches!(target, Some(Target::Ims(_))) { ION_BYTES } else { 64 * MIB };
        let most_bytes = number(reader, &key("most_bytes"), 1_024..=1_073_741_824).unwrap_or(usual);
        let right = "a logical id, like lid://infor.wms.north";
        let receiver = reader.one(&key("receiver"), right, logical_id);
        let mut answers = Answers { code: confirmation(reader, &key("confirmation")), ..Answers::default() };
        set(&mut answers.within, seconds(reader, &key("answer_seconds"), 1..=2_592_000));
        if let Some(name) = name.as_ref().filter(|name| !names.insert(name.to_ascii_lowercase())) {
            let place = reader.place(&key("name"));
            reader.faults.add(place, key("name"), format!("{name} is the name of another point"), "name each once");
        }
        if let (Some(name), Some(target)) = (name, target) {
            points.push(Settings { name, filter, mask, most_bytes, receiver, answers, target });
        }
    }
    if points.is_empty() && trial {
        let file = FileSettings {
            folder: state.join(TRIAL),
            pattern: Pattern::parse(PATTERN).expect("the usual pattern is one"),
            keep: Some((KEPT_FILES, KEPT_MIB * MIB as u64)),
        };
        let (name, filter, target) = (TRIAL.to_owned(), Filter::default(), Target::File(file));
        let (mask, most_bytes) = (Mask::default(), 64 * MIB);
        points.push(Settings { name, filter, mask, most_bytes, receiver: None, answers: NOBODY, target });
    }
    points
}

fn name(reader: &mut Reader, key: &str) -> Option<String> {
    let given = needed(reader, key, "a name of letters, digits, _ and -")?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if given.len() <= 40 && given.bytes().all(fits) {
        return Some(given);
    }
    let place = reader.place(key);
    reader.faults.add(place, key, "can't be a name", "write at most 40 letters, digits, _ and -");
    None
}

pub(super) fn confirmation(reader: &mut Reader, key: &str) -> Option<ConfirmationCode> {
    reader.one(key, "Always, OnError or Never", ConfirmationCode::parse)
}

pub(super) fn logical_id(text: &str) -> Option<String> {
    let rest = text.strip_prefix("lid://")?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
    (!rest.is_empty() && text.len() <= 250 && rest.bytes().all(fits)).then(|| text.to_owned())
}

fn target(reader: &mut Reader, key: &dyn Fn(&str) -> String) -> Option<Target> {
    const KINDS: &str = "file, http, ims or database";
    needed(reader, &key("kind"), KINDS);
    let kind = reader.one(&key("kind"), KINDS, |text| {
        ["file", "http", "ims", "database"].contains(&text).then(|| text.to_owned())
    })?;
    match kind.as_str() {
        "file" => file(reader, key).map(Target::File),
        "http" => http(reader, key).map(Target::Http),
        "ims" => ims(reader, key).map(|ims| Target::Ims(Box::new(ims))),
        _ => database(reader, key).map(Target::Database),
    }
}

fn file(reader: &mut Reader, key: &dyn Fn(&str) -> String) -> Option<FileSettings> {
    let folder: Option<PathBuf> =
        needed(reader, &key("folder"), "the folder that documents are put into").map(Into::into);
    let pattern = reader.one(&key("pattern"), "a name with keywords", |text| Some(text.to_owned()));
    let pattern = Pattern::parse(pattern.as_deref().unwrap_or(PATTERN)).map_err(|why| {
        let place = reader.place(&key("pattern"));
        reader.faults.add(place, key("pattern"), "is no name of a file", why.to_string());
    });
    let files = number(reader, &key("keep_files"), 1..=10_000_000);
    let mib = number::<u64>(reader, &key("keep_mib"), 1..=1_048_576);
    let keep = (files.is_some() || mib.is_some())
        .then(|| (files.unwrap_or(usize::MAX), mib.map_or(u64::MAX, |mib| mib * MIB as u64)));
    Some(FileSettings { folder: folder?, pattern: pattern.ok()?, keep })
}

fn http(reader: &mut Reader, key: &dyn Fn(&str) -> String) -> Option<HttpSettings> {
    let url = url(reader, &key("url"), "the https URL that documents are posted to");
    let given = needed_file(reader, &key("secret_file"), "the file with what deliveries are signed with");
    let secret = given.and_then(|file| first_line(reader, &key("secret_file"), &file));
    let (timeout, allow_private, roots) = way(reader, key);
    Some(HttpSettings { url: url?, secret: secret?, timeout, allow_private, roots })
}

fn ims(reader: &mut Reader, key: &dyn Fn(&str) -> String) -> Option<ImsSettings> {
    let url = url(reader, &key("url"), "the service's https URL, up to /messaging/service");
    let mut paths = ImsPaths::V3;
    let given = reader.one(&key("version"), "v3, v3-direct or v2", |text| match text {
        "v3" => Some(ImsPaths::V3),
        "v3-direct" => Some(ImsPaths::V3Direct),
        "v2" => Some(ImsPaths::V2),
        _ => None,
    });
    set(&mut paths, given);
    let account = path(reader, &key("account_file")).and_then(|file| ionapi(reader, &key("account_file"), &file));
    let tenant = needed(reader, &key("tenant"), "the tenant that documents are sent for");
    let (timeout, allow_private, roots) = way(reader, key);
    Some(ImsSettings { url: url?, paths, account, tenant: tenant?, timeout, allow_private, roots })
}

fn database(reader: &mut Reader, key: &dyn Fn(&str) -> String) -> Option<DatabaseSettings> {
    let given =
        needed_file(reader, &key("url_file"), "the file with the database's URL, postgres://user:password@host/name");
    let url = given.and_then(|file| first_line(reader, &key("url_file"), &file));
    let connections = number(reader, &key("connections"), 1..=100).unwrap_or(4);
    let priority = number(reader, &key("priority"), 0..=9).unwrap_or(4);
    let timeout = seconds(reader, &key("timeout_seconds"), 1..=300).unwrap_or(TIMEOUT);
    let accepted = reader.one(&key("plaintext"), "accepted", |text| (text == "accepted").then_some(true));
    let settings = DatabaseSettings { url: url?, connections, timeout, priority };
    if settings.is_exposed() && accepted.is_none() {
        let (place, key) = (reader.place(&key("url_file")), key("url_file"));
        let hint = "end the URL with ?sslmode=verify-full (and &sslrootcert=FILE for an authority of your own), or say \
            plaintext = \"accepted\"";
        reader.faults.add(
            place,
            key,
            "names a server that need not prove who it is, over a network that may read along",
            hint,
        );
    }
    Some(settings)
}

const TIMEOUT: Duration = Duration::from_secs(30);

type Way = (Duration, bool, Vec<rustls_pki_types::CertificateDer<'static>>);

fn way(reader: &mut Reader, key: &dyn Fn(&str) -> String) -> Way {
    let timeout = seconds(reader, &key("timeout_seconds"), 1..=300).unwrap_or(TIMEOUT);
    let allow_private = flag(reader, &key("allow_private")).unwrap_or(false);
    (timeout, allow_private, authorities(reader, &key("ca")))
}

fn url(reader: &mut Reader, key: &str, what: &str) -> Option<String> {
    needed(reader, key, what);
    reader.one(key, what, |text| {
        let uri: http::Uri = text.parse().ok()?;
        let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        (plain && matches!(uri.scheme_str(), Some("https" | "http"))).then(|| text.to_owned())
    })
}

fn needed_file(reader: &mut Reader, key: &str, what: &str) -> Option<PathBuf> {
    if !reader.has(key) {
        reader.faults.add("settings", key, "is missing", format!("give {what}"));
    }
    path(reader, key)
}

/// Read here, so that a file of another kind is a fault with its place.
fn ionapi(reader: &mut Reader, key: &str, file: &Path) -> Option<SecretString> {
    let text = text(reader, key, file, MOST_SECRET)?;
    match TokenSource::ionapi(&text) {
        Ok(_) => Some(text),
        Err(_) => {
            let place = reader.place(key);
            reader.faults.add(place, key, "is no .ionapi file", "download one for a backend service from ION API");
            None
        }
    }
}

fn on_leave(reader: &mut Reader, key: &str) -> Option<OnLeave> {
    reader.one(key, "nothing, send-once or delete", |text| match text {
        "nothing" => Some(OnLeave::Nothing),
        "send-once" => Some(OnLeave::SendOnce),
        "delete" => Some(OnLeave::Delete),
        _ => None,
    })
}

/// A place that could not be masked would be shown to a receiver that must not see it.
fn mask(reader: &mut Reader, key: &str) -> Mask {
    let places = reader.many(key, "elements", |text| Some(text.to_owned())).unwrap_or_default();
    let mut mask = Mask::default();
    for text in places {
        match mask.clone().with(&text) {
            Ok(with) => mask = with,
            Err(why) => {
                let place = reader.place(key);
                reader.faults.add(place, key, format!("{text:?} can't be masked"), why.to_string());
            }
        }
    }
    mask
}

/// A word that no document has would keep all of them away, and nobody would hear of it.
fn filter(reader: &mut Reader, key: &dyn Fn(&str) -> String, documents: &[String]) -> Filter {
    let text = |text: &str| Some(text.to_owned());
    let all = ["Sync.*", "Process.*"].map(str::to_owned);
    let known = |text: &str| all.iter().chain(documents).find(|name| *name == text).cloned();
    let company = |text: &str| Company::parse(text).ok().map(|company| company.to_string());
    let division = |text: &str| Division::parse(text).ok().map(|division| division.as_str().to_owned());
    let action = |text: &str| Action::parse(text).map(|action| action.as_str().to_owned());
    let mut list = |name: &str, right: &str, parse: &dyn Fn(&str) -> Option<String>| {
        reader.many(&key(name), right, parse).unwrap_or_default()
    };
    let mut filter = Filter::default();
    let right = format!("documents: Sync.*, Process.*, {}", documents.join(", "));
    filter.documents = list("documents", &right, &known);
    filter.companies = list("companies", "companies, like 100", &company);
    filter.divisions = list("divisions", "divisions, like AAA", &division);
    filter.entities = list("entities", "accounting entities, like 100 or 100_AAA", &text);
    filter.locations = list("locations", "locations", &text);
    filter.actions = list("actions", "Add, Replace, Change or Delete", &action);
    let conditions = list("where", "conditions", &text);
    set(&mut filter.on_leave, on_leave(reader, &key("on_leave")));
    for condition in conditions {
        match filter.clone().with(&condition) {
            Ok(with) => filter = with,
            Err(why) => {
                let place = reader.place(&key("where"));
                reader.faults.add(place, key("where"), format!("{condition:?} is no condition"), why.to_string());
            }
        }
    }
    filter
}
