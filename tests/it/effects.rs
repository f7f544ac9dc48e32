//! What every transaction that the mock describes counts as, and why: a change of the rules shows as a change here.

use mi_gateway::mock_m3::Metadata;
use mi_gateway::model::{Effect, ProgramName, TransactionName};
use std::collections::BTreeMap;
use std::fmt::Write;

#[test]
fn every_known_transaction_counts_as_what_was_reviewed() {
    let metadata = Metadata::shipped();
    let (mut list, mut counts) = (String::new(), BTreeMap::<String, usize>::new());
    for transaction in metadata.programs().flat_map(|program| &program.transactions) {
        let program = ProgramName::parse(&transaction.program).expect("a program of the table");
        let name = TransactionName::parse(&transaction.name).expect("a transaction of the table");
        let (effect, reason) = (Effect::of(program, name).to_string(), Effect::reason(program, name));
        writeln!(list, "{program:<8} {name:<15} {effect:<7} {reason}").expect("a text takes everything");
        *counts.entry(effect).or_default() += 1;
    }
    assert_eq!(counts.values().sum::<usize>(), 526);
    insta::assert_snapshot!("effects", format!("{counts:?}\n\n{list}"));
}
