//! Why a token is not accepted. The texts are for the caller: they name no key, no client and no claim's value.

use super::unproven::Unproven;

/// What a part of a token has that it must not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("it has not three parts")]
    Parts,
    #[error("a part is not base64url")]
    Base64,
    #[error("a part is not a JSON object, or names a member twice")]
    Json,
    #[error("its key id is too long or has unusual characters")]
    KeyId,
    #[error("it brings or names its own key")]
    OwnKey,
    #[error("its header lists critical extensions")]
    Critical,
    #[error("it says that it holds another token")]
    Nested,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the token is larger than 8 KiB")]
    TooLarge,
    #[error("the token is malformed: {0}")]
    Malformed(Unfit),
    #[error("the token's type is not that of an access token")]
    Type,
    #[error("the token's signature algorithm is not accepted")]
    Algorithm,
    #[error("the token's issuer is not trusted here")]
    Issuer,
    #[error("the token's key is unknown")]
    UnknownKey,
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token lacks the claim {0}")]
    Missing(Box<str>),
    #[error("the token's claim {0} is of the wrong type or form")]
    ClaimType(Box<str>),
    #[error("the token is for another audience")]
    Audience,
    #[error("the token lacks the scope {0}")]
    Scope(Box<str>),
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token's client is unknown or no longer allowed")]
    Client,
    #[error("the token was revoked")]
    Revoked,
    #[error("the token is bound in a way that is not known here")]
    Binding,
    #[error("the token is bound to a certificate, and the connection was not made with it")]
    Certificate,
    #[error("the token is bound to a key, and must come as DPoP with a proof of it")]
    KeyBound,
    #[error("the token is bound to no key, and must come as Bearer")]
    NotKeyBound,
    #[error("the token is not bound to what its issuer's tokens must be bound to: {0}")]
    Unbound(&'static str),
    #[error("{0}")]
    Proof(#[from] Unproven),
    #[error("the token's issuer says that it is not active")]
    Inactive,
    #[error("the token's issuer cannot be asked about it at the moment")]
    IssuerUnavailable,
    #[error("the keys of the token's issuer cannot be had at the moment")]
    KeysUnavailable,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Another token is needed.
    Caller,
    /// The same token may be good a little later.
    Gateway,
}

impl Error {
    /// The error code of RFC 6750.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "invalid_request",
            Self::Scope(_) => "insufficient_scope",
            Self::Proof(unproven) => unproven.code(),
            _ => "invalid_token",
        }
    }

    /// The scope that would be needed.
    pub fn lacks(&self) -> Option<&str> {
        if let Self::Scope(scope) = self { Some(scope) } else { None }
    }

    pub fn blame(&self) -> Blame {
        match self {
            Self::KeysUnavailable | Self::IssuerUnavailable | Self::Proof(Unproven::Full) => Blame::Gateway,
            _ => Blame::Caller,
        }
    }
}
