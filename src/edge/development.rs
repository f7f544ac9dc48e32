//! The development certificate: an authority of this machine's own, and a server certificate for localhost.
//!
//! The authority may speak for localhost and the loopback addresses only, so a stolen key of it opens nothing else.
//! Made at the first start, used again while valid, renewed a month before the end.
//!
//! Invariant: the keys are readable by their owner alone. Does not know: who trusts `ca.pem`.

use super::tls;
use crate::store::{read_secret_text, write_with_mode};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, SanType, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

/// Why there is no development certificate. May be tried again once the folder is mended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot write the development certificate to {}: make the folder writable", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the development certificate cannot be made")]
    Make(#[from] rcgen::Error),
    #[error("the development certificate just made does not hold")]
    Hold(#[from] tls::Error),
}

/// Where the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevelopmentFiles {
    /// What a caller trusts: `curl --cacert`.
    pub ca: PathBuf,
    pub chain: PathBuf,
    pub key: PathBuf,
}

const CA_DAYS: i64 = 3650;
/// Clients refuse server certificates of more than about two years.
const SERVER_DAYS: i64 = 364;
const RENEW_DAYS: i64 = 30;

/// Makes what is missing or near its end in `dir` and says where everything is.
pub fn ensure(dir: &Path) -> Result<DevelopmentFiles, Error> {
    ensure_at(dir, Timestamp::now())
}

fn ensure_at(dir: &Path, now: Timestamp) -> Result<DevelopmentFiles, Error> {
    let files = DevelopmentFiles { ca: dir.join("ca.pem"), chain: dir.join("server.pem"), key: dir.join("server.key") };
    let ca_key = dir.join("ca.key");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o700)))
        .map_err(|source| Error::File { path: dir.into(), source })?;
    let authority = match authority_kept(&files.ca, &ca_key, now) {
        Some(key) => key,
        None => {
            let key = KeyPair::generate()?;
            let made = ca_params(now)?.self_signed(&key)?;
            write_key(&ca_key, &key)?;
            write(&files.ca, made.pem().as_bytes(), 0o644)?;
            // Whatever the server had was signed by another key.
            let _ = fs::remove_file(&files.chain);
            key
        }
    };
    if !server_kept(&files, now) {
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(ca_params(now)?, authority);
        let made = server_params(now)?.signed_by(&key, &issuer)?;
        write_key(&files.key, &key)?;
        write(&files.chain, made.pem().as_bytes(), 0o644)?;
        tls::read_pair(&files.chain, &files.key, now)?;
    }
    Ok(files)
}

/// The authority's key, if it fits its certificate and that lives long enough for another server certificate.
fn authority_kept(ca: &Path, ca_key: &Path, now: Timestamp) -> Option<KeyPair> {
    tls::read_pair(ca, ca_key, now).ok().filter(|pair| lives(pair.not_after, SERVER_DAYS, now))?;
    KeyPair::from_pem(&read_secret_text(ca_key, tls::MOST_PEM).ok()?).ok()
}

/// The server's pair holds, lives a while yet, and is of this authority.
fn server_kept(files: &DevelopmentFiles, now: Timestamp) -> bool {
    tls::read_pair(&files.chain, &files.key, now).is_ok_and(|pair| lives(pair.not_after, RENEW_DAYS, now))
        && is_signed_by(&files.chain, &files.ca).unwrap_or(false)
}

/// Whether the certificate names the authority's key as its issuer's.
fn is_signed_by(chain: &Path, ca: &Path) -> Option<bool> {
    let (chain, ca) = (fs::read(chain).ok()?, fs::read(ca).ok()?);
    let (chain, ca) = (CertificateDer::from_pem_slice(&chain).ok()?, CertificateDer::from_pem_slice(&ca).ok()?);
    let (_, server) = X509Certificate::from_der(&chain).ok()?;
    let (_, authority) = X509Certificate::from_der(&ca).ok()?;
    let named = server.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.clone(),
        _ => None,
    })?;
    let own = authority.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.clone()),
        _ => None,
    })?;
    Some(named == own)
}

fn lives(not_after: i64, days: i64, now: Timestamp) -> bool {
    not_after > now.as_second() + days * 86_400
}

