//! An issuer in this process, which signs and answers whatever a test tells it to.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mi_gateway::config::{Foreign, ForeignClient, Settings};
use mi_gateway::model::{ClientId, Company, M3User, Standing, TenantId};
use mi_gateway::tasks::Tasks;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

pub(crate) const AUDIENCE: &str = "https://m3.example.com";

/// What is answered to a path, whatever the issuer would say; `None`: what it would say.
pub(crate) type Says = Arc<dyn Fn(&str) -> Option<Response<Full<Bytes>>> + Send + Sync>;

pub(crate) struct Signer {
    /// Exactly the claim `iss` of its tokens: plain HTTP on this machine.
    pub(crate) issuer: String,
    pair: Arc<EcdsaKeyPair>,
}

pub(crate) fn coded(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

impl Signer {
    pub(crate) async fn start(tasks: &Tasks) -> Self {
        Self::with(tasks, Arc::new(|_| None)).await
    }

    pub(crate) async fn with(tasks: &Tasks, says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let issuer = format!("http://{}", listener.local_addr().expect("an address"));
        let pair = Arc::new(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"));
        let signer = Self { issuer: issuer.clone(), pair };
        let metadata = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks"),
            "introspection_endpoint": format!("{issuer}/introspect") });
        let (metadata, keys) = (metadata.to_string(), json!({ "keys": [signer.jwk()] }).to_string());
        let serving = tasks.clone();
        tasks.spawn_until_stop(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (metadata, keys, says) = (metadata.clone(), keys.clone(), Arc::clone(&says));
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let told = says(request.uri().path()).unwrap_or_else(|| {
                        let body = if request.uri().path() == "/jwks" { &keys } else { &metadata };
                        Response::new(Full::from(body.clone()))
                    });
                    async move { Ok::<_, Infallible>(told) }
                });
                let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                serving.spawn_until_stop(async move { drop(served.await) });
            }
        });
        signer
    }

    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k", "x": coded(x), "y": coded(y) })
    }

    /// Signs a header and claims as they are written.
    pub(crate) fn signs(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", coded(header), coded(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).expect("signs");
        format!("{message}.{}", coded(signature))
    }

    pub(crate) fn header() -> Value {
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k" })
    }

    pub(crate) fn claims(&self, client: &str) -> Value {
        json!({ "iss": self.issuer, "aud": AUDIENCE, "sub": client, "client_id": client, "iat": now(), "exp": now() + 3_600 })
    }

    /// A good token of this client.
    pub(crate) fn token(&self, client: &str) -> String {
        self.signs(&Self::header().to_string(), &self.claims(client).to_string())
    }

    /// Makes the settings trust it.
    pub(crate) fn trusted(&self, settings: &mut Settings, change: impl FnOnce(&mut Foreign)) {
        let mut foreign = Foreign::new(&self.issuer, vec![AUDIENCE.to_owned()]);
        foreign.allow_private = true;
        change(&mut foreign);
        settings.issuers.push(foreign);
    }

    /// Makes one of its clients known: its tenant, its group, and its user and company in M3.
    pub(crate) fn client(
        &self,
        settings: &mut Settings,
        id: &str,
        tenant: &str,
        group: &str,
        (user, company): (&str, u16),
    ) {
        settings.clients.push(ForeignClient {
            client: ClientId { issuer: self.issuer.as_str().into(), id: id.into() },
            tenant: TenantId::parse(tenant).ok(),
            groups: vec![group.to_owned()],
            standing: Standing {
                user: M3User::parse(user).ok(),
                company: Company::new(company).ok(),
                ..Standing::default()
            },
        });
    }
}
