//! Readiness: what is looked at again and again, and what it means.

use crate::admin::Health;
use crate::audit;
use crate::auth::Verifier;
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

    pub(super) fn watch(self, tasks: &Tasks) {
        tasks.spawn_until_stop(async move {
            loop {
                let good = self.look().await;
                tokio::time::sleep(if good { EVERY } else { SOON }).await;
            }
        });
    }
}
