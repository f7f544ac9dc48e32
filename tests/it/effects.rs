//! What every transaction that the mock describes counts as, and why, and what of it is believed of its division: a change
//! of the rules shows as a change here.

use mi_gateway::mock_m3::Metadata;
use mi_gateway::model::{Effect, ProgramName, TransactionName};
use mi_gateway::policy::Carries;
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

#[test]
fn every_known_transaction_is_believed_of_its_division_as_was_reviewed() {
    let metadata = Metadata::shipped();
    let (mut list, mut counts) = (String::new(), BTreeMap::<String, usize>::new());
    for transaction in metadata.programs().flat_map(|program| &program.transactions) {
        let layout = metadata.layout(&transaction.program, &transaction.name).expect("a layout of the table");
        let effect = Effect::of(layout.program, layout.name);
        let carries = match Carries::of(&layout, effect) {
            Carries::Always => "always".to_owned(),
            Carries::Given(site) => format!("by {site}"),
            Carries::Never => "never".to_owned(),
        };
        writeln!(list, "{:<8} {:<15} {effect:<7} {carries}", transaction.program, transaction.name)
            .expect("a text takes everything");
        *counts.entry(carries).or_default() += 1;
    }
    insta::assert_snapshot!("carries", format!("{counts:?}\n\n{list}"));
}
