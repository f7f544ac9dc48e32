//! The keys of the way to M3, with the files that hold passwords and authorities.

use super::keys::{number, path, seconds, set};
use super::reader::Reader;
use super::secret::{MOST_SECRET, line_of, private_key, text};
use super::settings::Backend;
use crate::model::{Charset, M3User};
use crate::{m3, mock_m3};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::path::Path;

const MOST_PEM: u64 = 1_048_576;

pub(super) fn m3(reader: &mut Reader) -> (Backend, BTreeMap<String, M3User>) {
    let kind = reader.one("m3.backend", "mock, socket or rest", |text| match text {
        "mock" => Some(Kind::Mock),
        "socket" => Some(Kind::Socket),
        "rest" => Some(Kind::Rest),
        _ => None,
    });
    let kind = kind.unwrap_or(Kind::Mock);
    let group_users = group_users(reader);
    let given = given(reader, kind);
    let rest = rest(reader);
    let backend = match kind {
        Kind::Mock => {
            not_for_a_mock(reader, &given);
            mock(given)
        }
        Kind::Socket => socket(reader, given),
        Kind::Rest => over_rest(reader, given, rest),
    };
    let group_users = match (&backend, group_users.is_empty()) {
        // The groups of the shipped policy, and the mock's own users for them.
        (Backend::Mock { .. }, true) => [("demo", mock_m3::DEMO_USER), ("readers", mock_m3::READER_USER)]
            .into_iter()
            .filter_map(|(group, user)| Some((group.to_owned(), M3User::parse(user).ok()?)))
            .collect(),
        _ => group_users,
    };
    (backend, group_users)
}

/// How M3 is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mock,
    Socket,
    Rest,
}

/// What the keys say, whichever backend takes it.
struct Given {
    address: Option<String>,
    user: Option<M3User>,
    users: Vec<(M3User, SecretString)>,
    password: Option<SecretString>,
    shape: Box<dyn FnOnce(&mut m3::Settings)>,
}

fn given(reader: &mut Reader, kind: Kind) -> Given {
    let user = |text: &str| M3User::parse(text).ok();
    let address = reader.one("m3.address", "a host and a port, like m3.example.com:26800", |text| {
        let (host, port) = text.rsplit_once(':')?;
        (!host.is_empty() && port.parse::<u16>().is_ok()).then(|| text.to_owned())
    });
    let own = reader.one("m3.user", "an M3 user: A-Z, 0-9 and _, at most 10", user);
    let password = path(reader, "m3.password_file").and_then(|file| secret(reader, "m3.password_file", &file, kind));
    let password = password.or_else(|| reader.secret("m3.password").map(|text| of_kind(text, kind)));
    let mut users = Vec::new();
    for name in reader.below("m3.users") {
        let key = format!("m3.users.{name}");
        let Some(file) = path(reader, &key) else { continue };
        // Names from the environment come in lower case; M3's users have none.
        match M3User::parse(&name.to_ascii_uppercase()) {
            Ok(user) => users.extend(secret(reader, &key, &file, kind).map(|password| (user, password))),
            Err(fault) => {
                let place = reader.place(&key);
                reader.faults.add(place, key, fault.to_string(), "correct the user's name");
            }
        }
    }
    for name in reader.below("m3.passwords") {
        let key = format!("m3.passwords.{name}");
        let user = M3User::parse(&name.to_ascii_uppercase());
        match (user, reader.secret(&key)) {
            (Ok(user), Some(password)) => users.push((user, of_kind(password, kind))),
            (Ok(_), None) => {}
            (Err(fault), _) => {
                let place = reader.place(&key);
                reader.faults.add(place, key, fault.to_string(), "correct the user's name");
            }
        }
    }
    Given { address, user: own, users, password, shape: shape(reader, kind) }
}

