//! What is protected here and whose tokens are taken for it (RFC 9728).

use super::proofs::proof_algorithms;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

#[derive(Debug)]
pub struct Resource {
    /// Scheme, host and port, without a slash at the end.
    pub(super) url: String,
    pub(super) issuers: Vec<String>,
    /// What the tokens of an issuer must have.
    pub(super) scopes: BTreeSet<String>,
    /// No token is taken without a proof of its key.
    pub(super) proof_required: bool,
}

impl Resource {
    /// Scheme, host and port, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where [`Self::metadata`] is served.
    pub fn metadata_url(&self) -> String {
        format!("{}{WELL_KNOWN}", self.url)
    }

    /// Whether every token needs a proof of its key beside it.
    pub fn proof_required(&self) -> bool {
        self.proof_required
    }

    pub fn metadata(&self) -> Value {
        let mut metadata = json!({
            "resource": self.url,
            "authorization_servers": self.issuers,
            "bearer_methods_supported": ["header"],
            "resource_name": "M3 behind mi-gateway",
            "dpop_signing_alg_values_supported": proof_algorithms().collect::<Vec<_>>(),
        });
        if self.proof_required {
            metadata["dpop_bound_access_tokens_required"] = json!(true);
        }
        if !self.scopes.is_empty() {
            metadata["scopes_supported"] = json!(self.scopes);
        }
        metadata
    }
}
