//! A place in a list, handed to the caller as a text that only we can make and read: sealed, bound to the call, and with
//! an end. The record that it stands at may be one that was withheld, so its keys are not for the caller to read.
//!
//! Invariant: a cursor is good for the client, transaction, company, division and inputs it was made for, and no other.

use crate::model::{ClientId, Input, Place, TransactionLayout};
use crate::store;
use crate::translate::Continuation;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The key that cursors are sealed with. Replicas that share it take up each other's lists.
#[derive(Clone)]
pub struct Seal(Arc<hmac::Key>);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

/// What a cursor is bound to, besides the place itself.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    client: ClientId,
    place: Place,
    layout: Arc<TransactionLayout>,
    inputs: Vec<Input>,
    continuation: Continuation,
}

/// Why a cursor is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoCursor {
    /// Not made here, changed, or for another call.
    Foreign,
    Expired,
}

/// No cursor of ours is longer; a place is a handful of key fields.
const MOST: usize = 2_048;
/// In front of the sealed part: until when it is good.
const UNTIL: usize = 8;

const FILE: &str = "cursor.key";

impl Seal {
    pub fn new(key: &[u8]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// One for each second: none of them seals so much that two of its nonces could be the same.
    fn key(&self, until: &[u8; UNTIL]) -> Result<RandomizedNonceKey, Unspecified> {
        let mut message = b"mi-gateway cursor 2".to_vec();
        message.extend_from_slice(until);
        RandomizedNonceKey::new(&AES_256_GCM, hmac::sign(&self.0, &message).as_ref())
    }

    /// Reads `cursor.key` of the state folder, or makes it. A file that is too short seals nothing: it is an error.
    pub fn ensure(state: &Path) -> io::Result<Self> {
        store::ensure_key(&state.join(FILE)).map(|key| Self::new(&key))
    }

    /// `until`: seconds since 1970. `None` where there is no chance to seal it with.
    pub(super) fn write(&self, bound: &Bound, place: &[String], until: u64) -> Option<String> {
        let until = until.to_be_bytes();
        let mut sealed = Vec::new();
        for value in place {
            part(value.as_bytes(), &mut sealed);
        }
        let key = self.key(&until).ok()?;
        let nonce = key.seal_in_place_append_tag(Aad::from(bound.message(&until)), &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode([&until[..], nonce.as_ref(), &sealed].concat()))
    }

    /// The place that a cursor of this call stands for.
    pub(super) fn read(&self, bound: &Bound, cursor: &str, now: u64) -> Result<Vec<String>, NoCursor> {
        let text = Some(cursor).filter(|cursor| cursor.len() <= MOST);
        let mut text = text.and_then(|cursor| URL_SAFE_NO_PAD.decode(cursor).ok()).ok_or(NoCursor::Foreign)?;
        let (until, rest) = text.split_first_chunk_mut::<UNTIL>().ok_or(NoCursor::Foreign)?;
        let (nonce, sealed) = rest.split_first_chunk_mut::<NONCE_LEN>().ok_or(NoCursor::Foreign)?;
        let key = self.key(until).map_err(|Unspecified| NoCursor::Foreign)?;
        let opened = key.open_in_place(Nonce::from(&*nonce), Aad::from(bound.message(until)), sealed);
        // Nothing of it is read before it is known to be ours, its end as little as its place.
        let mut rest = &*opened.map_err(|Unspecified| NoCursor::Foreign)?;
        if u64::from_be_bytes(*until) < now {
            return Err(NoCursor::Expired);
        }
        let mut place = Vec::with_capacity(bound.continuation.len());
        while let Some((length, more)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| NoCursor::Foreign)?;
            let (value, more) = more.split_at_checked(length).ok_or(NoCursor::Foreign)?;
            place.push(String::from_utf8(value.to_vec()).map_err(|_| NoCursor::Foreign)?);
            rest = more;
        }
        if place.len() == bound.continuation.len() { Ok(place) } else { Err(NoCursor::Foreign) }
    }
}

impl Bound {
    /// `inputs`: of the call as it is decided; those that position are not part of what it is bound to.
    pub(super) fn new(
        client: &ClientId,
        place: Place,
        layout: &Arc<TransactionLayout>,
        inputs: &[Input],
        continuation: Continuation,
    ) -> Self {
        let inputs = inputs.iter().filter(|input| !continuation.positions(input.at)).cloned().collect();
        Self { client: client.clone(), place, layout: layout.clone(), inputs, continuation }
    }

    pub(super) fn continuation(&self) -> &Continuation {
        &self.continuation
    }

    pub(super) fn layout(&self) -> &TransactionLayout {
        &self.layout
    }

    fn message(&self, told: &[u8]) -> Vec<u8> {
        let mut message = b"mi-gateway cursor 2".to_vec();
        part(told, &mut message);
        let company = self.place.company.to_string();
        let own = [
            &*self.client.issuer,
            &*self.client.id,
            self.layout.program.as_str(),
            self.layout.name.as_str(),
            &company,
            self.place.division.as_str(),
        ];
        for text in own {
            part(text.as_bytes(), &mut message);
        }
        for input in &self.inputs {
            part(self.layout.input.fields()[usize::from(input.at)].name.as_str().as_bytes(), &mut message);
            part(input.value.as_str().as_bytes(), &mut message);
        }
        message
    }
}

/// With its length in front, so that no two messages read alike.
fn part(bytes: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(bytes);
}
