//! What several commands need of a gateway's state: its settings, its store, its address.

use super::failure::Failure;
use super::show;
use crate::audit;
use crate::config::{self, Settings};
use crate::issuer;
use crate::store::{OPEN_ADVICE, Store, is_open, read_secret};
use serde::Deserialize;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use zeroize::Zeroizing;

pub(super) fn settings(config: Option<&Path>) -> Result<Settings, Failure> {
    Ok(config::load(config)?)
}

/// A file with a secret, and a word where everybody may read it.
pub(super) fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let secret = read_secret(path, MOST_SECRET);
    let secret = secret.map_err(|error| Failure::begin(format!("{}: {error}", path.display())))?;
    if is_open(path) {
        show::note(&format!("warning: {} {OPEN_ADVICE}", path.display()));
    }
    Ok(secret)
}

const MOST_SECRET: u64 = 1024 * 1024;

pub(super) async fn store(settings: &Settings) -> Result<Store, Failure> {
    Store::open(&settings.state).await.map_err(|error| Failure::begin(error.to_string()))
}

#[derive(Deserialize)]
struct Told {
    public_url: String,
    mock: Option<SocketAddr>,
    operations: Option<SocketAddr>,
}

/// What a gateway that runs, or ran, wrote of itself.
fn told(settings: &Settings) -> Option<Told> {
    let text = std::fs::read(settings.state.join("addresses.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

/// The mock M3 of the gateway that runs over this state.
pub(super) fn mock(settings: &Settings) -> Option<SocketAddr> {
    told(settings)?.mock
}

/// The operations door of the gateway that runs over this state. Of one that has ended somebody else may have its port,
/// and must not be told the operator's token.
pub(super) fn operations(settings: &Settings) -> Option<SocketAddr> {
    let mut address = told(settings)?.operations.filter(|_| audit::is_written(&settings.audit.dir))?;
    if address.ip().is_unspecified() {
        let here = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(here);
    }
    Some(address)
}

/// What clients call the gateway: as set, as the running one says, or as it would be.
pub(super) fn public_url(settings: &Settings) -> String {
    if let Some(url) = &settings.public_url {
        return url.clone();
    }
    if let Some(told) = told(settings) {
        return told.public_url;
    }
    let port = settings.edge.listen.first().map_or(8443, |address| address.port());
    format!("https://localhost:{port}")
}

pub(super) fn issuer_failed(error: issuer::Error) -> Failure {
    match error {
        // The words of the command line, or what they name.
        error @ (issuer::Error::NameTaken(_)
        | issuer::Error::NoSuchClient(_)
        | issuer::Error::Word { .. }
        | issuer::Error::Name { .. }
        | issuer::Error::NoSecret(_)
        | issuer::Error::OtherMethod { .. }
        | issuer::Error::File { .. }) => Failure::begin(error.to_string()),
        error => Failure::on_the_way(error.to_string()),
    }
}
