//! Key sets by URL, from a real server on a real socket.

use super::super::{Algorithm, Blame, Error, IssuerRules, Presented, RemoteKeys};
use super::{Directory, ISSUER, NOW, Signer, Verifier, claims, install_crypto, proofs, set};
use crate::outbound;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

pub(super) type Answer = http::Response<Full<Bytes>>;
pub(super) type Says = Arc<dyn Fn(usize) -> Option<Answer> + Send + Sync>;
pub(super) type Reads = Arc<dyn Fn(usize, &str) -> Option<Answer> + Send + Sync>;

/// Answers the n-th request with what it is told; `None` never answers.
pub(super) struct Idp {
    pub(super) url: String,
    asked: Arc<AtomicUsize>,
}

impl Idp {
    pub(super) async fn start(tasks: &Tasks, says: Says) -> Self {
        Self::reading(tasks, Arc::new(move |n, _: &str| says(n))).await
    }

    /// The same, by what the body says.
    pub(super) async fn reading(tasks: &Tasks, says: Reads) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/jwks", listener.local_addr().expect("an address"));
        let asked = Arc::new(AtomicUsize::new(0));
        let (counter, connections) = (Arc::clone(&asked), tasks.clone());
        tasks.spawn_until_stop(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (counter, says) = (Arc::clone(&counter), Arc::clone(&says));
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (n, says) = (counter.fetch_add(1, Ordering::SeqCst), Arc::clone(&says));
                    async move {
                        match says(n, &said(request).await) {
                            Some(answer) => Ok::<_, std::convert::Infallible>(answer),
                            None => std::future::pending().await,
                        }
                    }
                });
                let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                connections.spawn_until_stop(async move { drop(served.await) });
            }
        });
        Self { url, asked }
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn verifier(&self, tasks: &Tasks, change: impl FnOnce(&mut RemoteKeys)) -> (Verifier, Metrics) {
        install_crypto();
        let mut keys = RemoteKeys::at(&self.url);
        keys.http.loopback_http = true;
        change(&mut keys);
        let mut rules = IssuerRules::remote(ISSUER, vec![ISSUER.into()], keys);
        rules.algorithms = vec![Algorithm::Es256];
        let metrics = Metrics::new();
        (
            Verifier::new("https://gateway.example", vec![rules], Directory::new(), proofs(), &metrics, tasks)
                .expect("a URL to fetch"),
            metrics,
        )
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own short body")]
async fn said(request: http::Request<hyper::body::Incoming>) -> String {
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

pub(super) fn document(text: &str) -> Option<Answer> {
    Some(http::Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes()))))
}

fn token(signer: &Signer) -> String {
    signer.token(&signer.header(), &claims())
}

#[tokio::test]
async fn the_first_token_waits_for_the_keys_and_no_longer() {
    let (tasks, signer) = (Tasks::new(), Signer::new("k1"));
    let keys = set(&[&signer]);
    let idp = Idp::start(&tasks, Arc::new(move |_| document(&keys))).await;
    let (verifier, _) = idp.verifier(&tasks, |_| ());
    let principal = verifier.verify(&token(&signer), &Presented::BEARER, NOW).await.expect("a good token");
    assert!(principal.groups.is_empty() && principal.standing.user.is_none());
    assert!(verifier.without_keys().is_empty());
    assert_eq!(idp.asked(), 1);
}

#[tokio::test]
async fn ten_thousand_made_up_key_ids_are_one_fetch() {
    let (tasks, signer) = (Tasks::new(), Signer::new("k1"));
    let keys = set(&[&signer]);
    let idp = Idp::start(&tasks, Arc::new(move |_| document(&keys))).await;
    let (verifier, metrics) = idp.verifier(&tasks, |_| ());
    verifier.verify(&token(&signer), &Presented::BEARER, NOW).await.expect("a good token");
    let asks = (0..10_000).map(|n| {
        let (verifier, token) = (verifier.clone(), made_up(n));
        async move { verifier.verify(&token, &Presented::BEARER, NOW).await.err() }
    });
    let refused = futures_util::future::join_all(asks).await;
    assert!(refused.iter().all(|error| *error == Some(Error::UnknownKey)));
    assert_eq!(idp.asked(), 2);
    assert_eq!(metrics.unknown_keys.with_label_values(&[ISSUER]).get(), 10_000);
    // One after the other they are no better off: what they cause is bounded by time, not by number.
    let began = std::time::Instant::now();
    for n in 10_000..11_000 {
        assert_eq!(verifier.verify(&made_up(n), &Presented::BEARER, NOW).await.err(), Some(Error::UnknownKey));
    }
    let fair = 3 + began.elapsed().as_millis() / 900;
    assert!((idp.asked() as u128) <= fair, "{} fetches, {fair} are fair", idp.asked());
    assert!(verifier.verify(&token(&signer), &Presented::BEARER, NOW).await.is_ok());
}

