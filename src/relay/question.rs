//! What became of a write that nobody knows of: its record is read back and compared.
//!
//! Two questions. What is the state? is told as it is, whatever happened. Was it this write? only where what M3 says
//! leaves no other answer; else somebody has to decide.

use super::backoff::wait;
use super::error::Error;
use super::maker::Maker;
use crate::bod::Rows;
use crate::outbox::{Due, Question, Verdict};
use std::time::Duration;

/// M3 may be away for longer than a weekend; a question is not given up.
const LONGEST: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Add,
    Change,
    Delete,
    Other,
}

fn kind(transaction: &str) -> Kind {
    let begins = |words: &[&str]| words.iter().any(|word| transaction.starts_with(word));
    if begins(&["Add", "Crt"]) {
        Kind::Add
    } else if begins(&["Chg", "Upd"]) {
        Kind::Change
    } else if begins(&["Del", "Dlt"]) {
        Kind::Delete
    } else {
        Kind::Other
    }
}

impl Maker {
    pub(super) async fn judge(&self, question: &Question) -> Verdict {
        let parked = |why: &str| Verdict::Parked { why: why.to_owned(), state: false };
        let Some(due) = question.due.iter().find(|due| due.verb == "Sync").or(question.due.first()) else {
            return parked("no document tells of it, so nobody knows how to read it back");
        };
        if due.entry.is_some() {
            // What comes of a batch is asked for as long as it takes, and only what is there is told.
            return Verdict::Parked { why: "it is a step of a batch entry".to_owned(), state: due.is_known() };
        }
        if !due.is_known() {
            return parked("M3 gives the record its number, and its answer was lost");
        }
        let read = self.read(question, due).await;
        let kind = kind(question.transaction.as_str());
        match read {
            Ok(Some(same)) => match (kind, same) {
                (Kind::Add | Kind::Change, Same::Yes) => Verdict::Committed,
                (Kind::Add | Kind::Change, Same::No) => {
                    Verdict::Parked { why: "the record has other values than were sent".to_owned(), state: true }
                }
                _ => Verdict::Parked {
                    why: "the record is there; that doesn't prove this write".to_owned(),
                    state: true,
                },
            },
            Ok(None) => match kind {
                Kind::Add => Verdict::Refused,
                Kind::Delete if due.deletes => Verdict::Committed,
                Kind::Delete | Kind::Change | Kind::Other => parked("the record is not there"),
            },
            Err(error) => Verdict::Later { why: error.to_string(), wait: wait(question.tries, LONGEST) },
        }
    }

    /// `None`: there is no such record.
    async fn read(&self, question: &Question, due: &Due) -> Result<Option<Same>, Error> {
        let Some(mapping) = self.mapping(&due.noun) else { return Ok(Some(Same::Unclear)) };
        let layouts = self.reader.layouts(mapping).await?;
        let known: Vec<_> = layouts.iter().map(Option::as_deref).collect();
        let bound = mapping.bind(&known).map_err(Error::Unbound)?;
        let key: Vec<&str> = due.key.iter().filter_map(|(_, value)| value.as_deref()).collect();
        match self.reader.read(&bound, &layouts, question.place, &key).await {
            Ok(back) => {
                let names: Vec<&str> = due.key.iter().map(|(name, _)| name.as_str()).collect();
                let rows = back.rows();
                let own = question.whole && changed_by(&rows, &question.user);
                Ok(Some(if own { compare(&question.fields, &names, &rows) } else { Same::Unclear }))
            }
            Err(error) if error.says_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Same {
    Yes,
    No,
    /// The record doesn't have all that was sent.
    Unclear,
}

/// Where M3 says who changed a record last, it must have been the write's own user: the same values of somebody else's
/// prove nothing.
fn changed_by(rows: &[Rows<'_>], user: &str) -> bool {
    let Some((rows, record)) = rows.first().and_then(|rows| rows.records.first().map(|record| (rows, record))) else {
        return false;
    };
    let field = rows.layout.output.fields().iter().find(|field| field.name.as_str() == "CHID");
    let said = field.map(|field| record.value(field)).unwrap_or_default();
    said.is_empty() || said == user
}

/// What was sent against the record itself, the first thing that was read. A part of it, such as a line, proves nothing.
fn compare(sent: &[(String, String)], key: &[&str], rows: &[Rows<'_>]) -> Same {
    let Some((rows, record)) = rows.first().and_then(|rows| rows.records.first().map(|record| (rows, record))) else {
        return Same::Unclear;
    };
    let mut unclear = false;
    for (name, value) in sent {
        if key.contains(&name.as_str()) || ["CONO", "DIVI"].contains(&name.as_str()) {
            continue;
        }
        let field = rows.layout.output.fields().iter().find(|field| field.name.as_str() == name);
        let Some(field) = field else {
            unclear = true;
            continue;
        };
        let found = record.value(field);
        // A narrower column shows the beginning of what it was given.
        let cut: String = value.chars().take(usize::from(field.length)).collect();
        let blank = value == "?" && (found.is_empty() || found == "0");
        if !blank && found != cut.trim_end() && !(value == "0" && found.is_empty()) {
            return Same::No;
        }
    }
    if unclear { Same::Unclear } else { Same::Yes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        FieldKind, FieldLayout, FieldName, Layout, ProgramName, Record, TransactionLayout, TransactionName,
    };

    #[test]
    fn a_name_says_what_a_write_does() {
        for (name, expected) in [
            ("AddItmViaItmTyp", Kind::Add),
            ("ChgBasicData", Kind::Change),
            ("UpdItmBasic", Kind::Change),
            ("DltItm", Kind::Delete),
            ("DelHead", Kind::Delete),
            ("ApprovePO", Kind::Other),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }

    #[test]
    fn the_same_values_of_somebody_else_prove_nothing() {
        let field = |name: &str, from| FieldLayout {
            name: FieldName::parse(name).expect("a name"),
            kind: FieldKind::Alphanumeric,
            from,
            length: 10,
            mandatory: false,
            description: "".into(),
        };
        let layout = TransactionLayout {
            program: ProgramName::parse("OIS100MI").expect("a name"),
            name: TransactionName::parse("GetHead").expect("a name"),
            description: "".into(),
            multi: false,
            input: Layout::default(),
            output: Layout::new(vec![field("ORNO", 16), field("CHID", 26)]),
        };
        let by = |user: &'static str| {
            let records = [Record::of_values(&layout.output, [("ORNO", "1"), ("CHID", user)])];
            changed_by(&[Rows { layout: &layout, records: &records }], "MIDEMO")
        };
        assert!(by("MIDEMO") && by(""), "ours, or M3 does not say");
        assert!(!by("OTHER"));
        assert!(!changed_by(&[], "MIDEMO"), "nothing was read");
    }
}
