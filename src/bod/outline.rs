//! Which element has which children, in which order: the one description that mappings are compiled against, documents
//! are validated against, and schemas are written from.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

const TEXT: &str = include_str!("outline.txt");

/// What an element's text, or an attribute's value, has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Integer,
    Flag,
    /// A day or an instant.
    Date,
    Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occurs {
    Once,
    AtMostOnce,
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) name: &'static str,
    pub(super) occurs: Occurs,
    /// Where the outline has it.
    at: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Leaf(Kind),
    Children(Vec<Child>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: &'static str,
    pub(super) attributes: Vec<Attribute>,
    pub(super) content: Content,
}

impl Element {
    /// Where a child stands among its siblings.
    pub(super) fn place(&self, child: &str) -> Option<usize> {
        self.place_from(child, 0)
    }

    /// The same, looked for behind this place first: that is where it mostly is.
    pub(super) fn place_from(&self, child: &str, begin: usize) -> Option<usize> {
        let children = self.children();
        let (before, behind) = children.split_at(begin.min(children.len()));
        let found = behind.iter().position(|known| known.name == child).map(|at| begin + at);
        found.or_else(|| before.iter().position(|known| known.name == child))
    }

    pub(super) fn must_have(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|known| known.required && known.name == attribute)
    }

    pub(super) fn children(&self) -> &[Child] {
        match &self.content {
            Content::Leaf(_) => &[],
            Content::Children(children) => children,
        }
    }
}

#[derive(Debug)]
pub(super) struct Outline {
    /// In the order of the text, for whoever writes them out.
    elements: Vec<Element>,
    names: Vec<&'static str>,
    places: HashMap<&'static str, usize>,
    nouns: HashSet<&'static str>,
}

/// Every document is checked against it: it is read once.
static SHIPPED: LazyLock<Outline> = LazyLock::new(Outline::read);

impl Outline {
    pub(super) fn shipped() -> &'static Self {
        &SHIPPED
    }

    fn read() -> Self {
        let mut outline =
            Self { elements: Vec::new(), names: Vec::new(), places: HashMap::new(), nouns: HashSet::new() };
        for line in TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            outline.line(line);
        }
        outline.join();
        outline.nouns = outline.names.iter().copied().filter(|name| outline.stands_alone(name)).collect();
        outline
    }

    pub(super) fn element(&self, name: &str) -> Option<&Element> {
        self.places.get(name).map(|at| &self.elements[*at])
    }

    /// What stands behind a child's name: found without looking for it, since every element of a document is.
    pub(super) fn of(&self, child: &Child) -> &Element {
        &self.elements[child.at]
    }

    pub(super) fn names(&self) -> &[&'static str] {
        &self.names
    }

    pub(super) fn is_noun(&self, name: &str) -> bool {
        self.nouns.contains(name)
    }

    /// A noun is what has children and is a child of nothing but a document.
    fn stands_alone(&self, name: &str) -> bool {
        let is_child = |element: &Element| element.children().iter().any(|child| child.name == name);
        const AROUND: [&str; 7] =
            ["ApplicationArea", "Sync", "Process", "Acknowledge", "Confirm", "BOD", "OriginalApplicationArea"];
        self.element(name).is_some_and(|element| !element.children().is_empty())
            && !AROUND.contains(&name)
            && !self.elements.iter().any(is_child)
    }

    fn line(&mut self, line: &'static str) {
        // An attribute's kind has a colon without a blank behind it; the content's has one.
        let cut = line.find(": ").or_else(|| line.find(" = ").map(|at| at + 1)).unwrap_or(line.len());
        let (head, tail) = (&line[..cut], line.get(cut + 1..).unwrap_or_default().trim());
        let (names, mut attributes) = split(head);
        let content = if line[cut..].starts_with('=') {
            let (kind, more) = split(tail);
            attributes.extend(more);
            Content::Leaf(kind_of(kind.trim()))
        } else {
            Content::Children(tail.split_whitespace().map(child).collect())
        };
        for name in names.split(',').map(str::trim) {
            self.names.push(name);
            self.places.insert(name, self.elements.len());
            self.elements.push(Element { name, attributes: attributes.clone(), content: content.clone() });
        }
    }

    /// Children are told before or after their parents: once all are there each learns its place.
    fn join(&mut self) {
        for element in &mut self.elements {
            if let Content::Children(children) = &mut element.content {
                for child in children {
                    child.at = self.places.get(child.name).copied().unwrap_or_default();
                }
            }
        }
    }
}

/// The words before the first attribute, and the attributes.
fn split(text: &'static str) -> (&'static str, Vec<Attribute>) {
    let at = text.find('@').unwrap_or(text.len());
    (text[..at].trim(), text[at..].split_whitespace().map(attribute).collect())
}

fn attribute(word: &'static str) -> Attribute {
    let word = word.trim_start_matches('@');
    let (word, required) = word.strip_suffix('!').map_or((word, false), |word| (word, true));
    let (name, kind) = word.split_once(':').map_or((word, Kind::Text), |(name, kind)| (name, kind_of(kind)));
    Attribute { name, kind, required }
}

fn kind_of(word: &str) -> Kind {
    match word {
        "number" => Kind::Number,
        "integer" => Kind::Integer,
        "flag" => Kind::Flag,
        "date" => Kind::Date,
        "duration" => Kind::Duration,
        _ => Kind::Text,
    }
}

fn child(word: &'static str) -> Child {
    match (word.strip_suffix('?'), word.strip_suffix('*')) {
        (Some(name), _) => Child { name, occurs: Occurs::AtMostOnce, at: 0 },
        (None, Some(name)) => Child { name, occurs: Occurs::Any, at: 0 },
        (None, None) => Child { name: word, occurs: Occurs::Once, at: 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_child_is_an_element_of_the_outline() {
        let outline = Outline::shipped();
        for name in outline.names() {
            for child in outline.element(name).map(Element::children).unwrap_or_default() {
                assert!(
                    outline.element(child.name).is_some(),
                    "{name} has the child {}, which is not told",
                    child.name
                );
            }
        }
    }

    #[test]
    fn no_element_is_told_twice() {
        let outline = Outline::shipped();
        assert_eq!(outline.names().len(), outline.places.len());
    }

    #[test]
    fn attributes_have_kinds_and_may_be_required() {
        let outline = Outline::shipped();
        let id = outline.element("ID").map(|id| id.attributes.clone()).unwrap_or_default();
        let variation = Attribute { name: "variationID", kind: Kind::Integer, required: false };
        assert!(id.contains(&variation), "{id:?}");
        let line = outline.element("AddressLine").map(|line| line.attributes.clone()).unwrap_or_default();
        assert_eq!(line, [Attribute { name: "sequence", kind: Kind::Integer, required: true }]);
        assert!(outline.is_noun("PurchaseOrder") && !outline.is_noun("Item") && !outline.is_noun("Sync"));
    }
}
