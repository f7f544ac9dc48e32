//! The query that `EXPORTMI/Select` takes as a text: which table, which columns, under which conditions.
//!
//! ```text
//! OKCUNO, OKCUNM from OCUSMA where OKCONO = 100 and (OKSTAT = '20' or OKCUNM like 'A%')
//! ```
//! Its words are columns, one table, and conditions that compare columns with values or with each other. Everything
//! else (`*`, functions, a second table, a query inside of it, an order) is refused: rules decide on what a query
//! reads, so nothing may be read that they are not shown.
//!
//! Does not know: whether M3 has such a table.

use super::{ProgramName, Value};
use std::collections::BTreeSet;

/// The field that holds a query, and the program that takes one.
const PROGRAM: &str = "EXPORTMI";
const FIELD: &str = "QERY";

/// A query that was understood to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    pub table: String,
    /// Those that are asked for and those that conditions look at: an answer tells of both.
    pub columns: BTreeSet<String>,
    /// The query as it was written, with capitals outside of quotes: never longer than what was read.
    pub text: String,
}

/// What is not understood, and where: a place counted in characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {what}")]
pub struct ExportFault {
    pub at: usize,
    pub what: &'static str,
}

/// Whether this input is such a query.
pub fn is_export_query(program: ProgramName, field: &str) -> bool {
    program.as_str() == PROGRAM && field == FIELD
}

/// Names of M3's columns have six characters and of its tables as many; sites have longer ones of their own.
const MOST_NAME: usize = 20;
const MOST_DEPTH: usize = 16;
/// More than the field holds.
const MOST_TEXT: usize = 4_000;

impl Export {
    pub fn parse(text: &str) -> Result<Self, ExportFault> {
        let words = words(text)?;
        let mut reader = Reader { words: &words, next: 0, end: text.chars().count() + 1, export: Self::empty() };
        reader.query()?;
        Ok(Self { text: capitals(text), ..reader.export })
    }

    /// Of the value of such a field.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Self::parse(text).ok(),
            Value::Number(_) | Value::Date(_) | Value::Cleared => None,
        }
    }

    fn empty() -> Self {
        Self { table: String::new(), columns: BTreeSet::new(), text: String::new() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// In capitals, whether it names something or is a word of the language.
    Name(String),
    Text,
    Number,
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: [&str; 10] = ["<=", ">=", "<>", "!=", "=", "<", ">", ",", "(", ")"];

fn words(text: &str) -> Result<Vec<(usize, Word)>, ExportFault> {
    let chars: Vec<char> = text.chars().take(MOST_TEXT + 1).collect();
    let fault = |at: usize, what| Err(ExportFault { at: at + 1, what });
    if chars.len() > MOST_TEXT {
        return fault(MOST_TEXT, "the query is too long");
    }
    let (mut words, mut at) = (Vec::new(), 0);
    while let Some(c) = chars.get(at) {
        let begin = at;
        let run = |fits: &dyn Fn(char) -> bool| chars[begin..].iter().take_while(|c| fits(**c)).count();
        let word = if *c == ' ' {
            at += 1;
            continue;
        } else if c.is_ascii_alphabetic() {
            at += run(&|c| c.is_ascii_alphanumeric());
            if at - begin > MOST_NAME {
                return fault(begin, "no name is so long");
            }
            Word::Name(chars[begin..at].iter().map(char::to_ascii_uppercase).collect())
        } else if c.is_ascii_digit() || (*c == '-' && chars.get(at + 1).is_some_and(char::is_ascii_digit)) {
            at += 1 + chars[begin + 1..].iter().take_while(|c| c.is_ascii_digit() || **c == '.').count();
            let number: String = chars[begin..at].iter().collect();
            if number.matches('.').count() > 1 || number.ends_with('.') {
                return fault(begin, "this is no number");
            }
            // `5x` and `-5-` are no numbers followed by something.
            if chars.get(at).is_some_and(|c| !matches!(c, ' ' | ',' | ')')) {
                return fault(at, "a blank, a comma or a parenthesis stands behind a number");
            }
            Word::Number
        } else if *c == '\'' {
            let Some(end) = closing(&chars, begin) else { return fault(begin, "the quote has no end") };
            at = end + 1;
            Word::Text
        } else {
            let rest: String = chars[begin..].iter().take(2).collect();
            let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) else {
                return fault(begin, "names, numbers, quoted texts, comparisons and parentheses alone may stand here");
            };
            at += sign.len();
            Word::Sign(sign)
        };
        words.push((begin + 1, word));
    }
    Ok(words)
}

/// Two quotes in a text leave it and go on in it: what stands in quotes is every other part.
fn capitals(text: &str) -> String {
    let parts = text.split('\'').enumerate();
    let parts = parts.map(|(at, part)| if at % 2 == 0 { part.to_ascii_uppercase() } else { part.to_owned() });
    parts.collect::<Vec<_>>().join("'")
}

/// Where the text that begins here ends; two quotes in it stand for one.
fn closing(chars: &[char], begin: usize) -> Option<usize> {
    let mut at = begin + 1;
    loop {
        match (chars.get(at)?, chars.get(at + 1)) {
            ('\'', Some('\'')) => at += 2,
            ('\'', _) => return Some(at),
            _ => at += 1,
        }
    }
}

/// Words of the language: nothing is named like one of them.
const RESERVED: [&str; 24] = [
    "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "LIKE", "BETWEEN", "ORDER", "GROUP", "BY", "HAVING", "UNION",
    "JOIN", "ON", "AS", "DISTINCT", "IS", "NULL", "EXISTS", "CASE", "FETCH", "LIMIT",
];

struct Reader<'a> {
    words: &'a [(usize, Word)],
    next: usize,
    /// Where the text ends.
    end: usize,
    export: Export,
}

