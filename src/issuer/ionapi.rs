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
use serde_json::json;
use std::path::Path;

/// What stands in the file besides the client's own.
#[derive(Debug, Clone, Copy)]
pub struct IonApi<'a> {
    pub public_url: &'a str,
    /// `ev`: a label of the environment.
    pub environment: &'a str,
}

impl IonApi<'_> {
    /// The text of the file. It holds secrets.
    pub fn text(&self, client: &Client, credentials: Option<&Credentials>) -> String {
        let url = self.public_url.trim_end_matches('/');
        let mut document = json!({
            "ti": client.tenant.as_str(),
            "cn": client.name,
            "dt": "12",
            "ci": &*client.id,
            "cs": credentials.map(|own| own.client_secret.expose_secret()),
            "iu": url,
            // With its slash: token URL = pu + ot, by plain concatenation.
            "pu": format!("{url}/{}/as/", client.tenant),
            "oa": "authorization.oauth2",
            "ot": "token.oauth2",
            "or": "revoke_token.oauth2",
            "ev": self.environment,
            "v": "1.0",
            "saak": credentials.map(|own| &own.saak),
            "sask": credentials.map(|own| own.sask.expose_secret()),
        });
        if let (None, Some(members)) = (credentials, document.as_object_mut()) {
            members.retain(|_, value| !value.is_null());
            members.insert("am".into(), client.authentication.method().into());
        }
        format!("{document:#}\n")
    }
}

/// Writes a file that only its owner may read: whole, or as it was.
pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    store::write_private(path, text.as_bytes()).map_err(|source| Error::File { path: path.to_owned(), source })
}
