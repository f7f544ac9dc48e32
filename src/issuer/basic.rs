//! Client credentials in an `Authorization: Basic` header, in both of the forms that clients write.
//!
//! RFC 6749 (2.3.1) percent-encodes id and secret first; many clients don't. An id or secret that reads the same
//! both ways is one candidate; otherwise the decoded reading comes first.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

const MAX_HEADER: usize = 2 * 1024;
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Id and secret as one reading of the header has them.
pub(super) struct Reading {
    pub(super) id: String,
    pub(super) secret: Zeroizing<String>,
}

/// For fuzzing and for nothing else: whether a header would be looked at.
pub fn readable(header: &str) -> bool {
    !readings(header).is_empty()
}

/// One or two readings; none if this is not a Basic header.
pub(super) fn readings(header: &str) -> Vec<Reading> {
    raw(header).map(both).unwrap_or_default()
}

fn raw(header: &str) -> Option<(String, Zeroizing<String>)> {
    if header.len() > MAX_HEADER {
        return None;
    }
    let (scheme, coded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = Zeroizing::new(LENIENT.decode(coded.trim()).ok()?);
    let (id, secret) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    (!id.is_empty()).then(|| (id.to_owned(), Zeroizing::new(secret.to_owned())))
}

fn both((id, secret): (String, Zeroizing<String>)) -> Vec<Reading> {
    let decoded = |text: &str| {
        let spaced = Zeroizing::new(text.replace('+', " "));
        percent_encoding::percent_decode_str(&spaced).decode_utf8().map(|text| text.into_owned()).ok()
    };
    let mut readings = Vec::with_capacity(2);
    if let (Some(id), Some(secret)) = (decoded(&id), decoded(&secret)) {
        readings.push(Reading { id, secret: Zeroizing::new(secret) });
    }
    if readings.first().is_none_or(|first| first.id != id || first.secret != secret) {
        readings.push(Reading { id, secret });
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD as PLAIN;

    fn read(text: &str) -> Vec<(String, String)> {
        let header = format!("Basic {}", PLAIN.encode(text));
        readings(&header).into_iter().map(|reading| (reading.id, reading.secret.to_string())).collect()
    }

    fn pair(id: &str, secret: &str) -> (String, String) {
        (id.to_owned(), secret.to_owned())
    }

    #[test]
    fn both_forms_are_read_and_the_decoded_one_first() {
        assert_eq!(read("T~a:s"), [pair("T~a", "s")]);
        assert_eq!(read("T%7Ea:s%2B"), [pair("T~a", "s+"), pair("T%7Ea", "s%2B")]);
        assert_eq!(read("T~a:s+1:2"), [pair("T~a", "s 1:2"), pair("T~a", "s+1:2")]);
        assert_eq!(read("T~a:100%"), [pair("T~a", "100%")]);
    }

    #[test]
    fn what_is_no_basic_header_has_no_reading() {
        for header in ["", "Basic", "Basic ", "Bearer eA==", "Basic !!!", "Basic bm9jb2xvbg==", "Basic OnNlY3JldA=="] {
            assert!(!readable(header), "{header:?}");
        }
        assert!(readable("bAsIc YTpi") && readable("Basic YTpiYg"));
        assert!(!readable(&format!("Basic {}", "A".repeat(MAX_HEADER))));
    }
}
