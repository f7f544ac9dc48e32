//! Every key of the settings, with its default and its bounds. `deploy/gateway.example.toml` is held against this file.

use super::audit::audit;
use super::inbound::inbound;
use super::issuers::{clients, issuers};
use super::m3;
use super::points::points;
use super::policy;
use super::publish::{outbox, publish};
use super::reader::Reader;
use super::secret::first_line;
use super::settings::{Backend, Certificate, LogSettings, Operations, Settings};
use crate::auth::{ProofSettings, RequireBound};
use crate::model::{FieldName, Sensitive};
use crate::policies::Gate;
use crate::policy::Zones;
use crate::{catalog, edge, gateway, issuer};
use jiff::tz::TimeZone;
use secrecy::SecretString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

const LOOPBACK: [SocketAddr; 2] =
    [SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443), SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 8443)];

pub(super) fn settings(reader: &mut Reader) -> Settings {
    let public_url = reader.one("public_url", "an https URL without a path or a slash at its end", public_url);
    let state = path(reader, "state.dir").unwrap_or_else(|| ".mi-gateway".into());
    let (edge, certificate) = edge(reader);
    let client_certificates = edge.clients.is_some();
    let mut catalog = catalog(reader);
    catalog.file = Some(state.join("catalog.json"));
    let (mut backend, group_users) = m3::m3(reader);
    backend.keep_mock_under(&state);
    let trial = matches!(backend, Backend::Mock { .. });
    let issuers = issuers(reader);
    let (policies, policy_trust) = policy::whence(reader);
    let clients = clients(reader, &issuers);
    let sensitive =
        Sensitive::with(reader.many("privacy.sensitive_fields", "field names, like BACD", field).unwrap_or_default());
    let mut outbox = outbox(reader, &state);
    outbox.sensitive = sensitive.clone();
    let publish = publish(reader, &backend);
    let points = points(reader, &state, trial, &publish);
    let inbound = inbound(reader, &issuers, &points, &publish, &outbox);
    Settings {
        public_url,
        edge,
        certificate,
        gateway: gateway::Settings { client_certificates, inbound, ..gateway(reader) },
        operations: Operations {
            listen: reader
                .one("operations.listen", "an address and a port, like 127.0.0.1:9090", |text| text.parse().ok())
                .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9090))),
            token: operator_token(reader),
        },
        tokens: tokens(reader),
        proofs: proofs(reader),
        issuers,
        clients,
        policies,
        policy_trust,
        policy_gate: reader
            .one("policy.gate", "tests or syntax", |text| match text {
                "tests" => Some(Gate::Tests),
                "syntax" => Some(Gate::Syntax),
                _ => None,
            })
            .unwrap_or_default(),
        shadow: path(reader, "policy.shadow"),
        zones: zones(reader),
        guard_user: m3::user_of(reader, "policy.guard_user", &backend),
        catalog,
        backend,
        group_users,
        audit: audit(reader, &state, &sensitive),
        outbox,
        publish,
        points,
        log: LogSettings {
            level: reader
                .one("log.level", "a level: error, warn, info, debug or trace, with module filters", |text| {
                    text.parse::<tracing_subscriber::filter::Targets>().ok().map(|_| text.to_owned())
                })
                .unwrap_or_else(|| "info".into()),
            access: flag(reader, "log.access").unwrap_or(true),
        },
        development: false,
        secret_files: Vec::new(),
        state,
    }
}

fn field(text: &str) -> Option<FieldName> {
    FieldName::parse(text).ok()
}

/// Names as IANA gives them; their rules come from the system, or were built in where it has none.
fn zones(reader: &mut Reader) -> Zones {
    let mut zones = Zones::default();
    for whose in reader.below("policy.zones") {
        let key = format!("policy.zones.{whose}");
        let zone = |name: &str| TimeZone::get(name).ok().filter(|zone| zone.iana_name().is_some());
        let Some(zone) = reader.one(&key, "a zone of the IANA database, like Europe/Stockholm", zone) else { continue };
        if !zones.set(&whose, zone) {
            let place = reader.place(&key);
            let hint = "write default, a company like 200, or a division like \"100/AAA\"";
            reader.faults.add(place, key, "names no place", hint);
        }
    }
    zones
}

/// Without it the gateway makes one, in the state folder.
fn operator_token(reader: &mut Reader) -> Option<SecretString> {
    const FILE: &str = "operations.token_file";
    let of_file = path(reader, FILE).and_then(|file| first_line(reader, FILE, &file));
    of_file.or(reader.secret("operations.token"))
}

fn public_url(text: &str) -> Option<String> {
    let uri: http::Uri = text.parse().ok()?;
    let bare = uri.path() == "/" && uri.query().is_none() && !text.ends_with('/');
    (bare && uri.scheme_str() == Some("https") && uri.authority().is_some_and(|a| !a.as_str().contains('@')))
        .then(|| text.to_owned())
}

