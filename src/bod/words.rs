//! A message's headers as XML: elements with a text each, named as their JSON form names them.
//!
//! Foreign bytes, read as inbound documents are: no document type, five entities, a bound on depth and on elements. The
//! caller bounds the size. An element that is there twice is a fault: which of the two is meant nobody can say.

use super::xml::text;
use quick_xml::Reader;
use quick_xml::events::Event;
use std::collections::BTreeMap;

const MOST_DEPTH: usize = 4;
const MOST_ELEMENTS: usize = 200;

/// By the way below the root: `documentName`, `document/value`. `Err`: why it can't be read, for its sender.
pub fn words(message: &str) -> Result<BTreeMap<String, String>, String> {
    let mut reader = Reader::from_str(message);
    reader.config_mut().expand_empty_elements = true;
    let (mut open, mut elements, mut said): (Vec<String>, _, String) = (Vec::new(), 0, String::new());
    let (mut found, mut ended) = (BTreeMap::new(), false);
    loop {
        let event = reader.read_event().map_err(|error| format!("It is no XML: {error}."))?;
        match &event {
            Event::Eof if ended => return Ok(found),
            Event::Eof => return Err("It ends before its root element does.".to_owned()),
            Event::DocType(_) => return Err("It has a document type, which no message has.".to_owned()),
            Event::Start(start) => {
                elements += 1;
                if ended {
                    return Err("It has a second root element.".to_owned());
                }
                if open.len() == MOST_DEPTH || elements > MOST_ELEMENTS {
                    return Err(format!("It is nested more than {MOST_DEPTH} deep, or has too many elements."));
                }
                said.clear();
                open.push(start.local_name().as_ref().to_owned());
            }
            Event::End(_) => {
                let path = open.get(1..).unwrap_or_default().join("/");
                open.pop();
                ended = open.is_empty();
                // Of what holds elements the text is none of its own.
                let text = std::mem::take(&mut said);
                if !path.is_empty() && found.insert(path.clone(), text).is_some() {
                    return Err(format!("It has {path} twice."));
                }
            }
            other => {
                if let Some(text) = text(other) {
                    said.push_str(&text.map_err(|why| format!("It can't be read: {why}."))?);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_named_by_their_way_whatever_their_namespace() {
        let message = "<?xml version=\"1.0\"?><m:message xmlns:m=\"urn:x\"><m:documentName>Confirm.BOD</m:documentName>\
            <document><value>&lt;ConfirmBOD/&gt;</value><encoding>NONE</encoding></document><toLogicalId/></m:message>";
        let words = words(message).expect("it is one");
        let word = |name: &str| words.get(name).map(String::as_str);
        assert_eq!(word("documentName"), Some("Confirm.BOD"));
        assert_eq!(word("document/value"), Some("<ConfirmBOD/>"));
        assert_eq!((word("toLogicalId"), word("messageId")), (Some(""), None));
        let packed = super::words("<m><document><value><![CDATA[<a/>]]></value></document></m>").expect("it is one");
        assert_eq!(packed["document/value"], "<a/>");
    }

    #[test]
    fn what_is_made_to_burst_or_to_confuse_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(5), "</a>".repeat(5));
        let many = format!("<m>{}</m>", (0..300).map(|at| format!("<a{at}/>")).collect::<String>());
        for (message, why) in [
            ("<!DOCTYPE m [<!ENTITY x \"y\">]><m/>", "document type"),
            ("<m><a>&x;</a></m>", "entity"),
            ("<m><a>1</a><a>2</a></m>", "a twice"),
            ("<m/><m/>", "second root"),
            ("<m><a>", "ends before"),
            ("<m></n>", "no XML"),
            ("", "ends before"),
            ("no xml", "ends before"),
            (deep.as_str(), "nested"),
            (many.as_str(), "too many"),
        ] {
            let refused = words(message).expect_err(message);
            assert!(refused.contains(why), "{message}: {refused}");
        }
    }
}
