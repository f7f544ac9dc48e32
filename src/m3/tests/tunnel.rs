//! M3 behind TLS: who it is is checked before a password is sent.

use super::fake::{FakeM3, Greeting, get};
use crate::m3::{Error, TlsSettings};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Takes TLS off and hands the bytes to the M3 behind it; its address, and the certificate that it shows.
async fn tunnel(to: &FakeM3) -> (SocketAddr, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["m3.example".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of the library's own")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a server");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let behind = to.address;
    to.tasks.spawn_until_stop(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut outer) = acceptor.accept(stream).await else { continue };
            let Ok(mut inner) = TcpStream::connect(behind).await else { continue };
            let _ = copy_bidirectional(&mut outer, &mut inner).await;
        }
    });
    (address, cert.pem())
}

#[tokio::test]
async fn the_whole_dialogue_goes_through_the_tunnel() {
    let fake = FakeM3::start(Greeting::Say("NGCONOK"), |_| None).await;
    let (address, ca) = tunnel(&fake).await;
    let client = fake.client(|settings| {
        settings.address = address.to_string();
        settings.tls = Some(TlsSettings { ca_pem: ca.into_bytes(), server_name: "m3.example".into() });
    });
    let mut reply = client.call(&get()).await.expect("an answer");
    assert!(reply.next().await.expect("a record").is_some());
}

#[tokio::test]
async fn another_name_or_another_authority_gets_no_password() {
    let fake = FakeM3::ordinary().await;
    let (address, ca) = tunnel(&fake).await;
    let (_, stranger) = tunnel(&fake).await;
    for (ca_pem, name) in [(ca, "m3.elsewhere"), (stranger, "m3.example")] {
        let client = fake.client(|settings| {
            settings.address = address.to_string();
            settings.tls = Some(TlsSettings { ca_pem: ca_pem.into_bytes(), server_name: name.into() });
        });
        let error = client.call(&get()).await.expect_err("not the M3 that was meant");
        assert!(matches!(error, Error::Unreachable { .. }), "{name}: {error:?}");
    }
    assert_eq!(fake.connections(), 0, "not a byte reached it");
}

#[tokio::test]
async fn a_password_leaves_the_machine_in_the_open_only_where_that_was_accepted() {
    let fake = FakeM3::ordinary().await;
    for (address, exposed) in [
        ("127.0.0.1:6800", false),
        ("[::1]:6800", false),
        ("[::ffff:127.0.0.1]:6800", false),
        ("localhost:6800", false),
        ("10.0.0.1:6800", true),
        ("localhost.example:6800", true),
        ("m3:6800", true),
    ] {
        fake.client(|settings| {
            settings.address = address.into();
            assert_eq!(settings.is_exposed(), exposed, "{address}");
            settings.plaintext_accepted = true;
            assert!(!settings.is_exposed(), "{address}");
        });
    }
}
