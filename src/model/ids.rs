//! Who and where: tenant, client, M3 user, company, division.

use std::fmt;
use std::sync::Arc;

/// Why a text is not one of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    #[error("a company is a number from 1 to 999")]
    Company,
    #[error("a division is at most three characters, letters and digits")]
    Division,
    #[error("a client's division is one to three letters or digits, or `company` for the company as a whole")]
    Bound,
    #[error("an M3 user is one to ten characters of A-Z, 0-9 and _")]
    User,
    #[error("a language is two letters or digits, like GB")]
    Language,
    #[error("a tenant is 1 to 64 characters of letters, digits, _ and -")]
    Tenant,
}

/// CONO. Its one canonical form is the number without leading zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Company(u16);

impl Company {
    pub fn new(number: u16) -> Result<Self, BadId> {
        if (1..=999).contains(&number) { Ok(Self(number)) } else { Err(BadId::Company) }
    }

    /// Reads `100`, `0100` and ` 100 ` alike; signs, exponents and decimals are refused.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let digits = text.trim_matches(' ');
        if digits.is_empty() || digits.len() > 10 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadId::Company);
        }
        digits.parse::<u64>().ok().and_then(|n| u16::try_from(n).ok()).ok_or(BadId::Company).and_then(Self::new)
    }

    pub fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Company {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// DIVI. Blank is a value of its own: the company's central division.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Division {
    text: [u8; 3],
    len: u8,
}

impl Division {
    pub const BLANK: Self = Self { text: [0; 3], len: 0 };

    pub fn parse(text: &str) -> Result<Self, BadId> {
        let text = text.trim_matches(' ');
        if text.len() > 3 || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(BadId::Division);
        }
        let mut held = [0; 3];
        held[..text.len()].copy_from_slice(text.to_ascii_uppercase().as_bytes());
        Ok(Self { text: held, len: text.len() as u8 })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }

    pub fn is_blank(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Display for Division {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Division {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $fault:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, BadId> {
                let allowed: fn(&str) -> bool = $allowed;
                if allowed(text) { Ok(Self(text.into())) } else { Err($fault) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

text_id!(
    /// The user that M3 sees. At most 10 characters (USID), upper case.
    M3User, BadId::User,
    |text| (1..=10).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
);
text_id!(
    /// LANC: the language that M3 answers in, upper case.
    Language, BadId::Language,
    |text| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
);
text_id!(
    /// The tenant of a path and of a token: `DEMO_TST`.
    TenantId, BadId::Tenant,
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
);

/// A client is the pair of issuer and client id, everywhere: the same id of two issuers is two clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    pub issuer: Arc<str>,
    pub id: Arc<str>,
}

impl ClientId {
    /// The house itself, reading back what was written. No issuer is called so.
    pub fn publisher() -> Self {
        Self { issuer: "".into(), id: "publisher".into() }
    }

    pub fn is_publisher(&self) -> bool {
        self.issuer.is_empty() && *self.id == *"publisher"
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_company_has_one_form() {
        assert_eq!(Company::parse("0100"), Company::parse(" 100"));
        for text in ["1e2", "-100", "+100", "100.0", "", "0", "1000", "99999999999999999999"] {
            assert!(Company::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_blank_division_is_a_division() {
        assert_eq!(Division::parse(""), Ok(Division::BLANK));
        assert_eq!(Division::parse("aaa").map(|d| d.to_string()), Ok("AAA".into()));
        assert!(Division::parse("A;B").is_err());
    }
}
