//! Where a proof says it is for, and where it came to: two spellings of one address are the same (RFC 3986, 6.2.2 and 6.2.3).
//!
//! Invariant: query and fragment count for nothing; a path is never decoded into another path.

use http::Uri;

/// The address of an origin and of a path below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) origin: String,
    pub(super) path: String,
}

impl Target {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let usual = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        let host = authority.host().to_ascii_lowercase();
        let origin = match authority.port() {
            Some(port) if port.as_u16() != usual => format!("{scheme}://{host}:{}", port.as_u16()),
            Some(_) | None => format!("{scheme}://{host}"),
        };
        Some(Self { origin, path: path(uri.path())? })
    }
}

/// What need not be written as `%41` isn't, and what must be is written in capitals. `None`: a `%` stands before no number.
pub(super) fn path(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        match u8::from_str_radix(digits, 16).ok()? {
            plain if plain.is_ascii_alphanumeric() || b"-._~".contains(&plain) => out.push(char::from(plain)),
            _ => {
                out.push('%');
                out.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = &after[2..];
    }
    out.push_str(rest);
    Some(if out.is_empty() { "/".to_owned() } else { out })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(one: &str, other: &str) -> bool {
        Target::parse(one).is_some_and(|one| Target::parse(other) == Some(one))
    }

    #[test]
    fn one_address_has_many_spellings() {
        for spelling in [
            "https://m3.example.com/a/b",
            "HTTPS://M3.Example.com/a/b",
            "https://m3.example.com:443/a/b",
            "https://m3.example.com/%61/b",
            "https://m3.example.com/a/b?c=d",
            "https://m3.example.com/a/b#c",
        ] {
            assert!(same(spelling, "https://m3.example.com/a/b"), "{spelling}");
        }
        assert!(same("https://m3.example.com", "https://m3.example.com/"));
        assert!(same("https://m3.example.com/%c3%bc", "https://m3.example.com/%C3%BC"));
        assert!(same("http://[::1]:80/", "http://[::1]/"));
    }

    #[test]
    fn another_address_is_another() {
        for other in [
            "http://m3.example.com/a/b",
            "https://m3.example.com:8443/a/b",
            "https://m3.example.org/a/b",
            "https://m3.example.com/a/b/",
            "https://m3.example.com/A/b",
            "https://m3.example.com/a%2fb",
            "https://m3.example.com/a/./b",
            "https://m3.example.com/a//b",
            "https://m3.example.com/a/b;c=1",
            "https://somebody@m3.example.com/a/b",
            "https://m3.example.com/a/b%",
            "https://m3.example.com/a/b%0",
            "https://m3.example.com/a/b%zz",
            "//m3.example.com/a/b",
            "/a/b",
            "m3.example.com/a/b",
            "ftp://m3.example.com/a/b",
            "",
        ] {
            assert!(!same(other, "https://m3.example.com/a/b"), "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_spelling_is_settled_at_once(text in "/[a-zA-Z0-9%/;=._~é-]{0,30}") {
            if let Some(once) = path(&text) {
                prop_assert_eq!(path(&once), Some(once.clone()));
            }
        }
    }
}
