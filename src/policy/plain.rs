//! Conditions that are decided without Cedar: comparisons of the context with constants.
//!
//! A call is decided by Cedar, and most of what a rule asks is whether a company is this or an address in that network.
//! Those are answered here, in nanoseconds; a rule that asks for nothing else never reaches Cedar at all.
//! Invariant: a condition is taken only where its answer is Cedar's own, and only those before the first that isn't taken,
//! so that what Cedar would fail on it still fails on. A property test holds both against each other.

use super::ask::{Ask, Asker};
use super::context::utc;
use super::reads::path;
use super::rule::Condition;
use super::zones::Local;
use crate::model::{Effect, Place, ProgramName, TransactionName};
use serde_json::Value as Json;
use std::net::IpAddr;

/// The conditions of a rule that come first and are plain.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    tests: Vec<Test>,
    /// There are no others: who meets these meets the rule.
    pub(super) whole: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Constant(bool),
    Number(Number, Relation, i64),
    Text(Text, Box<str>),
    /// The pieces between the wildcards of a pattern.
    Like(Text, Box<[Box<str>]>),
    Within(IpAddr, u8),
    Scope(Box<str>),
    HasClaim(Box<str>),
    /// The claim is this text, or holds it.
    Claim(Box<str>, Box<str>),
    CustomerMade,
    Technical,
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Company,
    Minute,
    Weekday,
    LocalMinute,
    LocalWeekday,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Text {
    Division,
    M3User,
    Program,
    Name,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Relation {
    Equal,
    Less,
    AtMost,
    More,
    AtLeast,
}

/// What a call shows to plain conditions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    asker: Asker<'a>,
    program: ProgramName,
    transaction: TransactionName,
    /// Nothing while names alone are known; then no condition asks for it.
    values: Option<Values<'a>>,
}

#[derive(Debug, Clone, Copy)]
struct Values<'a> {
    place: Place,
    utc: Local,
    local: Local,
    address: IpAddr,
    m3_user: &'a str,
}

impl<'a> Seen<'a> {
    pub(super) fn by_name(asker: Asker<'a>, program: ProgramName, transaction: TransactionName) -> Self {
        Self { asker, program, transaction, values: None }
    }

    pub(super) fn of(ask: &Ask<'a>, place: Place, local: Local) -> Self {
        let values = Values {
            place,
            utc: utc(ask.unix_seconds),
            local,
            address: ask.address.to_canonical(),
            m3_user: ask.m3_user.as_str(),
        };
        Self { values: Some(values), ..Self::by_name(ask.asker, ask.program, ask.transaction) }
    }

    fn meets(&self, test: &Test) -> bool {
        match test {
            Test::Constant(value) => *value,
            Test::Number(which, relation, right) => {
                self.number(*which).is_some_and(|left| relation.holds(left, *right))
            }
            Test::Text(which, text) => self.text(*which).is_some_and(|left| left == &**text),
            Test::Like(which, pieces) => self.text(*which).is_some_and(|left| like(left, pieces)),
            Test::Within(network, length) => self.values.is_some_and(|v| within(v.address, *network, *length)),
            Test::Scope(scope) => self.asker.scopes.contains(scope),
            Test::HasClaim(name) => self.asker.claims.iter().any(|claim| *claim.name == **name),
            Test::Claim(name, text) => {
                self.asker.claims.iter().any(|claim| *claim.name == **name && claim.texts().contains(text))
            }
            Test::CustomerMade => self.program.is_customer_made(),
            Test::Technical => Effect::is_technical(self.transaction),
            Test::Not(test) => !self.meets(test),
            Test::All(tests) => tests.iter().all(|test| self.meets(test)),
            Test::Any(tests) => tests.iter().any(|test| self.meets(test)),
        }
    }

