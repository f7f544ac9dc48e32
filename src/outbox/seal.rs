//! Content at rest, sealed with a secret that does not lie in the store.
//!
//! Sealed is what a write said, what M3 answered, records as they were before a delete, documents, those of M3's own
//! publisher, and where the two differ. Not sealed are the names by which things are found and kept in order: of records, clients, calls and points, and why something failed.
//! Invariant: sealed text begins with `~`, which content never does, and opens only in the column and row it stands in.

use super::error::Error;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{self, HKDF_SHA256, Salt};
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Seals with one secret, opens with that and with former ones. By default nothing is sealed.
#[derive(Clone, Default)]
pub struct Seal {
    own: Option<Arc<Key>>,
    former: Arc<[Key]>,
}

struct Key {
    /// Says which secret it is of, and nothing about it.
    name: String,
    key: RandomizedNonceKey,
}

/// The secret can be guessed, or the key can't be made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is shorter than 32 characters")]
pub struct TooShort;

const SHORTEST: usize = 32;
const MARK: char = '~';
/// Of a content that stands in one place after another.
pub(super) const ANYWHERE: &str = "";

/// What a sealed text stands in: a column, and its row's name.
pub(super) type Place<'a> = (&'static str, &'a str);

impl Seal {
    /// `own`: what is sealed from now on. Whatever the `former` ones sealed opens still.
    pub fn new(own: Option<&SecretString>, former: &[SecretString]) -> Result<Self, TooShort> {
        let own = own.map(Key::of).transpose()?.map(Arc::new);
        Ok(Self { own, former: former.iter().map(Key::of).collect::<Result<_, _>>()? })
    }

    /// Of the secret in use; empty where nothing is sealed.
    pub(super) fn name(&self) -> &str {
        self.own.as_ref().map_or("", |key| &key.name)
    }

    pub(super) fn close<'a>(&self, place: Place<'_>, text: &'a str) -> Result<Cow<'a, str>, Error> {
        let Some(Key { name, key }) = self.own.as_deref() else { return Ok(Cow::Borrowed(text)) };
        let mut bytes = text.as_bytes().to_vec();
        let nonce = key.seal_in_place_append_tag(about(place), &mut bytes).map_err(|_| Error::Damaged("text"))?;
        let mut sealed = format!("{MARK}{name}.");
        BASE64_STANDARD_NO_PAD.encode_string(nonce.as_ref(), &mut sealed);
        BASE64_STANDARD_NO_PAD.encode_string(&bytes, &mut sealed);
        Ok(Cow::Owned(sealed))
    }

    pub(super) fn open(&self, place: Place<'_>, text: String) -> Result<String, Error> {
        let Some(sealed) = text.strip_prefix(MARK) else { return Ok(text) };
        let (name, sealed) = sealed.split_once('.').ok_or(UNSEALED)?;
        let known = self.own.as_deref().into_iter().chain(&*self.former).find(|key| key.name == name);
        let Key { key, .. } = known.ok_or_else(|| Error::Sealed { by: name.to_owned() })?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_TEXT).ok_or(UNSEALED)?;
        let decode = |text| BASE64_STANDARD_NO_PAD.decode(text).map_err(|_| UNSEALED);
        let nonce = Nonce::try_assume_unique_for_key(&decode(nonce)?).map_err(|_| UNSEALED)?;
        let mut bytes = decode(sealed)?;
        let length = key.open_in_place(nonce, about(place), &mut bytes).map_err(|_| UNSEALED)?.len();
        bytes.truncate(length);
        String::from_utf8(bytes).map_err(|_| UNSEALED)
    }

    /// Whether it is as `close` would leave it.
    pub(super) fn is_own(&self, text: &str) -> bool {
        let name = text.strip_prefix(MARK).and_then(|sealed| sealed.split_once('.')).map_or("", |(name, _)| name);
        name == self.name()
    }
}

/// Twelve bytes, with nothing left over.
const NONCE_TEXT: usize = NONCE_LEN / 3 * 4;
const UNSEALED: Error = Error::Damaged("sealed text");

