//! Which documents a connection point wants: by what stands around a document, and by any element or custom field in it.
//!
//! Every list that is given must name the document, and every condition must hold. A condition speaks of all the places
//! where its element stands: it holds when one of them agrees. What keeps a document away is told by name.

use super::compose::{Action, Verb};
use super::condition::{BadCondition, Condition};
use super::xml::text;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// An empty list asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// `Sync.PurchaseOrder`, or `Sync.*`.
    pub documents: Vec<String>,
    pub companies: Vec<String>,
    pub divisions: Vec<String>,
    pub entities: Vec<String>,
    pub locations: Vec<String>,
    pub actions: Vec<String>,
    conditions: Vec<Condition>,
    pub on_leave: OnLeave,
}

/// What a receiver gets of a record that it was told of and that its filter keeps away now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnLeave {
    /// It keeps what it has.
    #[default]
    Nothing,
    /// The document that the filter keeps away, this once.
    SendOnce,
    /// That it is gone.
    Delete,
}

/// What stands around a document.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub verb: Verb,
    pub noun: &'a str,
    pub action: Action,
    pub company: &'a str,
    pub division: &'a str,
    pub entity: &'a str,
    pub location: &'a str,
}

/// One element that is open, with its attributes as they were written.
pub(super) struct Open {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
}

/// Below the root, its data area and the noun.
const ABOVE: usize = 3;

impl Filter {
    /// Adds a condition such as `PurchaseOrderHeader/SupplierParty/PartyIDs/ID = 'S1'`.
    pub fn with(mut self, condition: &str) -> Result<Self, BadCondition> {
        self.conditions.push(Condition::parse(condition)?);
        Ok(self)
    }

    /// Whether it is told of such changes at all.
    pub fn takes(&self, action: Action) -> bool {
        self.actions.is_empty() || self.actions.iter().any(|one| one == action.as_str())
    }

    /// `Err` names the rule that keeps the document away.
    pub fn wants(&self, facts: &Facts<'_>, xml: &str) -> Result<(), String> {
        let document = format!("{}.{}", facts.verb.as_str(), facts.noun);
        let of_verb = format!("{}.*", facts.verb.as_str());
        let lists = [
            ("documents", &self.documents, document.as_str()),
            ("companies", &self.companies, facts.company),
            ("divisions", &self.divisions, facts.division),
            ("entities", &self.entities, facts.entity),
            ("locations", &self.locations, facts.location),
            ("actions", &self.actions, facts.action.as_str()),
        ];
        for (name, list, value) in lists {
            let named = list.iter().any(|one| one == value || (name == "documents" && *one == of_verb));
            if !list.is_empty() && !named {
                return Err(format!("{name}: {value:?} is not among them"));
            }
        }
        let held = self.held(xml);
        match self.conditions.iter().zip(held).find(|(condition, found)| *found == condition.negated()) {
            Some((condition, _)) => Err(format!("where: {condition}")),
            None => Ok(()),
        }
    }

    /// For each condition whether one of its places agrees.
    fn held(&self, xml: &str) -> Vec<bool> {
        let mut held = vec![false; self.conditions.len()];
        if held.is_empty() {
            return held;
        }
        let mut reader = Reader::from_str(xml);
        reader.config_mut().expand_empty_elements = true;
        let mut open: Vec<Open> = Vec::new();
        // Our own document: whatever can't be read holds nothing.
        while let Ok(event) = reader.read_event() {
            match &event {
                Event::Eof => break,
                Event::Start(start) => open.push(Open::new(start)),
                Event::End(_) => {
                    if open.len() > ABOVE {
                        self.closes(&open[ABOVE..], &mut held);
                    }
                    open.pop();
                }
                other => {
                    if let (Some(Ok(text)), Some(open)) = (text(other), open.last_mut()) {
                        open.text.push_str(&text);
                    }
                }
            }
        }
        held
    }

    fn closes(&self, open: &[Open], held: &mut [bool]) {
        let Some(last) = open.last() else { return };
        for (condition, held) in self.conditions.iter().zip(held).filter(|(_, held)| !**held) {
            if !condition.ends_at(&last.name, open.len()) {
                continue;
            }
            let step = |at: usize, name: &str, attribute: Option<(&str, &str)>| open[at].is(name, attribute);
            if condition.stands(open.len(), step) {
                let value = condition.attribute().map_or(Some(last.text.trim()), |name| last.attribute(name));
                *held = value.is_some_and(|value| condition.agrees(value));
            }
        }
    }
}

impl Open {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is so called, and has this attribute where one is asked for.
    pub(super) fn is(&self, name: &str, attribute: Option<(&str, &str)>) -> bool {
        self.name == name && attribute.is_none_or(|(key, value)| self.attribute(key) == Some(value))
    }

