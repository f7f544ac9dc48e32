//! Where two documents of one record say something else: element by element, attribute by attribute.
//!
//! Elements of one name under one parent are told apart by their place among themselves, custom properties by their name;
//! otherwise order means nothing, and neither does white space. What differs between any two documents is left out: who made
//! it, when, and under which numbers. Foreign bytes: no document type, five entities, a bound on depth, on parts and on what
//! is held of them.

use super::secrets::Secrets;
use super::xml::text;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::collections::HashMap;

/// One place where they differ; `None`: it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Below the data area: `ItemMaster/ItemMasterHeader/Description`, with `[2]` at the second of a name and `@` before an
    /// attribute. What stands beside the data area begins with `/`.
    pub path: String,
    pub ours: Option<String>,
    pub theirs: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// Places that differ.
    pub many: usize,
    /// The first of them, in the order of the documents, as far as anybody would read them.
    pub first: Vec<Difference>,
}

impl Comparison {
    pub fn is_same(&self) -> bool {
        self.many == 0
    }
}

/// One of the two can't be read, or is too large to be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} can't be compared: {why}", if *.ours { "the first document" } else { "the second document" })]
pub struct Incomparable {
    pub ours: bool,
    pub why: String,
}

const SHOWN: usize = 20;
/// Characters of a path and of a value that are shown.
const MOST_SHOWN: usize = 200;
const MOST_DEPTH: usize = 64;
const MOST_PATH: usize = 2_000;
/// Bytes of all that a document says, with the paths of it.
const MOST_BYTES: usize = 32 * 1024 * 1024;
const HIDDEN: &str = "***";
/// What the document as a whole is called.
const ROOT: &str = "/";

/// What stands in every document anew.
const OF_THE_MESSAGE: [&str; 6] = [
    "/ApplicationArea/Sender/LogicalID",
    "/ApplicationArea/Sender/ComponentID",
    "/ApplicationArea/Sender/TaskID",
    "/ApplicationArea/Sender/ReferenceID",
    "/ApplicationArea/CreationDateTime",
    "/ApplicationArea/BODID",
];
const DATA: &str = "DataArea";
const PROPERTY: &str = "Property";
const OF_THE_NUMBER: [&str; 2] = ["variationID", "lid"];

pub fn compare(ours: &str, theirs: &str, secrets: &Secrets) -> Result<Comparison, Incomparable> {
    let said = |document, ours| Said::by(document).map_err(|why| Incomparable { ours, why });
    let (ours, theirs) = (said(ours, true)?, said(theirs, false)?);
    let mut comparison = Comparison::default();
    let (of_ours, of_theirs) = (ours.by_path(), theirs.by_path());
    for (path, value) in &ours.facts {
        let other = of_theirs.get(path.as_str()).copied();
        if other != Some(value.as_str()) {
            comparison.add(path, Some(value), other, secrets);
        }
    }
    for (path, value) in theirs.facts.iter().filter(|(path, _)| !of_ours.contains_key(path.as_str())) {
        comparison.add(path, None, Some(value), secrets);
    }
    Ok(comparison)
}

impl Comparison {
    fn add(&mut self, path: &str, ours: Option<&str>, theirs: Option<&str>, secrets: &Secrets) {
        self.many += 1;
        if self.first.len() == SHOWN {
            return;
        }
        let hidden = secrets.hides(path);
        let shown = |value: &str| if hidden { HIDDEN.to_owned() } else { cut(value) };
        let (ours, theirs) = (ours.map(shown), theirs.map(shown));
        self.first.push(Difference { path: cut(path), ours, theirs });
    }
}

fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(MOST_SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// All that a document says, each by its place, which no other has.
#[derive(Default)]
struct Said {
    facts: Vec<(String, String)>,
    bytes: usize,
    path: String,
    open: Vec<Open>,
    /// The root was there.
    begun: bool,
}

#[derive(Default)]
struct Open {
    /// How much of the path is above it.
    above: usize,
    /// Facts before it.
    before: usize,
    text: String,
    children: HashMap<String, usize>,
    /// Of a custom property.
    named: Option<String>,
}

impl Said {
    fn by(document: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(document);
        reader.config_mut().expand_empty_elements = true;
        let mut said = Self::default();
        loop {
            match reader.read_event().map_err(|error| format!("it is no XML: {error}"))? {
                Event::Eof if said.begun && said.open.is_empty() => return Ok(said),
                Event::Eof => return Err("it ends before its root element does".to_owned()),
                Event::DocType(_) => return Err("it has a document type, which no BOD has".to_owned()),
                Event::Start(start) => said.start(&start)?,
                Event::End(_) => said.end()?,
                other => {
                    if let (Some(found), Some(open)) = (text(&other), said.open.last_mut()) {
                        open.text.push_str(&found?);
                    }
                }
            }
        }
    }

    fn by_path(&self) -> HashMap<&str, &str> {
        self.facts.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect()
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        let name = start.local_name().as_ref().to_owned();
        if self.open.len() == MOST_DEPTH {
            return Err(format!("it is nested more than {MOST_DEPTH} deep"));
        }
        // Else a name could look like the place of something else.
        if !is_name(&name) {
            return Err("one of its elements has a name that is none".to_owned());
        }
        let above = self.path.len();
        let step = match self.open.last_mut() {
            None if self.begun => return Err("it has a second root element".to_owned()),
            None => String::new(),
            Some(parent) => {
                let children = parent.children.entry(name.clone()).or_default();
                *children += 1;
                if *children == 1 { name.clone() } else { format!("{name}[{children}]") }
            }
        };
        // The root and its data area are above all places.
        match self.open.len() {
            0 => {
                self.begun = true;
                self.add(ROOT.to_owned(), name.clone())?;
            }
            1 if step == DATA => {}
            1 if name == DATA => return Err("it has a second data area".to_owned()),
            1 => self.step(&format!("/{step}"))?,
            _ => self.step(&step)?,
        }
        self.open.push(Open { above, before: self.facts.len(), ..Open::default() });
        let place = self.place();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| format!("{name} has an attribute that is none: {error}"))?;
            let key: &str = attribute.key.as_ref();
            if key == "xmlns" || key.contains(':') || OF_THE_NUMBER.contains(&key) {
                continue;
            }
            if !is_name(key) {
                return Err(format!("{name} has an attribute that is none"));
            }
            let value = unescaped(&attribute.value)?;
            if name == "NameValue" && key == "name" {
                let above = self.open.len().checked_sub(2);
                if let Some(property) = above.and_then(|at| self.open.get_mut(at)) {
                    property.named.get_or_insert_with(|| value.clone());
                }
            }
            self.add(format!("{place}@{key}"), value)?;
        }
        Ok(())
    }

    /// Of the innermost element.
    fn place(&self) -> String {
        match self.open.len() {
            1 => ROOT.to_owned(),
            2 if self.path.is_empty() => format!("/{DATA}"),
            _ => self.path.clone(),
        }
    }

    fn step(&mut self, step: &str) -> Result<(), String> {
        if !self.path.is_empty() {
            self.path.push('/');
        }
        self.path.push_str(step);
        if self.path.len() > MOST_PATH {
            return Err("the names of its elements are too long".to_owned());
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let place = self.place();
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = open.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let says = open.children.is_empty() || !value.is_empty();
        if says && place != ROOT && !OF_THE_MESSAGE.contains(&place.as_str()) {
            self.add(place, value)?;
        }
        let step = self.path[open.above..].trim_start_matches('/');
        let is_property = step == PROPERTY || step.strip_prefix(PROPERTY).is_some_and(|rest| rest.starts_with('['));
        if let Some(name) = open.named.filter(|_| is_property) {
            self.rename(open.above, open.before, &name)?;
        }
        self.path.truncate(open.above);
        Ok(())
    }

    /// What a property says stands under its name, whichever of them it is.
    fn rename(&mut self, above: usize, before: usize, name: &str) -> Result<(), String> {
        let name: String =
            name.chars().map(|c| if c.is_alphanumeric() || "_-.: ".contains(c) { c } else { '?' }).collect();
        let known = format!("{PROPERTY}({name})");
        let Some(parent) = self.open.last_mut() else { return Ok(()) };
        let many = parent.children.entry(known.clone()).or_default();
        *many += 1;
        let known = if *many == 1 { known } else { format!("{known}[{many}]") };
        let was = self.path.len();
        self.path.truncate(above);
        self.step(&known)?;
        for (path, _) in &mut self.facts[before..] {
            self.bytes += self.path.len();
            path.replace_range(..was.min(path.len()), &self.path);
        }
        self.is_bounded()
    }

    fn add(&mut self, path: String, value: String) -> Result<(), String> {
        self.bytes += path.len() + value.len() + size_of::<(String, String)>();
        self.facts.push((path, value));
        self.is_bounded()
    }

    fn is_bounded(&self) -> Result<(), String> {
        if self.bytes > MOST_BYTES { Err("it says more than can be compared".to_owned()) } else { Ok(()) }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
}

fn unescaped(value: &str) -> Result<String, String> {
    let value = quick_xml::escape::unescape(value).map_err(|error| format!("it can't be read: {error}"))?;
    Ok(value.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bod::{Mapping, Source, shipped};
    use crate::model::{FieldName, Sensitive};

    fn document(area: &str, number: u32, content: &str) -> String {
        format!(
            "<SyncItemMaster xmlns=\"urn:a\" releaseID=\"9.2\"><ApplicationArea>{area}</ApplicationArea><DataArea><Sync/>\
             <ItemMaster><ItemID><ID variationID=\"{number}\" lid=\"lid://{number}\" accountingEntity=\"100\">A1</ID></ItemID>\
             {content}</ItemMaster></DataArea></SyncItemMaster>"
        )
    }

    fn differences(ours: &str, theirs: &str) -> Vec<(String, String, String)> {
        let secrets = Secrets::of(None, &Sensitive::default());
        let comparison = compare(&document("", 1, ours), &document("", 2, theirs), &secrets).expect("comparable");
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        comparison.first.into_iter().map(|one| (one.path, text(one.ours), text(one.theirs))).collect()
    }

    #[track_caller]
    fn differ(ours: &str, theirs: &str, expected: &[(&str, &str, &str)]) {
        let owned = |(a, b, c): &(&str, &str, &str)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned());
        assert_eq!(differences(ours, theirs), expected.iter().map(owned).collect::<Vec<_>>());
    }

    #[test]
    fn what_differs_between_any_two_documents_is_no_difference() {
        let area = |name: &str| {
            format!(
                "<Sender><LogicalID>lid://{name}</LogicalID><ComponentID>{name}</ComponentID><TaskID>{name}</TaskID>\
                 <ReferenceID>{name}</ReferenceID><ConfirmationCode>OnError</ConfirmationCode></Sender>\
                 <CreationDateTime>{name}</CreationDateTime><BODID>{name}</BODID>"
            )
        };
        let secrets = Secrets::of(None, &Sensitive::default());
        let ours = document(&area("a"), 1, "<Name>A  B</Name>\n  <Note/>");
        let theirs = document(&area("b"), 2, "<Note></Note><x:Name xmlns:x=\"urn:x\">\n A B </x:Name>");
        assert_eq!(compare(&ours, &theirs, &secrets), Ok(Comparison::default()));
        let never = theirs.replace("OnError", "Never");
        let found = compare(&ours, &never, &secrets).expect("comparable").first.remove(0);
        assert_eq!(found.path, "/ApplicationArea/Sender/ConfirmationCode");
    }

    #[test]
    fn each_place_that_differs_is_named_with_both_values() {
        differ("<Name>A</Name>", "<Name>B</Name>", &[("ItemMaster/Name", "A", "B")]);
        differ("", "<Name>B</Name>", &[("ItemMaster/Name", "-", "B")]);
        differ("<Q unitCode=\"EA\">1</Q>", "<Q>1</Q>", &[("ItemMaster/Q@unitCode", "EA", "-")]);
        differ(
            "<L><N>1</N></L><L><N>2</N></L>",
            "<L><N>1</N></L><L><N>3</N></L><L/>",
            &[("ItemMaster/L[2]/N", "2", "3"), ("ItemMaster/L[3]", "-", "")],
        );
        let property =
            |name: &str, value: &str| format!("<Property><NameValue name=\"m3.{name}\">{value}</NameValue></Property>");
        let all = |many: [String; 2]| format!("<UserArea>{}</UserArea>", many.concat());
        differ(
            &all([property("CFI1", "RED"), property("CFI2", "1")]),
            &all([property("CFI2", "2"), property("CFI1", "RED")]),
            &[("ItemMaster/UserArea/Property(m3.CFI2)/NameValue", "1", "2")],
        );
    }

    #[test]
    fn what_is_secret_differs_and_is_not_shown() {
        let property = |value: &str| {
            format!("<UserArea><Property><NameValue name=\"m3.PWMT\">{value}</NameValue></Property></UserArea>")
        };
        let path = "ItemMaster/UserArea/Property(m3.PWMT)/NameValue";
        differ(&property("1234"), &property("4321"), &[(path, "***", "***")]);
        let text = "noun = \"ItemMaster\"\nextends = \"shipped\"\n[document]\nelements = [\n\
            { path = \"ItemMasterHeader/Note\", value = \"head.BACD\" } ]\n";
        let source = Source { name: "own.toml".into(), text: text.into() };
        let mapping = Mapping::parse_over(&source, &shipped().expect("they are good")).expect("a mapping");
        let sensitive = Sensitive::with([FieldName::parse("BACD").expect("a field")]);
        let secrets = Secrets::of(Some(&mapping), &sensitive);
        let note =
            |text: &str| document("", 1, &format!("<ItemMasterHeader><Note/><Note>{text}</Note></ItemMasterHeader>"));
        let found = compare(&note("1"), &note("2"), &secrets).expect("comparable").first.remove(0);
        assert_eq!((found.ours.as_deref(), found.theirs.as_deref()), (Some("***"), Some("***")), "{found:?}");
    }

    #[test]
    fn what_is_made_to_burst_or_is_no_document_is_told_apart_from_a_difference() {
        let secrets = Secrets::of(None, &Sensitive::default());
        let good = document("", 1, "");
        let deep = format!("{}{}", "<a>".repeat(65), "</a>".repeat(65));
        let long = format!("<a><{0}>1</{0}></a>", "x".repeat(3_000));
        let nested = format!("<a><{0}>{1}</{0}></a>", "x".repeat(1_900), "<a/>".repeat(100_000));
        let doctype = format!("<!DOCTYPE x [<!ENTITY y \"z\">]>{good}");
        let twice = "<a><DataArea/><DataArea/></a>";
        for bad in ["", "<a>", "<a/><b/>", "<a>&x;</a>", "<a b=\"&x;\"/>", twice, &deep, &long, &nested, &doctype] {
            let shown: String = bad.chars().take(40).collect();
            assert!(compare(&good, bad, &secrets).is_err_and(|why| !why.ours), "{shown}");
            assert!(compare(bad, &good, &secrets).is_err_and(|why| why.ours), "{shown}");
        }
        let many = |text: &str| format!("<Name>{text}</Name>").repeat(1_000);
        let found = compare(&document("", 1, &many("A")), &document("", 1, &many("B")), &secrets).expect("comparable");
        assert_eq!((found.many, found.first.len()), (1_000, 20));
    }
}
