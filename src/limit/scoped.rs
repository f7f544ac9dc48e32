//! Limits of one kind, by whom they speak of: the nearest table holds, and a shadow beside it only watches.

use super::quota::Quota;
use crate::model::ClientId;
use std::cmp::Reverse;
use std::collections::HashMap;

/// One table of the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table<T> {
    pub(super) is: T,
    /// Where it stands, in bytes from the file's beginning.
    pub(super) at: usize,
    /// The line that this is.
    pub(super) line: u32,
}

/// Of several groups' limits the widest holds.
pub(super) trait Wide {
    type Width: Ord;
    fn width(&self) -> Self::Width;
}

impl Wide for Quota {
    type Width = (Reverse<std::time::Duration>, u32);
    fn width(&self) -> Self::Width {
        (Reverse(self.period), self.burst.get())
    }
}

impl Wide for u32 {
    type Width = Self;
    fn width(&self) -> Self {
        *self
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whom {
    Client(ClientId),
    Group(Box<str>),
    Everybody,
}

/// The tables of one kind that count, and those that only watch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scoped<T> {
    pub(super) real: Layer<T>,
    pub(super) shadow: Layer<T>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layer<T> {
    pub(super) clients: HashMap<ClientId, Table<T>>,
    pub(super) groups: HashMap<Box<str>, Table<T>>,
    pub(super) everybody: Option<Table<T>>,
}

impl<T> Default for Layer<T> {
    fn default() -> Self {
        Self { clients: HashMap::new(), groups: HashMap::new(), everybody: None }
    }
}

impl<T> Default for Scoped<T> {
    fn default() -> Self {
        Self { real: Layer::default(), shadow: Layer::default() }
    }
}

impl<T: Wide> Layer<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.everybody.is_none() && self.clients.is_empty() && self.groups.is_empty()
    }

    /// The client's own, else the widest of its groups', else everybody's.
    pub(super) fn of(&self, client: &ClientId, groups: &[Box<str>]) -> Option<&Table<T>> {
        if let Some(own) = self.clients.get(client) {
            return Some(own);
        }
        let of_groups = groups.iter().filter_map(|group| self.groups.get(group));
        of_groups.max_by_key(|table| table.is.width()).or(self.everybody.as_ref())
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &Table<T>> {
        self.clients.values().chain(self.groups.values()).chain(&self.everybody)
    }
}

impl<T: Wide> Scoped<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.real.is_empty() && self.shadow.is_empty()
    }

    pub(super) fn layer(&self, shadow: bool) -> &Layer<T> {
        if shadow { &self.shadow } else { &self.real }
    }

    /// `false`: there is one for them already.
    pub(super) fn put(&mut self, whom: Whom, shadow: bool, table: Table<T>) -> bool {
        let layer = if shadow { &mut self.shadow } else { &mut self.real };
        match whom {
            Whom::Client(client) => layer.clients.insert(client, table).is_none(),
            Whom::Group(group) => layer.groups.insert(group, table).is_none(),
            Whom::Everybody => layer.everybody.replace(table).is_none(),
        }
    }
}