    pub(super) fn new(start: &BytesStart<'_>) -> Self {
        let attributes = start.attributes().flatten().map(|attribute| {
            let value = attribute
                .normalized_value(XmlVersion::Explicit1_0)
                .map(std::borrow::Cow::into_owned)
                .unwrap_or_default();
            (attribute.key.local_name().as_ref().to_owned(), value)
        });
        let (name, attributes) = (start.local_name().as_ref().to_owned(), attributes.collect());
        Self { name, attributes, text: String::new() }
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "<?xml version=\"1.0\"?><SyncPurchaseOrder><DataArea><Sync/><PurchaseOrder><PurchaseOrderHeader>\
        <SupplierParty><PartyIDs><ID accountingEntity=\"100\">S&amp;1</ID></PartyIDs></SupplierParty>\
        <ShipToParty><Location type=\"Warehouse\"><ID>001</ID></Location><Location type=\"Office\"><ID>HQ</ID></Location></ShipToParty>\
        <ExtendedAmount currencyID=\"SEK\">1250.50</ExtendedAmount><Note></Note></PurchaseOrderHeader>\
        <PurchaseOrderLine><Quantity>5</Quantity></PurchaseOrderLine>\
        <PurchaseOrderLine><Quantity>40</Quantity><UserArea><Property><NameValue name=\"m3.CFI1\" type=\"StringType\">RED</NameValue>\
        </Property></UserArea></PurchaseOrderLine></PurchaseOrder></DataArea></SyncPurchaseOrder>";

    const FACTS: Facts<'_> = Facts {
        verb: Verb::Sync,
        noun: "PurchaseOrder",
        action: Action::Replace,
        company: "100",
        division: "AAA",
        entity: "100_AAA",
        location: "001",
    };

    #[track_caller]
    fn holds(condition: &str) -> bool {
        let filter = Filter::default().with(condition).unwrap_or_else(|bad| panic!("{condition}: {bad}"));
        filter.wants(&FACTS, ORDER).is_ok()
    }

    #[test]
    fn a_condition_speaks_of_any_element_and_holds_when_one_place_agrees() {
        for condition in [
            "PurchaseOrderHeader/SupplierParty/PartyIDs/ID = 'S&1'",
            "PurchaseOrderHeader/ShipToParty/Location[@type='Office']/ID = 'HQ'",
            "PurchaseOrderHeader/ExtendedAmount > 1250.4999999999999999",
            "PurchaseOrderHeader/ExtendedAmount@currencyID in ('EUR', 'SEK')",
            "PurchaseOrderLine/Quantity >= 40",
            "PurchaseOrderLine/Quantity < 6.0",
            "PurchaseOrderLine/Quantity",
            "not PurchaseOrderHeader/Note",
            "not PurchaseOrderLine/Quantity = 7",
            "property(m3.CFI1) = 'RED'",
            "property(m3.CFI1) starts 'R'",
            "not property(m3.CFI2)",
            "PurchaseOrderLine/UserArea/Property/NameValue[@name='m3.CFI1'] != 'BLUE'",
        ] {
            assert!(holds(condition), "{condition}");
        }
        for condition in [
            "PurchaseOrderHeader/SupplierParty/PartyIDs/ID = 'S1'",
            "PurchaseOrderHeader/ShipToParty/Location[@type='Office']/ID = '001'",
            "PurchaseOrderHeader/ExtendedAmount > 1250.50",
            "PurchaseOrderLine/Quantity > 40",
            "PurchaseOrderHeader/Note",
            "Quantity = 5",
            "property(m3.CFI2)",
            "not property(m3.CFI1) = 'RED'",
        ] {
            assert!(!holds(condition), "{condition}");
        }
    }

    #[test]
    fn every_list_must_name_the_document() {
        let mut filter = Filter { documents: vec!["Sync.*".into()], ..Filter::default() };
        assert_eq!(filter.wants(&FACTS, ORDER), Ok(()));
        filter.divisions = vec!["BBB".into()];
        assert_eq!(filter.wants(&FACTS, ORDER), Err("divisions: \"AAA\" is not among them".into()));
        type List = fn(&mut Filter) -> &mut Vec<String>;
        let lists: [(&str, List, &str, &str); 6] = [
            ("documents", |filter| &mut filter.documents, "Sync.PurchaseOrder", "Process.PurchaseOrder"),
            ("companies", |filter| &mut filter.companies, "100", "200"),
            ("divisions", |filter| &mut filter.divisions, "AAA", "BBB"),
            ("entities", |filter| &mut filter.entities, "100_AAA", "100"),
            ("locations", |filter| &mut filter.locations, "001", "002"),
            ("actions", |filter| &mut filter.actions, "Replace", "Delete"),
        ];
        for (name, list, of_it, other) in lists {
            let with = |values: &[&str]| {
                let mut filter = Filter::default();
                *list(&mut filter) = values.iter().map(|value| (*value).to_owned()).collect();
                filter.wants(&FACTS, ORDER)
            };
            assert_eq!(with(&[other, of_it]), Ok(()), "{name}");
            assert_eq!(with(&[other]), Err(format!("{name}: {of_it:?} is not among them")));
        }
        let filter = Filter::default().with("PurchaseOrderLine/Quantity > 41").expect("a condition");
        assert_eq!(filter.wants(&FACTS, ORDER), Err("where: PurchaseOrderLine/Quantity > 41".into()));
    }
}
