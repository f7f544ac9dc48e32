//! Who is calling, as far as a validated token proves it.

use super::claim::Claim;
use super::ids::{ClientId, TenantId};
use super::standing::Standing;
use std::sync::Arc;

/// Made by `auth` from a validated token, and by nobody else. Shared, because a cached token serves many requests.
#[derive(Debug, Clone)]
pub struct Principal {
    pub client: ClientId,
    pub tenant: Option<TenantId>,
    pub scopes: Arc<[Box<str>]>,
    /// Groups that policy rules and the M3 user map speak of.
    pub groups: Arc<[Box<str>]>,
    /// What its issuer's settings let rules see of the token; mostly nothing.
    pub claims: Arc<[Claim]>,
    /// Seconds since 1970 after which the token is worth nothing.
    pub expires_at: u64,
    /// `jti`, for the log; never the token.
    pub token_id: Box<str>,
    pub standing: Arc<Standing>,
}
