//! What M3's own publisher tells, beside what was made here in shadow of the same record.

use crate::bod::{Comparison, Incomparable, Mapping, Secrets, compare};
use crate::model::Sensitive;
use crate::outbox::{self, Compared, Ledger, Pair};
use crate::telemetry::Metrics;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(500);
/// Documents that are held beside each other.
const TOGETHER: u32 = 8;

pub(super) struct Comparer {
    ledger: Ledger,
    /// By noun.
    secrets: HashMap<String, Arc<Secrets>>,
    unknown: Arc<Secrets>,
    within: Duration,
    /// What the outbox may hold, in bytes.
    most: u64,
    metrics: Arc<Metrics>,
}

impl Comparer {
    pub(super) fn new(
        ledger: Ledger,
        mappings: &[Mapping],
        sensitive: &Sensitive,
        (within, most): (Duration, u64),
        metrics: Arc<Metrics>,
    ) -> Self {
        let of = |mapping: &Mapping| (mapping.noun().to_owned(), Arc::new(Secrets::of(Some(mapping), sensitive)));
        let (secrets, unknown) = (mappings.iter().map(of).collect(), Arc::new(Secrets::of(None, sensitive)));
        Self { ledger, secrets, unknown, within, most, metrics }
    }

    pub(super) async fn run(&self) {
        loop {
            match self.round().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "documents of M3's own publisher can't be compared"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// `true`: there may be more.
    async fn round(&self) -> Result<bool, outbox::Error> {
        let pairs = self.ledger.to_compare(TOGETHER).await?;
        for pair in &pairs {
            self.pair(pair.clone()).await?;
        }
        let over = self.ledger.unmatched(self.within, self.most).await?;
        over.iter().for_each(|one| one.tell(&self.metrics));
        Ok(!pairs.is_empty() || !over.is_empty())
    }

    async fn pair(&self, pair: Pair) -> Result<(), outbox::Error> {
        let secrets = self.secrets.get(&pair.noun).unwrap_or(&self.unknown).clone();
        // A document of thousands of lines takes longer than requests may wait for the thread.
        let beside = pair.clone();
        let compared = tokio::task::spawn_blocking(move || found(&beside, &secrets)).await;
        let found = compared.unwrap_or_else(|_| Compared::Never("it met a bug of the gateway's".to_owned()));
        if !self.ledger.compared(&pair, &found).await? {
            return Ok(());
        }
        let document = format!("{}.{}", pair.verb, pair.noun);
        let (entity, document_id, bod_id) = (&pair.entity, &pair.document_id, &pair.bod_id);
        match &found {
            Compared::Same(_) => counted(&self.metrics, &document, "same"),
            Compared::Never(why) => {
                counted(&self.metrics, &document, "unreadable");
                tracing::warn!(
                    document,
                    entity,
                    document_id,
                    bod_id,
                    why,
                    "a document of M3's own publisher can't be compared"
                );
            }
            // Counted when nothing that says the same came in time.
            Compared::Different { .. } | Compared::Later => {}
        }
        Ok(())
    }
}

fn counted(metrics: &Metrics, document: &str, result: &str) {
    metrics.publishing.compared.with_label_values(&[document, result]).inc();
}

fn found(pair: &Pair, secrets: &Secrets) -> Compared {
    let mut first: Option<(i64, Comparison)> = None;
    let mut unread = None;
    for ours in &pair.ours {
        match compare(&ours.xml, &pair.xml, secrets) {
            Ok(comparison) if comparison.is_same() => return Compared::Same(ours.message),
            Ok(comparison) if first.is_none() && !ours.settled => first = Some((ours.message, comparison)),
            Ok(_) => {}
            Err(Incomparable { ours: false, why }) => return Compared::Never(why),
            Err(error) => unread = Some(error.to_string()),
        }
    }
    match (first, unread) {
        (Some((message, Comparison { many, first })), _) => {
            let places = first.iter().map(|one| json!({ "path": one.path, "ours": one.ours, "theirs": one.theirs }));
            Compared::Different { message, many, found: places.collect() }
        }
        (None, Some(why)) => Compared::Never(why),
        (None, None) => Compared::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Ours;

    /// What is found of one that says `theirs`, beside these, the newest first; `true`: settled.
    fn of(theirs: &str, ours: &[(&str, bool)]) -> Compared {
        let document = |text: &str| format!("<A><DataArea><B>{text}</B></DataArea></A>");
        let numbered = ours.iter().zip(1..).map(|((text, settled), at)| Ours {
            message: 10 - at,
            settled: *settled,
            xml: document(text),
        });
        let text = |text: &str| text.to_owned();
        let pair = Pair {
            id: 1,
            noun: text("B"),
            verb: text("A"),
            document_id: text("1"),
            entity: text("100"),
            bod_id: text("x"),
            lid: text("lid://x"),
            xml: document(theirs),
            ours: numbered.collect(),
        };
        found(&pair, &Secrets::default())
    }

    #[test]
    fn a_publisher_that_is_behind_or_ahead_is_compared_with_the_state_that_it_speaks_of() {
        assert_eq!(of("1", &[("1", false)]), Compared::Same(9));
        assert_eq!(of("1", &[("2", false), ("1", false)]), Compared::Same(8), "it is behind");
        assert_eq!(of("1", &[("1", true)]), Compared::Same(9), "it said so before");
        let Compared::Different { message: 9, many: 1, found } = of("3", &[("2", false), ("1", true)]) else {
            panic!()
        };
        assert_eq!(found[0], json!({ "path": "B", "ours": "2", "theirs": "3" }));
        assert_eq!(of("3", &[("2", true), ("1", true)]), Compared::Later, "it is ahead");
        let Compared::Different { message: 8, .. } = of("3", &[("2", true), ("1", false)]) else { panic!() };
        assert!(matches!(of("<", &[("1", false)]), Compared::Never(_)));
    }
}
