//! Documents that others send us: whose they are, and what they say of documents of ours.
//!
//! Foreign bytes: no document type, five entities, a bound on depth, on elements and on every text that is kept. The
//! caller bounds the size. What is kept is the document's envelope and its answers; the rest is walked over.

use super::xml::text;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// What can be told of any document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inbound {
    /// Verb and noun in one word, as the root element says.
    pub name: String,
    pub area: Area,
    /// Of a ConfirmBOD one for each document that it speaks of, of an Acknowledge one, of others none.
    pub answers: Vec<Answer>,
    /// Of a document that is no answer: which record it is of, where it says so.
    pub identity: Option<Identity>,
}

/// The record that a document is of, by its first element that numbers the document's versions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    pub document_id: String,
    /// `100` or `100_AAA`.
    pub entity: String,
}

/// An application area: who sent a document, and which one it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Area {
    pub logical_id: String,
    pub component: String,
    pub task: String,
    pub reference: String,
    /// `Always`, `OnError` or `Never`, blank where it doesn't say.
    pub confirmation: String,
    pub created: String,
    pub bod_id: String,
}

/// What somebody says of one document of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The area of the document that it speaks of.
    pub original: Area,
    pub outcome: Outcome,
    pub reasons: Vec<Reason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// It does not say; who sends no word of success means the other.
    #[default]
    Unsaid,
    Accepted,
    /// Taken, but not as it was.
    Modified,
    Rejected,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reason {
    pub code: String,
    pub text: String,
    pub warning: bool,
}

/// Why a document can't be used, in words for its sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unusable {
    pub why: String,
    /// As far as it had been read.
    pub seen: Box<Inbound>,
}

const MOST_DEPTH: usize = 64;
const MOST_ELEMENTS: usize = 1_000_000;
/// Characters of a text that is kept: a BODID has 255 at most, a reason is for people to read.
const MOST_TEXT: usize = 2_000;
/// Of a document's id and of its entity; longer ones are nobody's.
const MOST_NAME: usize = 250;
const MOST_ANSWERS: usize = 1_000;
const MOST_REASONS: usize = 20;

impl Inbound {
    pub fn read(document: &str) -> Result<Self, Unusable> {
        let mut reader = Reader::from_str(document);
        reader.config_mut().expand_empty_elements = true;
        let mut walk = Walk::default();
        loop {
            let event = reader.read_event().map_err(|error| walk.unusable(format!("It is no XML: {error}.")))?;
            let step = match &event {
                Event::Eof => break,
                Event::Start(start) => walk.start(start),
                Event::End(_) => {
                    walk.end();
                    Ok(())
                }
                Event::DocType(_) => Err("It has a document type, which no BOD has.".to_owned()),
                other => match text(other) {
                    Some(text) => text.map(|text| walk.text(&text)).map_err(|why| format!("It can't be read: {why}.")),
                    None => Ok(()),
                },
            };
            step.map_err(|why| walk.unusable(why))?;
        }
        if walk.found.name.is_empty() || !walk.open.is_empty() {
            return Err(walk.unusable("It ends before its root element does.".to_owned()));
        }
        Ok(walk.found)
    }

    /// Whether it speaks of documents of ours, and has no content of its own.
    pub fn is_answer(&self) -> bool {
        self.name == "ConfirmBOD" || self.name.starts_with("Acknowledge")
    }
}

#[derive(Default)]
struct Walk {
    open: Vec<String>,
    elements: usize,
    text: String,
    found: Inbound,
    /// The one that a ConfirmBOD's verb speaks of, for answers that name none themselves.
    original: Area,
    /// What the verb itself says.
    said: Outcome,
    answer: Option<Answer>,
    reason: Option<Reason>,
    /// The element that names the record is open, so deep.
    naming: Option<(usize, Identity)>,
}

