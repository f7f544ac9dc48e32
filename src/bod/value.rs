//! What a mapping says of one value: where it comes from and what is done to it.
//!
//! ```text
//! head.PUNO                          a field of a read
//! key.PUNO   doc.entity   'Open'     the document's key, a word about the document, a constant
//! head.DWDT | date                   through a function
//! line.PNLI | times(1000) | plus(line.PNLS)
//! head.PITD | or(head.ITDS)          the first that is not blank
//! key.CUNO | append('_') | append(key.ADID)
//! site.DIVI | prepend('_') | prepend(doc.company)     before a text that is not blank
//! ```
//! A condition is a value (not blank), or `value == 'x'`, `value != 'x'`, `value in ('x', 'y')`.

use super::function::{Function, NAMES, Table};
use std::collections::HashMap;
use std::sync::Arc;

/// What is known about the document as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Entity,
    Company,
    Division,
    Location,
    LogicalId,
    Variation,
    Tenant,
}

const WORDS: [(&str, Word); 7] = [
    ("entity", Word::Entity),
    ("company", Word::Company),
    ("division", Word::Division),
    ("location", Word::Location),
    ("lid", Word::LogicalId),
    ("variation", Word::Variation),
    ("tenant", Word::Tenant),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Term {
    Literal(Box<str>),
    Word(Word),
    /// By its place in the mapping's key.
    Key(usize),
    Field {
        read: usize,
        slot: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Apply(Function),
    Plus(Value),
    /// Behind a text that is not blank.
    Append(Value),
    /// Before a text that is not blank.
    Prepend(Value),
    Or(Value),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) term: Term,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) value: Value,
    pub(super) test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    Given,
    OneOf(Vec<Box<str>>),
    NoneOf(Vec<Box<str>>),
}

impl Test {
    pub(super) fn holds(&self, value: &str) -> bool {
        match self {
            Self::Given => !value.is_empty(),
            Self::OneOf(words) => words.iter().any(|word| **word == *value),
            Self::NoneOf(words) => words.iter().all(|word| **word != *value),
        }
    }
}

impl Value {
    pub(super) fn of(term: Term) -> Self {
        Self { term, steps: Vec::new() }
    }

    /// Every field that the value may be read from, as read and slot.
    pub(super) fn fields(&self, found: &mut Vec<(usize, usize)>) {
        if let Term::Field { read, slot } = self.term {
            found.push((read, slot));
        }
        for step in &self.steps {
            match step {
                Step::Apply(_) => {}
                Step::Plus(other) | Step::Append(other) | Step::Prepend(other) | Step::Or(other) => other.fields(found),
            }
        }
    }

    pub(super) fn is_constant(&self) -> bool {
        matches!(self.term, Term::Literal(_))
    }

    /// Whether the last thing done to the value is one of these.
    pub(super) fn ends_in(&self, wanted: impl Fn(&Function) -> bool) -> bool {
        match self.steps.last() {
            Some(Step::Apply(function)) => wanted(function),
            Some(Step::Or(other)) => other.is_constant() || other.ends_in(wanted),
            Some(Step::Plus(_) | Step::Append(_) | Step::Prepend(_)) | None => false,
        }
    }
}

/// What the names in a value mean in one mapping.
pub(super) trait Names {
    fn field(&mut self, read: &str, field: &str) -> Result<Term, String>;
    fn key(&self, field: &str) -> Result<Term, String>;
    fn tables(&self) -> &HashMap<String, Arc<Table>>;
}

pub(super) fn value(text: &str, names: &mut dyn Names) -> Result<Value, String> {
    let mut reader = Reader { tokens: tokens(text)?, at: 0, depth: 0 };
    let value = reader.value(names)?;
    reader.end()?;
    Ok(value)
}

pub(super) fn condition(text: &str, names: &mut dyn Names) -> Result<Condition, String> {
    let mut reader = Reader { tokens: tokens(text)?, at: 0, depth: 0 };
    let value = reader.value(names)?;
    let test = match reader.next() {
        None => Test::Given,
        Some(Token::Equal) => Test::OneOf(vec![reader.text()?]),
        Some(Token::Unequal) => Test::NoneOf(vec![reader.text()?]),
        Some(Token::Name(word)) if word == "in" => Test::OneOf(reader.texts()?),
        Some(other) => return Err(format!("{other:?} can't stand here: ==, != or in ('x', 'y') can")),
    };
    reader.end()?;
    Ok(Condition { value, test })
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Name(String),
    Text(Box<str>),
    Pipe,
    Open,
    Close,
    Comma,
    Equal,
    Unequal,
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, used) = match first {
            '|' => (Token::Pipe, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '=' if rest.starts_with("==") => (Token::Equal, 2),
            '!' if rest.starts_with("!=") => (Token::Unequal, 2),
            '\'' => {
                let end = rest[1..].find('\'').ok_or("a text that begins with ' has no end")?;
                (Token::Text(rest[1..=end].into()), end + 2)
            }
            c if c.is_ascii_alphanumeric() => {
                let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
                let end = rest.find(|c| !in_name(c)).unwrap_or(rest.len());
                (Token::Name(rest[..end].to_owned()), end)
            }
            other => return Err(format!("{other:?} can't stand in a value; a constant stands in '…'")),
        };
        tokens.push(token);
        rest = rest[used..].trim_start();
    }
    Ok(tokens)
}

