//! What holds at the moment, laid out for the questions that a request asks.
//!
//! Does not know: where the entries come from; the time is an argument.

use super::entry::{Entry, What};
use crate::model::{ClientId, ProgramName, TransactionName};
use arc_swap::{ArcSwap, Guard};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The entries that hold. A clone is the same list.
#[derive(Debug, Clone, Default)]
pub struct Stops {
    held: Arc<ArcSwap<View>>,
}

/// One reading of the list.
#[derive(Debug, Default)]
pub struct View {
    /// Moves with every reading that differs.
    pub epoch: u64,
    issuers: HashMap<Arc<str>, OfIssuer>,
    texts: HashSet<[u8; 32]>,
    clients: HashMap<ClientId, Block>,
    programs: HashMap<ProgramName, OfProgram>,
    entries: Vec<Arc<Entry>>,
}

#[derive(Debug, Default)]
struct OfIssuer {
    tokens: HashSet<Box<str>>,
    grants: HashSet<Box<str>>,
    clients: HashMap<Arc<str>, u64>,
    before: Option<u64>,
}

#[derive(Debug, Default)]
struct OfProgram {
    whole: Option<Block>,
    transactions: HashMap<TransactionName, Block>,
}

/// Why something is refused now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub id: Arc<str>,
    until: Option<u64>,
}

/// What a verified token says of itself, as far as it can be taken back by it.
#[derive(Debug, Clone, Copy)]
pub struct TokenFacts<'a> {
    pub issuer: &'a str,
    pub client: &'a str,
    pub id: &'a str,
    pub grant: Option<&'a str>,
    pub issued: Option<u64>,
    /// SHA-256 of its text, where it is at hand.
    pub text: Option<&'a [u8; 32]>,
    /// Seconds by which the issuer's clock may differ from ours.
    pub leeway: u64,
}

impl Stops {
    pub fn held(&self) -> Guard<Arc<View>> {
        self.held.load()
    }

    /// Puts another reading in place, if it is another.
    pub fn replace(&self, entries: Vec<Arc<Entry>>) {
        let old = self.held.load();
        if old.entries != entries {
            self.held.store(Arc::new(View::of(entries, old.epoch + 1)));
        }
    }
}

impl View {
    fn of(entries: Vec<Arc<Entry>>, epoch: u64) -> Self {
        let mut view = Self { epoch, ..Self::default() };
        for entry in &entries {
            let block = Block { id: Arc::clone(&entry.id), until: entry.until };
            match &entry.what {
                What::Token { issuer, id } => {
                    view.issuer(issuer).tokens.insert(id.clone());
                }
                What::Grant { issuer, id } => {
                    view.issuer(issuer).grants.insert(id.clone());
                }
                What::Text { digest } => {
                    view.texts.insert(*digest);
                }
                What::Client { client, before } => {
                    let known = view.issuer(&client.issuer).clients.entry(Arc::clone(&client.id)).or_default();
                    *known = (*known).max(*before);
                }
                What::Issuer { issuer, before } => {
                    let known = view.issuer(issuer);
                    known.before = known.before.max(Some(*before));
                }
                What::BlockedClient(client) => {
                    longest(view.clients.entry(client.clone()).or_insert_with(|| block.clone()), block);
                }
                What::BlockedProgram(program, None) => {
                    let known = view.programs.entry(*program).or_default();
                    longest(known.whole.get_or_insert_with(|| block.clone()), block);
                }
                What::BlockedProgram(program, Some(name)) => {
                    let known = view.programs.entry(*program).or_default();
                    longest(known.transactions.entry(*name).or_insert_with(|| block.clone()), block);
                }
            }
        }
        Self { entries, ..view }
    }

    fn issuer(&mut self, issuer: &Arc<str>) -> &mut OfIssuer {
        self.issuers.entry(Arc::clone(issuer)).or_default()
    }

    /// Whether a token was taken back. One that does not say when it was issued can't show that it came later, and one
    /// from the future can't be believed.
    pub fn revoked(&self, token: &TokenFacts<'_>, now: u64) -> bool {
        if token.text.is_some_and(|text| self.texts.contains(text)) {
            return true;
        }
        let Some(known) = self.issuers.get(token.issuer) else { return false };
        let before = known.before.max(known.clients.get(token.client).copied());
        let too_old = before.is_some_and(|before| match token.issued {
            None => true,
            Some(issued) => {
                issued <= before.saturating_add(token.leeway) || issued > now.saturating_add(token.leeway.max(1))
            }
        });
        too_old || known.tokens.contains(token.id) || token.grant.is_some_and(|grant| known.grants.contains(grant))
    }

    pub fn client(&self, client: &ClientId, now: u64) -> Option<&Block> {
        self.clients.get(client).filter(|block| block.holds(now))
    }

    /// The whole program.
    pub fn program(&self, program: ProgramName, now: u64) -> Option<&Block> {
        self.programs.get(&program)?.whole.as_ref().filter(|block| block.holds(now))
    }

    /// The program, or this transaction of it.
    pub fn call(&self, program: ProgramName, name: TransactionName, now: u64) -> Option<&Block> {
        let known = self.programs.get(&program)?;
        known.whole.iter().chain(known.transactions.get(&name)).find(|block| block.holds(now))
    }

    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// How many blocks and how many revocations hold.
    pub fn counts(&self, now: u64) -> (usize, usize) {
        let live = || self.entries.iter().filter(|entry| entry.holds(now));
        let blocks = live().filter(|entry| entry.what.is_block()).count();
        (blocks, live().count() - blocks)
    }
}

impl Block {
    fn holds(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Of two blocks of the same, the one that ends later is the one to name.
fn longest(known: &mut Block, other: Block) {
    if other.until.is_none() || known.until.is_some_and(|until| other.until.is_some_and(|own| own > until)) {
        *known = other;
    }
}
