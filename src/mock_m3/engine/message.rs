//! What the mock says no with: a text, a message id of seven characters, the field.

use super::super::metadata::Transaction;
use super::Nok;

/// The family of a field's messages.
fn family(field: &str) -> &'static str {
    match field {
        "CUNO" | "CUTM" => "WCU02",
        "SUNO" | "STEM" => "WSU01",
        "ITNO" | "CITN" => "WIT01",
        "ORNO" | "PONR" => "WOR01",
        "PUNO" | "PNLI" | "MSGN" => "WPU01",
        "AITM" | "AITP" => "WAI01",
        "USID" => "WUS01",
        "WHLO" => "WWH01",
        "FACI" => "WFA01",
        _ => "WMI01",
    }
}

fn label<'a>(transaction: &'a Transaction, field: &'a str) -> &'a str {
    let found = transaction.input.iter().find(|one| one.name == field);
    found.map(|one| one.description.as_str()).filter(|text| !text.is_empty()).unwrap_or(field)
}

fn nok(number: &str, field: &str, text: String) -> Nok {
    Nok { id: format!("{}{number}", family(field)), field: field.to_owned(), text }
}

pub(super) fn must_be_entered(transaction: &Transaction, field: &str) -> Nok {
    nok("02", field, format!("{} must be entered", label(transaction, field)))
}

pub(super) fn does_not_exist(transaction: &Transaction, field: &str, value: &str) -> Nok {
    nok("03", field, format!("{} {value} does not exist", label(transaction, field)))
}

pub(super) fn already_exists(transaction: &Transaction, field: &str, value: &str) -> Nok {
    nok("04", field, format!("{} {value} already exists", label(transaction, field)))
}

pub(super) fn is_locked(field: &str, value: &str) -> Nok {
    nok("08", field, format!("Record {value} is being updated by another user"))
}

pub(super) fn wrong_status(field: &str, value: &str) -> Nok {
    nok("07", field, format!("{value} has a status that does not allow this"))
}

pub(super) fn not_played(transaction: &Transaction) -> Nok {
    Nok {
        id: "XMI9001".to_owned(),
        field: String::new(),
        text: format!("{}/{} is not played by this mock of M3", transaction.program, transaction.name),
    }
}
