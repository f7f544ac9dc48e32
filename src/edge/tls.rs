//! The door's certificate and how it is spoken about: read, checked, served, changed while connections live.
//!
//! TLS 1.3 and 1.2, the post-quantum key exchange first, no early data (a write could be replayed) and no tickets:
//! their keys differ per process, so behind a balancer they miss, and a full handshake is cheap.
//!
//! Invariant: what is served was read whole and its key fits; a bad change of the files leaves the old pair in place.

use super::clients::Clients;
use super::settings::{ClientCertificates, TlsSource};
use crate::store::read_secret;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Why a certificate cannot be served. The settings' fault each time; the files may be read again once mended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}: {source}; give a PEM file that this user may read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{place} holds no PEM certificate: give the certificate itself first, then those of its issuers")]
    NoCertificate { place: String },
    #[error("{place} holds a certificate that cannot be read")]
    BadCertificate { place: String },
    #[error("{place} holds no PEM private key (PKCS#8, SEC1 or PKCS#1, not encrypted)")]
    NoKey { place: String },
    #[error("the private key of {place} is of a kind that cannot be used: give an ECDSA, Ed25519 or RSA key")]
    BadKey { place: String },
    #[error("the private key of {key} does not belong to the first certificate of {chain}")]
    Mismatch { chain: String, key: String },
    #[error("the certificate of {place} ended at {} (Unix time): renew it", not_after)]
    Expired { place: String, not_after: i64 },
    #[error("the certificate of {place} holds only from {} (Unix time) on: is the clock right?", not_before)]
    NotYet { place: String, not_before: i64 },
    #[error("{place} holds no PEM certificate: give those of the authorities whose clients may show certificates")]
    NoAuthority { place: String },
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

/// A chain with its key, read and found to fit.
#[derive(Clone)]
pub struct Pair {
    key: Arc<CertifiedKey>,
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("not_before", &self.not_before).field("not_after", &self.not_after).finish()
    }
}

/// A file of keys or certificates that is larger is the wrong one.
pub(super) const MOST_PEM: u64 = 1024 * 1024;

/// Reads the two files and finds every fault that `serve` would stumble over.
pub fn read_pair(chain: &Path, key: &Path, now: Timestamp) -> Result<Pair, Error> {
    let unreadable = |path: &Path, source| Error::Unreadable { path: path.into(), source };
    let certificates = std::fs::read(chain).map_err(|source| unreadable(chain, source))?;
    let secret = read_secret(key, MOST_PEM).map_err(|source| unreadable(key, source))?;
    parse(&certificates, &secret, &chain.display().to_string(), &key.display().to_string())?.held_at(now, chain)
}

impl Pair {
    fn held_at(self, now: Timestamp, chain: &Path) -> Result<Self, Error> {
        let now = now.as_second();
        let place = || chain.display().to_string();
        if now > self.not_after {
            return Err(Error::Expired { place: place(), not_after: self.not_after });
        }
        if now < self.not_before {
            return Err(Error::NotYet { place: place(), not_before: self.not_before });
        }
        Ok(self)
    }
}

fn parse(chain: &[u8], key: &[u8], chain_place: &str, key_place: &str) -> Result<Pair, Error> {
    let bad = || Error::BadCertificate { place: chain_place.into() };
    let certificates = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().map_err(|_| bad())?;
    let Some(first) = certificates.first() else {
        return Err(Error::NoCertificate { place: chain_place.into() });
    };
    let (_, read) = X509Certificate::from_der(first).map_err(|_| bad())?;
    let (not_before, not_after) = (read.validity().not_before.timestamp(), read.validity().not_after.timestamp());
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Error::NoKey { place: key_place.into() })?;
    let signing = aws_lc_rs::sign::any_supported_type(&key).map_err(|_| Error::BadKey { place: key_place.into() })?;
    let certified = CertifiedKey::new(certificates, signing);
    certified.keys_match().map_err(|_| Error::Mismatch { chain: chain_place.into(), key: key_place.into() })?;
    Ok(Pair { key: Arc::new(certified), not_before, not_after })
}

/// The pair in force.
#[derive(Debug)]
pub(super) struct Served {
    pair: ArcSwap<Pair>,
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.pair.load().key))
    }
}

