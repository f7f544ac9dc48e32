//! The form of a token request: parameters at most once, blanks as if not sent, within caps.
//!
//! Does not know: which parameters mean something.

use std::borrow::Cow;
use std::fmt;
use zeroize::Zeroize;

const MAX_FORM: usize = 32 * 1024;
const MAX_PARAMETERS: usize = 64;
const MAX_VALUE: usize = 16 * 1024;

/// Its values are secrets: none is shown, and those that had to be decoded are wiped.
pub(super) struct Form<'a> {
    parameters: Vec<(Cow<'a, str>, Value<'a>)>,
}

struct Value<'a>(Cow<'a, str>);

impl Drop for Value<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(text) = &mut self.0 {
            text.zeroize();
        }
    }
}

impl fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.parameters.iter().map(|(name, _)| name)).finish()
    }
}

/// For fuzzing and for nothing else: whether these bytes are a form that would be looked at.
pub fn readable(bytes: &[u8]) -> bool {
    Form::parse(bytes).is_ok()
}

impl<'a> Form<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        if bytes.len() > MAX_FORM {
            return Err("the form is too large");
        }
        let mut parameters: Vec<(Cow<'a, str>, Value<'a>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(bytes) {
            let value = Value(value);
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err("a parameter stands twice");
            }
            if parameters.len() == MAX_PARAMETERS || value.0.len() > MAX_VALUE {
                return Err("the form is too large");
            }
            parameters.push((name, value));
        }
        Ok(Self { parameters })
    }

    /// A parameter without a value counts as not sent (RFC 6749, 3.2).
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, value)| known == name && !value.0.is_empty());
        found.map(|(_, value)| &*value.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_parameter_is_refused_whatever_it_is() {
        assert!(Form::parse(b"a=1&b=2&a=1").is_err());
        assert!(Form::parse(b"a=&%61=1").is_err());
    }

    #[test]
    fn a_blank_parameter_is_none() {
        let form = Form::parse(b"scope=&username=DEMO_TST%23x").expect("a form");
        assert_eq!((form.value("scope"), form.value("username")), (None, Some("DEMO_TST#x")));
    }

    #[test]
    fn a_form_beyond_its_caps_is_refused() {
        assert!(!readable(&vec![b'a'; MAX_FORM + 1]));
        let many: String = (0..=MAX_PARAMETERS).map(|n| format!("p{n}=1&")).collect();
        assert!(!readable(many.as_bytes()));
    }
}
