//! One condition on a document's content: a path, and what must stand there.
//!
//! ```text
//! condition = ["not"] place [test]
//! place     = step { "/" step } ["@" attribute]  |  "property(" name ")"
//! step      = element [ "[@" attribute "='" value "']" ]
//! test      = ("=" | "!=" | "<" | "<=" | ">" | ">=" | "starts") value  |  "in (" value { "," value } ")"
//! value     = "'" text "'"  |  number
//! ```
//! Without a test it asks whether anything stands there. What stands in quotes is the same text or is not: `'001'` is not `1`,
//! as M3's numbers of customers and warehouses are. Numbers are compared digit by digit, never rounded.

use std::cmp::Ordering;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    /// As it was written.
    text: String,
    negated: bool,
    /// From the noun down.
    steps: Vec<Step>,
    /// Where it begins: at the noun, or anywhere below it.
    anywhere: bool,
    attribute: Option<String>,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    name: String,
    attribute: Option<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Stands,
    Starts(String),
    Among(Vec<Value>),
    Compared(&'static str, Value),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    Number(String),
}

impl Value {
    fn is(&self, other: &str) -> bool {
        match self {
            Self::Text(text) => text == other,
            Self::Number(number) => compare(other, number).is_eq(),
        }
    }

    fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Number(text) => text,
        }
    }
}

/// Why a condition is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadCondition(String);

impl BadCondition {
    pub(super) fn new(why: &str) -> Self {
        Self(why.to_owned())
    }
}

const MOST: usize = 1_000;
const MOST_STEPS: usize = 32;
const COMPARED: [&str; 6] = ["<=", ">=", "!=", "=", "<", ">"];

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Condition {
    pub(super) fn parse(text: &str) -> Result<Self, BadCondition> {
        if text.len() > MOST {
            return Err(BadCondition(format!("it is longer than {MOST} characters")));
        }
        let whole = text.trim();
        let (negated, rest) = match whole.strip_prefix("not ") {
            Some(rest) => (true, rest.trim_start()),
            None => (false, whole),
        };
        let mut words = Words { rest };
        let (steps, anywhere, attribute) = words.place()?;
        let test = words.test()?;
        if !words.rest.trim().is_empty() {
            return Err(BadCondition(format!("nothing may follow, and there is: {}", words.rest.trim())));
        }
        Ok(Self { text: whole.to_owned(), negated, steps, anywhere, attribute, test })
    }

    /// Nothing but where an element stands.
    pub(super) fn is_a_place(&self) -> bool {
        !self.negated && self.attribute.is_none() && self.test == Test::Stands
    }

    /// The element at its end.
    pub(super) fn last(&self) -> Option<&str> {
        self.steps.last().map(|step| step.name.as_str())
    }

    pub(super) fn negated(&self) -> bool {
        self.negated
    }

    pub(super) fn attribute(&self) -> Option<&str> {
        self.attribute.as_deref()
    }

    /// Cheap, before [`Self::stands`].
    pub(super) fn ends_at(&self, name: &str, depth: usize) -> bool {
        let deep = if self.anywhere { depth >= self.steps.len() } else { depth == self.steps.len() };
        deep && self.steps.last().is_some_and(|step| step.name == name)
    }

    /// Whether its steps are the last of `depth` elements; `is` looks at one of these.
    pub(super) fn stands(&self, depth: usize, is: impl Fn(usize, &str, Option<(&str, &str)>) -> bool) -> bool {
        let begin = depth - self.steps.len();
        self.steps.iter().enumerate().all(|(at, step)| {
            let attribute = step.attribute.as_ref().map(|(key, value)| (key.as_str(), value.as_str()));
            is(begin + at, &step.name, attribute)
        })
    }

    pub(super) fn agrees(&self, value: &str) -> bool {
        match &self.test {
            Test::Stands => !value.is_empty(),
            Test::Starts(start) => value.starts_with(start.as_str()),
            Test::Among(values) => values.iter().any(|one| one.is(value)),
            Test::Compared("=", other) => other.is(value),
            Test::Compared("!=", other) => !other.is(value),
            Test::Compared(how, Value::Text(other) | Value::Number(other)) => {
                let order = compare(value, other);
                match *how {
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                }
            }
        }
    }
}

struct Words<'a> {
    rest: &'a str,
}

