//! A token request, its answer, and its refusals in the words of RFC 6749.

use crate::auth::{BadAssertion, Shown, Unproven};
use crate::model::ClientCertificate;
use serde::Serialize;
use std::fmt;
use std::net::IpAddr;
use zeroize::Zeroize;

/// What the gateway hands over of a request, for the token and the revocation endpoint alike.
#[derive(Clone, Copy)]
pub struct TokenAsk<'a> {
    /// The tenant of the path, where the path has one.
    pub tenant: Option<&'a str>,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The body, `application/x-www-form-urlencoded`.
    pub form: &'a [u8],
    /// Of the key that the tokens are to be bound to.
    pub proof: Shown<'a>,
    /// As it was received; a proof names it.
    pub path: &'a str,
    /// The certificate that the client showed on this very connection.
    pub certificate: Option<&'a ClientCertificate>,
    pub address: IpAddr,
    /// Seconds since 1970.
    pub now: u64,
}

impl fmt::Debug for TokenAsk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAsk").field("tenant", &self.tenant).field("address", &self.address).finish_non_exhaustive()
    }
}

/// The body of a token answer, as it is serialized. Not to be stored by anybody on its way; it is wiped at its end.
#[derive(Clone, Serialize)]
pub struct TokenAnswer {
    pub access_token: String,
    pub token_type: &'static str,
    pub expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    pub scope: String,
}

impl Drop for TokenAnswer {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
    }
}

impl fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAnswer").field("scope", &self.scope).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("{0}")]
    Request(&'static str),
    /// `basic`: the client used the Authorization header, and is told so in WWW-Authenticate.
    #[error("the client is unknown, not allowed here, or its secret, key or certificate is wrong")]
    Client { basic: bool },
    #[error("{0}")]
    Assertion(#[source] BadAssertion),
    #[error("{0}")]
    Grant(&'static str),
    #[error("{0}")]
    NotAllowed(&'static str),
    #[error("this grant type is not supported; use client_credentials, password or refresh_token")]
    GrantType,
    #[error("{0}")]
    Proof(Unproven),
    #[error("the client may not have this scope")]
    Scope,
    #[error("too many wrong secrets of this client from this address; wait a second")]
    TooManyAttempts { retry_after: u64 },
    /// Of a client that has proven itself.
    #[error("the client asks for tokens or ends them more than ten times a second; use a token until it expires")]
    TooFast { retry_after: u64 },
    #[error("too many token requests at once; try again in a second")]
    Busy,
    #[error("the issuer failed")]
    Failed(#[source] super::error::Error),
}

impl TokenError {
    /// The error code of RFC 6749 (5.2) and RFC 7009 (2.2.1).
    pub fn code(&self) -> &'static str {
        match self {
            Self::Request(_) => "invalid_request",
            Self::Client { .. } | Self::Assertion(_) | Self::TooManyAttempts { .. } => "invalid_client",
            Self::Grant(_) => "invalid_grant",
            Self::NotAllowed(_) => "unauthorized_client",
            Self::GrantType => "unsupported_grant_type",
            Self::Scope => "invalid_scope",
            Self::Proof(Unproven::Full) => "temporarily_unavailable",
            Self::Proof(unproven) => unproven.code(),
            Self::Busy | Self::TooFast { .. } => "temporarily_unavailable",
            Self::Failed(_) => "server_error",
        }
    }
}
