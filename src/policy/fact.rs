//! A record fact: one record of M3 that the rules of a call may look at, and what was read of it.
//!
//! Invariant: what was read by one fact is never taken for another's, and a value that is no value of its field's kind
//! is none at all.
//! Does not know: how M3 is asked.

use crate::model::{DateForm, FieldKind, FieldLayout, FieldName, ProgramName, TransactionName, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// A transaction of a program.
pub(super) type Call = (ProgramName, TransactionName);

/// Which record is read before some calls are decided, and what of it rules may look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub program: ProgramName,
    pub transaction: TransactionName,
    /// Input of the read, and the input of the call that it takes its value from.
    pub key: Vec<(FieldName, FieldName)>,
    /// By the read's outputs; `None` where nobody knew its layout.
    kinds: BTreeMap<FieldName, Option<FieldKind>>,
    /// Outputs, `FACI` or `WHLO`, that tell the division which the read doesn't tell itself; the first that isn't blank
    /// counts. Empty: `DIVI` is an output like any other, or isn't asked for.
    pub division_by: Vec<FieldName>,
    text: Arc<str>,
}

/// What was read by a fact: values in the one form of their kinds, blanks too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactValues {
    by: Arc<str>,
    values: Arc<[(FieldName, Box<str>)]>,
}

/// Why there are no values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoValue {
    #[error("the fact has no field {0}")]
    Undeclared(FieldName),
    #[error("{0} has no value of its kind")]
    Unreadable(FieldName),
}

impl Fact {
    pub(super) fn new(
        (program, transaction): Call,
        key: Vec<(FieldName, FieldName)>,
        kinds: BTreeMap<FieldName, Option<FieldKind>>,
        division_by: Vec<FieldName>,
    ) -> Self {
        let mut text = format!("{program}/{transaction}");
        for (at, (to, from)) in key.iter().enumerate() {
            let _ = write!(text, "{}{to}={from}", if at == 0 { " " } else { ", " });
        }
        Self { program, transaction, key, kinds, division_by, text: text.into() }
    }

    /// What is read by what, `PPS200MI/GetHead PUNO=PUNO`: facts with the same words read the same record.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// What rules may look at.
    pub fn fields(&self) -> impl Iterator<Item = FieldName> {
        self.kinds.keys().copied()
    }

    pub fn has(&self, field: FieldName) -> bool {
        self.kinds.contains_key(&field)
    }

    /// As the rules were checked against it.
    pub fn kind(&self, field: FieldName) -> Option<FieldKind> {
        self.kinds.get(&field).copied().flatten()
    }

    /// Whether the layout of the read was known when the set was loaded.
    pub fn is_known(&self) -> bool {
        self.kinds.values().all(Option::is_some)
    }

    /// Texts as M3 gives them, or as somebody writes them down; a part of the fields will do where rules look at no others.
    pub fn values<'a>(&self, told: impl IntoIterator<Item = (FieldName, &'a str)>) -> Result<FactValues, NoValue> {
        let mut values = BTreeMap::new();
        for (field, text) in told {
            let kind = *self.kinds.get(&field).ok_or(NoValue::Undeclared(field))?;
            let value = kind.map_or_else(|| Some(text.into()), |kind| canonical(field, kind, text));
            values.insert(field, value.ok_or(NoValue::Unreadable(field))?);
        }
        Ok(FactValues { by: Arc::clone(&self.text), values: values.into_iter().collect() })
    }
}

impl FactValues {
    /// The words of the fact that it was read by.
    pub fn by(&self) -> &Arc<str> {
        &self.by
    }

    pub fn of(&self, field: FieldName) -> Option<&str> {
        let at = self.values.binary_search_by(|(name, _)| name.cmp(&field)).ok()?;
        Some(&self.values[at].1)
    }

    /// By name.
    pub fn all(&self) -> &[(FieldName, Box<str>)] {
        &self.values
    }
}

/// A blank text is empty; a blank number, and M3's empty date, is 0.
fn canonical(name: FieldName, kind: FieldKind, text: &str) -> Option<Box<str>> {
    let field = FieldLayout { name, kind, from: 1, length: u16::MAX, mandatory: false, description: "".into() };
    match Value::parse(&field, text, DateForm::Ymd8) {
        Ok(Some(Value::Cleared)) if kind != FieldKind::Alphanumeric => None,
        Ok(Some(value)) => Some(value.as_str().into()),
        Ok(None) if kind == FieldKind::Alphanumeric => Some("".into()),
        Ok(None) => Some("0".into()),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::identity::pair;

    fn field(name: &str) -> FieldName {
        FieldName::parse(name).expect("a field of the test")
    }

    fn head() -> Fact {
        let kinds = [("NTAM", FieldKind::Number), ("DIVI", FieldKind::Alphanumeric), ("PUDT", FieldKind::Date)];
        let kinds = kinds.map(|(name, kind)| (field(name), Some(kind))).into();
        Fact::new(pair("PPS200MI/GetHead").expect("a call"), vec![(field("PUNO"), field("ORNO"))], kinds, Vec::new())
    }

    #[test]
    fn values_have_the_one_form_of_their_kind() {
        let values =
            head().values([(field("NTAM"), "000012.50"), (field("DIVI"), "aaa "), (field("PUDT"), "00000000")]);
        let values = values.expect("values");
        let told: Vec<_> = values.all().iter().map(|(name, text)| format!("{name}={text}")).collect();
        assert_eq!(told, ["DIVI=AAA", "NTAM=12.5", "PUDT=0"]);
        assert_eq!((values.of(field("NTAM")), values.of(field("SUNO"))), (Some("12.5"), None));
        let blank = head().values([(field("NTAM"), " "), (field("DIVI"), ""), (field("PUDT"), "")]).expect("values");
        assert_eq!(blank.all().iter().map(|(_, text)| &**text).collect::<Vec<_>>(), ["", "0", "0"]);
    }

    #[test]
    fn what_is_no_value_of_its_kind_is_none_at_all() {
        assert_eq!(head().values([(field("NTAM"), "many")]), Err(NoValue::Unreadable(field("NTAM"))));
        assert_eq!(head().values([(field("NTAM"), "?")]), Err(NoValue::Unreadable(field("NTAM"))));
        assert_eq!(head().values([(field("DIVI"), "A\u{1}")]), Err(NoValue::Unreadable(field("DIVI"))));
        assert_eq!(head().values([(field("SUNO"), "S1")]), Err(NoValue::Undeclared(field("SUNO"))));
        assert_eq!(&**head().text(), "PPS200MI/GetHead PUNO=ORNO");
    }
}