/// What connections are accepted with, and what of it can change.
pub(super) struct Tls {
    pub(super) acceptor: TlsAcceptor,
    pub(super) served: Arc<Served>,
    pub(super) clients: Option<Arc<Clients>>,
}

/// Reads the source and builds what the connections are accepted with.
pub(super) fn acceptor(source: &TlsSource, clients: Option<&ClientCertificates>) -> Result<Tls, Error> {
    let pair = match source {
        TlsSource::Files { chain, key } => read_pair(chain, key, Timestamp::now())?,
        TlsSource::Bytes { chain, key } => parse(chain, key, "the given chain", "the given key")?,
    };
    let served = Arc::new(Served { pair: ArcSwap::from_pointee(pair) });
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let clients = clients.map(|asked| Clients::read(asked, provider()).map(Arc::new)).transpose()?;
    let builder = match &clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::<Clients>::clone(clients)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::<Served>::clone(&served));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), served, clients })
}

/// Named here, not taken from the process: whatever another crate installs, the door stays the same.
fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// Looks at the files again and again; what changed and fits is served from the next handshake on.
pub(super) fn reload(served: Arc<Served>, source: &TlsSource, every: Duration, metrics: &Metrics, tasks: &Tasks) {
    let file = match source {
        TlsSource::Files { chain, .. } => chain.display().to_string(),
        TlsSource::Bytes { .. } => "(given)".to_owned(),
    };
    let ends = metrics.tls_certificate_expires.with_label_values(&[&file]);
    ends.set(served.pair.load().not_after);
    let TlsSource::Files { chain, key } = source.clone() else { return };
    let counted = metrics.reloads_refused.with_label_values(&["certificate"]);
    tasks.spawn_until_stop(async move {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, mut refused) = (None, None);
        loop {
            ticks.tick().await;
            let Ok(chain_bytes) = tokio::fs::read(&chain).await else { continue };
            // Only the certificate is remembered: a key is not kept for the sake of a comparison.
            if seen.as_ref() == Some(&chain_bytes) {
                continue;
            }
            // Half-written files fail here and are read again at the next tick.
            // As strict as the start: an old file copied over a good one changes nothing, nor does a key that others wrote.
            let (at, of) = (chain.clone(), key.clone());
            let read = tokio::task::spawn_blocking(move || read_pair(&at, &of, Timestamp::now())).await;
            let Ok(pair) = read else { continue };
            match pair {
                Ok(pair) => {
                    let is_new = served.pair.load().key.cert != pair.key.cert;
                    seen = Some(chain_bytes);
                    if is_new {
                        tracing::info!(not_after = pair.not_after, "the certificate changed");
                        ends.set(pair.not_after);
                        served.pair.store(Arc::new(pair));
                    }
                }
                Err(error) if refused.as_ref() != Some(&chain_bytes) => {
                    tracing::warn!(%error, "the changed certificate cannot be used, the old one stays");
                    counted.inc();
                    refused = Some(chain_bytes);
                }
                Err(_) => {}
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::development::ensure;
    use jiff::SignedDuration;
    use std::fs;

    #[test]
    fn each_fault_of_the_files_has_a_name() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (files, other) = (ensure(one.path()).unwrap(), ensure(two.path()).unwrap());
        let now = Timestamp::now();
        let day = SignedDuration::from_hours(24);
        assert!(read_pair(&files.chain, &files.key, now).is_ok());
        let missing = one.path().join("missing.pem");
        assert!(matches!(read_pair(&missing, &files.key, now), Err(Error::Unreadable { .. })));
        assert!(matches!(read_pair(&files.key, &files.key, now), Err(Error::NoCertificate { .. })));
        assert!(matches!(read_pair(&files.chain, &files.chain, now), Err(Error::NoKey { .. })));
        assert!(matches!(read_pair(&files.chain, &other.key, now), Err(Error::Mismatch { .. })));
        assert!(matches!(read_pair(&files.chain, &files.key, now + day * 400), Err(Error::Expired { .. })));
        assert!(matches!(read_pair(&files.chain, &files.key, now - day * 3), Err(Error::NotYet { .. })));
        fs::write(&missing, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(matches!(read_pair(&missing, &files.key, now), Err(Error::BadCertificate { .. })));
    }
}
