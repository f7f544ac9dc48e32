//! What the house is built from: the settings types of every room, side by side.

use crate::auth::{Algorithm, CompanyRule, ProofSettings, RequireBound};
use crate::model::{ClaimKind, ClientId, M3User, Standing, TenantId};
use crate::policies::{Gate, Kept, ShadowSettings, Trust};
use crate::policy::{Site, Zones};
use crate::{audit, catalog, edge, gateway, issuer, m3, mock_m3, outbox, points, relay, store};
use rustls_pki_types::CertificateDer;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Issuer and audience of our own tokens; `None`: https://localhost and the port that was chosen.
    pub public_url: Option<String>,
    pub state: PathBuf,
    pub edge: edge::Settings,
    pub certificate: Certificate,
    pub gateway: gateway::Settings,
    pub operations: Operations,
    /// `None`: no tokens of our own.
    pub tokens: Option<issuer::Settings>,
    /// How proofs of possession are looked at.
    pub proofs: ProofSettings,
    pub issuers: Vec<Foreign>,
    pub clients: Vec<ForeignClient>,
    /// A folder, or a bundle where `policy_trust` asks for one.
    pub policies: PathBuf,
    pub policy_trust: Trust,
    pub policy_gate: Gate,
    /// A candidate that is asked beside the policies in force.
    pub shadow: Option<PathBuf>,
    /// Where policy hours are another's than UTC.
    pub zones: Zones,
    /// By whom M3 is asked what rules look at besides the call; `None`: nobody, and such calls are refused.
    pub guard_user: Option<M3User>,
    pub catalog: catalog::Settings,
    pub backend: Backend,
    /// The M3 user of a group's clients, where they have none of their own.
    pub group_users: BTreeMap<String, M3User>,
    pub audit: audit::Settings,
    pub outbox: outbox::Settings,
    pub publish: relay::Settings,
    /// Where documents go.
    pub points: Vec<points::Settings>,
    pub log: LogSettings,
    /// Development defaults are allowed on any address.
    pub development: bool,
    /// Files that hold secrets, by the keys that name them.
    pub secret_files: Vec<(String, PathBuf)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// Made at first start in this folder.
    Development(PathBuf),
    Files {
        chain: PathBuf,
        key: PathBuf,
    },
}

#[derive(Debug, Clone)]
pub struct Operations {
    pub listen: SocketAddr,
    /// `None`: that of the state folder, made at the first start.
    pub token: Option<SecretString>,
}

#[derive(Debug, Clone)]
pub enum Backend {
    /// In this process; the client's settings get its address when it is known.
    Mock { mock: Box<mock_m3::Settings>, client: Box<m3::Settings> },
    /// Over its socket or over m3api-rest, as the settings say.
    Real(Box<m3::Settings>),
}

/// An issuer elsewhere whose tokens are trusted.
#[derive(Debug, Clone)]
pub struct Foreign {
    pub issuer: String,
    /// `None`: where its own metadata say.
    pub jwks: Option<String>,
    pub audiences: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub scopes: Vec<String>,
    /// What every token must be bound to.
    pub require_bound: RequireBound,
    /// `None`: `client_id`, else `azp`.
    pub client_claim: Option<String>,
    pub access_token_type: bool,
    /// Tokens that only this issuer can read are asked about there.
    pub introspection: Option<ForeignIntrospection>,
    /// Seconds by which clocks may differ.
    pub leeway: u64,
    /// The tenant of every token, whatever its claims say.
    pub tenant: Option<TenantId>,
    /// `None`: `Tenant`.
    pub tenant_claim: Option<String>,
    pub tenants: BTreeMap<String, TenantId>,
    pub company: Option<CompanyRule>,
    /// Claims that policy rules may see.
    pub policy_claims: Vec<(String, ClaimKind)>,
    /// Keys that could not be refreshed for so long are used no more.
    pub stale: Duration,
    /// It stands on a private network or on this machine.
    pub allow_private: bool,
    /// Authorities trusted instead of the system's, to fetch from this issuer; empty = the system's.
    pub roots: Vec<CertificateDer<'static>>,
}

