//! Places of a document that hold what nobody shall read: those that its mapping fills from secret fields, and custom
//! properties that are called as such a field is.

use super::mapping::{Inside, Mapping, Node};
use super::value::Value;
use crate::model::{FieldName, Sensitive};
use std::collections::BTreeSet;

#[derive(Debug, Clone, Default)]
pub struct Secrets {
    sensitive: Sensitive,
    /// As a comparison calls them, without the numbers of those that are there several times.
    places: BTreeSet<String>,
}

impl Secrets {
    pub fn of(mapping: Option<&Mapping>, sensitive: &Sensitive) -> Self {
        let mut secrets = Self { sensitive: sensitive.clone(), places: BTreeSet::new() };
        if let Some(mapping) = mapping {
            secrets.walk(mapping, &mapping.root, "");
        }
        secrets
    }

    fn walk(&mut self, mapping: &Mapping, node: &Node, above: &str) {
        let name = if node.label.is_empty() || &*node.name != "Property" {
            node.name.to_string()
        } else {
            format!("{}({})", node.name, node.label)
        };
        let path = if above.is_empty() { name } else { format!("{above}/{name}") };
        for given in &node.attributes {
            if self.is_secret(mapping, &given.value) {
                self.places.insert(format!("{path}@{}", given.name));
            }
        }
        match &node.content {
            Inside::Text(value) if self.is_secret(mapping, value) => {
                self.places.insert(path);
            }
            Inside::Text(_) => {}
            Inside::Nodes(nodes) => nodes.iter().for_each(|node| self.walk(mapping, node, &path)),
        }
    }

    fn is_secret(&self, mapping: &Mapping, value: &Value) -> bool {
        let mut fields = Vec::new();
        value.fields(&mut fields);
        let name = |(read, slot): (usize, usize)| Some(mapping.reads.get(read)?.fields.get(slot)?.0);
        fields.into_iter().filter_map(name).any(|name| self.sensitive.has(name))
    }

    pub(super) fn hides(&self, path: &str) -> bool {
        let property = |step: &str| {
            let name = step.strip_prefix("Property(")?.split_once(')')?.0;
            FieldName::parse(name.rsplit('.').next()?).ok()
        };
        if path.split('/').filter_map(property).any(|name| self.sensitive.has(name)) {
            return true;
        }
        let bare: String = path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect();
        self.places.contains(&bare)
    }
}
