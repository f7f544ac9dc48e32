//! MRS001MI: the repository, read from the layouts that are served at the moment.

use super::super::metadata::{Field, Metadata, Program, Transaction};
use super::message::{does_not_exist, not_played};
use super::{Answer, Row};

pub(super) fn run(metadata: &Metadata, transaction: &Transaction, input: &Row) -> Answer {
    let given = |field: &str| input.get(field).map_or("", String::as_str);
    let (program, name) = (given("MINM"), given("TRNM"));
    match transaction.name.as_str() {
        "LstPrograms" | "LstComponents" => list(metadata.programs().map(program_row).collect()),
        "LstTransactions" => match metadata.program(program) {
            Some(found) => list(found.transactions.iter().map(transaction_row).collect()),
            None => does_not_exist(transaction, "MINM", program).into(),
        },
        "LstAllTrans" => {
            let all = metadata.programs().flat_map(|program| &program.transactions);
            list(all.filter(|one| one.name == name).map(transaction_row).collect())
        }
        "LstFields" | "LstAdtFieldInf" | "LstFldHeadings" => match metadata.transaction(program, name) {
            Some(found) => {
                list(fields(found, given("TRTP")).iter().map(|f| field_row(found, f, given("TRTP"))).collect())
            }
            None => does_not_exist(transaction, "TRNM", name).into(),
        },
        "GetProgram" => match metadata.program(program) {
            Some(found) => Answer::Record(program_row(found)),
            None => does_not_exist(transaction, "MINM", program).into(),
        },
        "GetTransaction" => match metadata.transaction(program, name) {
            Some(found) => Answer::Record(transaction_row(found)),
            None => does_not_exist(transaction, "TRNM", name).into(),
        },
        "GetField" => {
            let found = metadata.transaction(program, name);
            let field = found.and_then(|found| {
                Some((found, fields(found, given("TRTP")).iter().find(|f| f.name == given("FLNM"))?))
            });
            match field {
                Some((found, field)) => Answer::Record(field_row(found, field, given("TRTP"))),
                None => does_not_exist(transaction, "FLNM", given("FLNM")).into(),
            }
        }
        "ClearCache" => Answer::Done,
        _ => not_played(transaction).into(),
    }
}

fn list(rows: Vec<Row>) -> Answer {
    Answer::List(Box::new(rows.into_iter()))
}

fn row(values: &[(&str, &str)]) -> Row {
    values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn program_row(program: &Program) -> Row {
    row(&[
        ("MINM", &program.name),
        ("OBNM", &program.name),
        ("MIDS", &program.description),
        ("VERS", "20"),
        ("CHNO", "1"),
    ])
}

fn transaction_row(transaction: &Transaction) -> Row {
    row(&[
        ("MINM", &transaction.program),
        ("TRNM", &transaction.name),
        ("TRDS", &transaction.description),
        ("STAT", "20"),
        ("SIMU", if transaction.multi { "M" } else { "S" }),
        ("VERS", "20"),
    ])
}

fn fields<'a>(transaction: &'a Transaction, which: &str) -> &'a [Field] {
    let all = if which.eq_ignore_ascii_case("O") { &transaction.output } else { &transaction.input };
    all.split_last().map_or(&[], |(_, older)| if transaction.behind { older } else { all })
}

fn field_row(transaction: &Transaction, field: &Field, which: &str) -> Row {
    let to = field.from + field.length - 1;
    row(&[
        ("MINM", &transaction.program),
        ("TRNM", &transaction.name),
        ("TRTP", which),
        ("FLNM", &field.name),
        ("FLDS", &field.description),
        ("FRPO", &field.from.to_string()),
        ("TOPO", &to.to_string()),
        ("LENG", &field.length.to_string()),
        ("TYPE", &field.kind.to_string()),
        ("MAND", if field.mandatory { "1" } else { "0" }),
    ])
}
