//! The `.ionapi` file: credentials in the form that Infor's clients read.
//!
//! The file of a client that proves itself by a key or a certificate names the method instead of secrets, as `am`; that
//! word is ours, and Infor's clients do not know it.
//!
//! Invariant: written whole or not at all, readable by its owner alone.

use super::client::{Client, Credentials};
use super::error::Error;
use crate::store;
use secrecy::ExposeSecret;
use serde::Serialize;
use std::path::Path;
use zeroize::Zeroizing;

/// What stands in the file besides the client's own.
#[derive(Debug, Clone, Copy)]
pub struct IonApi<'a> {
    pub public_url: &'a str,
    /// `ev`: a label of the environment.
    pub environment: &'a str,
}

/// The file's members in the order in which Infor writes them. Without secrets, those are not there.
#[derive(Serialize)]
struct Members<'a> {
    ti: &'a str,
    cn: &'a str,
    dt: &'a str,
    ci: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cs: Option<&'a str>,
    iu: &'a str,
    pu: &'a str,
    oa: &'a str,
    ot: &'a str,
    or: &'a str,
    ev: &'a str,
    v: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    saak: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sask: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    am: Option<&'a str>,
}

/// More than any file needs: a buffer that grew would leave what it held behind.
const ROOM: usize = 16 * 1024;

impl IonApi<'_> {
    /// The text of the file. It holds secrets, and is wiped.
    pub fn text(&self, client: &Client, credentials: Option<&Credentials>) -> Zeroizing<String> {
        let url = self.public_url.trim_end_matches('/');
        // With its slash: token URL = pu + ot, by plain concatenation.
        let tokens = format!("{url}/{}/as/", client.tenant);
        let members = Members {
            ti: client.tenant.as_str(),
            cn: &client.name,
            dt: "12",
            ci: &client.id,
            cs: credentials.map(|own| own.client_secret.expose_secret()),
            iu: url,
            pu: &tokens,
            oa: "authorization.oauth2",
            ot: "token.oauth2",
            or: "revoke_token.oauth2",
            ev: self.environment,
            v: "1.0",
            saak: credentials.map(|own| own.saak.as_str()),
            sask: credentials.map(|own| own.sask.expose_secret()),
            am: credentials.is_none().then(|| client.authentication.method()),
        };
        let mut text = Zeroizing::new(Vec::with_capacity(ROOM));
        // Texts alone, into memory: nothing here can fail.
        let written = serde_json::to_writer_pretty(&mut *text, &members);
        debug_assert!(written.is_ok());
        text.push(b'\n');
        Zeroizing::new(String::from_utf8(std::mem::take(&mut *text)).unwrap_or_default())
    }
}

/// Writes a file that only its owner may read: whole, or as it was.
pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    store::write_private(path, text.as_bytes()).map_err(|source| Error::File { path: path.to_owned(), source })
}
