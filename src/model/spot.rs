//! A place in a file that a person wrote, for the faults that are found there.

use std::fmt;

/// Line and column count from 1; the column counts characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    pub file: String,
    pub line: u32,
    pub column: u32,
}

impl Spot {
    /// `offset`: bytes from the text's beginning; one that is no place of the text is its end.
    pub fn at(file: &str, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        Self {
            file: file.to_owned(),
            line: count(before.bytes().filter(|b| *b == b'\n').count()),
            column: count(before.rsplit('\n').next().unwrap_or_default().chars().count()),
        }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_counted_as_an_editor_does() {
        let of = |offset| Spot::at("a.toml", "é = 1\nb = 2\n", offset).to_string();
        assert_eq!([of(0), of(2), of(7), of(99)], ["a.toml:1:1", "a.toml:1:2", "a.toml:2:1", "a.toml:3:1"]);
    }
}
