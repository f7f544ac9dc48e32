//! The divisions of a company, as M3 lists them, kept for a while.
//!
//! Invariant: what could not be read is never kept, and never guessed.

use super::error::Error;
use super::read_back::Reader;
use crate::model::{Company, Division, FieldName, Place, ProgramName, TransactionName};
use moka::sync::Cache;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Divisions {
    reader: Reader,
    known: Cache<Company, Arc<[String]>>,
}

/// Each is a document of its own, with every change of a record.
const MOST: usize = 500;
/// A new one has its documents from then on.
const KEPT: Duration = Duration::from_secs(600);
const COMPANIES: u64 = 1_000;

impl Divisions {
    pub fn new(reader: Reader) -> Self {
        Self { reader, known: Cache::builder().max_capacity(COMPANIES).time_to_live(KEPT).build() }
    }

    /// Without the blank one, which is the company itself.
    pub async fn of(&self, place: Place) -> Result<Arc<[String]>, Error> {
        if let Some(known) = self.known.get(&place.company) {
            return Ok(known);
        }
        let names = (ProgramName::parse("MNS100MI"), TransactionName::parse("LstDivisions"), FieldName::parse("DIVI"));
        let (Ok(program), Ok(transaction), Ok(division)) = names else { return Ok(Arc::default()) };
        // It is where the list begins, and would be filled with the division of the write.
        let from_the_first = [(division, String::new())];
        let listed = match self.reader.list((program, transaction), place, &from_the_first).await {
            Ok(listed) => listed,
            // M3 has none in this company.
            Err(error) if error.says_absent() => Vec::new(),
            Err(error) => return Err(error),
        };
        let divisions = listed.iter().filter_map(|row| Division::parse(row.get("DIVI")?).ok());
        let mut divisions: Vec<String> = divisions.map(|division| division.as_str().to_owned()).collect();
        divisions.retain(|division| !division.is_empty());
        divisions.sort_unstable();
        divisions.dedup();
        if divisions.len() > MOST {
            return Err(Error::TooMany { program, transaction, most: MOST });
        }
        let divisions: Arc<[String]> = divisions.into();
        self.known.insert(place.company, divisions.clone());
        Ok(divisions)
    }
}
