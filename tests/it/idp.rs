//! A certified OpenID provider, run for real beside the gateway: `oidc-provider`, in `tests/idp/provider.mjs`.

use crate::house::{Caller, House, Https, Reply, https};
use http::Request;
use http_body_util::Full;
use mi_gateway::auth::Algorithm;
use mi_gateway::config::{Foreign, ForeignClient, ForeignIntrospection, Settings};
use mi_gateway::model::{ClientId, M3User, Standing, TenantId};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use secrecy::SecretString;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The resource that its access tokens are for.
pub(crate) const AUDIENCE: &str = "https://m3.example.com";
const PATIENCE: Duration = Duration::from_secs(120);

/// The provider, on a port of its own. It ends with this.
pub(crate) struct Idp {
    /// Exactly the claim `iss` of its tokens.
    pub(crate) issuer: String,
    /// Its authority, whose certificates clients may show too.
    pub(crate) authority: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
    https: Https,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Idp {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With more of the variables that the top of the script names.
    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        let (node, modules) = installed();
        let folder = tempfile::tempdir().expect("a folder");
        let authority = authority();
        let (certificate, key) = certified(&authority, "localhost");
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [("ca.pem", authority.pem()), ("idp.pem", certificate), ("idp.key", key)] {
            std::fs::write(at(name), text).expect("a file");
        }
        let mut child = Command::new(node)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/idp/provider.mjs"))
            .env("MI_IDP_MODULES", modules)
            .env("MI_IDP_CERT", at("idp.pem"))
            .env("MI_IDP_KEY", at("idp.key"))
            .env("MI_IDP_CA", at("ca.pem"))
            .env("MI_IDP_AUDIENCE", AUDIENCE)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node can be started");
        let orders = child.stdin.take().expect("a pipe");
        let mut answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let issuer = line(&mut answers).await;
        let https = https(&at("ca.pem"));
        Self { issuer, authority, folder, https, orders, answers, _child: child }
    }

    /// Settings that trust its tokens, whose clients are all MIDEMO in tenant DEMO_TST.
    pub(crate) fn trusted(&self, settings: &mut Settings) {
        settings.issuers.push(Foreign {
            algorithms: vec![Algorithm::Es256],
            allow_private: true,
            roots: vec![self.authority.der().clone()],
            ..Foreign::new(&self.issuer, vec![AUDIENCE.to_owned()])
        });
        for id in ["jwt", "opaque", "opaque-mtls", "opaque-dpop", "mtls", "dpop", "assertion"] {
            settings.clients.push(ForeignClient {
                client: ClientId { issuer: self.issuer.as_str().into(), id: id.into() },
                tenant: TenantId::parse("DEMO_TST").ok(),
                groups: vec!["test".to_owned()],
                standing: Standing { user: M3User::parse("MIDEMO").ok(), ..Standing::default() },
            });
        }
    }

    /// What asks it about tokens that only it can read.
    pub(crate) fn introspection() -> ForeignIntrospection {
        ForeignIntrospection {
            client_id: "resource".to_owned(),
            secret: SecretString::from("secret-of-resource"),
            endpoint: None,
            cap: Duration::from_secs(60),
            negative: Duration::from_secs(5),
        }
    }

    /// The key set that it publishes.
    pub(crate) async fn keys(&self) -> Value {
        let request = Request::get(format!("{}/jwks", self.issuer)).body(Full::default()).expect("a request");
        crate::house::send(&self.https, request).await.json()
    }

