//! A whole program at once, for those who write rules before anybody calls it.

use super::cache::{Catalog, Entry, Error};
use crate::m3;
use crate::model::{ProgramName, TransactionName};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What was learnt of a program.
#[derive(Debug, Default)]
pub struct Pulled {
    pub transactions: usize,
    /// What M3 lists and does not describe.
    pub failed: Vec<(TransactionName, Error)>,
}

impl Pulled {
    /// As an operator sees it.
    pub fn shown(&self, program: ProgramName) -> Value {
        let failed =
            self.failed.iter().map(|(name, error)| json!({ "transaction": name.as_str(), "error": error.to_string() }));
        json!({ "program": program.as_str(), "transactions": self.transactions, "failed": failed.collect::<Vec<_>>() })
    }
}

/// Questions to M3 at once: callers go on meanwhile.
const BESIDE: usize = 4;

impl Catalog {
    /// Every layout of a program, from M3 and not from before. A program that M3 does not list has none.
    pub async fn pull(&self, program: ProgramName) -> Result<Pulled, Arc<m3::Error>> {
        self.look_again(program).await;
        let names: Vec<TransactionName> = self.transactions(program).await?.iter().map(|facts| facts.name).collect();
        let asked = stream::iter(names).map(|name| async move { (name, self.fetch_anew(program, name).await) });
        let mut pulled = Pulled::default();
        let mut asked = asked.buffer_unordered(BESIDE);
        while let Some((name, learnt)) = asked.next().await {
            match learnt {
                Ok(()) => pulled.transactions += 1,
                Err(error) => pulled.failed.push((name, error)),
            }
        }
        pulled.failed.sort_by_key(|(name, _)| *name);
        Ok(pulled)
    }

    /// What M3 lists of a program is asked for again, though it may have been asked for just now.
    async fn look_again(&self, program: ProgramName) {
        self.0.programs.invalidate(&program).await;
        self.0.empty.invalidate(&program).await;
    }

    /// From M3, whatever is at hand; what is at hand stays where M3 can't be asked.
    async fn fetch_anew(&self, program: ProgramName, transaction: TransactionName) -> Result<(), Error> {
        let key = (program, transaction);
        let fresh = self.fetch(key).await?;
        let before = self.at_hand(program, transaction);
        // The same layout stays the same one: sessions that have confirmed it need not again.
        let entry = match before {
            Some(before) if before == fresh.layout => Entry::new(before, false),
            Some(_) => {
                self.0.moved.store(true, Ordering::Relaxed);
                fresh
            }
            None => {
                self.0.learnt.store(true, Ordering::Relaxed);
                fresh
            }
        };
        self.0.layouts.insert(key, entry).await;
        self.0.unknown.invalidate(&key).await;
        self.0.changed.notify_one();
        Ok(())
    }
}