/// Of a key that nobody has. What it is signed with does not matter: no key is found to ask.
fn made_up(n: usize) -> String {
    let header = serde_json::json!({"alg": "ES256", "typ": "at+jwt", "kid": format!("made-up-{n}")});
    format!("{}.{}.{}", super::coded(&header), super::coded(&claims()), "A".repeat(86))
}

#[tokio::test]
async fn a_rotation_in_the_middle_of_a_flood_is_seen_within_a_second() {
    let (tasks, old, new) = (Tasks::new(), Signer::new("k1"), Signer::new("k2"));
    let sets = [set(&[&old]), set(&[&new, &old])];
    let rotated = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&rotated);
    let idp = Idp::start(&tasks, Arc::new(move |_| document(&sets[now.load(Ordering::SeqCst)]))).await;
    let (verifier, _) = idp.verifier(&tasks, |_| ());
    verifier.verify(&token(&old), &Presented::BEARER, NOW).await.expect("the first key");
    let began = std::time::Instant::now();
    let flood = async {
        for n in 0.. {
            assert_eq!(verifier.verify(&made_up(n), &Presented::BEARER, NOW).await.err(), Some(Error::UnknownKey));
            tokio::task::yield_now().await;
        }
    };
    let rotation = async {
        // The flood has spent its fetch.
        while idp.asked() < 2 {
            tokio::task::yield_now().await;
        }
        rotated.store(1, Ordering::SeqCst);
        let turned = std::time::Instant::now();
        while verifier.verify(&token(&new), &Presented::BEARER, NOW).await.is_err() {
            tokio::task::yield_now().await;
        }
        turned.elapsed()
    };
    let seen = tokio::select! { seen = rotation => seen, () = flood => unreachable!("it has no end") };
    assert!(seen < Duration::from_secs(1), "{seen:?}");
    let fair = 2 + began.elapsed().as_millis() / 900 + 1;
    assert!((idp.asked() as u128) <= fair, "{} fetches, {fair} are fair", idp.asked());
}

#[tokio::test]
async fn keys_that_nobody_confirms_are_used_no_longer_than_the_settings_say() {
    let (tasks, signer) = (Tasks::new(), Signer::new("k1"));
    let keys = set(&[&signer]);
    let broken = || http::Response::builder().status(500).body(Full::default()).ok();
    let idp = Idp::start(&tasks, Arc::new(move |n| if n == 0 { document(&keys) } else { broken() })).await;
    let (verifier, _) = idp.verifier(&tasks, |remote| remote.stale = Duration::from_millis(400));
    let token = token(&signer);
    verifier.verify(&token, &Presented::BEARER, NOW).await.expect("good");
    let ends = async {
        while verifier.without_keys().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ends).await.expect("they end");
    assert!(idp.asked() > 1, "it was tried before");
    assert_eq!(
        verifier.verify(&token, &Presented::BEARER, NOW).await.err(),
        Some(Error::KeysUnavailable),
        "a cached token too"
    );
}