fn edge(reader: &mut Reader) -> (edge::Settings, Certificate) {
    let mut edge = edge::Settings {
        door: "public",
        listen: LOOPBACK.to_vec(),
        tls: None,
        clients: client_certificates(reader),
        proxies: Vec::new(),
        limits: edge::Limits::default(),
    };
    if let Some(listen) =
        reader.many("edge.listen", "addresses with ports, like 127.0.0.1:8443", |text| text.parse().ok())
    {
        if listen.is_empty() {
            let place = reader.place("edge.listen");
            reader.faults.add(place, "edge.listen", "is empty", "name an address, or leave the key out");
        }
        edge.listen = listen;
    }
    let right = "networks, like 10.0.0.0/8, or addresses; never everybody";
    set(&mut edge.proxies, reader.many("edge.proxy_protocol_from", right, |text| text.parse().ok()));
    let limits = &mut edge.limits;
    // The gateway refuses long URLs in words; this is only where hyper stops reading.
    limits.max_uri = 65_534;
    set(&mut limits.max_connections, number(reader, "edge.max_connections", 1..=1_000_000));
    set(&mut limits.max_per_peer, number(reader, "edge.max_connections_per_peer", 1..=1_000_000));
    set(&mut limits.handshake, seconds(reader, "edge.handshake_seconds", 1..=300));
    set(&mut limits.first_byte, seconds(reader, "edge.first_byte_seconds", 1..=300));
    set(&mut limits.header_read, seconds(reader, "edge.header_seconds", 1..=300));
    set(&mut limits.idle, seconds(reader, "edge.idle_seconds", 1..=3_600));
    set(&mut limits.age, seconds(reader, "edge.age_seconds", 1..=86_400));
    set(&mut limits.write_stall, seconds(reader, "edge.write_stall_seconds", 1..=3_600));
    set(&mut limits.min_write_rate, number(reader, "edge.min_write_rate", 0..=1_048_576));
    set(&mut limits.body_stall, seconds(reader, "edge.body_stall_seconds", 1..=3_600));
    set(&mut limits.min_body_rate, number(reader, "edge.min_body_rate", 0..=1_048_576));
    set(&mut limits.http2.ping_every, seconds(reader, "edge.ping_seconds", 1..=3_600));
    set(&mut limits.http2.ping_wait, seconds(reader, "edge.ping_timeout_seconds", 1..=300));
    set(&mut limits.http2.max_streams, number(reader, "edge.max_streams", 1..=10_000));
    set(&mut limits.header_list, number(reader, "edge.max_header_list", 1_024..=1_048_576));
    set(&mut limits.drain_wait, seconds(reader, "edge.drain_wait_seconds", 0..=600));
    set(&mut limits.drain, seconds(reader, "edge.drain_seconds", 0..=3_600));
    let development = path(reader, "edge.development_certs").unwrap_or_else(|| "certs/dev".into());
    let certificate = match (path(reader, "edge.certificate"), path(reader, "edge.key")) {
        (Some(chain), Some(key)) => Certificate::Files { chain, key },
        (None, None) => Certificate::Development(development),
        (given, _) => {
            let (there, missing) = if given.is_some() { ("certificate", "key") } else { ("key", "certificate") };
            let place = reader.place(&format!("edge.{there}"));
            reader.faults.add(
                place,
                format!("edge.{missing}"),
                "is missing",
                format!("edge.{there} needs it beside it"),
            );
            Certificate::Development(development)
        }
    };
    (edge, certificate)
}

/// Clients are asked for certificates where somebody answers for them, or where each answers for itself.
fn client_certificates(reader: &mut Reader) -> Option<edge::ClientCertificates> {
    let authorities = path(reader, "edge.client_ca");
    let self_signed = flag(reader, "edge.self_signed_clients").unwrap_or(false);
    (authorities.is_some() || self_signed).then_some(edge::ClientCertificates { authorities, self_signed })
}

fn gateway(reader: &mut Reader) -> gateway::Settings {
    let mut gateway = gateway::Settings::default();
    set(&mut gateway.body_limit, number(reader, "gateway.body_limit", 1_024..=1_073_741_824));
    set(&mut gateway.uri_limit, number(reader, "gateway.url_limit", 256..=65_535));
    set(&mut gateway.wait, seconds(reader, "gateway.wait_seconds", 1..=3_600));
    set(&mut gateway.exchange.read_patience, seconds(reader, "gateway.read_seconds", 1..=3_600));
    set(&mut gateway.exchange.write_wait, seconds(reader, "gateway.write_wait_seconds", 1..=3_600));
    set(&mut gateway.exchange.write_patience, seconds(reader, "gateway.write_seconds", 1..=86_400));
    set(&mut gateway.exchange.default_records, number(reader, "gateway.default_records", 0..=1_000_000));
    set(&mut gateway.compress_from, number(reader, "gateway.compress_from", 32..=1_048_576));
    let right = "origins without a path, like https://app.example.com";
    set(&mut gateway.cors, reader.many("gateway.cors_origins", right, origin));
    gateway.exchange.list_ceiling = number(reader, "m3.list_ceiling", 1..=100_000_000);
    set(&mut gateway.exchange.cursor_lifetime, seconds(reader, "gateway.cursor_seconds", 1..=604_800));
    set(&mut gateway.bulk.body, number(reader, "gateway.bulk_body_limit", 1_024..=1_073_741_824));
    set(&mut gateway.bulk.transactions, number(reader, "gateway.bulk_max_transactions", 1..=1_000_000));
    set(&mut gateway.bulk.time, seconds(reader, "gateway.bulk_seconds", 1..=86_400));
    set(&mut gateway.bulk.parallel, number(reader, "gateway.bulk_parallel_reads", 1..=1_000));
    if gateway.exchange.write_wait >= gateway.wait {
        let place = reader.place("gateway.write_wait_seconds");
        let hint = "make it less, so that the caller of a write hears outcome-unknown and not a bare time-out";
        reader.faults.add(place, "gateway.write_wait_seconds", "is not less than gateway.wait_seconds", hint);
    }
    gateway
}

