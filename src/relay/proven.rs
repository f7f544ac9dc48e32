//! What was sent against what is read back: the values, and who changed the record last.
//!
//! Does not know: what is read, or what follows from it.

use crate::bod::Rows;
use crate::model::{FieldLayout, Record, TransactionLayout};
use std::borrow::Cow;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Same {
    Yes,
    No,
    /// The record doesn't have all that was sent.
    Unclear,
}

/// One record of M3's, as one transaction shows it.
pub(super) type Shown<'a> = (&'a TransactionLayout, &'a Record);

pub(super) fn shown<'a>(rows: &Rows<'a>) -> Option<Shown<'a>> {
    Some((rows.layout, rows.records.first()?))
}

fn value<'a>(shown: &[Shown<'a>], name: &str) -> Option<(&'a FieldLayout, Cow<'a, str>)> {
    shown.iter().find_map(|(layout, record)| {
        let field = layout.output.fields().iter().find(|field| field.name.as_str() == name)?;
        Some((field, record.value(field)))
    })
}

/// What a column of this length shows of a text.
pub(super) fn cut(text: &str, field: &FieldLayout) -> String {
    let cut: String = text.chars().take(usize::from(field.length)).collect();
    cut.trim_end().to_owned()
}

/// Where M3 says who changed a record last, it must have been the write's own user: the same values of somebody else's
/// prove nothing.
pub(super) fn changed_by(shown: &[Shown<'_>], user: &str) -> bool {
    !shown.is_empty() && value(shown, "CHID").is_none_or(|(_, said)| said.is_empty() || said == user)
}

/// What was sent against the record itself. A part of it, such as a line, proves nothing. What stands in `key` is the same
/// already; what stands in `given` may be missing, for the record was found by it.
pub(super) fn compare(sent: &[(String, String)], key: &[&str], given: &[&str], shown: &[Shown<'_>]) -> Same {
    if shown.is_empty() {
        return Same::Unclear;
    }
    let mut unclear = false;
    for (name, sent) in sent {
        // The company is where it was asked for; the count of changes is the one that the caller knew.
        if key.contains(&name.as_str()) || ["CONO", "DIVI", "CHNO"].contains(&name.as_str()) {
            continue;
        }
        let Some((field, found)) = value(shown, name) else {
            unclear |= !given.contains(&name.as_str());
            continue;
        };
        let blank = sent == "?" && (found.is_empty() || found == "0");
        if !blank && found != cut(sent, field) && !(sent == "0" && found.is_empty()) {
            return Same::No;
        }
    }
    if unclear { Same::Unclear } else { Same::Yes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FieldKind, FieldName, Layout, ProgramName, TransactionName};

    fn layout(fields: &[&str]) -> TransactionLayout {
        let field = |(at, name): (usize, &&str)| FieldLayout {
            name: FieldName::parse(name).expect("a name"),
            kind: FieldKind::Alphanumeric,
            from: 16 + 10 * u16::try_from(at).expect("a small number"),
            length: 10,
            mandatory: false,
            description: "".into(),
        };
        TransactionLayout {
            program: ProgramName::parse("OIS100MI").expect("a name"),
            name: TransactionName::parse("GetHead").expect("a name"),
            description: "".into(),
            multi: false,
            input: Layout::default(),
            output: Layout::new(fields.iter().enumerate().map(field).collect()),
        }
    }

    #[test]
    fn the_same_values_of_somebody_else_prove_nothing() {
        let layout = layout(&["ORNO", "CHID"]);
        let by = |user: &'static str| {
            let record = Record::of_values(&layout.output, [("ORNO", "1"), ("CHID", user)]);
            changed_by(&[(&layout, &record)], "MIDEMO")
        };
        assert!(by("MIDEMO") && by(""), "ours, or M3 does not say");
        assert!(!by("OTHER"));
        assert!(!changed_by(&[], "MIDEMO"), "nothing was read");
    }

    #[test]
    fn all_that_was_sent_has_to_be_in_the_record_as_far_as_it_shows() {
        let (head, more) = (layout(&["ORNO", "CUOR", "CHNO"]), layout(&["MODL"]));
        let one = Record::of_values(&head.output, [("ORNO", "1"), ("CUOR", "PO-1234567"), ("CHNO", "8")]);
        let two = Record::of_values(&more.output, [("MODL", "AIR")]);
        let shown = [(&head, &one), (&more, &two)];
        let same = |sent: &[(&str, &str)], given: &[&str]| {
            let sent: Vec<_> = sent.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            compare(&sent, &["ORNO"], given, &shown)
        };
        assert_eq!(same(&[("CUOR", "PO-1234567"), ("MODL", "AIR")], &[]), Same::Yes, "of two transactions");
        assert_eq!(same(&[("CUOR", "PO-1234567890")], &[]), Same::Yes, "cut to what the column shows");
        assert_eq!(same(&[("CUOR", "PO-7")], &[]), Same::No);
        assert_eq!(same(&[("CUOR", "PO-1234567"), ("CHNO", "7")], &[]), Same::Yes, "a change counts on");
        assert_eq!(same(&[("CUNO", "C1")], &[]), Same::Unclear);
        assert_eq!(same(&[("CUNO", "C1")], &["CUNO"]), Same::Yes, "the record was found by it");
    }
}
