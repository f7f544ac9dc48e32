//! The key that signs checkpoints (Ed25519), and the one that hashes what must not be read.
//!
//! Both come from one seed in a file that only the gateway should read, and only it may write. Whoever checks the log needs the public half alone.

use super::chain::{Hash, Link, hex, unhex};
use super::error::Error;
use crate::store;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// A seed's text is far shorter.
const MOST: u64 = 1024;

pub struct Key {
    pair: Ed25519KeyPair,
    mac: hmac::Key,
}

/// What checks a signature; 64 hexadecimal digits as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(Hash);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl PublicKey {
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text.trim()).map(Self)
    }

    /// Whether the owner of the key said that the log stood here.
    pub(super) fn signed(self, at: Link, signature: &str) -> bool {
        self.signed_words(&statement(at), signature)
    }

    pub(super) fn signed_words(self, words: &str, signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        UnparsedPublicKey::new(&ED25519, self.0).verify(words.as_bytes(), &signature).is_ok()
    }
}

fn statement(at: Link) -> String {
    format!("mi-gateway audit checkpoint {} {}", at.seq, hex(&at.hash))
}

impl Key {
    /// Reads the seed, or makes one where there is none.
    pub fn ensure(path: &Path) -> Result<Self, Error> {
        if path.exists() {
            return Self::read(path);
        }
        let failed = |source| Error::Key { path: path.to_owned(), source };
        let mut seed = Zeroizing::new([0; 32]);
        rand::fill(&mut *seed).map_err(|_| failed(io::Error::other("the system gives no randomness")))?;
        let text = Zeroizing::new(hex(&*seed));
        store::write_private(path, text.as_bytes()).map_err(failed)?;
        Self::read(path)
    }

    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Key { path: path.to_owned(), source };
        let text = store::read_secret_text(path, MOST).map_err(failed)?;
        let bad = || failed(io::Error::other("it holds no seed of 64 hexadecimal digits"));
        let seed = Zeroizing::new(unhex(text.trim()).ok_or_else(bad)?);
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| bad())?;
        let own = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*seed), b"values");
        Ok(Self { pair, mac: hmac::Key::new(hmac::HMAC_SHA256, own.as_ref()) })
    }

    pub fn public(&self) -> PublicKey {
        let mut public = Hash::default();
        public.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(public)
    }

    pub(super) fn sign(&self, at: Link) -> String {
        self.sign_words(&statement(at))
    }

    /// Words of different kinds begin differently, so that none is taken for another.
    pub(super) fn sign_words(&self, words: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.sign(words.as_bytes()))
    }

    /// The same value of the same field always gives the same text, and nobody without the key can try values out.
    pub(super) fn hashed(&self, field: &str, value: &str) -> String {
        let tag = hmac::sign(&self.mac, format!("{field}={value}").as_bytes());
        format!("hmac:{}", hex(&tag.as_ref()[..16]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_nothing_of_its_seed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.key");
        let seed = "5eed".repeat(16);
        store::write_private(&path, seed.as_bytes()).expect("a file");
        let key = Key::read(&path).expect("a key");
        let shown = format!("{key:?} {key:#?} {:?}", key.public());
        assert!(!shown.contains("5eed") && !shown.contains("94, 237"), "{shown}");
    }
}
