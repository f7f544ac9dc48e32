//! The elements of a mapping file, each put where its path says; a shipped file stands in order, and what a site adds is put
//! where it belongs.

use super::check::check;
use super::compile::Compiler;
use super::file::{RawElement, Written};
use super::mapping::{Given, Inside, Mapping, Node};
use super::outline::Element;
use super::validate::TYPES;
use super::value::{Condition, Term, Value, Word};
use std::ops::Range;

/// Elements of a site's own namespace, which the outline doesn't know.
pub(super) const CUSTOM: &str = "custom:";
const MOST_ELEMENTS: usize = 2_000;

/// An element on its way into the tree.
struct Row {
    steps: Vec<(String, String)>,
    leaf: Option<Value>,
    attributes: Vec<(Box<str>, Value)>,
    when: Option<Condition>,
    each: Option<usize>,
    span: Range<usize>,
}

impl Compiler<'_> {
    pub(super) fn document(&mut self, file: &Written, base: Option<&Mapping>) -> Node {
        let noun = file.noun.get_ref().as_str();
        let mut root = base.map_or_else(|| branch(noun, ""), |base| forget_spans(base.root.clone()));
        for path in &file.document.without {
            let steps = steps(path.get_ref());
            if !take_out(&mut root, &steps) {
                let message = format!("{:?} is not in the shipped mapping", path.get_ref());
                self.fault(&path.span(), message, "name a path as it stands there");
            }
        }
        if file.document.elements.len() > MOST_ELEMENTS {
            let message = format!("has more than {MOST_ELEMENTS} elements");
            self.fault(&file.noun.span(), message, "that is more than a document needs");
            return root;
        }
        for raw in &file.document.elements {
            if let Some(row) = self.row(raw.get_ref(), raw.span()) {
                self.place(&mut root, row, base.is_some());
            }
        }
        self.whole(&root, &file.noun.span());
        root
    }

    fn row(&mut self, raw: &RawElement, span: Range<usize>) -> Option<Row> {
        let when = raw.when.as_ref().and_then(|text| self.condition(text, span.clone()));
        let leaf = raw.value.as_ref().and_then(|text| self.value(text, span.clone()));
        let mut attributes = Vec::new();
        for (name, text) in &raw.attributes {
            attributes.extend(self.value(text, span.clone()).map(|value| (name.as_str().into(), value)));
        }
        let id = match raw.id.as_deref() {
            None => &[][..],
            Some("document") => &[
                ("accountingEntity", Word::Entity),
                ("location", Word::Location),
                ("variationID", Word::Variation),
                ("lid", Word::LogicalId),
            ],
            Some("entity") => &[("accountingEntity", Word::Entity), ("lid", Word::LogicalId)],
            Some("company") => &[("accountingEntity", Word::Company), ("lid", Word::LogicalId)],
            Some(other) => {
                self.fault(&span, format!("id is {other:?}"), "it is \"document\", \"entity\" or \"company\"");
                return None;
            }
        };
        attributes.extend(id.iter().map(|(name, word)| ((*name).into(), Value::of(Term::Word(*word)))));
        let each = match &raw.each {
            None => None,
            Some(name) => {
                let list = self.reads.iter().position(|read| *read.name == **name && read.list && read.join.is_none());
                if list.is_none() {
                    self.fault(&span, format!("each = {name:?} is no list"), "name a read that has list = true");
                }
                Some(list?)
            }
        };
        let mut path = match (&raw.path, &raw.property) {
            (Some(path), None) => steps(path),
            (None, Some(name)) => {
                let literal = |text: &str| Value::of(Term::Literal(text.into()));
                let kind = raw.kind.as_deref().unwrap_or("StringType");
                if !TYPES.contains(&kind) {
                    let hint = format!("it is one of {}", TYPES.join(", "));
                    self.fault(&span, format!("the property's type is {kind:?}"), hint);
                }
                attributes.push(("name".into(), literal(name)));
                attributes.push(("type".into(), literal(kind)));
                let mut path = raw.within.as_deref().map(steps).unwrap_or_default();
                path.extend([("UserArea".into(), String::new()), ("Property".into(), name.clone())]);
                path.push(("NameValue".into(), String::new()));
                path
            }
            _ => {
                self.fault(&span, "is neither an element nor a property", "give it either `path` or `property`");
                return None;
            }
        };
        if path.is_empty() {
            path.push((String::new(), String::new()));
        }
        Some(Row { steps: path, leaf, attributes, when, each, span })
    }

    /// Puts a row where its path says. A shipped file stands in order; what a site adds is put where it belongs.
    fn place(&mut self, root: &mut Node, row: Row, anywhere: bool) {
        let Row { steps, leaf, attributes, when, each, span } = row;
        let (outline, mut node) = (self.outline, root);
        for (depth, (name, label)) in steps.iter().enumerate() {
            let last = depth + 1 == steps.len();
            let Inside::Nodes(children) = &mut node.content else {
                let message = format!("{} has a value, and can't hold {name}", node.name);
                return self.fault(&span, message, "an element has a value or children");
            };
            let parent = outline.element(&node.name);
            let place = place_in(parent, name);
            if place.is_none() && !name.starts_with(CUSTOM) {
                let known: Vec<&str> =
                    parent.map(|parent| parent.children().iter().map(|child| child.name).collect()).unwrap_or_default();
                let hint = format!("it may hold {}; a site's own begins with {CUSTOM}", known.join(", "));
                return self.fault(&span, format!("{} holds no {name}", node.name), hint);
            }
            let known = children.iter().position(|child| *child.name == **name && *child.label == **label);
            let at = match known.filter(|_| !(last && leaf.is_some())) {
                Some(at) => at,
                None => {
                    // A site's own elements come last.
                    let after = |child: &Node| {
                        place.is_some() && place_in(parent, &child.name).is_none_or(|at| Some(at) > place)
                    };
                    let at = children.iter().position(after).unwrap_or(children.len());
                    if at < children.len() && !anywhere {
                        let message = format!("{name} stands behind {}", children[at].name);
                        let hint = format!("in {} it comes before it: move it up", node.name);
                        return self.fault(&span, message, hint);
                    }
                    children.insert(at, branch(name, label));
                    at
                }
            };
            node = &mut children[at];
        }
        let element = outline.element(&node.name);
        node.attributes.extend(attributes.into_iter().map(|(name, value)| {
            let required = element.is_some_and(|element| element.must_have(&name));
            Given { name, value, required }
        }));
        node.span = Some(span);
        node.when = when.or(node.when.take());
        node.each = each.or(node.each.take());
        if let Some(value) = leaf {
            node.content = Inside::Text(value);
        }
    }

    /// What can only be seen of the whole tree: how often, what is missing, and what may be read where.
    fn whole(&mut self, root: &Node, span: &Range<usize>) {
        let mut found = Vec::new();
        check(self.outline, &self.reads, root, None, &mut found);
        for (at, message) in found {
            self.fault(
                &at.unwrap_or_else(|| span.clone()),
                message,
                "see the outline of the noun: `mi-gateway bod schema NOUN`",
            );
        }
    }
}

