//! The path of an execute call: program, transaction and the matrix options behind them.
//!
//! Every element has a strict grammar and is refused, not cleaned: a name with URL syntax in it never reaches M3.
//! Nothing is decoded in the names, so an encoded slash or semicolon is simply a wrong character.

use crate::model::{BadName, ProgramName, TransactionName};

/// `CRS610MI/GetBasicData;maxrecs=10`, split and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    pub program: ProgramName,
    pub transaction: TransactionName,
    /// `name=value` pairs, still percent-encoded.
    pub matrix: Vec<(&'a str, &'a str)>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    #[error("the path must end in PROGRAM/Transaction")]
    Shape,
    #[error("{0}")]
    Name(#[from] BadName),
    #[error("a matrix option must be written ;name=value")]
    Matrix,
    #[error("the path has more than {MOST_OPTIONS} matrix options")]
    TooMany,
}

const MOST_OPTIONS: usize = 64;

impl<'a> Target<'a> {
    /// Reads what follows `execute/`.
    pub fn parse(tail: &'a str) -> Result<Self, TargetFault> {
        let mut parts = tail.split(';');
        let names = parts.next().unwrap_or_default();
        let (program, transaction) = names.split_once('/').ok_or(TargetFault::Shape)?;
        if transaction.contains('/') {
            return Err(TargetFault::Shape);
        }
        let program = ProgramName::parse(program)?;
        let transaction = TransactionName::parse(transaction)?;
        Ok(Self { program, transaction, matrix: pairs_of(parts)? })
    }
}

/// Matrix options alone: empty, or beginning with a semicolon.
pub(super) fn matrix(text: &str) -> Result<Vec<(&str, &str)>, TargetFault> {
    let mut parts = text.split(';');
    if parts.next() != Some("") { Err(TargetFault::Matrix) } else { pairs_of(parts) }
}

fn pairs_of<'a>(parts: impl Iterator<Item = &'a str>) -> Result<Vec<(&'a str, &'a str)>, TargetFault> {
    let mut matrix = Vec::new();
    for part in parts {
        if matrix.len() == MOST_OPTIONS {
            return Err(TargetFault::TooMany);
        }
        let pair = part.split_once('=').ok_or(TargetFault::Matrix)?;
        if part.contains('/') {
            return Err(TargetFault::Matrix);
        }
        matrix.push(pair);
    }
    Ok(matrix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_program_transaction_and_options() {
        let target = Target::parse("CRS610MI/LstByNumber;maxrecs=10;divi=").expect("a target of the contract");
        assert_eq!(target.program.as_str(), "CRS610MI");
        assert_eq!(target.matrix, [("maxrecs", "10"), ("divi", "")]);
    }

    #[test]
    fn url_syntax_inside_a_name_is_refused() {
        for tail in [
            "CRS610MI%2FGetBasicData",
            "CRS610MI/GetBasicData%3Bcono=200",
            "CRS610MI;cono=200/GetBasicData",
            "CRS610MI",
            "CRS610MI//GetBasicData",
            "CRS610MI/GetBasicData/",
            "/CRS610MI/GetBasicData",
            "..%2fCRS610MI/Get",
            "CRS610MI/",
            "CRS610MI/GetBasicData;cono",
            "CRS610MI/GetBasicData;a=b/c",
            "CRS610MI/GetBasicData%00",
            "crs610mi/GetBasicData",
        ] {
            assert!(Target::parse(tail).is_err(), "{tail}");
        }
    }
}
