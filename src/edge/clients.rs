//! The certificates of clients: asked for in every handshake where the settings say so, demanded in none.
//!
//! Invariant: a certificate that is shown and not good ends the handshake, and whoever shows one has proven its key in
//! that very handshake; nobody is asked later, and no session is taken up again.
//! Does not know: what a certificate is good for (see `issuer` and `auth`).

use super::settings::ClientCertificates;
use super::subject;
use super::tls::Error;
use crate::model::ClientCertificate;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsFault, RootCertStore, SignatureScheme,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

pub(super) struct Clients {
    provider: Arc<CryptoProvider>,
    /// `None`: nobody answers for clients but they themselves.
    authorities: ArcSwapOption<Authorities>,
    self_signed: bool,
}

struct Authorities(Arc<dyn ClientCertVerifier>);

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("self_signed", &self.self_signed).finish_non_exhaustive()
    }
}

/// Reads the file as `serve` would. Gives how many authorities it names.
pub fn read_authorities(path: &Path) -> Result<usize, Error> {
    roots(&read(path)?, path).map(|roots| roots.len())
}

/// What the first certificate of a PEM text would tell of its client, were it shown and nobody answered for it.
pub fn certificate(pem: &[u8], place: &str) -> Result<ClientCertificate, Error> {
    let first = CertificateDer::pem_slice_iter(pem).next();
    let first = first.ok_or_else(|| Error::NoCertificate { place: place.into() })?;
    let bad = || Error::BadCertificate { place: place.into() };
    told(&first.map_err(|_| bad())?, false).ok_or_else(bad)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Unreadable { path: path.into(), source })
}

fn roots(pem: &[u8], path: &Path) -> Result<RootCertStore, Error> {
    let place = || path.display().to_string();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| Error::BadCertificate { place: place() })?;
        roots.add(certificate).map_err(|_| Error::BadCertificate { place: place() })?;
    }
    if roots.is_empty() { Err(Error::NoAuthority { place: place() }) } else { Ok(roots) }
}

impl Clients {
    pub(super) fn read(asked: &ClientCertificates, provider: CryptoProvider) -> Result<Self, Error> {
        let (provider, self_signed) = (Arc::new(provider), asked.self_signed);
        let clients = Self { provider, authorities: ArcSwapOption::empty(), self_signed };
        if let Some(path) = &asked.authorities {
            clients.trust(&read(path)?, path)?;
        }
        Ok(clients)
    }

    fn trust(&self, pem: &[u8], path: &Path) -> Result<(), Error> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(pem, path)?), self.provider.clone());
        let verifier = verifier.build().map_err(|_| Error::BadCertificate { place: path.display().to_string() })?;
        self.authorities.store(Some(Arc::new(Authorities(verifier))));
        Ok(())
    }

    /// What the chain of a finished handshake tells of its client.
    pub(super) fn shown(&self, chain: &[CertificateDer<'_>]) -> Option<Arc<ClientCertificate>> {
        let (first, others) = chain.split_first()?;
        // A second look, for the handshake does not say who answered. Should the authorities have changed in between,
        // it is as if nothing had been shown.
        let vouched = self.judge(first, others, UnixTime::now()).ok()?;
        told(first, vouched).map(Arc::new)
    }

    /// Whether an authority answers for it; else it is its own issuer, where that is allowed.
    fn judge(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<bool, TlsFault> {
        let refused = match self.authorities.load().as_deref() {
            None => TlsFault::InvalidCertificate(CertificateError::UnknownIssuer),
            Some(Authorities(verifier)) => match verifier.verify_client_cert(first, others, now) {
                Ok(_) => return Ok(true),
                Err(refused) => refused,
            },
        };
        if !self.self_signed {
            return Err(refused);
        }
        let (_, read) = X509Certificate::from_der(first).map_err(|_| CertificateError::BadEncoding)?;
        if read.issuer().as_raw() != read.subject().as_raw() {
            return Err(refused);
        }
        let (validity, now) = (read.validity(), now.as_secs().cast_signed());
        if now < validity.not_before.timestamp() {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > validity.not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        Ok(false)
    }
}

fn told(certificate: &CertificateDer<'_>, vouched: bool) -> Option<ClientCertificate> {
    let (_, read) = X509Certificate::from_der(certificate).ok()?;
    let names = read.subject_alternative_name().ok()?;
    let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).into()),
        _ => None,
    });
    let thumbprint = digest(&SHA256, certificate).as_ref().try_into().ok()?;
    let subject = subject::text(read.subject()).into();
    Some(ClientCertificate { thumbprint, vouched, subject, dns_names: names.collect() })
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None, so that a client shows what it has: some hold back what no name on the list asks for.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsFault> {
        self.judge(first, others, now).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsFault> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsFault> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Looks at the file again and again; authorities that changed and can be read are trusted from the next handshake on.
pub(super) fn reload(
    clients: Arc<Clients>,
    asked: &ClientCertificates,
    every: Duration,
    metrics: &Metrics,
    tasks: &Tasks,
) {
    let Some(path) = asked.authorities.clone() else { return };
    let counted = metrics.reloads_refused.with_label_values(&["client_ca"]);
    tasks.spawn_until_stop(async move {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = None;
        let mut gone = false;
        loop {
            ticks.tick().await;
            let bytes = match tokio::fs::read(&path).await {
                Ok(bytes) => bytes,
                // Told once: whoever took the file away to stop clients has to learn that it did not.
                Err(error) => {
                    if !std::mem::replace(&mut gone, true) {
                        let path = path.display();
                        tracing::warn!(%error, %path, "the authorities of clients can't be read, the old ones stay trusted");
                        counted.inc();
                    }
                    continue;
                }
            };
            gone = false;
            if seen.as_ref() == Some(&bytes) {
                continue;
            }
            match clients.trust(&bytes, &path) {
                Ok(()) if seen.is_some() => tracing::info!("the authorities of clients were read again"),
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, "the changed authorities of clients cannot be used, the old ones stay");
                    counted.inc();
                }
            }
            seen = Some(bytes);
        }
    });
}