impl Reader<'_> {
    fn query(&mut self) -> Result<(), ExportFault> {
        // Some write the word that goes without saying.
        if self.is("SELECT") {
            self.next += 1;
        }
        self.column("a column is named here; a star names none")?;
        while self.sign(",") {
            self.column("a column is named behind a comma")?;
        }
        self.expect("FROM", "the table is named behind `from`")?;
        self.export.table = self.name("a table is named here, without its library")?;
        if self.is("WHERE") {
            self.expect("WHERE", "")?;
            self.conditions(0)?;
        }
        match self.next < self.words.len() {
            true => self.fault("the query ends here: it has one table, and no order, group or other query"),
            false => Ok(()),
        }
    }

    fn conditions(&mut self, depth: usize) -> Result<(), ExportFault> {
        if depth > MOST_DEPTH {
            return self.fault("conditions are not nested so deep");
        }
        loop {
            if self.is("NOT") {
                self.expect("NOT", "")?;
            }
            if self.sign("(") {
                self.conditions(depth + 1)?;
                self.closes()?;
            } else {
                self.comparison()?;
            }
            if self.is("AND") {
                self.expect("AND", "")?;
            } else if self.is("OR") {
                self.expect("OR", "")?;
            } else {
                return Ok(());
            }
        }
    }

    fn comparison(&mut self) -> Result<(), ExportFault> {
        self.column("a condition begins with a column")?;
        if SIGNS[..7].iter().any(|sign| self.sign(sign)) {
            return self.operand();
        }
        if self.is("NOT") {
            self.expect("NOT", "")?;
        }
        if self.is("LIKE") {
            self.expect("LIKE", "")?;
            return self.text();
        }
        if self.is("BETWEEN") {
            self.expect("BETWEEN", "")?;
            self.operand()?;
            self.expect("AND", "`between` takes two values with `and` between them")?;
            return self.operand();
        }
        self.expect("IN", "a column is compared here: with =, <>, <, >, <=, >=, like, between or in")?;
        if !self.sign("(") {
            return self.fault("`in` takes values in parentheses");
        }
        self.operand()?;
        while self.sign(",") {
            self.operand()?;
        }
        self.closes()
    }

    /// A value or another column.
    fn operand(&mut self) -> Result<(), ExportFault> {
        match self.peek() {
            Some(Word::Number) => {
                self.next += 1;
                Ok(())
            }
            Some(Word::Text) => self.text(),
            _ => self.column("a value or a column stands here"),
        }
    }

    fn text(&mut self) -> Result<(), ExportFault> {
        match self.peek() {
            Some(Word::Text) => {
                self.next += 1;
                Ok(())
            }
            _ => self.fault("a text in single quotes stands here"),
        }
    }

    fn column(&mut self, what: &'static str) -> Result<(), ExportFault> {
        let column = self.name(what)?;
        self.export.columns.insert(column);
        Ok(())
    }

    fn name(&mut self, what: &'static str) -> Result<String, ExportFault> {
        match self.peek() {
            Some(Word::Name(name)) if !RESERVED.contains(&name.as_str()) => {
                let name = name.clone();
                self.next += 1;
                Ok(name)
            }
            _ => self.fault(what),
        }
    }

    fn expect(&mut self, word: &str, what: &'static str) -> Result<(), ExportFault> {
        if !self.is(word) {
            return self.fault(what);
        }
        self.next += 1;
        Ok(())
    }

    fn closes(&mut self) -> Result<(), ExportFault> {
        match self.sign(")") {
            true => Ok(()),
            false => self.fault("a parenthesis is open here"),
        }
    }

    fn sign(&mut self, sign: &str) -> bool {
        let is = matches!(self.peek(), Some(Word::Sign(known)) if *known == sign);
        if is {
            self.next += 1;
        }
        is
    }

    fn is(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Word::Name(name)) if name == word)
    }

    fn peek(&self) -> Option<&Word> {
        self.words.get(self.next).map(|(_, word)| word)
    }

    fn fault<T>(&self, what: &'static str) -> Result<T, ExportFault> {
        Err(ExportFault { at: self.words.get(self.next).map_or(self.end, |(at, _)| *at), what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert_eq, proptest};

    #[test]
    fn a_query_tells_its_table_and_every_column_it_looks_at() {
        let export = Export::parse(
            "okcuno,OKCUNM  from ocusma where OKCONO=100 and (OKSTAT in ('20', '90') or not OKCUNM like 'O''n%') \
             and OKCRLM between -1 and 9.5 and OKRGDT<=OKLMDT",
        )
        .unwrap();
        assert_eq!(export.table, "OCUSMA");
        let columns: Vec<&str> = export.columns.iter().map(String::as_str).collect();
        assert_eq!(columns, ["OKCONO", "OKCRLM", "OKCUNM", "OKCUNO", "OKLMDT", "OKRGDT", "OKSTAT"]);
        assert_eq!(
            export.text,
            "OKCUNO,OKCUNM  FROM OCUSMA WHERE OKCONO=100 AND (OKSTAT IN ('20', '90') OR NOT OKCUNM LIKE 'O''n%') \
             AND OKCRLM BETWEEN -1 AND 9.5 AND OKRGDT<=OKLMDT"
        );
    }

    #[test]
    fn what_reads_more_than_it_tells_is_refused_with_its_place() {
        for (query, at) in [
            ("", 1),
            ("* from OCUSMA", 1),
            ("OKCUNO from OCUSMA, CSYUSR", 19),
            ("OKCUNO from MVXJDTA.OCUSMA", 20),
            ("OKCUNO from OCUSMA join CSYUSR on OKCUNO = JUUSID", 20),
            ("OKCUNO from OCUSMA where OKCUNO = (select PWMT from CIDMAS)", 35),
            ("OKCUNO from OCUSMA where OKCUNO in (select PWMT from CIDMAS)", 37),
            ("OKCUNO from OCUSMA where exists (OKCUNO = 1)", 26),
            ("OKCUNO from OCUSMA union select PWMT from CIDMAS", 20),
            ("OKCUNO from OCUSMA order by OKCUNO", 20),
            ("OKCUNO from OCUSMA -- where", 20),
            ("OKCUNO from OCUSMA; PWMT from CIDMAS", 19),
            ("OKCUNO from OCUSMA /* */", 20),
            ("max(OKCUNO) from OCUSMA", 4),
            ("OKCUNO as A from OCUSMA", 8),
            ("OKCUNO from OCUSMA where OKCUNO = 'A", 35),
            ("OKCUNO from OCUSMA where OKCUNO = \"A\"", 35),
            ("OKCUNO from OCUSMA where 1 = 1", 26),
            ("OKCUNO from OCUSMA where OKCUNO = 1e9", 36),
            ("OKCUNO from OCUSMA where OKCUNO = 1.", 35),
            ("OKCUNO from OCUSMA where (OKCUNO = 1", 37),
            ("OKCUNO from OCUSMA where OKCUNO = 1 or", 39),
            ("OKCUNO from OCUSMA where OKCUNO like OKCUNM", 38),
            ("OKCUNO\u{a0}from OCUSMA", 7),
            ("OKCUNO from OCUSMA where OKCUNO = 1\u{0}", 36),
        ] {
            assert_eq!(Export::parse(query).map_err(|fault| fault.at), Err(at), "{query}");
        }
        let deep = format!("A from B where {}", "(".repeat(10_000));
        assert!(Export::parse(&deep).is_err());
        let deep = format!("A from B where {}A=1{}", "(".repeat(40), ")".repeat(40));
        assert_eq!(Export::parse(&deep).unwrap_err().what, "conditions are not nested so deep");
    }

    proptest! {
        #[test]
        fn what_is_sent_is_understood_as_what_was_asked(text in "[ A-Ca-c0-9.,='<>()-]{0,40}") {
            for query in [text.clone(), format!("A from B where {text}"), format!("A from B where C in ({text})")] {
                if let Ok(export) = Export::parse(&query) {
                    prop_assert_eq!(&Export::parse(&export.text), &Ok(export.clone()));
                }
            }
        }
    }
}
