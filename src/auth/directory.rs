//! What is known about clients beyond their tokens: groups, M3 user, place, and whether they still may.
//!
//! Parts by issuer, each swapped whole by whoever knows that issuer's clients. The epoch moves with every change,
//! so that a cached decision can see in one load that it must be made again.
//! Does not know: where the facts come from.

use crate::model::{Standing, TenantId};
use crate::stoplist::Stops;
use arc_swap::{ArcSwap, Guard};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct ClientFacts {
    pub groups: Arc<[Box<str>]>,
    pub standing: Arc<Standing>,
    /// The client's only tenant, where that is known.
    pub tenant: Option<TenantId>,
    /// Tokens of another generation are worth nothing.
    pub generation: u64,
    pub revoked: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Directory {
    held: Arc<ArcSwap<Held>>,
    stops: Stops,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    pub(super) epoch: u64,
    parts: HashMap<Arc<str>, Arc<Part>>,
}

#[derive(Debug, Default)]
struct Part {
    clients: HashMap<Arc<str>, ClientFacts>,
    ended: HashSet<Box<str>>,
}

impl Directory {
    pub fn new() -> Self {
        Self::default()
    }

    /// A directory that heeds what operators took back.
    pub fn heeding(stops: Stops) -> Self {
        Self { stops, ..Self::default() }
    }

    pub fn stops(&self) -> &Stops {
        &self.stops
    }

    /// Everything known about one issuer: its clients by id, and the token families that were ended early.
    pub fn replace(&self, issuer: &str, clients: HashMap<Arc<str>, ClientFacts>, ended: HashSet<Box<str>>) {
        let part = Arc::new(Part { clients, ended });
        self.held.rcu(|held| {
            let mut next = Held::clone(held);
            next.epoch += 1;
            next.parts.insert(issuer.into(), Arc::clone(&part));
            next
        });
    }

    /// What is known about one client at the moment.
    pub fn facts(&self, issuer: &str, client: &str) -> Option<ClientFacts> {
        self.held.load().facts(issuer, client).cloned()
    }

    pub(super) fn held(&self) -> Guard<Arc<Held>> {
        self.held.load()
    }
}

impl Held {
    pub(super) fn facts(&self, issuer: &str, client: &str) -> Option<&ClientFacts> {
        self.parts.get(issuer)?.clients.get(client)
    }

    pub(super) fn ended(&self, issuer: &str, family: &str) -> bool {
        self.parts.get(issuer).is_some_and(|part| part.ended.contains(family))
    }
}
