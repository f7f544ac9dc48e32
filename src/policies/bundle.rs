//! A policy set as one signed file.
//!
//! ```text
//! mi-gateway-policy-bundle 1
//! <id of a key> <its signature, base64>          one line a signature
//!
//! {"files":[{"name":"…","text":"…"},…]}          everything behind the empty line is what was signed
//! ```
//! A signature is Ed25519 (RFC 8032) over the first line with its end and what was signed. Nothing behind the empty line
//! is looked into before as many of the trusted keys as are asked for have signed it. The same set always makes the same
//! bytes; which version it is and until when it is good stand in its own manifest.toml.

use super::files::{Files, MAX_FILE, MAX_FILES};
use super::manifest::Manifest;
use super::signer::{KeyId, SigningKey, TrustedKey};
use crate::policy::Source;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whose signatures count, and how many different ones it takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    pub keys: Vec<TrustedKey>,
    pub signatures: usize,
}

/// That a set came signed: the file as it was, and whose signatures were found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub bytes: Arc<[u8]>,
    pub signers: Vec<KeyId>,
}

/// Why a file is no bundle that may be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is no policy bundle: {0}")]
    Form(&'static str),
    #[error("it is larger than {MAX_BUNDLE} bytes")]
    TooLarge,
    #[error(
        "{good} of {wanted} signatures of trusted keys are good; it is signed by {by}; sign it with `mi-gateway policy sign`, or trust that key",
        by = if by.is_empty() { "nobody".to_owned() } else { by.join(", ") }
    )]
    Signatures { good: usize, wanted: usize, by: Vec<String> },
    #[error("what was signed is no policy set: {0}")]
    Content(String),
}

const MAGIC: &str = "mi-gateway-policy-bundle 1";
pub(super) const MAX_BUNDLE: u64 = 32 * 1024 * 1024;
const MAX_SIGNATURES: usize = 8;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    files: Vec<Written>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    text: String,
}

/// A bundle taken apart, and nothing in it believed.
struct Parts<'a> {
    signatures: Vec<(&'a str, Vec<u8>)>,
    signed: &'a [u8],
}

impl Trust {
    /// Sets must come signed.
    pub fn is_asked(&self) -> bool {
        !self.keys.is_empty()
    }

    fn signers(&self, parts: &Parts<'_>) -> Result<Vec<KeyId>, Fault> {
        let statement = statement(parts.signed);
        // A set of keys, so that one key that signs twice counts once.
        let good: BTreeSet<KeyId> = parts
            .signatures
            .iter()
            .filter_map(|(id, signature)| {
                let mut keys = self.keys.iter().filter(|key| key.id().as_str() == *id);
                keys.find(|key| key.signed(&statement, signature)).map(TrustedKey::id)
            })
            .collect();
        let wanted = self.signatures.max(1);
        if self.is_asked() && good.len() < wanted {
            let by = parts.signatures.iter().map(|(id, _)| (*id).to_owned()).collect();
            return Err(Fault::Signatures { good: good.len(), wanted, by });
        }
        Ok(good.into_iter().collect())
    }
}

/// The set as a file that nobody has signed yet.
pub fn pack(files: &Files) -> Result<Vec<u8>, Fault> {
    let content = Content {
        files: files.all().map(|source| Written { name: source.name.clone(), text: source.text.clone() }).collect(),
    };
    let signed = serde_json::to_vec(&content).map_err(|why| Fault::Content(why.to_string()))?;
    // What can't be opened again is not given out.
    unpack(&signed)?;
    Ok([MAGIC.as_bytes(), b"\n\n", &signed].concat())
}

/// The same bundle with one signature more; a key that has signed it already signs it no second time.
pub fn sign(bundle: &[u8], key: &SigningKey) -> Result<Vec<u8>, Fault> {
    let parts = Parts::of(bundle)?;
    let own = key.public().id();
    let mut lines: Vec<String> = parts
        .signatures
        .iter()
        .filter(|(id, _)| *id != own.as_str())
        .map(|(id, signature)| format!("{id} {}\n", STANDARD.encode(signature)))
        .collect();
    lines.push(format!("{} {}\n", own.as_str(), STANDARD.encode(key.sign(&statement(parts.signed)))));
    if lines.len() > MAX_SIGNATURES {
        return Err(Fault::Form("it would have more than 8 signatures"));
    }
    lines.sort();
    Ok([MAGIC.as_bytes(), b"\n", lines.concat().as_bytes(), b"\n", parts.signed].concat())
}