impl Words<'_> {
    fn place(&mut self) -> Result<(Vec<Step>, bool, Option<String>), BadCondition> {
        if let Some(rest) = self.rest.strip_prefix("property(") {
            let (name, rest) = rest.split_once(')').ok_or_else(|| BadCondition("property( lacks its )".to_owned()))?;
            self.rest = rest;
            let name = ("name".to_owned(), name.trim().trim_matches('\'').to_owned());
            let step = |name: &str, attribute| Step { name: name.to_owned(), attribute };
            let steps = vec![step("UserArea", None), step("Property", None), step("NameValue", Some(name))];
            return Ok((steps, true, None));
        }
        let mut steps = Vec::new();
        loop {
            let name = self.name()?;
            let attribute = if self.take("[@") {
                let key = self.name()?;
                self.expect("=")?;
                let value = self.value()?.into_text();
                self.expect("]")?;
                Some((key, value))
            } else {
                None
            };
            steps.push(Step { name, attribute });
            if steps.len() > MOST_STEPS {
                return Err(BadCondition(format!("the path has more than {MOST_STEPS} steps")));
            }
            if !self.take("/") {
                break;
            }
        }
        let attribute = if self.take("@") { Some(self.name()?) } else { None };
        Ok((steps, false, attribute))
    }

    fn test(&mut self) -> Result<Test, BadCondition> {
        self.rest = self.rest.trim_start();
        if self.rest.is_empty() {
            return Ok(Test::Stands);
        }
        if let Some(how) = COMPARED.into_iter().find(|how| self.take(how)) {
            return Ok(Test::Compared(how, self.value()?));
        }
        if self.take("starts ") {
            return Ok(Test::Starts(self.value()?.into_text()));
        }
        if self.take("in") {
            self.expect("(")?;
            let mut values = vec![self.value()?];
            while self.take(",") {
                values.push(self.value()?);
            }
            self.expect(")")?;
            return Ok(Test::Among(values));
        }
        Err(BadCondition(format!("one of = != < <= > >= starts in is missing before: {}", self.rest)))
    }

    fn take(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(word);
        if let Some(rest) = rest {
            self.rest = rest;
        }
        rest.is_some()
    }

    fn expect(&mut self, word: &str) -> Result<(), BadCondition> {
        if self.take(word) { Ok(()) } else { Err(BadCondition(format!("{word} is missing before: {}", self.rest))) }
    }

    fn name(&mut self) -> Result<String, BadCondition> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Err(BadCondition(format!(
                "the name of an element or an attribute is missing before: {}",
                self.rest
            )));
        }
        self.rest = rest;
        Ok(name.to_owned())
    }

    /// In quotes, in which a quote is doubled, or a number.
    fn value(&mut self) -> Result<Value, BadCondition> {
        self.rest = self.rest.trim_start();
        let Some(mut rest) = self.rest.strip_prefix('\'') else {
            let end = self.rest.find([' ', ',', ')', ']']).unwrap_or(self.rest.len());
            let (number, rest) = self.rest.split_at(end);
            self.rest = rest;
            return match Number::parse(number) {
                Some(_) => Ok(Value::Number(number.to_owned())),
                None => Err(BadCondition(format!("a text stands in quotes: '{number}'"))),
            };
        };
        let mut value = String::new();
        loop {
            let end = rest.find('\'').ok_or_else(|| BadCondition("a quote is not closed".to_owned()))?;
            value.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('\'') {
                Some(more) => {
                    value.push('\'');
                    rest = more;
                }
                None => break,
            }
        }
        self.rest = rest;
        Ok(Value::Text(value))
    }
}

/// As numbers where both are some, else as texts.
fn compare(one: &str, other: &str) -> Ordering {
    match (Number::parse(one), Number::parse(other)) {
        (Some(one), Some(other)) => one.order(&other),
        _ => one.cmp(other),
    }
}

/// A decimal of any length: its whole digits without leading zeros, its decimals without trailing ones.
struct Number<'a> {
    negative: bool,
    whole: &'a str,
    part: &'a str,
}

impl<'a> Number<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let all = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if !all(whole) || !all(part) {
            return None;
        }
        let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
        Some(Self { negative: negative && !(whole.is_empty() && part.is_empty()), whole, part })
    }

    fn order(&self, other: &Self) -> Ordering {
        let size = |one: &Self, other: &Self| {
            one.whole.len().cmp(&other.whole.len()).then_with(|| (one.whole, one.part).cmp(&(other.whole, other.part)))
        };
        match (self.negative, other.negative) {
            (false, false) => size(self, other),
            (true, true) => size(other, self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_condition_says_why() {
        for (text, why) in [
            ("", "name of an element"),
            ("/A", "name of an element"),
            ("A/", "name of an element"),
            ("A = b", "stands in quotes: 'b'"),
            ("A = 'b", "not closed"),
            ("A ~ 'b'", "one of ="),
            ("A = 'b' or B", "nothing may follow"),
            ("A[@t='x'/B", "] is missing"),
            ("A in ('x'", ") is missing"),
            ("property(x", "lacks its )"),
        ] {
            let bad = Condition::parse(text).expect_err(text).to_string();
            assert!(bad.contains(why), "{text}: {bad}");
        }
        assert!(Condition::parse("A = 'it''s'").is_ok_and(|condition| condition.agrees("it's")));
    }

    #[test]
    fn what_stands_in_quotes_is_a_text() {
        let agrees = |condition: &str, value: &str| Condition::parse(condition).expect("a condition").agrees(value);
        for other in ["1", "01", "001.0", "0001"] {
            assert!(
                !agrees("ID = '001'", other) && !agrees("ID in ('001', 'A')", other),
                "{other} is another warehouse"
            );
            assert!(agrees("ID != '001'", other), "{other}");
        }
        assert!(agrees("ID = '001'", "001") && !agrees("ID != '001'", "001") && agrees("ID in ('A', '001')", "001"));
        for same in ["5", "5.0", "05"] {
            assert!(agrees("Quantity = 5", same) && agrees("Quantity in (4, 5)", same), "{same} is the same quantity");
        }
        assert!(agrees("OrderDateTime >= '2026-03-01'", "2026-03-02") && !agrees("Quantity = 5", "five"));
    }

    proptest! {
        #[test]
        fn numbers_are_ordered_as_numbers(a in -1_000_000_i64..1_000_000, b in -1_000_000_i64..1_000_000, pad in 0_usize..4) {
            let text = |n: i64| {
                let sign = if n < 0 { "-" } else { "" };
                format!("{sign}{}{}.{:03}{}", "0".repeat(pad), n.abs() / 1_000, n.abs() % 1_000, "0".repeat(pad))
            };
            prop_assert_eq!(compare(&text(a), &text(b)), a.cmp(&b));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[A-Za-z/@\\[\\]()='<>!, 0-9.é-]{0,60}") {
            if let Ok(condition) = Condition::parse(&text) {
                let _ = condition.agrees(&text);
            }
        }
    }
}
