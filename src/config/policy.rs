//! Where the policy set lies, and who has to have signed it.

use super::keys::{number, path};
use super::m3::readable;
use super::reader::Reader;
use crate::policies::{Trust, TrustedKey};
use std::path::PathBuf;

const DIR: &str = "policy.dir";
const BUNDLE: &str = "policy.bundle";
const KEYS: &str = "policy.trusted_keys";
const SIGNATURES: &str = "policy.signatures";

/// A folder of anybody's, or a bundle of those who are trusted.
pub(super) fn whence(reader: &mut Reader) -> (PathBuf, Trust) {
    let (dir, bundle) = (path(reader, DIR), path(reader, BUNDLE));
    let named = reader.many(KEYS, "files with public keys in PEM", |text| (!text.is_empty()).then(|| text.to_owned()));
    let wanted = number(reader, SIGNATURES, 1..=8);
    let Some(bundle) = bundle else {
        let given = [KEYS, SIGNATURES].map(|key| (key, reader.has(key)));
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            let hint = "name the bundle too, or take this out: a folder has no signatures";
            reader.faults.add(reader.place(key), key, "is set without policy.bundle", hint);
        }
        return (dir.unwrap_or_else(|| "policies".into()), Trust::default());
    };
    if reader.has(DIR) {
        reader.faults.add(reader.place(DIR), DIR, "is set beside policy.bundle", "keep the one that counts");
    }
    if named.as_ref().is_none_or(Vec::is_empty) && !(reader.has(KEYS) && named.is_none()) {
        let hint = "name the files with the public keys of those who may sign policies";
        reader.faults.add(reader.place(BUNDLE), KEYS, "is missing", hint);
    }
    let mut keys: Vec<TrustedKey> = Vec::new();
    for file in named.unwrap_or_default() {
        let Some(pem) = readable(reader, KEYS, file.as_ref()) else { continue };
        match TrustedKey::parse(&pem) {
            Ok(key) if keys.contains(&key) => {
                let fault = format!("{file} holds a key that is named already");
                reader.faults.add(reader.place(KEYS), KEYS, fault, "name each key once");
            }
            Ok(key) => keys.push(key),
            Err(why) => {
                let fault = format!("{file} can't be used");
                reader.faults.add(reader.place(KEYS), KEYS, fault, why.to_string());
            }
        }
    }
    let signatures = wanted.unwrap_or(1);
    if signatures > keys.len() && reader.has(SIGNATURES) {
        let fault = format!("asks for {signatures} signatures, and there are {} keys", keys.len());
        reader.faults.add(reader.place(SIGNATURES), SIGNATURES, fault, "trust as many keys, or ask for less");
    }
    (bundle, Trust { keys, signatures })
}
