//! What requests are told apart by: keyed, so that a PIN among the fields is not found out from the file by trying.

use super::desk::Outbox;
use super::error::Error;
use super::intent::{IdempotencyKey, Intent};
use crate::store::write_private;
use aws_lc_rs::{hmac, rand};
use serde_json::{Value, json};
use std::path::Path;

impl Outbox {
    /// Of all that makes two requests the same.
    pub(super) fn fingerprint(&self, intent: &Intent) -> String {
        self.tagged(intent, &[intent.user.as_str()])
    }

    /// The same as the releases before said it, which did not look at the user.
    pub(super) fn former_fingerprint(&self, intent: &Intent) -> String {
        self.tagged(intent, &[])
    }

    fn tagged(&self, intent: &Intent, more: &[&str]) -> String {
        let place = (intent.place.company.number(), intent.place.division.as_str());
        let fields: Vec<(&str, &str)> =
            intent.fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let mut said =
            vec![json!(intent.program.as_str()), json!(intent.transaction.as_str()), json!(place), json!(fields)];
        said.extend(more.iter().map(|word| json!(word)));
        self.tag(&Value::from(said).to_string())
    }

    /// What stands for the key that a client did not give: of this `_rid` and of what is asked with it.
    pub fn key_of_rid(&self, rid: &str, said: &str) -> Option<IdempotencyKey> {
        IdempotencyKey::of_rid(rid, || self.tag(&json!([rid, said]).to_string()))
    }

    fn tag(&self, said: &str) -> String {
        let tag = hmac::sign(&self.0.secret, said.as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

pub(super) fn secret(path: &Path) -> Result<hmac::Key, Error> {
    let failed = |source| Error::Key { path: path.to_owned(), source };
    let bytes = match std::fs::read(path) {
        Ok(bytes) if bytes.len() == 32 => bytes,
        Ok(_) => return Err(failed(std::io::Error::other("it is not 32 bytes long"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut bytes = vec![0; 32];
            rand::fill(&mut bytes).map_err(|_| failed(std::io::Error::other("no random numbers")))?;
            write_private(path, &bytes).map_err(failed)?;
            bytes
        }
        Err(error) => return Err(failed(error)),
    };
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}