    fn text(&self, which: Text) -> Option<&str> {
        match which {
            Text::Program => Some(self.program.as_str()),
            Text::Name => Some(self.transaction.as_str()),
            Text::Division => self.values.as_ref().map(|values| values.place.division.as_str()),
            Text::M3User => self.values.map(|values| values.m3_user),
        }
    }

    fn number(&self, which: Number) -> Option<i64> {
        let values = self.values?;
        Some(match which {
            Number::Company => values.place.company.number().into(),
            Number::Minute => values.utc.minute,
            Number::Weekday => values.utc.weekday,
            Number::LocalMinute => values.local.minute,
            Number::LocalWeekday => values.local.weekday,
        })
    }
}

impl Guard {
    pub(super) fn new<'a>(conditions: impl IntoIterator<Item = &'a Condition>) -> Self {
        let mut guard = Self { tests: Vec::new(), whole: true };
        for condition in conditions {
            match test(&condition.body) {
                Some(test) if condition.when => guard.tests.push(test),
                Some(test) => guard.tests.push(Test::Not(test.into())),
                None => return Self { whole: false, ..guard },
            }
        }
        guard
    }

    /// How many conditions it has taken.
    pub(super) fn taken(&self) -> usize {
        self.tests.len()
    }

    pub(super) fn met(&self, seen: &Seen<'_>) -> bool {
        self.tests.iter().all(|test| seen.meets(test))
    }

    /// Everything is left to Cedar.
    pub(super) fn is_open(&self) -> bool {
        self.tests.is_empty() && !self.whole
    }
}

impl Relation {
    fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::More => left > right,
            Self::AtLeast => left >= right,
        }
    }

    /// With the sides changed.
    fn turned(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::Less => Self::More,
            Self::AtMost => Self::AtLeast,
            Self::More => Self::Less,
            Self::AtLeast => Self::AtMost,
        }
    }
}

fn like(text: &str, pieces: &[Box<str>]) -> bool {
    let [first, between @ .., last] = pieces else { return pieces.iter().all(|only| **only == *text) };
    let mut left = text.strip_prefix(&**first).and_then(|left| left.strip_suffix(&**last));
    for piece in between {
        left = left.and_then(|left| left.split_once(&**piece)).map(|(_, behind)| behind);
    }
    left.is_some()
}