/// Deeper than anybody writes, and no way to a stack's end.
const MOST_DEPTH: usize = 8;

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Reader {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn end(&mut self) -> Result<(), String> {
        match self.next() {
            None => Ok(()),
            Some(more) => Err(format!("{more:?} stands behind the end of the value")),
        }
    }

    fn expect(&mut self, wanted: &Token, after: &str) -> Result<(), String> {
        match self.next() {
            Some(found) if found == *wanted => Ok(()),
            _ => Err(format!("{after} wants {wanted:?} next")),
        }
    }

    fn text(&mut self) -> Result<Box<str>, String> {
        match self.next() {
            Some(Token::Text(text)) => Ok(text),
            _ => Err("a constant in '…' must stand here".into()),
        }
    }

    fn texts(&mut self) -> Result<Vec<Box<str>>, String> {
        self.expect(&Token::Open, "in")?;
        let mut texts = vec![self.text()?];
        loop {
            match self.next() {
                Some(Token::Comma) => texts.push(self.text()?),
                Some(Token::Close) => return Ok(texts),
                _ => return Err("in ('x', 'y') has no end".into()),
            }
        }
    }

    fn value(&mut self, names: &mut dyn Names) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err("is nested too deeply".into());
        }
        let term = match self.next() {
            Some(Token::Text(text)) => Term::Literal(text),
            Some(Token::Name(name)) => term(&name, names)?,
            _ => return Err("begins with neither a field (head.ITNO) nor a constant ('x')".into()),
        };
        let mut steps = Vec::new();
        while self.tokens.get(self.at) == Some(&Token::Pipe) {
            self.at += 1;
            steps.push(self.step(names)?);
        }
        self.depth -= 1;
        Ok(Value { term, steps })
    }

    fn step(&mut self, names: &mut dyn Names) -> Result<Step, String> {
        let Some(Token::Name(name)) = self.next() else { return Err(format!("| wants a function: {NAMES}")) };
        Ok(Step::Apply(match name.as_str() {
            "date" => Function::Date,
            "instant" => Function::Moment,
            "nonzero" => Function::Nonzero,
            "flag" => Function::Flag,
            "days" => Function::Days,
            "upper" => Function::Upper,
            "lower" => Function::Lower,
            "times" => {
                let by = self.argument("times")?;
                Function::Times(by.parse().map_err(|_| format!("times({by}) wants a whole number"))?)
            }
            "map" => {
                let table = self.argument("map")?;
                let known = names.tables().get(&table).cloned();
                Function::Map(known.ok_or_else(|| format!("there is no table {table:?}; write [table.{table}]"))?)
            }
            "plus" | "or" | "append" | "prepend" => {
                self.expect(&Token::Open, &name)?;
                let other = self.value(names)?;
                self.expect(&Token::Close, &name)?;
                return Ok(match name.as_str() {
                    "plus" => Step::Plus(other),
                    "append" => Step::Append(other),
                    "prepend" => Step::Prepend(other),
                    _ => Step::Or(other),
                });
            }
            _ => return Err(format!("there is no function {name:?}; there are {NAMES}")),
        }))
    }

    fn argument(&mut self, of: &str) -> Result<String, String> {
        self.expect(&Token::Open, of)?;
        let Some(Token::Name(argument)) = self.next() else { return Err(format!("{of}(…) wants a name or number")) };
        self.expect(&Token::Close, of)?;
        Ok(argument)
    }
}

fn term(name: &str, names: &mut dyn Names) -> Result<Term, String> {
    let (source, field) = name
        .split_once('.')
        .ok_or_else(|| format!("{name:?} is no field: write the read's name first, head.{name}"))?;
    match source {
        "key" => names.key(field),
        "doc" => {
            let word = WORDS.iter().find(|(word, _)| *word == field).map(|(_, word)| Term::Word(*word));
            let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
            word.ok_or_else(|| format!("doc.{field} is nothing; there are doc.{}", words.join(", doc.")))
        }
        read => names.field(read, field),
    }
}
