//! Why a proof proves nothing. The texts are for the caller, who made the proof: they name no claim's value.

use super::error::Unfit;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    #[error("there is no DPoP header")]
    Missing,
    #[error("there is more than one DPoP header")]
    Many,
    #[error("the proof is larger than 4 KiB")]
    TooLarge,
    #[error("the proof is malformed: {0}")]
    Malformed(Unfit),
    #[error("the proof's type is not dpop+jwt")]
    Type,
    #[error("the proof's algorithm is not accepted")]
    Algorithm,
    #[error("the proof has no public key that fits its algorithm")]
    Key,
    #[error("the proof gives a private key away: make a new key, and send its public half")]
    PrivateKey,
    #[error("the proof's signature is wrong")]
    Signature,
    #[error("the proof's claim {0} is missing, or of the wrong type or length")]
    Claim(&'static str),
    #[error("the proof is for another method")]
    Method,
    #[error("the proof is for another address than the gateway's and the path that was called")]
    Target,
    #[error("the proof is for another token")]
    Token,
    #[error("the proof is of another key than the token's")]
    OtherKey,
    #[error("the proof needs the nonce that comes with this answer")]
    Nonce,
    #[error("the proof was made too long ago, or is not of this time yet")]
    Time,
    #[error("the proof was used before")]
    Replayed,
    #[error("no more proofs of this client can be remembered at the moment")]
    Full,
}

impl Unproven {
    /// The error code of RFC 9449.
    pub fn code(self) -> &'static str {
        match self {
            Self::Nonce => "use_dpop_nonce",
            _ => "invalid_dpop_proof",
        }
    }
}
