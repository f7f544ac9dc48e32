//! One signing key: made, read back, signing, verifying, and its public half as a JWK.
//!
//! Does not know: where keys are kept, or which one signs next.

use super::error::Error;
use super::settings::SigningAlgorithm;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::fmt;
use zeroize::Zeroizing;

pub(super) struct SigningKey {
    /// The key's thumbprint (RFC 7638).
    pub(super) kid: String,
    pub(super) algorithm: SigningAlgorithm,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new key and its PKCS#8 form. Takes long for RSA: call it on a blocking thread.
    pub(super) fn generate(algorithm: SigningAlgorithm) -> Result<(Self, Zeroizing<Vec<u8>>), Error> {
        let (pair, pkcs8) = match algorithm {
            SigningAlgorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| Error::Key)?;
                let pkcs8 = pair.as_der().map_err(|_| Error::Key)?.as_ref().to_vec();
                (Pair::Rsa(pair), pkcs8)
            }
            SigningAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| Error::Key)?;
                let pkcs8 = pair.to_pkcs8v1().map_err(|_| Error::Key)?.as_ref().to_vec();
                (Pair::Ec(pair), pkcs8)
            }
        };
        Ok((Self::of(algorithm, pair), Zeroizing::new(pkcs8)))
    }

    pub(super) fn read(algorithm: SigningAlgorithm, pkcs8: &[u8]) -> Result<Self, Error> {
        let pair = match algorithm {
            SigningAlgorithm::Rs256 => Pair::Rsa(RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| Error::Key)?),
            SigningAlgorithm::Es256 => {
                let read = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8);
                Pair::Ec(read.map_err(|_| Error::Key)?)
            }
        };
        Ok(Self::of(algorithm, pair))
    }

    fn of(algorithm: SigningAlgorithm, pair: Pair) -> Self {
        // The members in the order of their names, without blanks: the form that RFC 7638 hashes.
        let canonical = match pair.numbers() {
            Numbers::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
            Numbers::Ec { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#),
        };
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()));
        Self { kid, algorithm, pair }
    }

    pub(super) fn jwk(&self) -> Value {
        let (kid, alg) = (&self.kid, self.algorithm.as_str());
        match self.pair.numbers() {
            Numbers::Rsa { n, e } => json!({"kty": "RSA", "use": "sig", "alg": alg, "kid": kid, "n": n, "e": e}),
            Numbers::Ec { x, y } => {
                json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": alg, "kid": kid, "x": x, "y": y})
            }
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let chance = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &chance, message, &mut signature).map_err(|_| Error::Key)?;
                Ok(signature)
            }
            Pair::Ec(pair) => Ok(pair.sign(&chance, message).map_err(|_| Error::Key)?.as_ref().to_vec()),
        }
    }

    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.pair {
            Pair::Rsa(pair) => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref())
                .verify(message, signature),
            Pair::Ec(pair) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref()).verify(message, signature)
            }
        };
        verified.is_ok()
    }
}

enum Numbers {
    Rsa { n: String, e: String },
    Ec { x: String, y: String },
}

impl Pair {
    fn numbers(&self) -> Numbers {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(pair) => {
                let public = pair.public_key();
                Numbers::Rsa {
                    n: text(public.modulus().big_endian_without_leading_zero()),
                    e: text(public.exponent().big_endian_without_leading_zero()),
                }
            }
            Self::Ec(pair) => {
                // Uncompressed: one byte that says so, then both coordinates.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                Numbers::Ec { x: text(x), y: text(y) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_read_back_is_the_same_key() {
        for algorithm in [SigningAlgorithm::Rs256, SigningAlgorithm::Es256] {
            let (made, pkcs8) = SigningKey::generate(algorithm).expect("a key");
            let read = SigningKey::read(algorithm, &pkcs8).expect("reads");
            assert_eq!((&made.kid, made.jwk()), (&read.kid, read.jwk()));
            let signature = made.sign(b"message").expect("signs");
            assert!(read.signed(b"message", &signature));
            assert!(!read.signed(b"massage", &signature));
        }
    }
}
