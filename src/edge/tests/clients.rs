//! Certificates of clients: asked for where the settings say so, proven in the handshake, demanded nowhere.

use super::{BOTH, House, client, soon};
use crate::edge::settings::{ClientCertificates, Limits};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{ClientConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn named() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
    params.distinguished_name.push(DnType::CommonName, "web-shop");
    params
}

fn over() -> CertificateParams {
    let mut params = named();
    params.not_after = date_time_ymd(2020, 1, 1);
    params
}

struct Card {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Card {
    fn of(authority: &Authority, params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.signed_by(&key, authority).unwrap().der().clone(), key }
    }

    fn own(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap().der().clone(), key }
    }
}

struct Asking {
    house: House,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Asking {
    async fn of(authority: Option<&Authority>, self_signed: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.pem");
        if let Some(authority) = authority {
            fs::write(&path, authority.pem()).unwrap();
        }
        let asked = ClientCertificates { authorities: authority.map(|_| path.clone()), self_signed };
        let limits = Limits { reload: Duration::from_millis(5), ..Limits::default() };
        Self { house: House::open(limits, true, Some(asked), &[]).await, path, _folder: folder }
    }

    /// What the service is told of the caller; `None`: there was no connection.
    async fn sees(&self, card: Option<&Card>, versions: &[&'static SupportedProtocolVersion]) -> Option<String> {
        let mut config = client(&self.house.files.ca, &["http/1.1"], versions);
        if let Some(Card { certificate, key }) = card {
            config = with(config, certificate, key);
        }
        let asked = async {
            let mut stream = self.house.dial_tls(config).await.ok()?;
            let ask = b"GET /certificate HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            stream.write_all(ask).await.ok()?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.ok()?;
            let text = String::from_utf8(bytes).ok()?;
            text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
        };
        soon(asked).await
    }
}

fn with(config: ClientConfig, certificate: &CertificateDer<'static>, key: &KeyPair) -> ClientConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    // Whether the two belong together is for the other side to find out.
    let certified = rustls::sign::CertifiedKey::new(vec![certificate.clone()], signing);
    let mut config = config;
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    config
}

const TOLD: &str = "CN=web-shop,O=Acme\\, Inc. shop.example";

#[tokio::test]
async fn a_certificate_that_is_shown_is_proven_and_told_and_none_is_needed() {
    let authority = authority();
    let asking = Asking::of(Some(&authority), false).await;
    let card = Card::of(&authority, &named());
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        assert_eq!(asking.sees(Some(&card), versions).await, Some(format!("true {TOLD}")));
        assert_eq!(asking.sees(None, versions).await, Some(String::new()));
    }
}

#[tokio::test]
async fn one_that_nobody_answers_for_or_that_is_over_ends_the_handshake() {
    let (ours, other) = (authority(), authority());
    let asking = Asking::of(Some(&ours), false).await;
    let mut early = named();
    early.not_before = date_time_ymd(2999, 1, 1);
    let stolen = Card { certificate: Card::of(&ours, &named()).certificate, key: KeyPair::generate().unwrap() };
    for (what, card) in [
        ("of another authority", Card::of(&other, &named())),
        ("over", Card::of(&ours, &over())),
        ("not yet", Card::of(&ours, &early)),
        ("of itself", Card::own(&named())),
        ("of somebody else's key", stolen),
    ] {
        for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
            assert_eq!(asking.sees(Some(&card), versions).await, None, "{what}");
        }
    }
    assert!(asking.house.ended("tls_handshake") >= 10);
}

#[tokio::test]
async fn one_that_answers_for_itself_is_taken_where_that_is_set_and_never_vouched_for() {
    let authority = authority();
    for trusted in [None, Some(&authority)] {
        let asking = Asking::of(trusted, true).await;
        assert_eq!(asking.sees(Some(&Card::own(&named())), BOTH).await, Some(format!("false {TOLD}")));
        assert_eq!(asking.sees(Some(&Card::own(&over())), BOTH).await, None);
        let issued = asking.sees(Some(&Card::of(&authority, &named())), BOTH).await;
        assert_eq!(issued, trusted.map(|_| format!("true {TOLD}")));
    }
}

#[tokio::test]
async fn authorities_that_change_are_trusted_from_then_on_and_a_bad_file_changes_nothing() {
    let (old, new) = (authority(), authority());
    let asking = Asking::of(Some(&old), false).await;
    let (before, after) = (Card::of(&old, &named()), Card::of(&new, &named()));
    fs::write(&asking.path, "no authority").unwrap();
    super::until(|| asking.house.metrics.reloads_refused.with_label_values(&["client_ca"]).get() > 0).await;
    assert!(asking.sees(Some(&before), BOTH).await.is_some());
    fs::write(&asking.path, new.pem()).unwrap();
    soon(async { while asking.sees(Some(&after), BOTH).await.is_none() {} }).await;
    assert_eq!(asking.sees(Some(&before), BOTH).await, None);
}

#[tokio::test]
async fn nobody_is_asked_where_nothing_is_set() {
    let house = House::tls(Limits::default()).await;
    let config = client(&house.files.ca, &["http/1.1"], BOTH);
    let card = Card::own(&named());
    assert!(soon(house.dial_tls(with(config, &card.certificate, &card.key))).await.is_ok());
}
