//! What a point's receiver does not see: texts of a document that are replaced on their way there.
//!
//! A place is written as in a condition, without a test: `CustomerPartyMaster/…/ID`, `property(m3.PWMT)`. Only texts can be
//! masked, so that what is sent is as valid as what was made. The document as it is kept is not touched.
//! Does not know: which point it is for.

use super::condition::{BadCondition, Condition};
use super::filter::Open;
use super::outline::{Content, Kind, Outline};
use quick_xml::Reader;
use quick_xml::events::Event;
use std::borrow::Cow;

/// What stands in place of a text.
const HIDDEN: &str = "***";
/// Of places that begin at the noun: the root and its data area are above it.
const ABOVE: usize = 3;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mask {
    places: Vec<Condition>,
}

/// A document that can't be read is not sent with what it should not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the document can't be masked: it is no XML")]
pub struct Unmasked;

impl Mask {
    pub fn with(mut self, place: &str) -> Result<Self, BadCondition> {
        let condition = Condition::parse(place)?;
        if !condition.is_a_place() {
            return Err(BadCondition::new("a mask names an element, without an attribute, a test or `not`"));
        }
        let element = condition.last().and_then(|name| Outline::shipped().element(name));
        match element.map(|element| &element.content) {
            Some(Content::Leaf(Kind::Text)) => {}
            // Of a namespace of the site's own.
            None if place.contains(':') => {}
            None => return Err(BadCondition::new("no document has such an element")),
            Some(_) => {
                return Err(BadCondition::new("it holds no text: what is no text can't be masked and stay valid"));
            }
        }
        self.places.push(condition);
        Ok(self)
    }

    pub fn apply<'x>(&self, xml: &'x str) -> Result<Cow<'x, str>, Unmasked> {
        if self.places.is_empty() {
            return Ok(Cow::Borrowed(xml));
        }
        let mut reader = Reader::from_str(xml);
        let (mut open, mut out, mut copied) = (Vec::<(Open, usize)>::new(), String::with_capacity(xml.len()), 0);
        loop {
            let before = at(&reader)?;
            match reader.read_event().map_err(|_| Unmasked)? {
                Event::Eof if open.is_empty() => break,
                Event::Eof => return Err(Unmasked),
                Event::Start(start) => open.push((Open::new(&start), at(&reader)?)),
                Event::End(_) => {
                    let begin = open.last().ok_or(Unmasked)?.1;
                    if begin < before && self.hides(&open) {
                        out.push_str(xml.get(copied..begin).ok_or(Unmasked)?);
                        out.push_str(HIDDEN);
                        copied = before;
                    }
                    open.pop();
                }
                _ => {}
            }
        }
        out.push_str(xml.get(copied..).ok_or(Unmasked)?);
        Ok(Cow::Owned(out))
    }

    /// Whether the innermost of these is hidden.
    fn hides(&self, open: &[(Open, usize)]) -> bool {
        let Some((last, below)) = open.last().map(|(last, _)| last).zip(open.get(ABOVE..)) else { return false };
        let step = |at: usize, name: &str, attribute: Option<(&str, &str)>| below[at].0.is(name, attribute);
        let hides = |place: &Condition| place.ends_at(last.name(), below.len()) && place.stands(below.len(), step);
        self.places.iter().any(hides)
    }
}

fn at(reader: &Reader<&[u8]>) -> Result<usize, Unmasked> {
    usize::try_from(reader.buffer_position()).map_err(|_| Unmasked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTY: &str = "<?xml version=\"1.0\"?><SyncCustomerPartyMaster><DataArea><Sync/><CustomerPartyMaster>\
        <PartyIDs><ID accountingEntity=\"100\">C1</ID></PartyIDs><Name>A &amp; B</Name><Communication><URI/></Communication>\
        <UserArea><Property><NameValue name=\"m3.PWMT\" type=\"StringType\">1234</NameValue></Property>\
        <Property><NameValue name=\"m3.CFC1\" type=\"StringType\">RED</NameValue></Property></UserArea>\
        </CustomerPartyMaster></DataArea></SyncCustomerPartyMaster>";

    fn mask(places: &[&str]) -> Mask {
        places
            .iter()
            .fold(Mask::default(), |mask, place| mask.with(place).unwrap_or_else(|why| panic!("{place}: {why}")))
    }

    #[test]
    fn what_is_masked_is_not_sent_and_all_else_is() {
        assert_eq!(Mask::default().apply(PARTY), Ok(Cow::Borrowed(PARTY)));
        let sent = mask(&["Name", "property(m3.PWMT)"]).apply(PARTY).unwrap();
        assert_eq!(sent, PARTY.replace("A &amp; B", "***").replace("1234", "***"));
        let other = mask(&["PartyIDs/Name", "property(m3.CFC2)"]).apply(PARTY).unwrap();
        assert_eq!(other, PARTY, "a place where nothing stands hides nothing");
    }

    #[test]
    fn only_texts_of_a_place_can_be_masked() {
        for wrong in ["Name = 'A'", "not Name", "PartyIDs/ID@accountingEntity", "PartyIDs", "NoSuchElement", ""] {
            assert!(Mask::default().with(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_can_t_be_read_is_not_sent() {
        for broken in ["<a><b>1234</b>", "<a>1234</b>", "</a>", "<a"] {
            assert_eq!(mask(&["Name"]).apply(broken), Err(Unmasked), "{broken}");
        }
    }
}