/// The same for every signature of this authority: its name and key identifier are what certificates refer to.
fn ca_params(now: Timestamp) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    hold(&mut params, now, CA_DAYS);
    params.distinguished_name.push(DnType::CommonName, "mi-gateway development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".into()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(Ipv4Addr::LOCALHOST.octets(), 32)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(Ipv6Addr::LOCALHOST.octets(), 128)),
        ],
        excluded_subtrees: Vec::new(),
    });
    Ok(params)
}

fn server_params(now: Timestamp) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    params.subject_alt_names.push(SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    hold(&mut params, now, SERVER_DAYS);
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// From yesterday's midnight, for clocks that differ, to the midnight so many days ahead.
fn hold(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let midnight = |days: i64| {
        let date = TimeZone::UTC.to_datetime(now + SignedDuration::from_hours(24 * days)).date();
        date_time_ymd(i32::from(date.year()), date.month() as u8, date.day() as u8)
    };
    (params.not_before, params.not_after) = (midnight(-1), midnight(days));
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    write_with_mode(path, bytes, mode).map_err(|source| Error::File { path: path.into(), source })
}

fn write_key(path: &Path, key: &KeyPair) -> Result<(), Error> {
    write(path, Zeroizing::new(key.serialize_pem()).as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::{CertificateError, Error as TlsFault, RootCertStore};
    use std::sync::Arc;

    fn judge(ca: &Path, certificate: &CertificateDer<'_>, name: &str) -> Result<(), TlsFault> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now()).map(|_| ())
    }

    fn later(days: i64) -> Timestamp {
        Timestamp::now() + SignedDuration::from_hours(24 * days)
    }

    #[test]
    fn the_certificate_holds_for_this_machine_and_no_other_name() {
        let dir = tempfile::tempdir().unwrap();
        let files = ensure(&dir.path().join("dev")).unwrap();
        let server = CertificateDer::from_pem_file(&files.chain).unwrap();
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(judge(&files.ca, &server, name), Ok(()), "{name}");
        }
        for name in ["example.com", "127.0.0.2"] {
            assert!(judge(&files.ca, &server, name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_authority_cannot_speak_for_another_name_even_if_its_key_is_stolen() {
        let dir = tempfile::tempdir().unwrap();
        let files = ensure(dir.path()).unwrap();
        let stolen = KeyPair::from_pem(&fs::read_to_string(dir.path().join("ca.key")).unwrap()).unwrap();
        let issuer = Issuer::new(ca_params(Timestamp::now()).unwrap(), stolen);
        for name in ["example.com", "10.0.0.1"] {
            let mut params = server_params(Timestamp::now()).unwrap();
            params.subject_alt_names = CertificateParams::new(vec![name.to_owned()]).unwrap().subject_alt_names;
            let forged = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
            let refused = judge(&files.ca, forged.der(), name).unwrap_err();
            assert!(matches!(refused, TlsFault::InvalidCertificate(CertificateError::Other(_))), "{refused:?}");
        }
    }

    #[test]
    fn files_are_used_again_until_near_their_end_and_keys_are_their_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let files = ensure(dir.path()).unwrap();
        let read = || (fs::read(&files.ca).unwrap(), fs::read(&files.chain).unwrap());
        let first = read();
        assert_eq!(ensure_at(dir.path(), later(SERVER_DAYS - RENEW_DAYS - 2)).unwrap(), files);
        assert_eq!(read(), first);
        ensure_at(dir.path(), later(SERVER_DAYS - RENEW_DAYS + 2)).unwrap();
        let second = read();
        assert!(second.0 == first.0 && second.1 != first.1);
        ensure_at(dir.path(), later(CA_DAYS - SERVER_DAYS + 2)).unwrap();
        assert!(read().0 != first.0);
        for key in ["ca.key", "server.key"] {
            let mode = fs::metadata(dir.path().join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
        assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn broken_files_and_a_server_of_another_authority_are_made_again() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (files, other) = (ensure(one.path()).unwrap(), ensure(two.path()).unwrap());
        fs::copy(&other.chain, &files.chain).unwrap();
        fs::copy(&other.key, &files.key).unwrap();
        ensure(one.path()).unwrap();
        assert_eq!(judge(&files.ca, &CertificateDer::from_pem_file(&files.chain).unwrap(), "localhost"), Ok(()));
        fs::write(one.path().join("ca.key"), "rubbish").unwrap();
        ensure(one.path()).unwrap();
        assert_eq!(judge(&files.ca, &CertificateDer::from_pem_file(&files.chain).unwrap(), "localhost"), Ok(()));
    }
}
