//! The keys that sign policy bundles (Ed25519), in the files that other tools make and read: PKCS#8 and
//! SubjectPublicKeyInfo in PEM.

use crate::store::write_private;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use std::fmt;
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// The first half of the SHA-256 of a public key, in hex: short enough for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(String);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    public: [u8; 32],
}

pub struct SigningKey(Ed25519KeyPair);

#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    #[error(
        "it holds no Ed25519 key in PEM; `mi-gateway policy keygen` makes a pair, and so does `openssl genpkey -algorithm ed25519`"
    )]
    None,
    #[error(transparent)]
    File(#[from] io::Error),
}

/// What stands before the 32 bytes of an Ed25519 key (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl KeyId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl TrustedKey {
    pub fn parse(pem: &[u8]) -> Result<Self, KeyFault> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| KeyFault::None)?;
        let key = der.as_ref().strip_prefix(&SPKI).and_then(|key| key.try_into().ok());
        key.map(|public| Self { public }).ok_or(KeyFault::None)
    }

    pub fn pem(&self) -> String {
        pem("PUBLIC KEY", &[&SPKI[..], &self.public].concat())
    }

    pub fn id(&self) -> KeyId {
        let sum = digest(&SHA256, &self.public);
        KeyId(sum.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub(super) fn signed(&self, statement: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(statement, signature).is_ok()
    }
}

impl SigningKey {
    /// A new one, in a file that only its owner may read. An existing file is left as it is.
    pub fn make(path: &Path) -> Result<Self, KeyFault> {
        if path.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file already").into());
        }
        let pair = Ed25519KeyPair::generate().map_err(|_| io::Error::other("the system gives no randomness"))?;
        let der = pair.to_pkcs8v1().map_err(|_| KeyFault::None)?;
        let text = Zeroizing::new(pem("PRIVATE KEY", der.as_ref()));
        write_private(path, text.as_bytes())?;
        Ok(Self(pair))
    }

    pub fn parse(pem: &[u8]) -> Result<Self, KeyFault> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| KeyFault::None)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        pair.map(Self).map_err(|_| KeyFault::None)
    }

    pub fn public(&self) -> TrustedKey {
        let mut public = [0; 32];
        public.copy_from_slice(self.0.public_key().as_ref());
        TrustedKey { public }
    }

    pub(super) fn sign(&self, statement: &[u8]) -> Vec<u8> {
        self.0.sign(statement).as_ref().to_vec()
    }
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut out = format!("-----BEGIN {what}-----\n");
    // The alphabet is of one byte each.
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().map(|byte| char::from(*byte)));
        out.push('\n');
    }
    out.push_str(&format!("-----END {what}-----\n"));
    out
}