/// As a browser sends it: scheme and host, the port where it is not the usual one. A wildcard is none.
fn origin(text: &str) -> Option<http::HeaderValue> {
    let uri: http::Uri = text.parse().ok()?;
    let web = matches!(uri.scheme_str(), Some("https" | "http"));
    let bare = uri.path() == "/" && uri.query().is_none() && !text.ends_with('/');
    (web && bare && uri.authority().is_some()).then(|| text.to_ascii_lowercase().parse().ok()).flatten()
}

fn tokens(reader: &mut Reader) -> Option<issuer::Settings> {
    let enabled = flag(reader, "tokens.enabled").unwrap_or(true);
    // The URL is known when the public door is open.
    let mut tokens = issuer::Settings::of("");
    let algorithm = reader.one("tokens.algorithm", "RS256 or ES256", issuer::SigningAlgorithm::parse);
    set(&mut tokens.algorithm, algorithm);
    set(&mut tokens.token_seconds, number(reader, "tokens.seconds", 60..=86_400));
    set(&mut tokens.refresh_seconds, number(reader, "tokens.refresh_seconds", 60..=31_536_000));
    set(&mut tokens.require_bound, require_bound(reader, "tokens.require_bound"));
    set(&mut tokens.refresh_for_client_credentials, flag(reader, "tokens.refresh_for_client_credentials"));
    enabled.then_some(tokens)
}

/// Proofs of possession, here and at the embedded issuer.
fn proofs(reader: &mut Reader) -> ProofSettings {
    let mut proofs = ProofSettings::default();
    set(&mut proofs.require_nonce, flag(reader, "dpop.require_nonce"));
    set(&mut proofs.nonce_seconds, number(reader, "dpop.nonce_seconds", 10..=86_400));
    set(&mut proofs.seconds, number(reader, "dpop.proof_seconds", 5..=600));
    set(&mut proofs.most, number(reader, "dpop.max_proofs", 1_000..=10_000_000));
    proofs
}

pub(super) fn require_bound(reader: &mut Reader, path: &str) -> Option<RequireBound> {
    let bound = reader.one(path, "none, any, dpop or mtls", RequireBound::parse);
    let asks = reader.has("edge.client_ca") || reader.has("edge.self_signed_clients");
    if bound == Some(RequireBound::Certificate) && !asks {
        let place = reader.place(path);
        let hint = "name the authorities in edge.client_ca, or set edge.self_signed_clients = true";
        reader.faults.add(place, path, "asks for client certificates, and the public door takes none", hint);
    }
    bound
}

fn catalog(reader: &mut Reader) -> catalog::Settings {
    let mut catalog = catalog::Settings::default();
    set(&mut catalog.fresh_for, seconds(reader, "catalog.fresh_seconds", 1..=86_400));
    set(&mut catalog.negative_for, seconds(reader, "catalog.negative_seconds", 1..=3_600));
    set(&mut catalog.most_transactions, number(reader, "catalog.max_transactions", 10..=100_000));
    catalog
}

pub(super) fn set<T>(place: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *place = value;
    }
}

pub(super) fn number<T: TryFrom<u64>>(reader: &mut Reader, path: &str, bounds: RangeInclusive<u64>) -> Option<T> {
    let right = format!("a whole number from {} to {}", bounds.start(), bounds.end());
    reader.one(path, &right, |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number))?;
        T::try_from(number).ok()
    })
}

pub(super) fn seconds(reader: &mut Reader, path: &str, bounds: RangeInclusive<u64>) -> Option<Duration> {
    number::<u64>(reader, path, bounds).map(Duration::from_secs)
}

pub(super) fn flag(reader: &mut Reader, path: &str) -> Option<bool> {
    reader.one(path, "true or false", |text| text.parse().ok())
}

pub(super) fn path(reader: &mut Reader, path: &str) -> Option<PathBuf> {
    reader.file(path)
}

/// A key that its table can't do without.
pub(super) fn needed(reader: &mut Reader, path: &str, what: &str) -> Option<String> {
    if !reader.has(path) {
        reader.faults.add("settings", path, "is missing", format!("give {what}"));
    }
    reader.one(path, what, |text| (!text.is_empty()).then(|| text.to_owned()))
}
