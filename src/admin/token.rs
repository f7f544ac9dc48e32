//! The operator's token: made at the first start, kept in a file that its owner alone may read.
//!
//! Invariant: it is compared in constant time and shown nowhere.

use crate::store;
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Why there is no operator's token. The machine's fault; may be tried again once mended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read or write the operator token {}: make it readable for this user, or remove it", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("others may read the operator token {}: run chmod 600 on it, or remove it and start again", path.display())]
    Open { path: PathBuf },
    #[error("the operator token {} is too short: remove it and start again", path.display())]
    Short { path: PathBuf },
    #[error("operations.token has fewer than {LEAST} characters: give a longer one")]
    Given,
    #[error("the system gave no random bytes")]
    Chance,
}

#[derive(Debug, Clone)]
pub struct OperatorToken(SecretString);

const FILE: &str = "operator.token";
/// 256 bits by chance; a token of somebody's own is at least half as long.
const BYTES: usize = 32;
const LEAST: usize = 32;
const MOST: u64 = 4_096;

impl OperatorToken {
    /// Reads `operator.token` of the state folder, or makes it.
    pub fn ensure(state: &Path) -> Result<Self, Error> {
        let path = state.join(FILE);
        match store::read_secret_text(&path, MOST) {
            Ok(text) => Self::read(&text, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(path),
            Err(source) => Err(Error::File { path, source }),
        }
    }

    /// One that the settings give.
    pub fn given(token: &SecretString) -> Result<Self, Error> {
        let text = token.expose_secret().trim();
        if text.len() < LEAST { Err(Error::Given) } else { Ok(Self(SecretString::from(text))) }
    }

    fn read(text: &str, path: PathBuf) -> Result<Self, Error> {
        let found = match fs::metadata(&path) {
            Ok(found) => found,
            Err(source) => return Err(Error::File { path, source }),
        };
        if found.permissions().mode() & 0o077 != 0 {
            return Err(Error::Open { path });
        }
        let text = text.trim();
        if text.len() < LEAST {
            return Err(Error::Short { path });
        }
        Ok(Self(SecretString::from(text)))
    }

    fn make(path: PathBuf) -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        rand::fill(&mut *bytes).map_err(|_| Error::Chance)?;
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes));
        let line = Zeroizing::new(format!("{}\n", *text));
        match store::write_private(&path, line.as_bytes()) {
            Ok(()) => Ok(Self(SecretString::from(text.as_str()))),
            Err(source) => Err(Error::File { path, source }),
        }
    }

    /// For whoever asks at the door.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether these bytes are the token. Only its length shows in the time it takes.
    pub fn is(&self, presented: &[u8]) -> bool {
        self.0.expose_secret().as_bytes().ct_eq(presented).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_for_its_owner_alone() {
        let state = tempfile::tempdir().unwrap();
        let made = OperatorToken::ensure(state.path()).unwrap();
        let path = state.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let kept = fs::read_to_string(&path).unwrap();
        assert!(made.is(kept.trim().as_bytes()));
        assert!(OperatorToken::ensure(state.path()).unwrap().is(kept.trim().as_bytes()));
        assert!(!made.is(b"") && !made.is(kept.as_bytes()));
        assert!(!format!("{made:?}").contains(kept.trim()));
    }

    #[test]
    fn a_token_that_others_may_read_or_that_is_short_is_refused() {
        let state = tempfile::tempdir().unwrap();
        OperatorToken::ensure(state.path()).unwrap();
        let path = state.path().join(FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(OperatorToken::ensure(state.path()), Err(Error::Open { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "secret").unwrap();
        assert!(matches!(OperatorToken::ensure(state.path()), Err(Error::Short { .. })));
    }
}