impl Walk {
    fn unusable(&self, why: String) -> Unusable {
        Unusable { why, seen: Box::new(self.found.clone()) }
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        let name = start.local_name().as_ref().to_owned();
        self.elements += 1;
        if self.open.len() == MOST_DEPTH || self.elements > MOST_ELEMENTS {
            return Err(format!("It is nested more than {MOST_DEPTH} deep, or has too many elements."));
        }
        if self.open.is_empty() {
            if !self.found.name.is_empty() {
                return Err("It has a second root element.".to_owned());
            }
            self.found.name.clone_from(&name);
        }
        self.text.clear();
        self.open.push(name);
        match self.path().as_slice() {
            ["DataArea", "BOD"] => self.answer = Some(Answer::default()),
            [.., "ErrorProcessMessage"] => self.reason = Some(Reason::default()),
            [.., "WarningProcessMessage"] => self.reason = Some(Reason { warning: true, ..Reason::default() }),
            ["DataArea", _, "ResponseCriteria", "ResponseExpression"] => self.said = said(start),
            ["DataArea", _, ..] if self.naming.is_none() && self.found.identity.is_none() => {
                self.naming = numbers(start).map(|entity| {
                    let entity: String = entity.chars().take(MOST_NAME).collect();
                    (self.open.len(), Identity { entity, ..Identity::default() })
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        let room = MOST_TEXT.saturating_sub(self.text.len());
        self.text.extend(text.chars().take(room));
    }

    /// Below the root.
    fn path(&self) -> Vec<&str> {
        self.open.iter().skip(1).map(String::as_str).collect()
    }

    fn end(&mut self) {
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        let open = std::mem::take(&mut self.open);
        let path: Vec<&str> = open.iter().skip(1).map(String::as_str).collect();
        if let Some((_, identity)) = self.naming.take_if(|(depth, _)| *depth == open.len()) {
            let document_id = text.chars().take(MOST_NAME).collect();
            self.found.identity = Some(Identity { document_id, ..identity }).filter(|one| !one.document_id.is_empty());
        }
        match path.as_slice() {
            ["ApplicationArea", rest @ ..] => self.found.area.take(rest, text),
            ["DataArea", "BOD", "OriginalApplicationArea", rest @ ..] => {
                if let Some(answer) = &mut self.answer {
                    answer.original.take(rest, text);
                }
            }
            ["DataArea", _, "OriginalApplicationArea", rest @ ..] => self.original.take(rest, text),
            ["DataArea", "BOD", what] => self.outcome(what),
            ["DataArea", "BOD"] => self.answered(),
            [.., "ErrorProcessMessage" | "WarningProcessMessage"] => self.reasoned(),
            [.., "ErrorProcessMessage" | "WarningProcessMessage", what] => self.word(what, text),
            [] if open.len() == 1 && open[0].starts_with("Acknowledge") => {
                let (original, outcome) = (std::mem::take(&mut self.original), self.said);
                self.found.answers.push(Answer { original, outcome, reasons: Vec::new() });
            }
            _ => {}
        }
        self.open = open;
        self.open.pop();
    }

    fn outcome(&mut self, element: &str) {
        let Some(answer) = &mut self.answer else { return };
        match element {
            "BODSuccessMessage" => answer.outcome = Outcome::Accepted,
            "BODFailureMessage" | "PartialBODFailureMessage" => answer.outcome = Outcome::Rejected,
            _ => {}
        }
    }

    fn answered(&mut self) {
        let Some(mut answer) = self.answer.take().filter(|_| self.found.answers.len() < MOST_ANSWERS) else { return };
        if answer.original == Area::default() {
            answer.original.clone_from(&self.original);
        }
        if answer.outcome == Outcome::Unsaid {
            answer.outcome = self.said;
        }
        self.found.answers.push(answer);
    }

    fn reasoned(&mut self) {
        let Some(reason) = self.reason.take() else { return };
        if let Some(answer) = self.answer.as_mut().filter(|answer| answer.reasons.len() < MOST_REASONS) {
            answer.reasons.push(reason);
        }
    }

    fn word(&mut self, element: &str, text: &str) {
        let Some(reason) = &mut self.reason else { return };
        let (into, part) = match element {
            "ReasonCode" | "ID" if reason.code.is_empty() => (&mut reason.code, ""),
            "Description" | "Note" if reason.text.is_empty() => (&mut reason.text, ""),
            "Description" | "Note" if reason.text.len() < MOST_TEXT => (&mut reason.text, "; "),
            _ => return,
        };
        into.push_str(part);
        into.push_str(text);
    }
}

impl Area {
    fn take(&mut self, path: &[&str], text: &str) {
        let field = match path {
            ["Sender", "LogicalID"] => &mut self.logical_id,
            ["Sender", "ComponentID"] => &mut self.component,
            ["Sender", "TaskID"] => &mut self.task,
            ["Sender", "ReferenceID"] => &mut self.reference,
            ["Sender", "ConfirmationCode"] => &mut self.confirmation,
            ["CreationDateTime"] => &mut self.created,
            ["BODID"] => &mut self.bod_id,
            _ => return,
        };
        if field.is_empty() {
            field.push_str(text);
        }
    }
}

/// The accounting entity of an element that numbers the document's versions.
fn numbers(start: &BytesStart<'_>) -> Option<String> {
    let said = |name: &str| start.try_get_attribute(name).ok().flatten().map(|found| found.value.to_string());
    said("variationID").map(|_| said("accountingEntity").unwrap_or_default())
}

fn said(start: &BytesStart<'_>) -> Outcome {
    let code = start.try_get_attribute("actionCode").ok().flatten();
    match code.map(|code| code.value.to_string()).unwrap_or_default().as_str() {
        "Accepted" => Outcome::Accepted,
        "Modified" => Outcome::Modified,
        "Rejected" => Outcome::Rejected,
        _ => Outcome::Unsaid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of one area.
    fn area(element: &str, bod_id: &str) -> String {
        format!(
            "<{element}><Sender><LogicalID>lid://infor.crm.one</LogicalID></Sender>\
             <CreationDateTime>2026-03-01T12:00:00Z</CreationDateTime><BODID>{bod_id}</BODID></{element}>"
        )
    }

    fn answers(data: &str, root: &str) -> Vec<Answer> {
        let document = format!("<{root}>{}<DataArea>{data}</DataArea></{root}>", area("ApplicationArea", "own"));
        Inbound::read(&document).expect("readable").answers
    }

    #[test]
    fn each_document_of_a_confirm_bod_has_its_answer() {
        let one = area("OriginalApplicationArea", "1");
        let data = format!(
            "<Confirm>{}</Confirm><BOD>{one}<BODFailureMessage><ErrorProcessMessage><ID>E1</ID>\
             <Description>No such item.</Description><Note>Send it first.</Note><ReasonCode>X</ReasonCode></ErrorProcessMessage>\
             <WarningProcessMessage><Description>Old.</Description></WarningProcessMessage><NounFailureMessage>\
             <ErrorProcessMessage><Description>Line 2</Description></ErrorProcessMessage></NounFailureMessage>\
             </BODFailureMessage></BOD><BOD><BODSuccessMessage/></BOD>",
            area("OriginalApplicationArea", "2")
        );
        let answers = answers(&data, "ConfirmBOD");
        let told: Vec<_> = answers.iter().map(|one| (one.original.bod_id.as_str(), one.outcome)).collect();
        assert_eq!(told, [("1", Outcome::Rejected), ("2", Outcome::Accepted)]);
        let reason = |code: &str, text: &str, warning| Reason { code: code.into(), text: text.into(), warning };
        let expected = [
            reason("E1", "No such item.; Send it first.", false),
            reason("", "Old.", true),
            reason("", "Line 2", false),
        ];
        assert_eq!(answers[0].reasons, expected);
    }

    #[test]
    fn an_acknowledge_says_what_became_of_a_request() {
        let data = |code: &str| {
            format!(
                "<Acknowledge>{}<ResponseCriteria><ResponseExpression actionCode=\"{code}\"/></ResponseCriteria>\
                 </Acknowledge><PurchaseOrder/>",
                area("OriginalApplicationArea", "9")
            )
        };
        let said = |code: &str| answers(&data(code), "AcknowledgePurchaseOrder").remove(0);
        assert_eq!(said("Modified").original.bod_id, "9");
        let words = ["Accepted", "Modified", "Rejected", "Perhaps"].map(|code| said(code).outcome);
        assert_eq!(words, [Outcome::Accepted, Outcome::Modified, Outcome::Rejected, Outcome::Unsaid]);
    }

    #[test]
    fn a_document_is_of_the_record_that_its_first_numbered_element_names() {
        let identity = |data: &str| {
            let area = area("ApplicationArea", "1");
            Inbound::read(&format!("<SyncX>{area}<DataArea><Sync/>{data}</DataArea></SyncX>"))
                .expect("readable")
                .identity
        };
        let named =
            |document_id: &str, entity: &str| Some(Identity { document_id: document_id.into(), entity: entity.into() });
        let id = "<ID variationID=\"7\" accountingEntity=\"100_AAA\"> A&amp;1 </ID>";
        assert_eq!(
            identity(&format!("<X><Y><ID>no</ID></Y><D>{id}</D>{}</X>", id.replace("A&amp;1", "B"))),
            named("A&1", "100_AAA")
        );
        assert_eq!(identity("<X><ID variationID=\"7\">A</ID></X>"), named("A", ""));
        assert_eq!(identity("<X><ID>A</ID></X>"), None);
        assert_eq!(identity("<X><ID variationID=\"7\"/></X>"), None);
    }

    #[test]
    fn hostile_documents_are_refused_with_a_word_for_the_sender() {
        let deep = format!("{}{}", "<a>".repeat(65), "</a>".repeat(65));
        let cases = [
            ("", "ends before"),
            ("<a>", "ends before"),
            ("<a/><b/>", "second root"),
            ("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "document type"),
            ("<a>&x;</a>", "entity &x;"),
            (deep.as_str(), "nested more than"),
            ("<a><b></a>", "no XML"),
        ];
        for (document, why) in cases {
            let error = Inbound::read(document).expect_err(document);
            assert!(error.to_string().contains(why), "{document}: {error}");
        }
        let torn = format!("<SyncItemMaster>{}<DataArea>", area("ApplicationArea", "5"));
        assert_eq!(Inbound::read(&torn).expect_err("torn").seen.area.bod_id, "5", "who sent it is known all the same");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "x".repeat(100_000);
        let reason = format!("<ErrorProcessMessage><Description>{long}</Description></ErrorProcessMessage>").repeat(50);
        let answers = answers(&format!("<BOD><BODFailureMessage>{reason}</BODFailureMessage></BOD>"), "ConfirmBOD");
        assert_eq!(answers[0].reasons.len(), 20);
        assert!(answers[0].reasons.iter().all(|reason| reason.text.len() <= 2_000));
    }
}
