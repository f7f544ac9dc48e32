//! One line hanging on the one before: its number, its words, and a hash over both and all that came earlier.
//!
//! `{"seq":7,` the words `,"chain":"` 64 hex digits `"}`. The hash is SHA-256 over the hash of the line before and the
//! text up to `,"chain"`. The first line hangs on 32 zeros.

use crate::model::plain;
use aws_lc_rs::digest;
use serde_json::Value;

pub(super) type Hash = [u8; 32];

pub(super) const START: Hash = [0; 32];
const NAME: &str = ",\"chain\":\"";
const END: &str = "\"}";

/// Where the chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// The number of the last line; 0 before the first.
    pub(super) seq: u64,
    pub(super) hash: Hash,
}

impl Link {
    pub(super) const START: Self = Self { seq: 0, hash: START };

    /// Adds a line of these words (a JSON object, of which nothing commands a terminal then) and its line end; gives where the chain stands then.
    pub(super) fn write(self, words: &[u8], out: &mut Vec<u8>) -> Self {
        let seq = self.seq + 1;
        let start = out.len();
        out.extend_from_slice(format!("{{\"seq\":{seq}").as_bytes());
        let told = std::str::from_utf8(words).map(plain);
        let words = told.as_ref().map_or(words, |told| told.as_bytes());
        let inner = words.strip_prefix(b"{").and_then(|words| words.strip_suffix(b"}")).unwrap_or_default();
        if !inner.is_empty() {
            out.push(b',');
            out.extend_from_slice(inner);
        }
        let hash = next(&self.hash, &out[start..]);
        out.extend_from_slice(NAME.as_bytes());
        out.extend_from_slice(hex(&hash).as_bytes());
        out.extend_from_slice(END.as_bytes());
        out.push(b'\n');
        Self { seq, hash }
    }
}

pub(super) fn next(before: &Hash, text: &[u8]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(before);
    context.update(text);
    let mut hash = START;
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// A line as it lies in a file, without its line end.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) seq: u64,
    /// What the hash is over.
    pub(super) text: &'a [u8],
    pub(super) hash: Hash,
    pub(super) words: Value,
}

/// The reason is for people.
pub(super) fn parse(line: &[u8]) -> Result<Line<'_>, &'static str> {
    let tail = NAME.len() + 64 + END.len();
    let at = line.len().checked_sub(tail).ok_or("it is too short")?;
    let (text, tail) = line.split_at(at);
    let digits = tail
        .strip_prefix(NAME.as_bytes())
        .and_then(|rest| rest.strip_suffix(END.as_bytes()))
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .ok_or("it does not end with its hash")?;
    let hash = unhex(digits).ok_or("its hash is not hexadecimal")?;
    let words: Value = serde_json::from_slice(line).map_err(|_| "it is not JSON")?;
    let seq = words["seq"].as_u64().ok_or("it has no number")?;
    Ok(Line { seq, text, hash, words })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Option<Hash> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    let mut hash = START;
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(hash)
}
