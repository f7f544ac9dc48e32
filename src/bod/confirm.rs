//! A ConfirmBOD of our own: an inbound document could not be used, and its sender is told which, why and what now.
//!
//! A ConfirmBOD is never answered by one: the caller looks at [`Inbound::name`] first.

use super::compose::{NAMESPACE, RELEASE, VERSION};
use super::inbound::Area;
use super::outline::Kind;
use super::validate::fits;
use super::xml::escape;
use std::fmt::Write as _;

/// What is said, and of what.
#[derive(Debug, Clone, Copy)]
pub struct Confirmation<'a> {
    pub tenant: &'a str,
    pub logical_id: &'a str,
    pub component: &'a str,
    /// An instant in UTC.
    pub created: &'a str,
    /// Of the ConfirmBOD itself.
    pub bod_id: &'a str,
    /// As far as it could be read.
    pub original: &'a Area,
    /// A stable word for programs, and a sentence for people; without them the document was accepted.
    pub failure: Option<(&'a str, &'a str)>,
}

pub fn confirm(said: &Confirmation<'_>) -> String {
    let mut out = String::with_capacity(2048);
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    let _ = write!(out, "<ConfirmBOD xmlns=\"{NAMESPACE}\" releaseID=\"{RELEASE}\" versionID=\"{VERSION}\">");
    let own = Area {
        logical_id: said.logical_id.to_owned(),
        component: said.component.to_owned(),
        // Whoever is told of a failure has nothing to answer.
        confirmation: "Never".to_owned(),
        created: said.created.to_owned(),
        bod_id: said.bod_id.to_owned(),
        ..Area::default()
    };
    area("ApplicationArea", &own, &mut out);
    out.push_str("<DataArea><Confirm>");
    element("TenantID", said.tenant, &mut out);
    // An area has an instant. No other is made up for it: the id is then told in words.
    let whole = fits(Kind::Date, &said.original.created);
    if whole {
        area("OriginalApplicationArea", said.original, &mut out);
    }
    let code = if said.failure.is_some() { "Rejected" } else { "Accepted" };
    let _ =
        write!(out, "<ResponseCriteria><ResponseExpression actionCode=\"{code}\"/></ResponseCriteria></Confirm><BOD>");
    match said.failure {
        Some((code, text)) => {
            out.push_str("<BODFailureMessage><ErrorProcessMessage>");
            element("Description", text, &mut out);
            if !whole && !said.original.bod_id.is_empty() {
                element("Note", &format!("Its BODID is {}.", said.original.bod_id), &mut out);
            }
            element("Type", "Error", &mut out);
            element("ReasonCode", code, &mut out);
            out.push_str("</ErrorProcessMessage></BODFailureMessage>");
        }
        None => out.push_str("<BODSuccessMessage></BODSuccessMessage>"),
    }
    out.push_str("</BOD></DataArea></ConfirmBOD>");
    out
}

fn area(name: &str, area: &Area, out: &mut String) {
    let _ = write!(out, "<{name}>");
    let sender = [
        ("LogicalID", &area.logical_id),
        ("ComponentID", &area.component),
        ("TaskID", &area.task),
        ("ReferenceID", &area.reference),
        ("ConfirmationCode", &area.confirmation),
    ];
    if sender.iter().any(|(_, text)| !text.is_empty()) {
        out.push_str("<Sender>");
        sender.iter().for_each(|(name, text)| element(name, text, out));
        out.push_str("</Sender>");
    }
    element("CreationDateTime", &area.created, out);
    element("BODID", &area.bod_id, out);
    let _ = write!(out, "</{name}>");
}

fn element(name: &str, text: &str, out: &mut String) {
    if !text.is_empty() {
        let _ = write!(out, "<{name}>");
        escape(text, out);
        let _ = write!(out, "</{name}>");
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Inbound, Outcome, validate};
    use super::*;
    use insta::assert_snapshot;

    const ORDER: &str = "<SyncPurchaseOrder xmlns=\"x\" releaseID=\"9.2\"><ApplicationArea><Sender>\
        <LogicalID>lid://infor.wms.north</LogicalID><ReferenceID>r-7</ReferenceID>\
        <ConfirmationCode>OnError</ConfirmationCode></Sender><CreationDateTime>2026-03-01T12:00:00Z</CreationDateTime>\
        <BODID>infor-nid:DEMO:100:::1?PurchaseOrder&amp;verb=Sync</BODID></ApplicationArea><DataArea/></SyncPurchaseOrder>";

    fn refusal(original: &Area) -> String {
        confirm(&Confirmation {
            tenant: "DEMO_TST",
            logical_id: "lid://mi-gateway.m3",
            component: "mi-gateway",
            created: "2026-03-01T12:00:01.000Z",
            bod_id: "0199",
            original,
            failure: Some((
                "document-not-taken",
                "Nothing here takes a PurchaseOrder. Stop sending it to this connection point.",
            )),
        })
    }

    #[test]
    fn the_sender_is_told_which_document_why_and_what_now() {
        let order = Inbound::read(ORDER).expect("readable");
        assert!(!order.is_answer());
        assert_eq!((order.name.as_str(), order.area.confirmation.as_str()), ("SyncPurchaseOrder", "OnError"));
        let said = refusal(&order.area);
        assert_eq!(validate("ConfirmBOD", &said), []);
        assert_snapshot!(said.replace("><", ">\n<"));
        let read = Inbound::read(&said).expect("our own words");
        assert!(read.is_answer());
        assert_eq!(read.area.bod_id, "0199");
        let [answer] = &*read.answers else { panic!("one answer: {:?}", read.answers) };
        assert_eq!((&answer.original, answer.outcome), (&order.area, Outcome::Rejected));
        assert_eq!((answer.reasons[0].code.as_str(), answer.reasons[0].warning), ("document-not-taken", false));
        assert!(answer.reasons[0].text.starts_with("Nothing here takes"));
    }

    #[test]
    fn no_instant_is_made_up_for_a_document_that_said_none() {
        for created in ["", "yesterday"] {
            let original = Area { bod_id: "7".into(), created: created.into(), ..Area::default() };
            let said = refusal(&original);
            assert_eq!(validate("ConfirmBOD", &said), [], "{said}");
            assert!(
                !said.contains("OriginalApplicationArea") && said.contains("<Note>Its BODID is 7.</Note>"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_word_of_success_is_read_as_one() {
        let original = Area { created: "2026-03-01T12:00:00Z".into(), bod_id: "7".into(), ..Area::default() };
        let failure = None;
        let said = Confirmation {
            tenant: "",
            logical_id: "lid://a.b.c",
            component: "c",
            created: "2026-03-01T12:00:01Z",
            bod_id: "8",
            original: &original,
            failure,
        };
        let said = confirm(&said);
        assert_eq!(validate("ConfirmBOD", &said), []);
        assert_eq!(Inbound::read(&said).expect("readable").answers[0].outcome, Outcome::Accepted);
    }
}
