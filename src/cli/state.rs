//! What several commands need of a gateway's state: its settings, its store, its address.

use super::failure::Failure;
use crate::config::{self, Settings};
use crate::issuer;
use crate::store::Store;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::Path;

pub(super) fn settings(config: Option<&Path>) -> Result<Settings, Failure> {
    Ok(config::load(config)?)
}

pub(super) async fn store(settings: &Settings) -> Result<Store, Failure> {
    Store::open(&settings.state).await.map_err(|error| Failure::begin(error.to_string()))
}

#[derive(Deserialize)]
struct Told {
    public_url: String,
    mock: Option<SocketAddr>,
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