fn branch(name: &str, label: &str) -> Node {
    let (attributes, content) = (Vec::new(), Inside::Nodes(Vec::new()));
    Node { name: name.into(), label: label.into(), attributes, when: None, each: None, content, span: None }
}

/// They are of another file.
fn forget_spans(mut node: Node) -> Node {
    node.span = None;
    if let Inside::Nodes(children) = node.content {
        node.content = Inside::Nodes(children.into_iter().map(forget_spans).collect());
    }
    node
}

/// `A/B#label/C` to names and labels: two siblings of one name are told apart by theirs.
fn steps(path: &str) -> Vec<(String, String)> {
    let step = |step: &str| {
        let (name, label) = step.split_once('#').unwrap_or((step, ""));
        (name.to_owned(), label.to_owned())
    };
    path.split('/').filter(|step| !step.is_empty()).map(step).collect()
}

fn place_in(parent: Option<&Element>, child: &str) -> Option<usize> {
    parent.and_then(|parent| parent.place(child))
}

fn take_out(node: &mut Node, path: &[(String, String)]) -> bool {
    let (Inside::Nodes(children), Some(((name, label), rest))) = (&mut node.content, path.split_first()) else {
        return false;
    };
    let fits = |child: &Node| *child.name == **name && *child.label == **label;
    if rest.is_empty() {
        let before = children.len();
        children.retain(|child| !fits(child));
        return children.len() < before;
    }
    children.iter_mut().filter(|child| fits(child)).any(|child| take_out(child, rest))
}

pub(super) fn has_custom(node: &Node) -> bool {
    let inside = |children: &Vec<Node>| children.iter().any(has_custom);
    node.name.starts_with(CUSTOM) || matches!(&node.content, Inside::Nodes(children) if inside(children))
}