#[tokio::test]
async fn saved_keys_are_no_younger_for_a_restart() {
    let (tasks, signer, folder) = (Tasks::new(), Signer::new("k1"), tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("idp.json");
    std::fs::write(&path, set(&[&signer])).expect("a file");
    for (age, good) in [(Duration::from_secs(23 * 3600), true), (Duration::from_secs(25 * 3600), false)] {
        let file = std::fs::File::options().write(true).open(&path).expect("the file");
        file.set_modified(std::time::SystemTime::now() - age).expect("an age");
        let idp = Idp::start(&tasks, Arc::new(|_| None)).await;
        let (verifier, metrics) = idp.verifier(&tasks, |remote| {
            remote.saved = Some(path.clone());
            remote.http.timeout = Duration::from_millis(200);
        });
        while good && !verifier.without_keys().is_empty() {
            tokio::task::yield_now().await;
        }
        let said = verifier.verify(&token(&signer), &Presented::BEARER, NOW).await;
        assert_eq!(said.err(), (!good).then_some(Error::KeysUnavailable), "{age:?}");
        let fetched = metrics.jwks_fetched.with_label_values(&[ISSUER]).get();
        assert_eq!(fetched > 0, good, "their age is told");
    }
}

#[tokio::test]
async fn a_rotated_key_is_found_at_once() {
    let (tasks, old, new) = (Tasks::new(), Signer::new("k1"), Signer::new("k2"));
    let sets = [set(&[&old]), set(&[&new, &old])];
    let idp = Idp::start(&tasks, Arc::new(move |n| document(&sets[n.min(1)]))).await;
    let (verifier, _) = idp.verifier(&tasks, |_| ());
    verifier.verify(&token(&old), &Presented::BEARER, NOW).await.expect("the first key");
    verifier.verify(&token(&new), &Presented::BEARER, NOW).await.expect("the second key");
    verifier.verify(&token(&old), &Presented::BEARER, NOW).await.expect("still good");
    assert_eq!(idp.asked(), 2);
}

#[tokio::test]
async fn a_failing_server_takes_no_good_keys_away() {
    let (tasks, signer, stranger) = (Tasks::new(), Signer::new("k1"), Signer::new("k2"));
    let keys = set(&[&signer]);
    let broken = |n: usize| http::Response::builder().status(500 + n as u16).body(Full::default()).ok();
    let idp = Idp::start(&tasks, Arc::new(move |n| if n == 0 { document(&keys) } else { broken(n) })).await;
    let (verifier, metrics) = idp.verifier(&tasks, |_| ());
    verifier.verify(&token(&signer), &Presented::BEARER, NOW).await.expect("good");
    assert_eq!(verifier.verify(&token(&stranger), &Presented::BEARER, NOW).await.err(), Some(Error::UnknownKey));
    assert_eq!(metrics.jwks_fetches.with_label_values(&[ISSUER, "failed"]).get(), 1);
    verifier
        .verify(
            &super::Signer::token(&signer, &signer.header(), &super::with(claims(), "jti", "t2".into())),
            &Presented::BEARER,
            NOW,
        )
        .await
        .expect("the key is still there");
}

#[tokio::test]
async fn a_restart_needs_no_answer_when_keys_were_saved() {
    let (tasks, signer, folder) = (Tasks::new(), Signer::new("k1"), tempfile::tempdir().expect("a folder"));
    let (keys, path) = (set(&[&signer]), folder.path().join("idp.json"));
    let idp = Idp::start(&tasks, Arc::new(move |n| (n == 0).then(|| document(&keys)).flatten())).await;
    for jti in ["before", "after"] {
        let (verifier, _) = idp.verifier(&tasks, |remote| remote.saved = Some(path.clone()));
        let token = signer.token(&signer.header(), &super::with(claims(), "jti", jti.into()));
        while verifier.without_keys() == [ISSUER] {
            tokio::task::yield_now().await;
        }
        verifier.verify(&token, &Presented::BEARER, NOW).await.expect("good");
        // The save follows the swap of the keys.
        while !path.exists() {
            tokio::task::yield_now().await;
        }
    }
}

/// What a server must not do ends as "keys cannot be had", which is not the caller's fault.
async fn nothing_comes_of(says: Says, change: impl FnOnce(&mut RemoteKeys), outcome: &str) -> usize {
    let (tasks, signer) = (Tasks::new(), Signer::new("k1"));
    let idp = Idp::start(&tasks, says).await;
    let (verifier, metrics) = idp.verifier(&tasks, change);
    let refused = verifier.verify(&token(&signer), &Presented::BEARER, NOW).await.expect_err("no keys");
    assert_eq!((refused.clone(), refused.blame()), (Error::KeysUnavailable, Blame::Gateway));
    assert_eq!(verifier.without_keys(), [ISSUER]);
    assert_eq!(metrics.jwks_fetches.with_label_values(&[ISSUER, outcome]).get(), 1);
    idp.asked()
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let says = |_| http::Response::builder().status(302).header("location", "/other").body(Full::default()).ok();
    assert_eq!(nothing_comes_of(Arc::new(says), |_| (), "failed").await, 1);
}

#[tokio::test]
async fn a_huge_key_set_is_not_read() {
    let huge = format!(r#"{{"keys":[],"padding":"{}"}}"#, "x".repeat(1024 * 1024));
    assert_eq!(nothing_comes_of(Arc::new(move |_| document(&huge)), |_| (), "failed").await, 1);
}

#[tokio::test]
async fn a_slow_server_is_given_up() {
    let short = |keys: &mut RemoteKeys| keys.http.timeout = Duration::from_millis(300);
    assert_eq!(nothing_comes_of(Arc::new(|_| None), short, "failed").await, 1);
}

#[tokio::test]
async fn a_server_that_gives_a_byte_at_a_time_is_given_up_too() {
    let tasks = Tasks::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/jwks", listener.local_addr().expect("an address"));
    tasks.spawn_until_stop(async move {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec();
        loop {
            if socket.write_all(&bytes).await.is_err() {
                return;
            }
            bytes = vec![b' '];
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let idp = Idp { url, asked: Arc::default() };
    let (verifier, metrics) = idp.verifier(&tasks, |keys| keys.http.timeout = Duration::from_millis(300));
    assert_eq!(
        verifier.verify(&token(&Signer::new("k1")), &Presented::BEARER, NOW).await.err(),
        Some(Error::KeysUnavailable)
    );
    assert_eq!(metrics.jwks_fetches.with_label_values(&[ISSUER, "failed"]).get(), 1);
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_asked() {
    let (tasks, signer) = (Tasks::new(), Signer::new("k1"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("it does not wait");
    // Its address is only known when it is resolved.
    let url = format!("https://localhost:{}/jwks", listener.local_addr().expect("an address").port());
    let idp = Idp { url, asked: Arc::default() };
    for open in [false, true] {
        let (verifier, _) = idp.verifier(&tasks, |keys| {
            keys.http.loopback_http = open;
            keys.http.timeout = Duration::from_millis(300);
        });
        assert_eq!(verifier.verify(&token(&signer), &Presented::BEARER, NOW).await.err(), Some(Error::KeysUnavailable));
        assert_eq!(listener.accept().is_ok(), open, "who may be asked is, and nobody else");
    }
}

#[tokio::test]
async fn what_is_no_key_set_is_no_key_set() {
    assert_eq!(nothing_comes_of(Arc::new(|_| document("<html>")), |_| (), "unreadable").await, 1);
    assert_eq!(nothing_comes_of(Arc::new(|_| document(r#"{"keys":[]}"#)), |_| (), "empty").await, 1);
}

#[tokio::test]
async fn a_url_that_may_not_be_fetched_is_refused_at_once() {
    install_crypto();
    let refused = |url: &str, loopback_http: bool| {
        let mut keys = RemoteKeys::at(url);
        keys.http = outbound::Settings { loopback_http, ..outbound::Settings::default() };
        let rules = IssuerRules::remote(ISSUER, vec![ISSUER.into()], keys);
        Verifier::new(
            "https://gateway.example",
            vec![rules],
            Directory::new(),
            proofs(),
            &Metrics::new(),
            &Tasks::new(),
        )
        .is_err()
    };
    for url in ["http://idp.example/jwks", "file:///etc/passwd", "https://user:pw@idp.example/", "jwks", "https:///x"] {
        assert!(refused(url, true), "{url}");
    }
    assert!(refused("http://127.0.0.1:1/jwks", false) && !refused("http://127.0.0.1:1/jwks", true));
    assert!(refused("https://127.0.0.1/jwks", false) && refused("https://169.254.169.254/latest", true));
}
