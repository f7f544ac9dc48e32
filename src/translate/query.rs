//! Names and values of a query string, decoded strictly: what is malformed is refused, never guessed.

use std::borrow::Cow;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodingFault {
    #[error("a % must be followed by two hexadecimal digits")]
    Percent,
    #[error("the value is not UTF-8")]
    NotUtf8,
}

/// The pairs of a query string as they stand, not yet decoded. A name without `=` has an empty value.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|part| !part.is_empty()).map(|part| part.split_once('=').unwrap_or((part, "")))
}

/// Percent-decoding; in a query `+` is a blank as well, in a matrix option it is a plus.
pub(super) fn decode(text: &str, plus_is_blank: bool) -> Result<Cow<'_, str>, EncodingFault> {
    if !text.bytes().any(|b| b == b'%' || (plus_is_blank && b == b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let high = bytes.next().and_then(hex).ok_or(EncodingFault::Percent)?;
                let low = bytes.next().and_then(hex).ok_or(EncodingFault::Percent)?;
                high << 4 | low
            }
            b'+' if plus_is_blank => b' ',
            other => other,
        });
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| EncodingFault::NotUtf8)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_malformed_is_refused() {
        for text in ["%", "%4", "%zz", "a%2"] {
            assert_eq!(decode(text, true), Err(EncodingFault::Percent), "{text}");
        }
        assert_eq!(decode("%ff", true), Err(EncodingFault::NotUtf8));
        assert_eq!(decode("a+b%20c", true).as_deref(), Ok("a b c"));
        assert_eq!(decode("a+b", false).as_deref(), Ok("a+b"));
    }

    proptest! {
        #[test]
        fn an_encoded_value_is_read_back(text in "\\PC{0,30}") {
            let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC).to_string();
            let decoded = decode(&encoded, true);
            prop_assert_eq!(decoded.as_deref(), Ok(text.as_str()));
        }
    }
}
