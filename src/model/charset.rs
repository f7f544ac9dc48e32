//! How text crosses the socket: UCS-2 big-endian, or a single- or multi-byte code page.
//!
//! Lengths in a layout count units of the session: UTF-16 units in UCS-2, bytes elsewhere.
//! Invariant: a character that can't be carried is refused, never replaced on the way to M3.

use encoding_rs::Encoding;
use std::borrow::Cow;

/// The encoding of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// UTF-16 big-endian without a byte order mark.
    Ucs2,
    /// ISO-8859-1, byte for byte (the WHATWG table maps that name to windows-1252, so it is done by hand).
    Latin1,
    /// A code page of `encoding_rs`.
    Page(&'static Encoding),
}

/// The character that the session's encoding can't carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uncarried(pub char);

impl Charset {
    /// The names that settings accept.
    pub const NAMES: &'static [&'static str] =
        &["ucs2", "latin1", "latin9", "cp1250", "cp1251", "cp1252", "cp932", "gbk"];

    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ucs2" => Self::Ucs2,
            "latin1" => Self::Latin1,
            "latin9" => Self::Page(encoding_rs::ISO_8859_15),
            "cp1250" => Self::Page(encoding_rs::WINDOWS_1250),
            "cp1251" => Self::Page(encoding_rs::WINDOWS_1251),
            "cp1252" => Self::Page(encoding_rs::WINDOWS_1252),
            "cp932" => Self::Page(encoding_rs::SHIFT_JIS),
            "gbk" => Self::Page(encoding_rs::GBK),
            _ => return None,
        })
    }

    /// Bytes in one unit of a layout.
    pub fn unit(self) -> usize {
        match self {
            Self::Ucs2 => 2,
            Self::Latin1 | Self::Page(_) => 1,
        }
    }

    /// Appends `text`, and says how many units it took.
    pub fn encode(self, text: &str, out: &mut Vec<u8>) -> Result<usize, Uncarried> {
        let before = out.len();
        match self {
            Self::Ucs2 => text.encode_utf16().for_each(|unit| out.extend_from_slice(&unit.to_be_bytes())),
            Self::Latin1 => {
                for c in text.chars() {
                    out.push(u8::try_from(u32::from(c)).map_err(|_| Uncarried(c))?);
                }
            }
            Self::Page(page) if text.is_ascii() => {
                let _ = page;
                out.extend_from_slice(text.as_bytes());
            }
            Self::Page(page) => {
                for c in text.chars() {
                    let mut held = [0; 4];
                    let one = c.encode_utf8(&mut held);
                    let (bytes, _, lost) = page.encode(one);
                    if lost {
                        return Err(Uncarried(c));
                    }
                    out.extend_from_slice(&bytes);
                }
            }
        }
        Ok((out.len() - before) / self.unit())
    }

    /// One blank, as often as `units` says.
    pub fn pad(self, units: usize, out: &mut Vec<u8>) {
        match self {
            Self::Ucs2 => (0..units).for_each(|_| out.extend_from_slice(&[0, b' '])),
            Self::Latin1 | Self::Page(_) => out.resize(out.len() + units, b' '),
        }
    }

    /// Reads what M3 sent. A lone surrogate or an unmapped byte becomes U+FFFD: M3's data is never a reason to fail a read.
    pub fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            Self::Ucs2 => Cow::Owned(ucs2(bytes)),
            Self::Latin1 => match std::str::from_utf8(bytes) {
                Ok(text) if text.is_ascii() => Cow::Borrowed(text),
                _ => Cow::Owned(bytes.iter().map(|b| char::from(*b)).collect()),
            },
            Self::Page(page) => page.decode_without_bom_handling(bytes).0,
        }
    }

    /// The same without the blanks and zeros at the end, most of which are never decoded.
    pub(super) fn decode_trimmed(self, mut bytes: &[u8]) -> Cow<'_, str> {
        if self == Self::Ucs2 {
            bytes = &bytes[..bytes.len() / 2 * 2];
            while let [rest @ .., 0, b' ' | 0] = bytes {
                bytes = rest;
            }
            return self.decode(bytes);
        }
        match self.decode(bytes) {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_end_matches([' ', '\0'])),
            Cow::Owned(mut text) => {
                text.truncate(text.trim_end_matches([' ', '\0']).len());
                Cow::Owned(text)
            }
        }
    }
}

fn ucs2(bytes: &[u8]) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    // Nearly every field of M3 is ASCII, and that goes many characters at a time.
    let any = pairs.iter().fold(0, |any, pair| any | u16::from_be_bytes(*pair));
    if any < 0x80 {
        let ascii: Vec<u8> = pairs.iter().map(|[_, low]| *low).collect();
        if let Ok(text) = String::from_utf8(ascii) {
            return text;
        }
    }
    let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
    let mut text = String::with_capacity(bytes.len() / 2);
    text.extend(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_euro_is_refused_by_latin1_and_carried_by_latin9() {
        assert_eq!(Charset::Latin1.encode("5 €", &mut Vec::new()), Err(Uncarried('€')));
        let latin9 = Charset::named("latin9").expect("a name of the list");
        assert_eq!(latin9.encode("5 €", &mut Vec::new()), Ok(3));
    }

    #[test]
    fn a_surrogate_pair_takes_two_units() {
        assert_eq!(Charset::Ucs2.encode("😀", &mut Vec::new()), Ok(2));
    }

    #[test]
    fn what_is_no_text_is_read_all_the_same() {
        for bytes in [&[0][..], &[0xd8, 0, 0, b'a'], &[0, b'a', 0xdc], &[0xff; 5], &[0, 0, 0, b' ']] {
            let _ = Charset::Ucs2.decode_trimmed(bytes);
        }
        assert_eq!(Charset::Ucs2.decode(&[0xd8, 0, 0, b'a']), "\u{fffd}a");
    }

    proptest! {
        #[test]
        fn trimming_first_and_trimming_last_are_the_same(bytes in proptest::collection::vec(prop_oneof![Just(0), Just(b' '), any::<u8>()], 0..40), which in 0usize..8) {
            let charset = Charset::named(Charset::NAMES[which]).expect("a name of the list");
            let whole = charset.decode(&bytes);
            prop_assert_eq!(charset.decode_trimmed(&bytes), whole.trim_end_matches([' ', '\0']));
        }

        #[test]
        fn what_was_encoded_is_read_back(text in "\\PC{0,40}", which in 0usize..8) {
            let charset = Charset::named(Charset::NAMES[which]).expect("a name of the list");
            let mut bytes = Vec::new();
            if charset.encode(&text, &mut bytes).is_ok() {
                // Some pages hold two codes for one sign; what is read must then be the text that the code stands for.
                let read = charset.decode(&bytes).into_owned();
                let mut again = Vec::new();
                prop_assert!(charset.encode(&read, &mut again).is_ok());
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
