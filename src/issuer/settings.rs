//! What can be set about the tokens we give.

use super::secrets::HashCost;
use crate::auth::RequireBound;

/// How access and refresh tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SigningAlgorithm {
    /// What Infor's clients expect.
    #[default]
    Rs256,
    Es256,
}

impl SigningAlgorithm {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Rs256, Self::Es256].into_iter().find(|one| one.as_str() == text)
    }
}

#[derive(Debug, Clone)]
pub struct Settings {
    /// Issuer and audience of every token; without a slash at its end.
    pub public_url: String,
    pub algorithm: SigningAlgorithm,
    pub token_seconds: u64,
    pub refresh_seconds: u64,
    pub refresh_for_client_credentials: bool,
    /// What every token is bound to; who can't show it gets none.
    pub require_bound: RequireBound,
    pub hash_cost: HashCost,
    /// Clients can show certificates that an authority answers for.
    pub tls_client_auth: bool,
    /// Clients can show certificates of their own making.
    pub self_signed_tls_client_auth: bool,
}

impl Settings {
    pub fn of(public_url: &str) -> Self {
        Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            algorithm: SigningAlgorithm::default(),
            token_seconds: 7_200,
            refresh_seconds: 7 * 24 * 3_600,
            refresh_for_client_credentials: true,
            require_bound: RequireBound::Nothing,
            hash_cost: HashCost::default(),
            tls_client_auth: false,
            self_signed_tls_client_auth: false,
        }
    }

    pub(super) fn shows_certificates(&self) -> bool {
        self.tls_client_auth || self.self_signed_tls_client_auth
    }

    /// How long after its last use for signing a key may still be needed.
    pub(super) fn longest_life(&self) -> u64 {
        self.token_seconds.max(self.refresh_seconds)
    }
}
