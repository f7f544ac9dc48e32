//! What a token says of its client beyond who it is, where rules may ask for it.

use std::fmt;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimKind {
    Text,
    /// Several texts, in no order.
    Set,
}

/// One claim that the settings let rules see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub name: Arc<str>,
    pub value: ClaimValue,
}

#[derive(Clone, PartialEq, Eq)]
pub enum ClaimValue {
    Text(Box<str>),
    Set(Box<[Box<str>]>),
}

impl Claim {
    /// The longest text of a claim, and the most texts of a set.
    pub const MAX_TEXT: usize = 256;
    pub const MAX_SET: usize = 256;

    /// Texts that a rule can be shown: none that is longer than it may be.
    pub fn new(name: Arc<str>, kind: ClaimKind, texts: Vec<Box<str>>) -> Option<Self> {
        if texts.len() > Self::MAX_SET || texts.iter().any(|text| text.len() > Self::MAX_TEXT) {
            return None;
        }
        let value = match kind {
            ClaimKind::Set => ClaimValue::Set(texts.into()),
            ClaimKind::Text => ClaimValue::Text(texts.into_iter().next()?),
        };
        Some(Self { name, value })
    }

    pub fn texts(&self) -> &[Box<str>] {
        match &self.value {
            ClaimValue::Text(text) => std::slice::from_ref(text),
            ClaimValue::Set(texts) => texts,
        }
    }
}

/// Its value may be a person's.
impl fmt::Debug for ClaimValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "a text",
            Self::Set(_) => "a set",
        })
    }
}