fn about((column, row): Place<'_>) -> Aad<String> {
    Aad::from(format!("mi-gateway outbox {column} {row}"))
}

impl Key {
    fn of(secret: &SecretString) -> Result<Self, TooShort> {
        let secret = secret.expose_secret();
        if secret.len() < SHORTEST {
            return Err(TooShort);
        }
        let secret = Salt::new(HKDF_SHA256, b"mi-gateway outbox").extract(secret.as_bytes());
        let (mut key, mut name) = (Zeroizing::new([0; 32]), [0; 4]);
        derive(&secret, b"key", &mut *key)?;
        derive(&secret, b"name", &mut name)?;
        let name = name.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { name, key: RandomizedNonceKey::new(&AES_256_GCM_SIV, &*key).map_err(|_| TooShort)? })
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive(secret: &hkdf::Prk, what: &[u8], out: &mut [u8]) -> Result<(), TooShort> {
    let failed = |_| TooShort;
    secret.expand(&[what], Length(out.len())).map_err(failed)?.fill(out).map_err(failed)
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({:?}, {} former)", self.name(), self.former.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secret(letter: char) -> SecretString {
        SecretString::from(letter.to_string().repeat(SHORTEST))
    }

    fn seal(own: Option<char>, former: &[char]) -> Seal {
        let former: Vec<SecretString> = former.iter().copied().map(secret).collect();
        Seal::new(own.map(secret).as_ref(), &former).expect("long enough")
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_in_its_place_and_with_its_secret_alone(text in ".{0,200}", row in "[a-z0-9]{1,8}") {
            let own = seal(Some('a'), &[]);
            let sealed = own.close(("fields", &row), &text).expect("seals").into_owned();
            prop_assert!(sealed.starts_with(MARK) && own.is_own(&sealed) && !seal(Some('b'), &[]).is_own(&sealed));
            for seal in [&own, &seal(Some('b'), &['a']), &seal(None, &['a'])] {
                prop_assert_eq!(&seal.open(("fields", &row), sealed.clone()).expect("opens"), &text);
            }
            let other = format!("{row}x");
            for place in [("outcome", row.as_str()), ("fields", other.as_str())] {
                prop_assert!(matches!(own.open(place, sealed.clone()), Err(Error::Damaged(_))));
            }
            let of_another = seal(Some('b'), &[]).open(("fields", &row), sealed);
            prop_assert!(matches!(of_another, Err(Error::Sealed { .. })), "{of_another:?}");
        }

        #[test]
        fn bytes_that_were_changed_open_as_an_error(at in 10_usize..60, letter in "[A-Za-z0-9+/.~]") {
            let own = seal(Some('a'), &[]);
            let mut sealed = own.close(("xml", "1"), "<a>customer C00001</a>").expect("seals").into_owned();
            let at = at.min(sealed.len() - 1);
            prop_assume!(sealed[at..=at] != letter);
            sealed.replace_range(at..=at, &letter);
            prop_assert!(own.open(("xml", "1"), sealed).is_err());
        }
    }

    #[test]
    fn without_a_secret_content_is_as_it_was_and_two_sealings_differ() {
        let (plain, own) = (Seal::default(), seal(Some('a'), &[]));
        assert_eq!(plain.close(("xml", "1"), "<a/>").expect("as it was"), "<a/>");
        assert!(plain.is_own("<a/>") && !own.is_own("<a/>"));
        assert_eq!(own.open(("xml", "1"), "<a/>".to_owned()).expect("of before"), "<a/>");
        let close = || own.close(("xml", "1"), "<a/>").expect("seals").into_owned();
        assert_ne!(close(), close());
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused_and_none_is_printed() {
        assert_eq!(Seal::new(Some(&SecretString::from("short")), &[]).err(), Some(TooShort));
        assert_eq!(Seal::new(None, &[SecretString::from("x".repeat(SHORTEST - 1))]).err(), Some(TooShort));
        let shown = format!("{:?}", seal(Some('a'), &['b']));
        assert!(!shown.contains("aaaa") && !shown.contains("bbbb"), "{shown}");
    }
}
