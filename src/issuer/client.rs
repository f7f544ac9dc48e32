//! A client as the issuer keeps it, and what is shown of it once.

use super::authentication::Authentication;
use super::error::Error;
use super::secrets::Hashed;
use crate::auth::ClientFacts;
use crate::model::{Standing, TenantId};
use secrecy::SecretString;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// `TENANT~random`, as Infor's are.
    pub id: Arc<str>,
    pub name: String,
    pub tenant: TenantId,
    /// The service account's access key, `TENANT#random`.
    pub saak: String,
    pub scopes: Arc<[Box<str>]>,
    pub groups: Arc<[Box<str>]>,
    pub standing: Arc<Standing>,
    /// Its tokens are bound to a key of its own, and it gets no others.
    pub dpop: bool,
    /// Moves when everything that was issued must end.
    pub generation: u64,
    pub created_at: u64,
    pub rotated_at: Option<u64>,
    pub revoked_at: Option<u64>,
    pub authentication: Authentication,
    /// Its tokens are bound to the certificate of the connection that they were asked for on (RFC 8705, 3).
    pub bound: bool,
    /// Of one that proves itself otherwise: nothing, which no secret fits.
    pub(super) secret_hash: Hashed,
    pub(super) sask_hash: Hashed,
}

impl Client {
    pub fn revoked(&self) -> bool {
        self.revoked_at.is_some()
    }

    pub(super) fn facts(&self) -> ClientFacts {
        ClientFacts {
            groups: Arc::clone(&self.groups),
            standing: Arc::clone(&self.standing),
            tenant: Some(self.tenant.clone()),
            generation: self.generation,
            revoked: self.revoked(),
        }
    }
}

#[derive(Debug, Clone)]
pub struct NewClient {
    pub name: String,
    pub tenant: TenantId,
    pub scopes: Vec<String>,
    pub groups: Vec<String>,
    pub standing: Standing,
    /// It must prove a key with every request for a token (RFC 9449).
    pub dpop: bool,
    pub authentication: Authentication,
    pub bound: bool,
}

impl NewClient {
    pub(super) fn check(&self) -> Result<(), Error> {
        word("client name", &self.name)?;
        self.authentication.check()?;
        for (what, words) in [("scopes", &self.scopes), ("groups", &self.groups)] {
            if words.len() > MOST_WORDS {
                return Err(Error::TooMany { what, most: MOST_WORDS });
            }
        }
        let Standing { companies, divisions, run_as, .. } = &self.standing;
        let lists = [("companies", companies.len()), ("divisions", divisions.len()), ("users to run as", run_as.len())];
        if let Some((what, _)) = lists.into_iter().find(|(_, length)| *length > MOST_PLACES) {
            return Err(Error::TooMany { what, most: MOST_PLACES });
        }
        self.scopes.iter().try_for_each(|scope| word("scope", scope))?;
        self.groups.iter().try_for_each(|group| word("group", group))
    }
}

/// The letters of a scope (RFC 6749, 3.3); lists of words are kept with blanks between.
fn word(what: &'static str, word: &str) -> Result<(), Error> {
    let fits = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if (1..=64).contains(&word.len()) && word.bytes().all(fits) {
        Ok(())
    } else {
        Err(Error::Word { what, word: word.to_owned() })
    }
}

/// So that every token stays well below the size at which it is no longer read.
const MOST_WORDS: usize = 50;
const MOST_PLACES: usize = 200;

/// Shown once, when made; only hashes are kept.
#[derive(Debug)]
pub struct Credentials {
    pub client_secret: SecretString,
    pub saak: String,
    pub sask: SecretString,
}
