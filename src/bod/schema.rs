//! The outline as an XML schema, for whoever checks documents with the tools of his own trade.

use super::compose::NAMESPACE;
use super::outline::{Content, Element, Kind, Occurs, Outline};
use std::collections::BTreeSet;
use std::fmt::Write as _;

const VERBS: [&str; 2] = ["Sync", "Process"];

/// A schema of one noun's documents; `None` for a noun that is not known.
pub fn schema(noun: &str) -> Option<String> {
    let outline = Outline::shipped();
    if !outline.is_noun(noun) {
        return None;
    }
    let mut out = String::new();
    let _ = writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    let _ = writeln!(
        out,
        "<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" xmlns=\"{NAMESPACE}\" \
         targetNamespace=\"{NAMESPACE}\" elementFormDefault=\"qualified\">"
    );
    types(&mut out);
    for verb in VERBS {
        let _ = writeln!(
            out,
            "<xs:element name=\"{verb}{noun}\"><xs:complexType><xs:sequence><xs:element ref=\"ApplicationArea\"/>\
             <xs:element name=\"DataArea\"><xs:complexType><xs:sequence><xs:element ref=\"{verb}\"/>\
             <xs:element ref=\"{noun}\" maxOccurs=\"unbounded\"/></xs:sequence></xs:complexType></xs:element>\
             </xs:sequence><xs:attribute name=\"releaseID\" use=\"required\"/><xs:attribute name=\"versionID\"/>\
             <xs:attribute name=\"systemEnvironmentCode\"/><xs:attribute name=\"languageCode\"/>\
             </xs:complexType></xs:element>"
        );
    }
    for name in reached(outline, noun) {
        if let Some(element) = outline.element(name) {
            write(&mut out, name, element);
        }
    }
    out.push_str("</xs:schema>\n");
    Some(out)
}

/// Only what a document of this noun can hold, in the outline's order.
fn reached<'a>(outline: &'a Outline, noun: &str) -> Vec<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = outline
        .names()
        .iter()
        .filter(|name| **name == noun || **name == "ApplicationArea" || VERBS.contains(name))
        .copied()
        .collect();
    while let Some(name) = open.pop() {
        if found.insert(name) {
            open.extend(
                outline.element(name).map(Element::children).unwrap_or_default().iter().map(|child| child.name),
            );
        }
    }
    outline.names().iter().copied().filter(|name| found.contains(name)).collect()
}

/// A day or an instant, and the text of XML's own types.
fn types(out: &mut String) {
    out.push_str("<xs:simpleType name=\"Date\"><xs:union memberTypes=\"xs:date xs:dateTime\"/></xs:simpleType>\n");
}

fn write(out: &mut String, name: &str, element: &Element) {
    let _ = write!(out, "<xs:element name=\"{name}\"><xs:complexType>");
    match &element.content {
        Content::Leaf(kind) => {
            let _ = write!(out, "<xs:simpleContent><xs:extension base=\"{}\">", named(*kind));
            attributes(out, element);
            out.push_str("</xs:extension></xs:simpleContent>");
        }
        Content::Children(children) => {
            out.push_str("<xs:sequence>");
            for child in children {
                let (least, most) = match child.occurs {
                    Occurs::Once => ("1", "1"),
                    Occurs::AtMostOnce => ("0", "1"),
                    Occurs::Any => ("0", "unbounded"),
                };
                let _ = write!(out, "<xs:element ref=\"{}\" minOccurs=\"{least}\" maxOccurs=\"{most}\"/>", child.name);
            }
            // What a site adds stands in a namespace of its own, at the end.
            out.push_str(
                "<xs:any namespace=\"##other\" processContents=\"lax\" minOccurs=\"0\" maxOccurs=\"unbounded\"/>",
            );
            out.push_str("</xs:sequence>");
            attributes(out, element);
        }
    }
    out.push_str("</xs:complexType></xs:element>\n");
}

fn attributes(out: &mut String, element: &Element) {
    for attribute in &element.attributes {
        let required = if attribute.required { " use=\"required\"" } else { "" };
        let _ = write!(out, "<xs:attribute name=\"{}\" type=\"{}\"{required}/>", attribute.name, named(attribute.kind));
    }
}

fn named(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "xs:string",
        Kind::Number => "xs:decimal",
        Kind::Integer => "xs:integer",
        Kind::Flag => "xs:boolean",
        Kind::Date => "Date",
        Kind::Duration => "xs:duration",
    }
}
