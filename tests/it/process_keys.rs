//! Clients without a secret, from the command line alone: registered, asking, refused.

use super::{Process, READ, patiently, run, text};
use crate::house::https;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn key(at: &Path, name: &str) -> rcgen::KeyPair {
    let key = rcgen::KeyPair::generate().expect("a key");
    std::fs::write(at.join(format!("{name}.key")), key.serialize_pem()).expect("a file");
    std::fs::write(at.join(format!("{name}.pub")), key.public_key_pem()).expect("a file");
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_key_or_a_certificate_gets_its_tokens_and_its_file_holds_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let process = Process::start(at, &[("MI_GATEWAY__EDGE__SELF_SIGNED_CLIENTS", "true")]).await;
    let own = key(at, "own");
    key(at, "other");
    let params = rcgen::CertificateParams::new(["shop.example".to_owned()]).expect("a name");
    std::fs::write(at.join("own.pem"), params.self_signed(&own).expect("a certificate").pem()).expect("a file");
    let common = ["--group", "demo", "--m3-user", "MIDEMO", "--company", "100", "--division", "AAA"];
    for (name, words, shows) in [
        ("signer", &["--auth", "private_key_jwt", "--jwks", "own.pub"][..], &["--key", "own.key"][..]),
        (
            "card",
            &["--auth", "self_signed_tls_client_auth", "--certificate", "own.pem"],
            &["--cert", "own.pem", "--cert-key", "own.key"],
        ),
    ] {
        let file = format!("{name}.ionapi");
        let add = [&["client", "add", name, "--out", &file][..], &common, words].concat();
        let added = run(at, &add, &[]).await;
        assert!(added.status.success(), "{}", text(&added.stderr));
        let told: Value = serde_json::from_slice(&std::fs::read(at.join(&file)).expect("a file")).expect("JSON");
        assert_eq!((&told["am"], told.get("cs")), (&Value::from(words[1]), None));
        let ask = [&["token", &file][..], shows].concat();
        let token = patiently(async || {
            let got = run(at, &ask, &[]).await;
            got.status.success().then(|| text(&got.stdout).trim().to_owned())
        })
        .await;
        assert_eq!(process.status(at, &token, READ).await, 200, "{name}");
        assert!(!run(at, &["token", &file], &[]).await.status.success(), "{name} without what it is known by");
        let wrong = run(at, &["token", &file, "--key", "other.key"], &[]).await;
        assert!(text(&wrong.stderr).contains("invalid_client"), "{}", text(&wrong.stderr));
    }
    for unfit in [
        &["--auth", "private_key_jwt"][..],
        &["--auth", "private_key_jwt", "--jwks", "own.key"],
        &["--auth", "tls_client_auth", "--certificate", "own.pem"],
        &["--jwks", "own.pub"],
    ] {
        let refused = run(at, &[&["client", "add", "x", "--out", "x.ionapi"][..], unfit].concat(), &[]).await;
        assert_eq!(refused.status.code(), Some(2), "{unfit:?}: {}", text(&refused.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_bound_to_a_key_is_got_and_used_from_the_command_line_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let process = Process::start(at, &[("MI_GATEWAY__DPOP__REQUIRE_NONCE", "true")]).await;
    let got = run(at, &["token", "--dpop-key", "own.key"], &[]).await;
    assert!(got.status.success(), "{}", text(&got.stderr));
    let notes = text(&got.stderr);
    assert!(notes.contains("A new key was made") && notes.contains("--proof URL"), "{notes}");
    let mode = std::fs::metadata(at.join("own.key")).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = text(&got.stdout).trim().to_owned();
    assert_eq!(process.status(at, &token, READ).await, 401, "a bound token is no bearer's");
    let url = format!("{}/m3api-rest/v2/execute/{READ}", process.word("public_url"));
    let proof = run(at, &["token", "--dpop-key", "own.key", "--proof", &url], &[]).await;
    assert!(proof.status.success(), "{}", text(&proof.stderr));
    let headers = text(&proof.stdout);
    let client = https(&at.join("certs/dev/ca.pem"));
    let call = |url: &str| {
        let mut request = Request::get(url);
        for (name, value) in headers.lines().filter_map(|line| line.split_once(": ")) {
            request = request.header(name, value);
        }
        client.request(request.body(Full::<Bytes>::default()).expect("a request"))
    };
    assert_eq!(call(&url).await.expect("an answer").status().as_u16(), 200, "{headers}");
    assert_eq!(call(&url).await.expect("an answer").status().as_u16(), 401, "a proof is good once");
    for key in ["own.pem", "/proc/nowhere/own.key"] {
        std::fs::write(at.join("own.pem"), "no key").expect("a file");
        assert_eq!(run(at, &["token", "--dpop-key", key], &[]).await.status.code(), Some(2), "{key}");
    }
}