    /// Ends a token before its time.
    pub(crate) async fn revoke(&self, client: &str, token: &str) {
        let reply = self.post("/token/revocation", client, &[("token", token)]).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// A house that trusts its tokens and lets its clients do everything, and somebody to call it.
    pub(crate) async fn house(&self, change: impl FnOnce(&mut Settings)) -> (House, Caller) {
        House::open_to_all("MIDEMO", "rate = \"10000/second\"\nburst = 10000", |settings| {
            self.trusted(settings);
            change(settings);
        })
        .await
    }

    /// Signs with a new key from now on; the old ones stay published. Gives the new one's id.
    pub(crate) async fn rotate(&mut self) -> String {
        self.order("rotate").await
    }

    /// Signs with a new key, and the old ones are gone.
    pub(crate) async fn rotate_alone(&mut self) -> String {
        self.order("rotate alone").await
    }

    /// Puts its own signature under whatever that is: a token that nothing but what stands in it can give away.
    pub(crate) async fn signs(&mut self, message: &str) -> String {
        format!("{message}.{}", self.order(&format!("sign {message}")).await)
    }

    /// How often this path was asked for, by anybody.
    pub(crate) async fn asked(&mut self, path: &str) -> usize {
        self.order(&format!("asked {path}")).await.parse().expect("a number")
    }

    async fn order(&mut self, order: &str) -> String {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.expect("it listens");
        line(&mut self.answers).await
    }

    /// The file of its authority.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A new access token of one of the script's clients, asked for over these connections.
    pub(crate) async fn token_over(&self, https: &Https, client: &str) -> String {
        let reply = self.post_over(https, "/token", client, &[("grant_type", "client_credentials")]).await;
        reply.json()["access_token"].as_str().unwrap_or_else(|| panic!("{}", reply.text())).to_owned()
    }

    /// A new access token of one of the script's clients.
    pub(crate) async fn token(&self, client: &str) -> String {
        let reply = self.ask_token(client, &[]).await;
        reply.json()["access_token"].as_str().unwrap_or_else(|| panic!("{}", reply.text())).to_owned()
    }

    pub(crate) async fn ask_token(&self, client: &str, more: &[(&str, &str)]) -> Reply {
        let more: Vec<_> = [("grant_type", "client_credentials")].into_iter().chain(more.iter().copied()).collect();
        self.post("/token", client, &more).await
    }

    /// The same with a proof of possession beside it.
    pub(crate) async fn ask_bound_token(&self, client: &str, proof: &str) -> Reply {
        self.post_with(&self.https, "/token", client, &[("grant_type", "client_credentials")], &[("dpop", proof)]).await
    }

    async fn post(&self, path: &str, client: &str, more: &[(&str, &str)]) -> Reply {
        self.post_over(&self.https, path, client, more).await
    }

    async fn post_over(&self, https: &Https, path: &str, client: &str, more: &[(&str, &str)]) -> Reply {
        self.post_with(https, path, client, more, &[]).await
    }

    async fn post_with(
        &self,
        https: &Https,
        path: &str,
        client: &str,
        more: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Reply {
        let secret = format!("secret-of-{client}");
        let own = [("client_id", client), ("client_secret", secret.as_str())];
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(own).extend_pairs(more).finish();
        let mut request =
            Request::post(format!("{}{path}", self.issuer)).header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(form)).expect("a request");
        crate::house::send(https, request).await
    }
}

async fn line(answers: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = tokio::time::timeout(PATIENCE, answers.next_line()).await.expect("it answers in time");
    line.expect("text").expect("the provider runs; what it said stands above")
}

/// Node and the folder of the library; `tests/run` installs what is not there yet.
#[expect(clippy::disallowed_methods, reason = "`tests/run` says where it has put the library")]
fn installed() -> (PathBuf, PathBuf) {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = READY.get_or_init(|| {
        if let Some(modules) = std::env::var_os("MI_IDP_MODULES") {
            return modules.into();
        }
        let tools = std::env::var_os("MI_GATEWAY_TOOLS").map_or_else(|| root.join("target/tools"), PathBuf::from);
        let done = std::process::Command::new(root.join("tests/run"))
            .args(["--install", "idp"])
            .env("MI_GATEWAY_TOOLS", &tools)
            .status();
        assert!(done.is_ok_and(|status| status.success()), "`tests/run --install idp` says what is missing");
        tools.join("idp")
    });
    let newer = modules.with_file_name("node").join("node_modules/node/bin/node");
    (if newer.is_file() { newer } else { "node".into() }, modules.clone())
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A certificate of this authority and its key, both PEM.
pub(crate) fn certified(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    (params.signed_by(&key, authority).expect("a certificate").pem(), key.serialize_pem())
}
