//! Whether a document is one: its elements in the outline's order, as often as they may stand, its values of their kinds.
//!
//! All flaws are told, not the first alone. Foreign bytes: no document type, five entities, a bound on depth and count.

use super::outline::{Attribute, Content, Element, Kind, Occurs, Outline};
use super::xml::text;
use crate::model::Spot;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::fmt;

/// What is wrong in a document, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    pub spot: Spot,
    pub message: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.spot, self.message)
    }
}

/// What carries a custom field, and the types that its value may have.
const PROPERTY: &str = "NameValue";
pub(super) const TYPES: [&str; 5] =
    ["StringType", "NumericType", "IntegerNumericType", "DateTimeType", "IndicatorType"];

fn property_kind(name: &str) -> Option<Kind> {
    let kinds = [Kind::Text, Kind::Number, Kind::Integer, Kind::Date, Kind::Flag];
    TYPES.iter().zip(kinds).find(|(known, _)| **known == name).map(|(_, kind)| kind)
}

const VERBS: [&str; 4] = ["Sync", "Process", "Acknowledge", "Confirm"];
const MOST_DEPTH: usize = 64;
const MOST_FLAWS: usize = 100;

/// `name`: what the document is called in the flaws.
pub fn validate(name: &str, text: &str) -> Vec<Flaw> {
    let outline = Outline::shipped();
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut validator = Validator {
        name,
        text,
        at: 0,
        outline,
        open: Vec::new(),
        counts: Vec::new(),
        held: String::new(),
        flaws: Vec::new(),
        ended: false,
    };
    loop {
        validator.at = usize::try_from(reader.buffer_position()).unwrap_or(text.len());
        match reader.read_event() {
            Ok(Event::Eof) => break,
            Ok(event) => validator.event(&event),
            Err(error) => {
                validator.flaw(format!("is no XML: {error}"));
                return validator.flaws;
            }
        }
        if validator.flaws.len() >= MOST_FLAWS {
            return validator.flaws;
        }
    }
    if !validator.ended || !validator.open.is_empty() {
        validator.flaw("ends before its root element does".to_owned());
    }
    validator.flaws
}

struct Validator<'a> {
    name: &'a str,
    text: &'a str,
    /// Where the event in hand begins.
    at: usize,
    outline: &'static Outline,
    open: Vec<Open<'a>>,
    /// Of all open elements, how many children there were at each place: the innermost one's last.
    counts: Vec<u32>,
    /// The text of the innermost element, as far as it has come.
    held: String,
    flaws: Vec<Flaw>,
    ended: bool,
}

/// An element whose end has not come.
struct Open<'a> {
    name: &'a str,
    known: Known,
    /// Where the last child stood.
    place: usize,
    /// Where its counts begin.
    counts: usize,
    /// Text before or between its children.
    has_text: bool,
    /// Of a custom field: the kind that its type names.
    property: Option<Kind>,
}

