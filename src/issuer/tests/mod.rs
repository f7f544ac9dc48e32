//! The words of these tests: an issuer over a folder of its own, one client, and a verifier that trusts it.

mod certificates;
mod endpoints;
mod life;
mod own_keys;

use super::{
    Authentication, Client, Clients, Credentials, HashCost, Issuer, NewClient, Settings, SigningAlgorithm, TokenAnswer,
    TokenAsk, TokenError,
};
use crate::auth::{Directory, Error as Refused, IssuerRules, Keys, Presented, ProofSettings, Proofs, Shown, Verifier};
pub(super) use crate::clock::unix_seconds as now;
use crate::model::{Company, Division, M3User, Principal, Standing, TenantId};
use crate::store::Store;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

pub(super) const URL: &str = "https://localhost:8443";
pub(super) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub(super) const CHEAP: HashCost = HashCost { memory_kib: 8, passes: 1 };

pub(super) fn settings() -> Settings {
    Settings { algorithm: SigningAlgorithm::Es256, hash_cost: CHEAP, ..Settings::of(URL) }
}

/// What one process has open.
pub(super) struct Running {
    pub(super) store: Store,
    pub(super) clients: Clients,
    pub(super) issuer: Issuer,
    pub(super) verifier: Verifier,
    pub(super) tasks: Tasks,
}

impl Running {
    pub(super) async fn over(folder: &Path, settings: Settings) -> Self {
        let store = Store::open(folder).await.expect("a store");
        let clients = Clients::open(&store, CHEAP).await.expect("clients");
        let (ring, directory, metrics, tasks) = (Keys::new(), Directory::new(), Metrics::new(), Tasks::new());
        let rules = IssuerRules::local(&settings.public_url, ring.clone());
        let proofs = Proofs::new(URL, ProofSettings::default(), &[1; 32], &metrics);
        let opened = Issuer::open(&store, settings, ring, directory.clone(), proofs.clone(), &metrics, &tasks).await;
        let issuer = opened.expect("an issuer");
        let verifier = Verifier::new("https://gateway.example", vec![rules], directory, proofs, &metrics, &tasks)
            .expect("a verifier");
        Self { store, clients, issuer, verifier, tasks }
    }

    pub(super) async fn verify(&self, token: &str) -> Result<Arc<Principal>, Refused> {
        self.verifier.verify(token, &Presented::BEARER, now()).await
    }
}

pub(super) fn new_client(name: &str) -> NewClient {
    NewClient {
        name: name.into(),
        tenant: TenantId::parse("DEMO_TST").expect("a tenant"),
        scopes: vec!["items:read".into(), "items:write".into()],
        groups: vec!["sales".into()],
        standing: Standing {
            user: M3User::parse("MIUSER").ok(),
            company: Company::new(100).ok(),
            run_as: vec![M3User::parse("MIREAD").expect("a user")],
            companies: vec![Company::new(100).expect("a company"), Company::new(200).expect("a company")],
            divisions: vec![Division::parse("AAA").expect("a division"), Division::BLANK],
            ..Standing::default()
        },
        dpop: false,
        authentication: Authentication::Secret,
        bound: false,
    }
}

/// A running issuer with one client, seen from that client.
pub(super) struct House {
    pub(super) folder: tempfile::TempDir,
    pub(super) running: Running,
    pub(super) client: Client,
    pub(super) credentials: Credentials,
    pub(super) now: u64,
}

impl House {
    pub(super) async fn new() -> Self {
        Self::with(settings()).await
    }

    pub(super) async fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("a store");
        let clients = Clients::open(&store, CHEAP).await.expect("clients");
        let (client, credentials) = clients.add(new_client("demo"), now()).await.expect("a client");
        let credentials = credentials.expect("a client with a secret");
        let running = Running::over(folder.path(), settings).await;
        Self { folder, running, client, credentials, now: now() }
    }

    /// Another client, which proves itself otherwise.
    pub(super) async fn other(&self, name: &str, authentication: Authentication, bound: bool) -> Client {
        let new = NewClient { authentication, bound, ..new_client(name) };
        let (client, credentials) = self.running.clients.add(new, now()).await.expect("a client");
        assert_eq!(credentials.is_some(), client.authentication == Authentication::Secret);
        self.running.issuer.inner.refresh().await.expect("reads");
        client
    }

    pub(super) fn secret(&self) -> &str {
        self.credentials.client_secret.expose_secret()
    }

    pub(super) fn sask(&self) -> &str {
        self.credentials.sask.expose_secret()
    }

    pub(super) fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.client.id, self.secret())))
    }

    pub(super) async fn ask(&self, basic: Option<&str>, form: &str) -> Result<TokenAnswer, TokenError> {
        self.running.issuer.token(self.request(basic, form)).await
    }

    pub(super) fn request<'a>(&self, authorization: Option<&'a str>, form: &'a str) -> TokenAsk<'a> {
        let (form, proof, path) = (form.as_bytes(), Shown::None, "/oauth2/token");
        TokenAsk { tenant: None, authorization, form, proof, path, certificate: None, address: HERE, now: self.now }
    }

    /// With the right credentials in the header.
    pub(super) async fn says(&self, form: &str) -> Result<TokenAnswer, TokenError> {
        self.ask(Some(&self.basic()), form).await
    }

    pub(super) async fn granted(&self) -> TokenAnswer {
        self.says("grant_type=client_credentials").await.expect("a token")
    }

    pub(super) async fn refresh(&self, answer: &TokenAnswer) -> Result<TokenAnswer, TokenError> {
        let refresh = answer.refresh_token.as_deref().expect("a refresh token");
        self.says(&form(&[("grant_type", "refresh_token"), ("refresh_token", refresh)])).await
    }

    pub(super) async fn revoke(&self, token: &str) -> Result<(), TokenError> {
        let form = form(&[("token", token), ("token_type_hint", "refresh_token")]);
        self.running.issuer.revoke(self.request(Some(&self.basic()), &form)).await
    }
}

pub(super) fn form(parameters: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

pub(super) fn code<T>(answer: &Result<T, TokenError>) -> &'static str {
    answer.as_ref().map_or_else(TokenError::code, |_| "ok")
}
