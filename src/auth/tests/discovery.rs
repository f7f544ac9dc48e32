//! Where an issuer's keys are, by what it says of itself.

use super::super::{Algorithm, Error, IssuerRules, Presented, RemoteKeys};
use super::{Directory, NOW, Signer, Verifier, claims, install_crypto, proofs, set, with};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

/// Serves these documents by path. What it answers else is 404.
async fn serve(tasks: &Tasks, documents: impl FnOnce(&str) -> HashMap<String, Value>) -> String {
    let documents = |base: &str| Arc::new(Mutex::new(documents(base)));
    serve_changing(tasks, documents).await.0
}

type Documents = Arc<Mutex<HashMap<String, Value>>>;

/// The same, of documents that may change.
async fn serve_changing(tasks: &Tasks, documents: impl FnOnce(&str) -> Documents) -> (String, Documents) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let served = documents(&base);
    let (documents, connections) = (Arc::clone(&served), tasks.clone());
    tasks.spawn_until_stop(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let documents = Arc::clone(&documents);
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let found = documents.lock().expect("unpoisoned").get(request.uri().path()).map(Value::to_string);
                let status = if found.is_some() { 200 } else { 404 };
                let answer = http::Response::builder().status(status);
                std::future::ready(answer.body(Full::new(Bytes::from(found.unwrap_or_default()))))
            });
            let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            connections.spawn_until_stop(async move { drop(served.await) });
        }
    });
    (base, served)
}

async fn says(tasks: &Tasks, issuer: &str, signer: &Signer, saved: Option<&Path>) -> Result<(), Error> {
    install_crypto();
    let mut keys = RemoteKeys::discovered();
    keys.http.loopback_http = true;
    keys.saved = saved.map(Path::to_owned);
    let mut rules = IssuerRules::remote(issuer, vec![super::ISSUER.into()], keys);
    rules.algorithms = vec![Algorithm::Es256];
    let verifier =
        Verifier::new(super::ISSUER, vec![rules], Directory::new(), proofs(), &Metrics::new(), tasks).expect("a URL");
    let token = signer.token(&signer.header(), &with(claims(), "iss", json!(issuer)));
    verifier.verify(&token, &Presented::BEARER, NOW).await.map(drop)
}

fn keys(signer: &Signer) -> Value {
    serde_json::from_str(&set(&[signer])).expect("JSON")
}

