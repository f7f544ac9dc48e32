//! Program, Transaction and Field names: short, checked, `Copy`.
//!
//! A name is held inline, so carrying one about costs no allocation. The only way in is `parse`, which
//! refuses every character that has a meaning in a URL, a log line or a policy.

use std::fmt;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("the {what} name is empty")]
    Empty { what: &'static str },
    #[error("the {what} name is longer than {most} characters")]
    TooLong { what: &'static str, most: usize },
    #[error("the {what} name has the character {found:?}, which no {what} name may have")]
    Character { what: &'static str, found: char },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $most:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            text: [u8; $most],
            len: u8,
        }

        impl $name {
            /// The longest such name, in characters.
            pub const MOST: usize = $most;

            pub fn parse(text: &str) -> Result<Self, BadName> {
                let allowed: fn(char) -> bool = $allowed;
                if text.is_empty() {
                    return Err(BadName::Empty { what: $what });
                }
                if let Some(found) = text.chars().find(|c| !allowed(*c)) {
                    return Err(BadName::Character { what: $what, found });
                }
                if text.len() > $most {
                    return Err(BadName::TooLong { what: $what, most: $most });
                }
                let mut held = [0; $most];
                held[..text.len()].copy_from_slice(text.as_bytes());
                Ok(Self { text: held, len: text.len() as u8 })
            }

            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.as_str())
            }
        }
    };
}

name!(
    /// An MI program: `CRS610MI`. Upper case and digits.
    ProgramName, "program", 10, |c| c.is_ascii_uppercase() || c.is_ascii_digit()
);
name!(
    /// A transaction of a program: `GetBasicData`. Customer-made ones may hold `_` and `-`.
    TransactionName, "transaction", 15, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-'
);
name!(
    /// A field of a transaction: `CUNO`. Upper case and digits.
    FieldName, "field", 10, |c| c.is_ascii_uppercase() || c.is_ascii_digit()
);

impl ProgramName {
    /// Made by the customer, not by Infor: `EXT…MI` and `ZZ…`, the ranges Infor leaves free.
    pub fn is_customer_made(&self) -> bool {
        let text = self.as_str();
        text.starts_with("EXT") || text.starts_with("ZZ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_url_syntax_is_refused() {
        for text in ["CRS610MI;cono=200", "CRS610MI/", "crs610mi", "", "CRS 610", "CRS610MI\0", "ABCDEFGHIJK"] {
            assert!(ProgramName::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(ProgramName::parse("CRS610MI").map(|n| n.to_string()), Ok("CRS610MI".into()));
    }

    #[test]
    fn customer_made_lists_keep_their_underscores() {
        assert!(TransactionName::parse("Lst_My-List").is_ok());
        assert!(TransactionName::parse("Lst.My").is_err());
    }
}
