//! The writes that documents tell of, as mappings and the publisher's table have it.

use super::publisher::Settings;
use crate::bod::{Deletes, Mapping, Watch};
use crate::model::{FieldName, ProgramName, TransactionName};
use crate::outbox::{Coverage, Step, Told};

impl Settings {
    /// The writes that a document tells of.
    pub fn coverage(&self) -> Coverage {
        let mut coverage = Coverage::default();
        if !self.enabled {
            return coverage;
        }
        for mapping in self.mappings.iter() {
            for write in mapping.writes() {
                let verbs = verbs(write.program, write.transaction).iter();
                for verb in verbs.filter(|verb| !self.is_off(&format!("{verb}.{}", mapping.noun()))) {
                    let told = Told {
                        noun: mapping.noun().into(),
                        verb: (*verb).into(),
                        key: write.key.clone(),
                        deletes: write.deletes == Deletes::Itself,
                        by_division: mapping.is_named_by_division(),
                        step: Step::Writes,
                        call: "".into(),
                    };
                    coverage.add(write.program, write.transaction, told);
                }
            }
            if !self.is_off(&format!("Sync.{}", mapping.noun())) {
                mapping.watches().iter().for_each(|watch| enter(&mut coverage, mapping, watch));
            }
        }
        coverage
    }
}

/// A batch entry is told when M3 has created what was entered; until then it is watched.
fn enter(coverage: &mut Coverage, mapping: &Mapping, watch: &Watch) {
    let told = |key: &[FieldName], step| Told {
        noun: mapping.noun().into(),
        verb: "Sync".into(),
        key: key.to_vec(),
        deletes: false,
        by_division: false,
        step,
        call: format!("{}/{}", watch.program, watch.transaction).into(),
    };
    for (program, transaction) in &watch.enters {
        coverage.add(
            *program,
            *transaction,
            told(mapping.key(), Step::Enters(watch.batch, watch.parts.as_ref().map(|parts| parts.field))),
        );
    }
    let over = match watch.enters.is_empty() {
        true => told(mapping.key(), Step::Confirms(watch.batch)),
        false => told(mapping.key(), Step::HandsOver(watch.batch)),
    };
    coverage.add(watch.program, watch.transaction, over);
}

/// The verbs of the documents that a write causes.
pub fn verbs(program: ProgramName, transaction: TransactionName) -> &'static [&'static str] {
    if is_approval(program, transaction) { &["Sync", "Process"] } else { &["Sync"] }
}

/// An order that was approved is also a request to its supplier.
fn is_approval(program: ProgramName, transaction: TransactionName) -> bool {
    (program.as_str(), transaction.as_str()) == ("PPS200MI", "ApprovePO")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Due;

    #[test]
    fn what_hands_a_batch_over_names_no_record_and_says_how_one_is_called() {
        let name = (ProgramName::parse("PPS370MI"), TransactionName::parse("FinishEntry"));
        let (program, transaction) = (name.0.expect("a name"), name.1.expect("a name"));
        let coverage = Settings::trial().coverage();
        let due = Due::of(&coverage.of(program, transaction)[0], |field| (field == "MSGN").then(|| "7".to_owned()));
        let entry = due.entry.as_ref().expect("an entry");
        assert_eq!((entry.batch.as_str(), entry.names.as_slice()), ("7", &["PUNO".to_owned()][..]));
        assert!(due.key.is_empty() && due.is_known());
    }
}