fn within(address: IpAddr, network: IpAddr, length: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            u32::from(address) & mask == u32::from(network) & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            u128::from(address) & mask == u128::from(network) & mask
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// `None`: this is for Cedar. What was typed by its validator is not asked for its types again.
fn test(expression: &Json) -> Option<Test> {
    let (operator, of) = expression.as_object().filter(|node| node.len() == 1)?.iter().next()?;
    let sides = || Some((of.get("left")?, of.get("right")?));
    let both = || sides().and_then(|(left, right)| Some(vec![test(left)?, test(right)?]));
    match operator.as_str() {
        "Value" => of.as_bool().map(Test::Constant),
        "!" => Some(Test::Not(test(of.get("arg")?)?.into())),
        "&&" => both().map(Test::All),
        "||" => both().map(Test::Any),
        "==" => sides().and_then(|(left, right)| compared(left, Relation::Equal, right)),
        "!=" => sides().and_then(|(left, right)| Some(Test::Not(compared(left, Relation::Equal, right)?.into()))),
        "<" => sides().and_then(|(left, right)| compared(left, Relation::Less, right)),
        "<=" => sides().and_then(|(left, right)| compared(left, Relation::AtMost, right)),
        ">" => sides().and_then(|(left, right)| compared(left, Relation::More, right)),
        ">=" => sides().and_then(|(left, right)| compared(left, Relation::AtLeast, right)),
        "like" => Some(Test::Like(text_of(of.get("left")?)?, pieces(of.get("pattern")?)?)),
        "has" => match path(expression)?.as_slice() {
            ["claims", name] => Some(Test::HasClaim((*name).into())),
            _ => None,
        },
        "contains" => sides().and_then(|(set, one)| match set.get("Set") {
            Some(all) => {
                let any = all.as_array()?.iter().map(|value| compared(one, Relation::Equal, value));
                any.collect::<Option<_>>().map(Test::Any)
            }
            None => holds(set, one),
        }),
        "containsAny" => sides().and_then(|(set, all)| each(set, all)).map(Test::Any),
        "containsAll" => sides().and_then(|(set, all)| each(set, all)).map(Test::All),
        "isInRange" => match of.as_array()?.as_slice() {
            [address, range] if path(address)? == ["address"] => network(range),
            _ => None,
        },
        "." => match resource(expression)? {
            "customer_made" => Some(Test::CustomerMade),
            "technical" => Some(Test::Technical),
            _ => None,
        },
        _ => None,
    }
}

/// An attribute beside a constant, on whichever side it stands.
fn compared(left: &Json, relation: Relation, right: &Json) -> Option<Test> {
    let (side, relation, value) = match (left.get("Value"), right.get("Value")) {
        (None, Some(value)) => (left, relation, value),
        (Some(value), None) => (right, relation.turned(), value),
        _ => return None,
    };
    if let Some(number) = value.as_i64() {
        let which = match path(side)?.as_slice() {
            ["company"] => Number::Company,
            ["minute"] => Number::Minute,
            ["weekday"] => Number::Weekday,
            ["local_minute"] => Number::LocalMinute,
            ["local_weekday"] => Number::LocalWeekday,
            _ => return None,
        };
        return Some(Test::Number(which, relation, number));
    }
    let text = value.as_str().filter(|_| relation == Relation::Equal)?;
    match path(side).as_deref() {
        Some(["claims", name]) => Some(Test::Claim((*name).into(), text.into())),
        _ => Some(Test::Text(text_of(side)?, text.into())),
    }
}

fn text_of(side: &Json) -> Option<Text> {
    match (resource(side), path(side).as_deref()) {
        (Some("program"), _) => Some(Text::Program),
        (Some("name"), _) => Some(Text::Name),
        (None, Some(["division"])) => Some(Text::Division),
        (None, Some(["m3_user"])) => Some(Text::M3User),
        _ => None,
    }
}

fn pieces(pattern: &Json) -> Option<Box<[Box<str>]>> {
    let (mut pieces, mut piece) = (Vec::new(), String::new());
    for part in pattern.as_array()? {
        match part.as_str() {
            Some("Wildcard") => pieces.push(std::mem::take(&mut piece).into()),
            Some(_) => return None,
            None => piece.push_str(part.get("Literal")?.as_str()?),
        }
    }
    pieces.push(piece.into());
    Some(pieces.into())
}

/// `scopes.contains("x")`, `claims.roles.contains("x")`.
fn holds(set: &Json, one: &Json) -> Option<Test> {
    let text = one.get("Value")?.as_str()?;
    match path(set)?.as_slice() {
        ["scopes"] => Some(Test::Scope(text.into())),
        ["claims", name] => Some(Test::Claim((*name).into(), text.into())),
        _ => None,
    }
}

fn each(set: &Json, all: &Json) -> Option<Vec<Test>> {
    all.get("Set")?.as_array()?.iter().map(|one| holds(set, one)).collect()
}

fn resource(expression: &Json) -> Option<&str> {
    let access = expression.get(".")?;
    access.get("left")?.get("Var").filter(|var| *var == "resource")?;
    access.get("attr")?.as_str()
}

/// As Cedar reads it; what it would refuse, or might, is left to it.
fn network(range: &Json) -> Option<Test> {
    let [text] = range.get("ip")?.as_array()?.as_slice() else { return None };
    let text = text.get("Value")?.as_str()?;
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    if address.contains(':') && address.contains('.') {
        return None;
    }
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => most,
        Some(digits) => digits.parse().ok().filter(|length: &u8| *length <= most && length.to_string() == digits)?,
    };
    Some(Test::Within(address, length))
}