#[tokio::test]
async fn the_keys_are_found_wherever_the_standards_let_the_metadata_stand() {
    let (tasks, signer) = (Tasks::new(), Signer::new("k1"));
    for (path, place) in [
        ("", "/.well-known/openid-configuration"),
        ("/", "/.well-known/openid-configuration"),
        ("", "/.well-known/oauth-authorization-server"),
        ("/a", "/a/.well-known/openid-configuration"),
        ("/a", "/.well-known/oauth-authorization-server/a"),
        ("/a", "/.well-known/openid-configuration/a"),
    ] {
        let base = serve(&tasks, |base| {
            let metadata = json!({"issuer": format!("{base}{path}"), "jwks_uri": format!("{base}/keys")});
            [(place.to_owned(), metadata), ("/keys".to_owned(), keys(&signer))].into()
        })
        .await;
        assert_eq!(says(&tasks, &format!("{base}{path}"), &signer, None).await, Ok(()), "{path} {place}");
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_or_with_a_forbidden_place_are_not_taken_over() {
    let (tasks, signer) = (Tasks::new(), Signer::new("k1"));
    for (issuer, uri) in [
        ("https://evil.example", "BASE/keys"),
        ("BASE/", "BASE/keys"),
        ("BASE", "http://169.254.169.254/keys"),
        ("BASE", "https://169.254.169.254/keys"),
        ("BASE", "file:///etc/passwd"),
        ("BASE", "http://idp.example/keys"),
    ] {
        let base = serve(&tasks, |base| {
            let metadata = json!({"issuer": issuer.replace("BASE", base), "jwks_uri": uri.replace("BASE", base)});
            [("/.well-known/openid-configuration".to_owned(), metadata), ("/keys".to_owned(), keys(&signer))].into()
        })
        .await;
        assert_eq!(says(&tasks, &base, &signer, None).await, Err(Error::KeysUnavailable), "{issuer} {uri}");
    }
}

#[tokio::test]
async fn what_was_discovered_outlives_a_restart() {
    let (tasks, signer, folder) = (Tasks::new(), Signer::new("k1"), tempfile::tempdir().expect("a folder"));
    let saved = folder.path().join("issuer.json");
    // Nothing but the keys is served: what the issuer says of itself is on disk alone.
    let base = serve(&tasks, |_| [("/keys".to_owned(), keys(&signer))].into()).await;
    let metadata = json!({"issuer": base, "jwks_uri": format!("{base}/keys")});
    std::fs::write(saved.with_extension("metadata.json"), metadata.to_string()).expect("a file");
    assert_eq!(says(&tasks, &base, &signer, Some(&saved)).await, Ok(()));
    let other = json!({"issuer": "https://evil.example", "jwks_uri": format!("{base}/keys")});
    std::fs::write(saved.with_extension("metadata.json"), other.to_string()).expect("a file");
    std::fs::remove_file(&saved).expect("the keys that were saved");
    assert_eq!(says(&tasks, &base, &signer, Some(&saved)).await, Err(Error::KeysUnavailable));
}

/// An issuer whose keys are at `/old`, and whoever believes it.
async fn trusting(tasks: &Tasks, old: &Signer, rediscover: Duration) -> (String, Documents, Verifier) {
    install_crypto();
    let first = |base: &str| {
        let documents = [(METADATA.to_owned(), about(base, "old")), ("/old".to_owned(), keys(old))];
        Arc::new(Mutex::new(documents.into()))
    };
    let (base, documents) = serve_changing(tasks, first).await;
    let mut remote = RemoteKeys::discovered();
    remote.http.loopback_http = true;
    (remote.pause, remote.rediscover) = (Duration::from_millis(20), rediscover);
    let mut rules = IssuerRules::remote(&base, vec![super::ISSUER.into()], remote);
    rules.algorithms = vec![Algorithm::Es256];
    let verifier = Verifier::new(super::ISSUER, vec![rules], Directory::new(), proofs(), &Metrics::new(), tasks);
    (base, documents, verifier.expect("a URL"))
}

fn about(base: &str, place: &str) -> Value {
    json!({"issuer": base, "jwks_uri": format!("{base}/{place}")})
}

async fn said(verifier: &Verifier, base: &str, signer: &Signer) -> Result<(), Error> {
    let token = signer.token(&signer.header(), &with(claims(), "iss", json!(base)));
    verifier.verify(&token, &Presented::BEARER, NOW).await.map(drop)
}

/// Until its tokens are good, in a flood of made-up key ids.
async fn found(verifier: &Verifier, base: &str, signer: &Signer) {
    let found = async {
        for n in 0.. {
            let made_up = said(verifier, base, &Signer::new(&format!("made-up-{n}"))).await;
            assert_eq!(made_up, Err(Error::UnknownKey));
            if said(verifier, base, signer).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found).await.expect("the keys are looked for where they are");
}

#[tokio::test]
async fn keys_that_an_issuer_moves_in_a_flood_of_made_up_key_ids_are_found() {
    let (tasks, old, new) = (Tasks::new(), Signer::new("k1"), Signer::new("k2"));
    let (base, documents, verifier) = trusting(&tasks, &old, Duration::from_millis(200)).await;
    assert_eq!(said(&verifier, &base, &old).await, Ok(()));
    {
        // The old place goes on answering, as one behind a cache does.
        let mut documents = documents.lock().expect("unpoisoned");
        documents.insert("/new".into(), keys(&new));
        documents.insert(METADATA.into(), about(&base, "new"));
    }
    found(&verifier, &base, &new).await;
}

#[tokio::test]
async fn keys_that_an_issuer_says_are_at_a_forbidden_place_are_looked_for_where_they_were() {
    let (tasks, old, new) = (Tasks::new(), Signer::new("k1"), Signer::new("k2"));
    let (base, documents, verifier) = trusting(&tasks, &old, Duration::ZERO).await;
    assert_eq!(said(&verifier, &base, &old).await, Ok(()));
    let inside = json!({"issuer": base, "jwks_uri": "https://169.254.169.254/keys"});
    documents.lock().expect("unpoisoned").insert(METADATA.into(), inside);
    assert_eq!(said(&verifier, &base, &Signer::new("made-up")).await, Err(Error::UnknownKey), "it is asked again");
    documents.lock().expect("unpoisoned").insert("/old".into(), keys(&new));
    found(&verifier, &base, &new).await;
}

const METADATA: &str = "/.well-known/openid-configuration";