#[derive(Debug, Clone)]
pub struct ForeignIntrospection {
    pub client_id: String,
    pub secret: SecretString,
    /// `None`: where the issuer's metadata say.
    pub endpoint: Option<String>,
    pub cap: Duration,
    pub negative: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignClient {
    pub client: ClientId,
    pub tenant: Option<TenantId>,
    pub groups: Vec<String>,
    pub standing: Standing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    pub level: String,
    pub access: bool,
}

impl Foreign {
    /// Strict, and found by discovery.
    pub fn new(issuer: &str, audiences: Vec<String>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            jwks: None,
            audiences,
            algorithms: vec![Algorithm::Rs256, Algorithm::Es256],
            scopes: Vec::new(),
            require_bound: RequireBound::Nothing,
            client_claim: None,
            access_token_type: true,
            introspection: None,
            leeway: 10,
            tenant: None,
            tenant_claim: None,
            tenants: BTreeMap::new(),
            company: None,
            policy_claims: Vec::new(),
            stale: Duration::from_secs(86_400),
            allow_private: false,
            roots: Vec::new(),
        }
    }
}

impl Backend {
    /// What callers changed in the mock survives a restart, as it does in an M3.
    pub(super) fn keep_mock_under(&mut self, state: &Path) {
        if let Self::Mock { mock, .. } = self {
            mock.journal = Some(state.join("mock/journal"));
        }
    }
}

impl Settings {
    /// The embedded defaults on free ports with their state in one folder: a house for a test or a bench.
    pub fn embedded(state: &Path) -> Self {
        let mut settings = super::parse(None, std::iter::empty()).expect("the embedded defaults have no fault");
        settings.edge.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        settings.operations.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        settings.state = state.to_path_buf();
        settings.audit = audit::Settings::under(state.join("audit"), state.join("audit.key"));
        settings.outbox = outbox::Settings::under(state.join("outbox"));
        settings.backend.keep_mock_under(state);
        settings.certificate = Certificate::Development(state.join("certs"));
        settings.policies = state.join("no-policies");
        // A test that is about documents switches them on: M3 is asked nothing on nobody's behalf before.
        settings.publish = relay::Settings::default();
        settings.points.clear();
        settings.log.access = false;
        if let Some(tokens) = &mut settings.tokens {
            // Secrets of a test live for seconds; hashing them as for years would take most of its time.
            tokens.hash_cost = issuer::HashCost { memory_kib: 8, passes: 1 };
        }
        settings.catalog.file = Some(state.join("catalog.json"));
        settings
    }

    /// Every address that others can reach, for the checks of development defaults.
    pub fn reachable(&self) -> Vec<SocketAddr> {
        let all = self.edge.listen.iter().chain(std::iter::once(&self.operations.listen));
        all.filter(|address| !address.ip().to_canonical().is_loopback()).copied().collect()
    }

    /// The candidate, and where a running gateway tells what it counted.
    pub fn policy_shadow(&self) -> Option<ShadowSettings> {
        let told = Some(self.state.join("policies/shadow.json"));
        self.shadow.clone().map(|dir| ShadowSettings { dir, told })
    }

    /// What rules take from this house, `issuer` being whose clients they name without one.
    pub fn site(&self, issuer: &str) -> Site {
        let declared = self.issuers.iter().flat_map(|foreign| &foreign.policy_claims);
        Site {
            issuer: issuer.to_owned(),
            claims: declared.map(|(name, kind)| (name.as_str().into(), *kind)).collect(),
            zones: self.zones.clone(),
            guard_user: self.guard_user.is_some(),
            sensitive: self.outbox.sensitive.clone(),
        }
    }

    /// Where policy sets that were active are kept.
    pub fn kept_policies(&self) -> Kept {
        Kept::at(self.state.join("policies"))
    }

    /// Files with secrets that everybody on the machine may read: told at the start and by `check`, not refused.
    pub fn open_secrets(&self) -> impl Iterator<Item = &(String, PathBuf)> {
        self.secret_files.iter().filter(|(_, path)| store::is_open(path))
    }

    pub fn drain(&self) -> Duration {
        self.edge.limits.drain
    }
}
