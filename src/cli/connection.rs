//! TLS to a gateway: which authority is trusted, and which certificate is shown.

use super::args;
use super::failure::Failure;
use super::state::secret;
use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};

pub(super) fn tls(words: &args::Token, authority: Option<PathBuf>) -> Result<rustls::ClientConfig, Failure> {
    let builder = rustls::ClientConfig::builder();
    let builder = match authority {
        None => builder
            .with_native_roots()
            .map_err(|error| Failure::begin(format!("the system's authorities can't be read: {error}")))?,
        Some(path) => {
            let wrong = wrong(&path, "--cacert");
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(&path).map_err(|error| wrong(&error))? {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
            builder.with_root_certificates(roots)
        }
    };
    let Some(path) = &words.cert else { return Ok(builder.with_no_client_auth()) };
    let unfit = wrong(path, "--cert");
    let chain = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| unfit(&error))?;
    let key = words.cert_key.as_ref().unwrap_or(path);
    let key = PrivateKeyDer::from_pem_slice(&secret(key)?).map_err(|error| wrong(key, "--cert-key")(&error))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| unfit(&error))
}

fn wrong(path: &Path, word: &'static str) -> impl Fn(&dyn std::fmt::Display) -> Failure {
    move |error| Failure::begin(format!("{}: {error}; name a PEM file with {word}", path.display()))
}
