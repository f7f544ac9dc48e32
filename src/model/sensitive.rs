//! Fields that hold a secret or a PIN: never logged, never stored, never returned unless a rule names them.

use super::names::FieldName;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Those that every M3 has, and those that a site adds to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sensitive(Arc<BTreeSet<FieldName>>);

impl Sensitive {
    pub fn with(more: impl IntoIterator<Item = FieldName>) -> Self {
        Self(Arc::new(more.into_iter().collect()))
    }

    pub fn has(&self, field: FieldName) -> bool {
        is_sensitive(field.as_str()) || (!self.0.is_empty() && self.0.contains(&field))
    }

    /// What the site adds.
    pub fn added(&self) -> impl Iterator<Item = FieldName> {
        self.0.iter().copied()
    }
}

/// One that every M3 has.
pub fn is_sensitive(field: &str) -> bool {
    // Asked for every column of every answer; nearly none begins like these.
    field.starts_with('P') && SHIPPED.binary_search(&field).is_ok()
}

const SHIPPED: &[&str] = &["PASS", "PASW", "PIN", "PINC", "PNCO", "PSWD", "PWD", "PWM1", "PWM2", "PWMT", "PWRD"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_ones_are_in_the_order_that_they_are_looked_for_in() {
        assert!(SHIPPED.is_sorted() && SHIPPED.iter().all(|name| is_sensitive(name)));
        assert!(!is_sensitive("PUNO") && !is_sensitive("CUNM"));
    }

    #[test]
    fn a_site_adds_its_own() {
        let field = |name| FieldName::parse(name).expect("a field");
        let ours = Sensitive::with([field("BACD")]);
        assert!(ours.has(field("BACD")) && ours.has(field("PWMT")) && !ours.has(field("CUNM")));
        assert!(!Sensitive::default().has(field("BACD")) && Sensitive::default().has(field("PNCO")));
    }
}
