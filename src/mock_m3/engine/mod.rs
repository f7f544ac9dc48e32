//! The mock's business: a table says what each transaction does to which kind of record; the data is seeded and changes.
//!
//! Always holds: what a transaction answers depends on the data, the call and the table alone; a lock is never held
//! while a list is being sent. Does not know: columns, sockets, sessions.

mod batch;
mod message;
mod repository;
mod run;
mod seed;
mod store;
mod table;
#[cfg(test)]
mod tests;

use super::metadata::{Metadata, Transaction};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use store::Store;

/// Field to value: unpadded, numbers with a point, dates as yyyyMMdd.
pub type Row = BTreeMap<String, String>;

/// Who calls, where and when.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) user: String,
    pub(super) company: u16,
    pub(super) division: String,
    pub(super) today: String,
    pub(super) time: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nok {
    pub(super) id: String,
    pub(super) field: String,
    pub(super) text: String,
}

pub(super) enum Answer {
    Record(Row),
    Done,
    List(Box<dyn Iterator<Item = Row> + Send>),
    Nok(Nok),
}

impl From<Nok> for Answer {
    fn from(nok: Nok) -> Self {
        Self::Nok(nok)
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    /// Records of the generated list (MMS060MI/LstBalID); 0: as many as there are.
    pub(super) big_list: usize,
    pub(super) journal: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct Engine {
    store: Store,
    metadata: RwLock<Arc<Metadata>>,
    big_list: usize,
}

impl Engine {
    pub(super) fn new(metadata: Arc<Metadata>, options: Options) -> Self {
        let store = Store::new(options.journal);
        seed::fill(&store);
        store.replay();
        Self { store, metadata: RwLock::new(metadata), big_list: options.big_list }
    }

    /// A second release.
    pub(super) fn set_metadata(&self, metadata: Arc<Metadata>) {
        *self.metadata.write().unwrap_or_else(PoisonError::into_inner) = metadata;
    }

    fn metadata(&self) -> Arc<Metadata> {
        self.metadata.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn run(&self, context: &Context, transaction: &Transaction, input: &Row) -> Answer {
        if transaction.program == "MRS001MI" {
            return repository::run(&self.metadata(), transaction, input);
        }
        let call = run::Call::new(self, context, transaction, input);
        match table::find(&transaction.program, &transaction.name) {
            Some(play) => call.play(play),
            None => message::not_played(transaction).into(),
        }
    }

    pub(super) fn lock(&self, program: &str, company: u16, key: &[(&str, &str)]) {
        let Some(kind) = table::main_kind(program) else { return };
        let value =
            |field: &&str| key.iter().find(|(name, _)| name == field).map_or("", |(_, value)| *value).to_owned();
        self.store.lock(kind, company, kind.key().iter().map(value).collect());
    }

    /// What waits for a person in the batch entries is looked at.
    pub(super) fn release(&self) {
        seed::COMPANIES.into_iter().for_each(|company| batch::release(&self.store, company));
    }

    pub(super) fn unlock(&self) {
        self.store.unlock();
    }

    /// A record of the program's main kind, as it stands.
    pub(super) fn record(&self, program: &str, company: u16, key: &[(&str, &str)]) -> Option<Row> {
        let kind = table::main_kind(program)?;
        let rows = self.store.rows(kind, company);
        rows.into_iter()
            .find(|row| key.iter().all(|(name, value)| row.get(*name).is_some_and(|held| held == value)))
            .map(|row| Row::clone(&row))
    }
}