#[derive(Clone, Copy)]
enum Known {
    /// Verb and noun in one word.
    Root {
        verb: &'static str,
        noun: &'static str,
    },
    DataArea {
        verb: &'static str,
        noun: &'static str,
    },
    Element(&'static Element),
    /// Of another namespace, or a stranger that was told already: what is in it is not looked at.
    Beyond,
}

impl Known {
    /// How many places there are for children.
    fn places(self) -> usize {
        match self {
            Self::Root { .. } | Self::DataArea { .. } => 2,
            Self::Element(element) => element.children().len(),
            Self::Beyond => 0,
        }
    }
}

impl<'a> Validator<'a> {
    fn flaw(&mut self, message: String) {
        let begin = self.text.get(self.at..).map_or(0, |rest| rest.len() - rest.trim_start().len());
        let spot = Spot::at(self.name, self.text, self.at + begin);
        self.flaws.push(Flaw { spot, message });
    }

    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Start(start) => self.start(start),
            Event::End(_) => self.end(),
            Event::DocType(_) => self.flaw("has a document type, which no BOD has".to_owned()),
            other => match text(other) {
                Some(Ok(text)) => self.add(&text),
                Some(Err(why)) => self.flaw(why),
                None => {}
            },
        }
    }

    fn add(&mut self, text: &str) {
        match self.open.last_mut() {
            Some(open) => {
                open.has_text |= !text.trim().is_empty();
                self.held.push_str(text);
            }
            None if text.trim().is_empty() => {}
            None => self.flaw("has text outside of its root element".to_owned()),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) {
        let name = self.within(start.name().as_ref());
        if self.open.len() == MOST_DEPTH {
            self.flaw(format!("{name} is nested more than {MOST_DEPTH} deep"));
        }
        let known = match self.open.len().checked_sub(1) {
            None => self.root(name, start),
            Some(parent) => self.child(parent, name),
        };
        let property = match known {
            Known::Element(element) => self.attributes(name, &element.attributes, start),
            _ => None,
        };
        self.held.clear();
        self.open.push(Open { name, known, place: 0, counts: self.counts.len(), has_text: false, property });
        self.counts.resize(self.counts.len() + known.places(), 0);
    }

    /// A name that was read out of the text, as a part of the text.
    fn within(&self, name: &str) -> &'a str {
        let at = (name.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        self.text.get(at..at.saturating_add(name.len())).unwrap_or_default()
    }

    fn root(&mut self, name: &str, start: &BytesStart<'_>) -> Known {
        if self.ended {
            self.flaw(format!("{name} is a second root element"));
            return Known::Beyond;
        }
        self.ended = true;
        if !matches!(start.try_get_attribute("releaseID"), Ok(Some(_))) {
            self.flaw(format!("{name} lacks its attribute releaseID"));
        }
        let parts = |verb: &&'static str| {
            let noun = name.strip_prefix(*verb)?;
            let known = self.outline.names().iter().find(|known| **known == noun);
            known.filter(|noun| self.outline.is_noun(noun) || **noun == "BOD").map(|noun| (*verb, *noun))
        };
        match VERBS.iter().find_map(parts) {
            Some((verb, noun)) => Known::Root { verb, noun },
            None => {
                self.flaw(format!("{name} is no verb and noun that are known here"));
                Known::Beyond
            }
        }
    }

    fn child(&mut self, parent: usize, name: &str) -> Known {
        let (known, place) = (self.open[parent].known, self.open[parent].place);
        let (at, next) = match known {
            Known::Beyond => return Known::Beyond,
            _ if name.contains(':') => return Known::Beyond,
            Known::Root { verb, noun } => match name {
                "ApplicationArea" => (Some(0), self.element(name)),
                "DataArea" => (Some(1), Known::DataArea { verb, noun }),
                _ => (None, Known::Beyond),
            },
            Known::DataArea { verb, noun } if name == verb || name == noun => {
                (Some(usize::from(name == noun)), self.element(name))
            }
            Known::DataArea { .. } => (None, Known::Beyond),
            Known::Element(element) => {
                let at = element.place_from(name, place);
                let next = at.map_or(Known::Beyond, |at| Known::Element(self.outline.of(&element.children()[at])));
                (at, next)
            }
        };
        let Some(at) = at else {
            self.flaw(format!("{} holds no {name}", self.open[parent].name));
            return Known::Beyond;
        };
        if at < place {
            self.flaw(format!("{name} stands too late in {}", self.open[parent].name));
        }
        let open = &mut self.open[parent];
        open.place = place.max(at);
        self.counts[open.counts + at] += 1;
        next
    }

    fn element(&self, name: &str) -> Known {
        self.outline.element(name).map_or(Known::Beyond, Known::Element)
    }

    /// Gives the kind of a custom field's value.
    fn attributes(&mut self, name: &str, known: &[Attribute], start: &BytesStart<'_>) -> Option<Kind> {
        let (mut given, mut property) = (0_u64, None);
        for attribute in start.attributes() {
            let Ok(attribute) = attribute else {
                self.flaw(format!("{name} has an attribute that is none"));
                continue;
            };
            let key: &str = attribute.key.as_ref();
            if key.contains(':') || key == "xmlns" {
                continue;
            }
            let Some(at) = known.iter().position(|known| known.name == key) else {
                self.flaw(format!("{name} has no attribute {key}"));
                continue;
            };
            if !fits(known[at].kind, &attribute.value) {
                self.flaw(format!("{name}: the attribute {key} is no {:?}", known[at].kind));
            }
            if key == "type" && name == PROPERTY {
                property = property_kind(&attribute.value);
                if property.is_none() {
                    self.flaw(format!("{name}: {:?} is no type; there are {}", attribute.value, TYPES.join(", ")));
                }
            }
            given |= 1 << at.min(63);
        }
        for (at, known) in known.iter().enumerate().filter(|(_, known)| known.required) {
            if given & (1 << at.min(63)) == 0 {
                self.flaw(format!("{name} lacks its attribute {}", known.name));
            }
        }
        property
    }

    fn end(&mut self) {
        let Some(open) = self.open.pop() else { return };
        self.closed(&open);
        self.counts.truncate(open.counts);
    }

    fn closed(&mut self, open: &Open<'_>) {
        let missing = |validator: &mut Self, what: &str| validator.flaw(format!("{} lacks {what}", open.name));
        match open.known {
            Known::Beyond => {}
            Known::Root { .. } | Known::DataArea { .. } if open.has_text => {
                self.flaw(format!("{} holds elements, and has text", open.name));
            }
            Known::Root { .. } => {
                for (at, part) in ["ApplicationArea", "DataArea"].into_iter().enumerate() {
                    if self.counts[open.counts + at] != 1 {
                        missing(self, part);
                    }
                }
            }
            Known::DataArea { verb, noun } => {
                for (at, part) in [verb, noun].into_iter().enumerate() {
                    if self.counts[open.counts + at] == 0 {
                        missing(self, part);
                    }
                }
            }
            Known::Element(element) => self.whole(open, element),
        }
    }

    fn whole(&mut self, open: &Open<'_>, element: &Element) {
        match &element.content {
            Content::Leaf(kind) => {
                for kind in std::iter::once(*kind).chain(open.property) {
                    if !fits(kind, self.held.trim()) {
                        let shown: String = self.held.trim().chars().take(40).collect();
                        self.flaw(format!("{} is no {kind:?}: {shown:?}", open.name));
                    }
                }
            }
            Content::Children(children) => {
                if open.has_text {
                    self.flaw(format!("{} holds elements, and has text", open.name));
                }
                for (at, child) in children.iter().enumerate() {
                    let count = self.counts[open.counts + at];
                    match (child.occurs, count) {
                        (Occurs::Once, 0) => self.flaw(format!("{} lacks {}", open.name, child.name)),
                        (Occurs::Once | Occurs::AtMostOnce, 2..) => {
                            self.flaw(format!("{} holds {count} of {}, and may hold one", open.name, child.name));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

/// `2026-03-01`, which most dates are.
const DAY: usize = 10;

pub(super) fn fits(kind: Kind, text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match kind {
        Kind::Text => true,
        Kind::Integer => digits(unsigned),
        Kind::Number => {
            unsigned.split_once('.').map_or(digits(unsigned), |(whole, part)| digits(whole) && digits(part))
        }
        Kind::Flag => matches!(text, "true" | "false" | "0" | "1"),
        Kind::Date if text.len() == DAY => text.parse::<jiff::civil::Date>().is_ok(),
        Kind::Date => text.parse::<jiff::Timestamp>().is_ok() || text.parse::<jiff::civil::DateTime>().is_ok(),
        Kind::Duration => text.starts_with('P') && text.parse::<jiff::Span>().is_ok(),
    }
}
