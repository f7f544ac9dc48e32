//! The rules of a house, loaded and ready: the only door of this room.

use super::ask::{Ask, Asker, Decision, Reason};
use super::context::{self, Unfit};
use super::declare::Facts;
use super::fault::{Fault, Source};
use super::identity::{self, TYPES};
use super::judge::{Book, Case};
use super::load::{Loaded, load};
use super::narrow::{Narrow, nobody_in_particular};
use super::places::{Carries, elsewhere};
use super::plain::Seen;
use super::reads::Reads;
use super::schema::{self, Typed};
use super::site::Site;
use super::zones::Local;
use crate::model::{ClientId, Effect, FieldName, Place, ProgramName, TransactionLayout, TransactionName};
use aws_lc_rs::digest::{SHA256, digest};
use cedar_policy::{Context, EntityUid, Request};
use moka::sync::Cache;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the layouts of the transactions that rules name come from.
pub type Layouts<'a> = &'a dyn Fn(ProgramName, TransactionName) -> Option<Arc<TransactionLayout>>;

pub struct Set {
    hash: String,
    warnings: Vec<Fault>,
    pub(super) book: Book,
    pub(super) typed: Typed,
    pub(super) facts: Facts,
    pub(super) site: Site,
    /// Clients and groups that some rule names, by their place in `named`. All others are alike.
    pub(super) clients: HashMap<ClientId, u32>,
    pub(super) groups: HashMap<Box<str>, u32>,
    named: Vec<EntityUid>,
    /// Whether some permit speaks of each of them, and of everybody.
    pub(super) may_call: Vec<bool>,
    pub(super) all_may_call: bool,
    narrows: Cache<NarrowKey, Arc<Narrow>>,
    numbers: AtomicU64,
    /// Decisions by everything that their rules read; dropped with the set.
    remembered: Cache<Box<[u8]>, Decision>,
}

/// The asker as the rules can tell it from others, and the transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct NarrowKey {
    asker: Box<[u32]>,
    program: ProgramName,
    transaction: TransactionName,
    effect: Effect,
    /// Its calls carry the division that they say.
    carried: bool,
}

const MAX_NARROWS: u64 = 8_192;
const MAX_REMEMBERED: u64 = 65_536;
/// Longer keys hold long values and rarely come again.
const MAX_KEY: usize = 512;

impl Set {
    /// Cedar files, and the set's `facts.toml` where it has one.
    pub fn load(sources: &[Source], site: &Site, layouts: Layouts<'_>) -> Result<Self, Vec<Fault>> {
        let Loaded { rules, typed, facts, warnings } = load(sources, site, layouts)?;
        let mut set = Self {
            hash: hash(sources),
            warnings,
            typed,
            facts,
            site: site.clone(),
            clients: HashMap::new(),
            groups: HashMap::new(),
            named: Vec::new(),
            may_call: Vec::new(),
            all_may_call: false,
            narrows: Cache::new(MAX_NARROWS),
            numbers: AtomicU64::new(0),
            remembered: Cache::new(MAX_REMEMBERED),
            book: Book::new(rules),
        };
        for uid in set.book.rules.iter().flat_map(|rule| rule.policy.entity_literals()) {
            let at = u32::try_from(set.named.len()).unwrap_or(u32::MAX);
            let id = uid.id().unescaped();
            let new = if *uid.type_name() == TYPES.client {
                identity::client(id, &site.issuer).is_some_and(|client| insert(&mut set.clients, client, at))
            } else {
                *uid.type_name() == TYPES.group && insert(&mut set.groups, id.into(), at)
            };
            if new {
                set.named.push(uid);
            }
        }
        let permits = |key: &[u32]| {
            let principals = set.principals(key);
            set.book.speaking_of(&principals).any(|rule| rule.permit)
        };
        let all_may_call = permits(&[]);
        let may_call = (0..set.named.len() as u32).map(|at| permits(&[at])).collect();
        Ok(Self { all_may_call, may_call, ..set })
    }