/// The set in it, once enough trusted keys have signed it. Whoever trusts no key in particular reads any.
pub fn open(bytes: Vec<u8>, trust: &Trust) -> Result<Files, Fault> {
    if bytes.len() as u64 > MAX_BUNDLE {
        return Err(Fault::TooLarge);
    }
    let parts = Parts::of(&bytes)?;
    let signers = trust.signers(&parts)?;
    let files = unpack(parts.signed)?;
    Ok(Files { sealed: Some(Sealed { bytes: bytes.into(), signers }), ..files })
}

fn statement(signed: &[u8]) -> Vec<u8> {
    [MAGIC.as_bytes(), b"\n", signed].concat()
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, Fault> {
        let rest = bytes.strip_prefix(MAGIC.as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"));
        let mut rest = rest.ok_or(Fault::Form("its first line is another"))?;
        let mut signatures = Vec::new();
        loop {
            // A line has an id of 16 digits and a signature of 88.
            let end =
                rest.iter().take(200).position(|b| *b == b'\n').ok_or(Fault::Form("a signature's line has no end"))?;
            let (line, behind) = (&rest[..end], &rest[end + 1..]);
            rest = behind;
            if line.is_empty() {
                return Ok(Self { signatures, signed: rest });
            }
            let line = std::str::from_utf8(line).map_err(|_| Fault::Form("a signature's line is no text"))?;
            let (id, signature) = line.split_once(' ').ok_or(Fault::Form("a signature has no key"))?;
            let signature = STANDARD.decode(signature).map_err(|_| Fault::Form("a signature is not base64"))?;
            signatures.push((id, signature));
            if signatures.len() > MAX_SIGNATURES {
                return Err(Fault::Form("it has more than 8 signatures"));
            }
        }
    }
}

fn unpack(signed: &[u8]) -> Result<Files, Fault> {
    let content: Content = serde_json::from_slice(signed).map_err(|why| Fault::Content(why.to_string()))?;
    let bad = |why: String| Err(Fault::Content(why));
    if content.files.len() > 2 * MAX_FILES {
        return bad(format!("it holds more than {} files", 2 * MAX_FILES));
    }
    let (mut files, mut names, mut limits) = (Files::nothing(), BTreeSet::new(), false);
    for Written { name, text } in content.files {
        if text.len() as u64 > MAX_FILE {
            return bad(format!("{name} is larger than {MAX_FILE} bytes"));
        }
        if !names.insert(name.clone()) {
            return bad(format!("{name} stands in it twice"));
        }
        let source = Source { name, text };
        match Files::kind(&source.name) {
            Some(Kind::Rules) => files.cedar.push(source),
            Some(Kind::Limits) => (files.limits, limits) = (source, true),
            Some(Kind::Manifest) => files.manifest = Some(source),
            Some(Kind::Facts) => files.facts = Some(source),
            Some(Kind::Cases) => files.cases.push(source),
            None => return bad(format!("{:?} is no file of a policy set", source.name)),
        }
    }
    let manifest = files.manifest.as_ref().map(Manifest::parse);
    match manifest {
        None => return bad("it has no manifest.toml, which tells its name and version".to_owned()),
        Some(Err(faults)) => return bad(faults.first().map(ToString::to_string).unwrap_or_default()),
        Some(Ok(_)) => {}
    }
    if files.cedar.is_empty() || !limits {
        return bad("it has no rules or no limits.toml".to_owned());
    }
    // As a folder is read, so that the same files are the same set.
    files.cedar.sort_by(|one, other| one.name.cmp(&other.name));
    files.cases.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// What a file of a set is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rules,
    Limits,
    Manifest,
    Facts,
    Cases,
}