/// Everything that only changes a number or a flag of the client's settings.
fn shape(reader: &mut Reader, kind: Kind) -> Box<dyn FnOnce(&mut m3::Settings)> {
    let charset = reader.one("m3.charset", &format!("one of {}", Charset::NAMES.join(" ")), Charset::named);
    let plaintext = reader.one("m3.plaintext", "accepted", |text| (text == "accepted").then_some(true));
    let unproven_reads = reader.one("m3.unproven_reads", "accepted", |text| (text == "accepted").then_some(true));
    let tls_name = reader.one("m3.tls_name", "the name in M3's certificate", |text| Some(text.to_owned()));
    let tls_ca = path(reader, "m3.tls_ca").and_then(|file| readable(reader, "m3.tls_ca", &file));
    // Over REST the name is the URL's.
    if tls_name.is_some() != tls_ca.is_some() && kind != Kind::Rest {
        let place = reader.place(if tls_name.is_some() { "m3.tls_name" } else { "m3.tls_ca" });
        reader.faults.add(place, "m3.tls_name and m3.tls_ca", "go together", "give both or none");
    }
    let hosts = reader.many("m3.reroute_hosts", "host names", |text| Some(text.to_owned()));
    let connect = seconds(reader, "m3.connect_seconds", 1..=300);
    let logon = seconds(reader, "m3.logon_seconds", 1..=300);
    let sessions = number(reader, "m3.max_sessions", 1..=10_000);
    let per_key = number(reader, "m3.max_sessions_per_key", 1..=10_000);
    let idle = seconds(reader, "m3.session_idle_seconds", 1..=86_400);
    let wait = seconds(reader, "m3.session_wait_seconds", 1..=300);
    let waiting = number(reader, "m3.max_waiting", 1..=100_000);
    Box::new(move |settings| {
        set(&mut settings.charset, charset);
        set(&mut settings.plaintext_accepted, plaintext);
        set(&mut settings.unproven_reads, unproven_reads);
        set(&mut settings.reroute_hosts, hosts);
        set(&mut settings.connect_timeout, connect);
        set(&mut settings.logon_timeout, logon);
        set(&mut settings.pool.max_sessions, sessions);
        set(&mut settings.pool.max_per_key, per_key);
        set(&mut settings.pool.idle, idle);
        set(&mut settings.pool.wait, wait);
        set(&mut settings.pool.max_waiting, waiting);
        match (tls_ca, tls_name) {
            (Some(ca_pem), Some(server_name)) => settings.tls = Some(m3::TlsSettings { ca_pem, server_name }),
            (Some(ca_pem), None) => settings.rest.iter_mut().for_each(|rest| rest.ca_pem = Some(ca_pem.clone())),
            (None, _) => {}
        }
    })
}

/// Who names a real M3 and forgets the backend must not write into a mock.
fn not_for_a_mock(reader: &mut Reader, given: &Given) {
    let local = |address: &str| address.parse().is_ok_and(|at: std::net::SocketAddr| at.ip().is_loopback());
    let address = given.address.as_deref().is_some_and(|address| !local(address)).then_some("m3.address");
    let others = [
        "m3.url",
        "m3.user",
        "m3.password_file",
        "m3.password",
        "m3.tls_ca",
        "m3.tls_name",
        "m3.client_certificate",
        "m3.reroute_hosts",
    ];
    let users = reader.below("m3.users").first().map(|_| "m3.users");
    let named: Vec<&str> = others.into_iter().filter(|key| reader.has(key)).collect();
    for key in address.into_iter().chain(users).chain(named) {
        let place = reader.place(key);
        reader.faults.add(
            place,
            key,
            "is for a real M3, and m3.backend is mock",
            "set m3.backend = \"socket\" or \"rest\"",
        );
    }
}

/// The mock's own users and passwords; its address is known when it listens.
fn mock(given: Given) -> Backend {
    let mut mock = mock_m3::Settings::default();
    if let Some(listen) = given.address.and_then(|address| address.parse().ok()) {
        mock.listen = listen;
    }
    let user = M3User::parse(mock_m3::GATEWAY_USER).expect("a constant of the mock");
    let mut client = m3::Settings::new(mock.listen.to_string(), user);
    client.users = mock
        .users
        .iter()
        .filter_map(|user| Some((M3User::parse(&user.name).ok()?, SecretString::from(user.password.clone()))))
        .collect();
    (given.shape)(&mut client);
    Backend::Mock { mock: Box::new(mock), client: Box::new(client) }
}

fn socket(reader: &mut Reader, given: Given) -> Backend {
    for (there, key, what) in [
        (given.address.is_some(), "m3.address", "the host and port of M3's MI socket"),
        (given.user.is_some(), "m3.user", "the gateway's own M3 user"),
        (given.password.is_some(), "m3.password_file", "the file with that user's password"),
    ] {
        if !there && !reader.has(key) {
            reader.faults.add("settings", key, "is missing", format!("m3.backend = \"socket\" needs {what}"));
        }
    }
    // With a fault noted nothing of this is used.
    let user = given.user.unwrap_or_else(|| M3User::parse(mock_m3::GATEWAY_USER).expect("a constant of the mock"));
    let mut client = m3::Settings::new(given.address.unwrap_or_default(), user.clone());
    client.users = given.users.into_iter().chain(given.password.map(|password| (user, password))).collect();
    (given.shape)(&mut client);
    Backend::Real(Box::new(client))
}