    /// SHA-256 of the files, in hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    pub fn rules(&self) -> usize {
        self.book.rules.len()
    }

    /// What loads and yet deserves a look: rules that can't be checked, rules that never apply.
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// The Cedar schema that the rules were checked against.
    pub fn schema_text(&self) -> String {
        schema::text(&self.typed, &self.facts, &self.site.claims)
    }

    /// Whether this very call is allowed, here and in every other place that its inputs name.
    pub fn decide(&self, ask: &Ask<'_>) -> Decision {
        let Some(narrow) = self.narrow_of(ask) else {
            return Decision::refused(Reason::EvaluationError, []);
        };
        let decision = self.decide_by(&narrow, ask);
        if narrow.carried || decision.reason != Reason::NoPermit {
            return decision;
        }
        // What would have permitted it, had it been believed.
        let whole = self.narrow(ask.asker, ask.program, ask.transaction, ask.effect);
        match whole.map(|whole| self.decide_by(&whole, ask)).filter(|believed| believed.allowed) {
            Some(believed) => Decision::refused(Reason::DivisionNotCarried, believed.rules.iter().cloned()),
            None => decision,
        }
    }

    pub(super) fn decide_by(&self, narrow: &Narrow, ask: &Ask<'_>) -> Decision {
        if let Some(settled) = &narrow.settled {
            return settled.clone();
        }
        let own = self.decide_in(narrow, ask, ask.place);
        if !own.allowed {
            return own;
        }
        let elsewhere = match elsewhere(ask.layout, ask.inputs, ask.place) {
            Ok(elsewhere) => elsewhere,
            Err(field) => return Decision::refused(Reason::ValueNotComparable(field), []),
        };
        for place in elsewhere.places {
            let there = self.decide_in(narrow, ask, place);
            if !there.allowed {
                return there;
            }
        }
        match elsewhere.open_range.filter(|_| narrow.reads.has(Reads::DIVISION)) {
            Some(field) => Decision::refused(Reason::ValueNotComparable(field), []),
            None => own,
        }
    }

    fn decide_in(&self, narrow: &Narrow, ask: &Ask<'_>, place: Place) -> Decision {
        if narrow.bench.is_cheap() {
            return self.evaluate(narrow, ask, place);
        }
        let mut key = Vec::with_capacity(128);
        key.extend(narrow.number.to_le_bytes());
        key.push(1);
        if narrow.dated {
            key.extend((ask.unix_seconds / 86_400).to_le_bytes());
        }
        let fact = narrow.fact.as_deref();
        context::key(&narrow.reads, narrow.typed, fact, ask, place, &self.site.zones, &mut key);
        self.remember(key, || self.evaluate(narrow, ask, place))
    }

    fn evaluate(&self, narrow: &Narrow, ask: &Ask<'_>, place: Place) -> Decision {
        let blanked = |field: &&FieldName| {
            let at = ask.layout.input.position(**field);
            let cleared = |at| ask.inputs.iter().any(|i| usize::from(i.at) == at && i.value.as_str() == "?");
            at.is_some_and(cleared)
        };
        if let Some(field) = narrow.never_blank.iter().find(blanked) {
            return Decision::refused(Reason::ValueNotComparable(*field), []);
        }
        let local = match narrow.reads.local_time() {
            false => Local::of(0),
            true => match self.site.zones.local(ask.clock(place), ask.unix_seconds) {
                Some(local) => local,
                None => return Decision::refused(Reason::NoZone, narrow.local.iter().cloned()),
            },
        };
        let seen = Seen::of(ask, place, local);
        if narrow.record(ask).is_none() {
            let looking: Vec<_> = narrow.looking(&seen, ask.unix_seconds).cloned().collect();
            if !looking.is_empty() {
                return Decision::refused(Reason::FactMissing, looking);
            }
        }
        let (reads, zones) = (&narrow.cedar_reads, &self.site.zones);
        let fact = narrow.fact.as_deref();
        let context = || context::context(reads, &narrow.kinds, narrow.typed, fact, ask, place, zones);
        let made = OnceCell::new();
        // A value that can't be compared ends it, whichever rule reads it.
        if !reads.fields.is_empty() || reads.has(Reads::QUERY | Reads::RECORD) {
            match context() {
                Ok(context) => drop(made.set(narrow.request(context))),
                Err(Unfit::Field(field)) => return Decision::refused(Reason::ValueNotComparable(field), []),
                Err(Unfit::Local | Unfit::Context) => return Decision::refused(Reason::EvaluationError, []),
            }
        }
        let request = || made.get_or_init(|| context().ok().and_then(|context| narrow.request(context))).clone();
        let entities = &narrow.entities;
        self.book.judge(&narrow.bench, &Case { seen, request: &request, entities, now: Some(ask.unix_seconds) })
    }

    pub(super) fn remember(&self, key: Vec<u8>, decide: impl FnOnce() -> Decision) -> Decision {
        if let Some(known) = self.remembered.get(key.as_slice()) {
            return known;
        }
        let decision = decide();
        if key.len() <= MAX_KEY {
            self.remembered.insert(key.into(), decision.clone());
        }
        decision
    }

    pub(super) fn narrow(
        &self,
        asker: Asker<'_>,
        program: ProgramName,
        transaction: TransactionName,
        effect: Effect,
    ) -> Option<Arc<Narrow>> {
        self.narrowed(NarrowKey { asker: self.key_of(asker), program, transaction, effect, carried: true })
    }

    /// What the rules make of this very call: where it carries no division, none that it says is believed.
    pub(super) fn narrow_of(&self, ask: &Ask<'_>) -> Option<Arc<Narrow>> {
        let Ask { asker, program, transaction, effect, layout, inputs, .. } = *ask;
        let whole = self.narrow(asker, program, transaction, effect)?;
        if !whole.reads.has(Reads::DIVISION) || Carries::of(layout, effect).with(layout, inputs) {
            return Some(whole);
        }
        self.narrowed(NarrowKey { asker: self.key_of(asker), program, transaction, effect, carried: false })
    }

    fn narrowed(&self, key: NarrowKey) -> Option<Arc<Narrow>> {
        if let Some(known) = self.narrows.get(&key) {
            return Some(known);
        }
        let principals = self.principals(&key.asker);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let call = (key.program, key.transaction, key.effect);
        let built = Narrow::build(&self.book, (&self.typed, &self.facts), &principals, call, key.carried, number)?;
        let built = Arc::new(built);
        self.narrows.insert(key, built.clone());
        Some(built)
    }

    /// All that a rule can tell of an asker: whether it is a named client, and which named groups it is in.
    fn key_of(&self, asker: Asker<'_>) -> Box<[u32]> {
        let groups = asker.groups.iter().filter_map(|group| self.groups.get(group));
        let mut key: Vec<u32> = self.clients.get(asker.client).into_iter().chain(groups).copied().collect();
        key.sort_unstable();
        key.dedup();
        key.into()
    }

    pub(super) fn principals_of(&self, asker: Asker<'_>) -> Vec<EntityUid> {
        self.principals(&self.key_of(asker))
    }

    /// The client first, then its groups.
    fn principals(&self, key: &[u32]) -> Vec<EntityUid> {
        let named = key.iter().filter_map(|at| self.named.get(*at as usize));
        let (clients, groups): (Vec<_>, Vec<_>) = named.cloned().partition(|uid| *uid.type_name() == TYPES.client);
        let client = clients.into_iter().next().unwrap_or_else(nobody_in_particular);
        std::iter::once(client).chain(groups).collect()
    }
}

impl Narrow {
    /// Typed by construction, so Cedar's own check is left to a test.
    pub(super) fn request(&self, context: Context) -> Option<Request> {
        let (action, resource) = (self.target.action.clone(), self.target.resource.clone());
        Request::new(self.principal.clone(), action, resource, context, None).ok()
    }
}

fn insert<K: std::hash::Hash + Eq>(map: &mut HashMap<K, u32>, key: K, at: u32) -> bool {
    let new = !map.contains_key(&key);
    map.entry(key).or_insert(at);
    new
}

fn hash(sources: &[Source]) -> String {
    let mut bytes = Vec::new();
    for source in sources {
        for part in [&source.name, &source.text] {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part.as_bytes());
        }
    }
    digest(&SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Set").field("hash", &self.hash).field("rules", &self.rules()).finish_non_exhaustive()
    }
}
