//! What can only be seen of a mapping's whole tree: how often an element stands, what is missing, whether a value is of the
//! kind that its element wants, and whether a list is read where it is walked.

use super::function::Function;
use super::mapping::{Given, Inside, Node, Read};
use super::outline::{Content, Element, Kind, Occurs, Outline};
use super::tree::CUSTOM;
use super::value::Value;
use std::ops::Range;

type Found = Vec<(Option<Range<usize>>, String)>;

pub(super) fn check(outline: &Outline, reads: &[Read], node: &Node, each: Option<usize>, found: &mut Found) {
    let each = node.each.or(each);
    let mut values: Vec<&Value> = node.attributes.iter().map(|given| &given.value).collect();
    values.extend(node.when.as_ref().map(|when| &when.value));
    let element = outline.element(&node.name);
    if let Inside::Text(value) = &node.content {
        values.push(value);
        kinds(node, element, value, found);
    }
    for (read, slot) in values.iter().flat_map(|value| fields(value)) {
        let of = &reads[read];
        let here = Some(read) == each || (of.join.as_ref().is_some_and(|join| Some(join.to) == each));
        if of.list && !here {
            let field = of.fields[slot].0;
            found.push((
                node.span.clone(),
                format!("{} takes {}.{field} of a list outside of each = {:?}", node.name, of.name, of.name),
            ));
        }
    }
    attributes(node, element, found);
    let Inside::Nodes(children) = &node.content else { return };
    if node.name.starts_with(CUSTOM) {
        return children.iter().for_each(|child| check(outline, reads, child, each, found));
    }
    for known in element.map(Element::children).unwrap_or_default() {
        let mut same = children.iter().filter(|child| *child.name == *known.name);
        let (first, second) = (same.next(), same.next());
        let many = second.is_some() || first.is_some_and(|child| child.each.is_some());
        if many && known.occurs != Occurs::Any {
            found.push((node.span.clone(), format!("{} holds more than one {}", node.name, known.name)));
        }
        if first.is_none() && known.occurs == Occurs::Once && !children.is_empty() {
            found.push((node.span.clone(), format!("{} lacks {}, which it must hold", node.name, known.name)));
        }
    }
    children.iter().for_each(|child| check(outline, reads, child, each, found));
}

fn fields(value: &Value) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    value.fields(&mut found);
    found
}

fn kinds(node: &Node, element: Option<&Element>, value: &Value, found: &mut Found) {
    let kind = match element.map(|element| &element.content) {
        Some(Content::Leaf(kind)) => *kind,
        Some(Content::Children(_)) => {
            return found.push((node.span.clone(), format!("{} holds elements, not a value", node.name)));
        }
        None => return,
    };
    let (fits, wanted) = match kind {
        Kind::Date => (value.ends_in(|f| matches!(f, Function::Date | Function::Moment)), "date or instant"),
        Kind::Flag => (value.ends_in(|f| matches!(f, Function::Flag | Function::Map(_))), "flag or map"),
        Kind::Duration => (value.ends_in(|f| matches!(f, Function::Days)), "days"),
        Kind::Text | Kind::Number | Kind::Integer => (true, ""),
    };
    if !fits && !value.is_constant() {
        found.push((node.span.clone(), format!("{} wants a value through {wanted}", node.name)));
    }
}

fn attributes(node: &Node, element: Option<&Element>, found: &mut Found) {
    let Some(element) = element else { return };
    for Given { name, .. } in &node.attributes {
        if !element.attributes.iter().any(|known| *known.name == **name) {
            found.push((node.span.clone(), format!("{} has no attribute {name}", node.name)));
        }
    }
    for known in element.attributes.iter().filter(|known| known.required) {
        if !node.attributes.iter().any(|given| *given.name == *known.name) {
            found.push((node.span.clone(), format!("{} lacks its attribute {}", node.name, known.name)));
        }
    }
}