/// The keys of m3api-rest alone.
fn rest(reader: &mut Reader) -> Option<m3::RestSettings> {
    let base = reader.one("m3.url", "the URL before /m3api-rest, like https://m3.example.com:21108", |text| {
        let url: http::Uri = text.parse().ok()?;
        let plain = url.host().is_some() && matches!(url.scheme_str(), Some("https" | "http")) && url.query().is_none();
        let plain = plain && url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        plain.then(|| text.trim_end_matches('/').trim_end_matches("/m3api-rest").to_owned())
    });
    let version = reader.one("m3.rest_version", "v1 or v2", |text| match text {
        "v1" => Some(m3::RestVersion::V1),
        "v2" => Some(m3::RestVersion::V2),
        _ => None,
    });
    let names_users = reader.one("m3.names_users", "true or false", |text| text.parse().ok());
    const KEY: &str = "m3.client_key";
    const CHAIN: &str = "m3.client_certificate";
    let chain = path(reader, CHAIN).and_then(|file| readable(reader, CHAIN, &file));
    let key = path(reader, KEY).and_then(|file| private_key(reader, KEY, &file));
    if chain.is_some() != key.is_some() {
        let place = reader.place("m3.client_certificate");
        reader.faults.add(place, "m3.client_certificate and m3.client_key", "go together", "give both or none");
    }
    let mut rest = m3::RestSettings::new(base?);
    set(&mut rest.version, version);
    set(&mut rest.names_users, names_users);
    rest.identity = chain.zip(key).map(|(chain_pem, key_pem)| m3::RestIdentity { chain_pem, key_pem });
    Some(rest)
}

fn over_rest(reader: &mut Reader, given: Given, rest: Option<m3::RestSettings>) -> Backend {
    for (there, key, what) in [
        (rest.is_some(), "m3.url", "the URL before /m3api-rest"),
        (given.user.is_some(), "m3.user", "the gateway's own M3 user"),
        (given.password.is_some(), "m3.password_file", "the file with that user's password, or his .ionapi file"),
    ] {
        if !there && !reader.has(key) {
            reader.faults.add("settings", key, "is missing", format!("m3.backend = \"rest\" needs {what}"));
        }
    }
    // With a fault noted nothing of this is used.
    let user = given.user.unwrap_or_else(|| M3User::parse(mock_m3::GATEWAY_USER).expect("a constant of the mock"));
    let rest = rest.unwrap_or_else(|| m3::RestSettings::new(String::new()));
    let address = rest.base.split_once("://").map_or("", |(_, host)| host).split('/').next().unwrap_or_default();
    let mut client = m3::Settings::new(address.to_owned(), user.clone());
    client.users = given.users.into_iter().chain(given.password.map(|password| (user, password))).collect();
    client.rest = Some(rest);
    (given.shape)(&mut client);
    Backend::Real(Box::new(client))
}

/// Somebody whom M3 lets in, for what the gateway asks by itself.
pub(super) fn user_of(reader: &mut Reader, key: &str, backend: &Backend) -> Option<M3User> {
    let user = reader.one(key, "an M3 user of [m3.users]", |text| M3User::parse(text).ok())?;
    let client = match backend {
        Backend::Real(client) | Backend::Mock { client, .. } => client,
    };
    let by_account = client.rest.as_ref().is_some_and(|rest| rest.names_users);
    if !client.users.contains_key(&user) && !by_account {
        let place = reader.place(key);
        let hint = format!("give his password's file: [m3.users] {user} = \"/etc/mi-gateway/m3-{user}\"");
        reader.faults.add(place, key, format!("is {user}, who is not among [m3.users]"), hint);
    }
    Some(user)
}

fn group_users(reader: &mut Reader) -> BTreeMap<String, M3User> {
    let mut users = BTreeMap::new();
    for group in reader.below("m3.group_users") {
        let key = format!("m3.group_users.{group}");
        if let Some(user) = reader.one(&key, "an M3 user: A-Z, 0-9 and _, at most 10", |text| M3User::parse(text).ok())
        {
            users.insert(group, user);
        }
    }
    users
}

/// A plain file of a size that makes sense; a device or a pipe would be read without end.
pub(super) fn bounded(file: &Path, most: u64) -> std::io::Result<String> {
    let facts = std::fs::metadata(file)?;
    if !facts.is_file() {
        return Err(std::io::Error::other("it is no plain file"));
    }
    if facts.len() > most {
        return Err(std::io::Error::other(format!("it is longer than {most} bytes")));
    }
    std::fs::read_to_string(file)
}

/// The bytes of a PEM file.
pub(super) fn readable(reader: &mut Reader, key: &str, file: &Path) -> Option<Vec<u8>> {
    match bounded(file, MOST_PEM) {
        Ok(pem) => Some(pem.into_bytes()),
        Err(error) => {
            let place = reader.place(key);
            let fault = format!("{}: {error}", file.display());
            reader.faults.add(place, key, fault, "name a PEM file that can be read");
            None
        }
    }
}

/// The first line of a secret's file, or over REST the whole of an `.ionapi` file.
fn secret(reader: &mut Reader, key: &str, file: &Path, kind: Kind) -> Option<SecretString> {
    let text = text(reader, key, file, MOST_SECRET)?;
    let text = of_kind(text, kind);
    if text.expose_secret().is_empty() {
        let place = reader.place(key);
        let fault = format!("{}: its first line is empty", file.display());
        reader.faults.add(place, key, fault, "name a file with the secret in its first line");
        return None;
    }
    Some(text)
}

fn of_kind(text: SecretString, kind: Kind) -> SecretString {
    let ionapi = kind == Kind::Rest && text.expose_secret().trim_start().starts_with('{');
    if ionapi { text } else { line_of(text.expose_secret()) }
}
