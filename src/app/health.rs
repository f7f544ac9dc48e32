//! Readiness: what is looked at again and again, and what it means.

use crate::admin::Health;
use crate::audit;
use crate::auth::Verifier;
use crate::catalog::Catalog;
use crate::clock::unix_seconds;
use crate::gateway::Parts;
use crate::m3;
use crate::outbox::Outbox;
use crate::policies::Active;
use crate::tasks::Tasks;
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(5);
/// Sooner while something is wrong: whoever waits for readiness waits for this.
const SOON: Duration = Duration::from_millis(500);

pub(super) struct Watched {
    pub(super) health: Health,
    pub(super) m3: m3::Client,
    pub(super) verifier: Verifier,
    pub(super) catalog: Catalog,
    pub(super) policies: Arc<Active>,
    pub(super) audit: audit::Log,
    pub(super) outbox: Outbox,
}

impl Watched {
    pub(super) fn over(parts: &Parts, health: &Health) -> Self {
        Self {
            health: health.clone(),
            m3: parts.m3.clone(),
            verifier: parts.verifier.clone(),
            catalog: parts.catalog.clone(),
            policies: parts.policies.clone(),
            audit: parts.audit.clone(),
            outbox: parts.outbox.clone(),
        }
    }

    /// The first look is taken before the doors open, so that readiness never says more than was seen.
    pub(super) async fn look(&self) -> bool {
        let m3 = match self.m3.probe().await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        let without = self.verifier.without_keys();
        let keys = if without.is_empty() {
            Ok(())
        } else {
            Err(format!("no keys, or none that are fresh enough, of {}", without.join(", ")))
        };
        let audit = self.audit.status();
        let outbox = self.outbox.status();
        self.audit.tell_refusals();
        let good = m3.is_ok() && keys.is_ok() && audit.is_ok() && outbox.is_ok();
        self.health.set("m3", m3);
        self.health.set("issuers", keys);
        self.health.set("audit", audit);
        self.health.set("outbox", outbox);
        self.policy();
        // Rules over a transaction whose layout was not known when they were loaded deny; they are read again once it is,
        // and once one that they were read with is another.
        let may_help = self.catalog.has_learnt() && !self.policies.set().warnings().is_empty();
        if self.catalog.has_moved() || may_help {
            self.policies.layouts_changed();
        }
        good
    }

    /// A set with a fault is a matter for its owners: the last good one decides, and callers are served.
    fn policy(&self) {
        let now = self.policies.in_force();
        let over = self.policies.is_over(unix_seconds());
        let mut note = format!("{} version {}, {}", now.name, now.version, now.hash).trim_start().to_owned();
        if !now.signers.is_empty() {
            note.push_str("; signed by ");
            note.push_str(&now.signers.join(", "));
        }
        if now.rolled_back {
            note.push_str("; rolled back");
        }
        if over {
            note.push_str("; its last day is over");
        }
        if let Some(trouble) = &now.trouble {
            note.push_str("; the policy folder is not in force: ");
            note.push_str(trouble);
        }
        self.health.note("policy", Some(note));
        self.health.note("policy shadow", self.policies.shadow().map(|shadow| shadow.note()));
    }

    /// Nobody calls what is only read for rules: without this its layout would never be learnt, and they would deny.
    async fn learn(&self) {
        for (program, transaction) in self.policies.set().unlearnt() {
            if let Err(error) = self.catalog.layout(program, transaction).await {
                tracing::warn!(%program, %transaction, %error, "the layout of a transaction that facts.toml names could not be learnt");
            }
        }
    }

    pub(super) fn watch(self, tasks: &Tasks) {
        tasks.spawn_until_stop(async move {
            loop {
                // Each waits for M3, and is given up for this once rather than waited for.
                let _ = tokio::time::timeout(EVERY, self.learn()).await;
                let good = self.look().await;
                tokio::time::sleep(if good { EVERY } else { SOON }).await;
            }
        });
    }
}
