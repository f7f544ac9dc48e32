//! Who is calling, as far as a validated token proves it.

use super::ids::{ClientId, M3User, TenantId};
use super::{Company, Division};
use std::sync::Arc;

/// Made by `auth` from a validated token, and by nobody else. Shared, because a cached token serves many requests.
#[derive(Debug, Clone)]
pub struct Principal {
    pub client: ClientId,
    pub tenant: Option<TenantId>,
    pub scopes: Arc<[Box<str>]>,
    /// Groups that policy rules and the M3 user map speak of.
    pub groups: Arc<[Box<str>]>,
    /// Seconds since 1970 after which the token is worth nothing.
    pub expires_at: u64,
    /// `jti`, for the log; never the token.
    pub token_id: Box<str>,
    /// The user M3 sees; a client without one is refused before M3 is asked.
    pub m3_user: Option<M3User>,
    /// The client's default company and division, where it has one.
    pub company: Option<Company>,
    pub division: Option<Division>,
}
