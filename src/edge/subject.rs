//! A certificate's subject as text, as RFC 4514 writes it: `CN=web-shop,O=Acme,C=SE`.
//!
//! Invariant: two subjects that differ never read the same. `openssl x509 -subject -nameopt RFC2253` prints the same text
//! for usual names.

use std::fmt::Write;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The short names that the RFC lists and the few more that are met; others are numbers, and their values hex.
const SHORT: [(&str, &str); 12] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "street"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.97", "organizationIdentifier"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

pub(super) fn text(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> =
        name.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let number = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(known, _)| *known == number).map(|(_, short)| *short);
    match (short, attribute.as_str()) {
        (Some(short), Ok(value)) => format!("{short}={}", escaped(value)),
        (short, _) => {
            let value = attribute.attr_value();
            let tag = value.header.tag().0;
            let mut text = format!("{}=#{tag:02x}", short.unwrap_or(&number));
            for byte in value.data {
                let _ = write!(text, "{byte:02x}");
            }
            text
        }
    }
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, letter) in value.chars().enumerate() {
        match letter {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => text.extend(['\\', letter]),
            '#' if at == 0 => text.push_str("\\#"),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            control if control.is_control() => {
                let mut bytes = [0; 4];
                for byte in control.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(text, "\\{byte:02X}");
                }
            }
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_name_is_escaped() {
        for (value, written) in [
            ("web-shop", "web-shop"),
            ("Acme, Inc.", "Acme\\, Inc."),
            ("a,O=Other", "a\\,O=Other"),
            ("#30", "\\#30"),
            (" a ", "\\ a\\ "),
            ("a\\,b", "a\\\\\\,b"),
            ("a\nb", "a\\0Ab"),
            ("å", "å"),
        ] {
            assert_eq!(escaped(value), written);
        }
    }
}
