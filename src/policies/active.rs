//! The set in force, and the watch that replaces it when the files change.

use super::files::{Error, Files, read};
use crate::model::{ProgramName, TransactionLayout, TransactionName};
use crate::policy::{Fault, Set, Source};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Layouts of the transactions that rules name, as the saved catalog knows them. Called while loading; may read a file.
pub type Layouts = Arc<dyn Fn(ProgramName, TransactionName) -> Option<Arc<TransactionLayout>> + Send + Sync>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub dir: PathBuf,
    /// How often the folder is looked at.
    pub every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { dir: "policies".into(), every: Duration::from_secs(1) }
    }
}

pub struct Active {
    settings: Settings,
    local_issuer: String,
    layouts: Layouts,
    metrics: Metrics,
    now: ArcSwap<Set>,
    limits: ArcSwap<Source>,
    /// The texts last looked at, good or bad: a fault is told once, not every second.
    seen: Mutex<Option<Files>>,
    embedded: AtomicBool,
    again: AtomicBool,
}

impl Active {
    /// Loads the folder, or the embedded files where there is none. Blocks; meant for the start.
    pub fn load(
        settings: Settings,
        local_issuer: &str,
        layouts: Layouts,
        metrics: Metrics,
    ) -> Result<Arc<Self>, Error> {
        let files = read(&settings.dir)?;
        let set = Set::load(&files.cedar, local_issuer, &*layouts).map_err(Error::Faults)?;
        metrics.policy_rules.set(i64::try_from(set.rules()).unwrap_or(i64::MAX));
        Ok(Arc::new(Self {
            settings,
            local_issuer: local_issuer.to_owned(),
            layouts,
            metrics,
            now: ArcSwap::from_pointee(set),
            limits: ArcSwap::from_pointee(files.limits.clone()),
            embedded: AtomicBool::new(files.embedded),
            seen: Mutex::new(Some(files)),
            again: AtomicBool::new(false),
        }))
    }

    /// The set in force. Hold it for one call, not longer.
    pub fn set(&self) -> Arc<Set> {
        self.now.load_full()
    }

    /// The text of the limits in force, or as last seen; `limit` reads it.
    pub fn limits(&self) -> Arc<Source> {
        self.limits.load_full()
    }

    /// The rules are those that were compiled in.
    pub fn is_embedded(&self) -> bool {
        self.embedded.load(Ordering::Relaxed)
    }

    /// The catalog learnt layouts: rules that couldn't be checked may be now. Picked up by the watch.
    pub fn layouts_changed(&self) {
        self.again.store(true, Ordering::Release);
    }

    /// Looks at the folder until the house stops. `limits` is told of new limits, and logs what it can't read.
    pub fn watch(self: &Arc<Self>, tasks: &Tasks, limits: impl Fn(&Source) + Send + Sync + 'static) {
        let active = Arc::clone(self);
        let limits = Arc::new(limits);
        tasks.spawn_until_stop(async move {
            let mut ticks = tokio::time::interval(active.settings.every.max(Duration::from_millis(10)));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let (active, limits) = (Arc::clone(&active), Arc::clone(&limits));
                // A large set takes a second to load: never on a thread that serves requests.
                let looked = tokio::task::spawn_blocking(move || active.look(&*limits)).await;
                if let Err(why) = looked {
                    tracing::error!(%why, "looking at the policy folder failed");
                }
            }
        });
    }

    /// One look: reads, and swaps what changed and is good. Blocks.
    pub fn look(&self, limits: &dyn Fn(&Source)) {
        let found = self.try_look(limits);
        if found.is_err() {
            self.metrics.reloads_refused.with_label_values(&["policy"]).inc();
        }
        match found {
            Ok(false) => {}
            Ok(true) => tracing::info!(hash = self.set().hash(), rules = self.set().rules(), "policy set replaced"),
            Err(Error::Faults(faults)) => {
                for fault in &faults {
                    tracing::error!(%fault, "policy files have a fault; the last good set stays");
                }
            }
            Err(why) => tracing::error!(%why, "policy files can't be read; the last good set stays"),
        }
    }

    fn try_look(&self, limits: &dyn Fn(&Source)) -> Result<bool, Error> {
        let again = self.again.swap(false, Ordering::AcqRel);
        let found = read(&self.settings.dir).and_then(|files| match files.embedded && !self.is_embedded() {
            // A folder that goes away is a mishap; falling back to the demo's rules would be a surprise.
            true => Err(Error::Gone { path: self.settings.dir.clone() }),
            false => Ok(files),
        });
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let files = match found {
            Ok(files) => files,
            // The same trouble is told once; `seen` is empty while it lasts.
            Err(why) => return seen.take().map_or(Ok(false), |_| Err(why)),
        };
        if seen.as_ref() == Some(&files) && !again {
            return Ok(false);
        }
        let unchanged = seen.as_ref().is_some_and(|seen| seen.cedar == files.cedar) && !again;
        *seen = Some(files.clone());
        // The rules first: limits that came with a set that has a fault are not taken over without it.
        let set = match unchanged {
            true => None,
            false => Some(Set::load(&files.cedar, &self.local_issuer, &*self.layouts).map_err(Error::Faults)?),
        };
        if *self.limits.load_full() != files.limits {
            self.limits.store(Arc::new(files.limits.clone()));
            limits(&files.limits);
        }
        let Some(set) = set else { return Ok(false) };
        self.metrics.policy_rules.set(i64::try_from(set.rules()).unwrap_or(i64::MAX));
        self.now.store(Arc::new(set));
        self.embedded.store(files.embedded, Ordering::Relaxed);
        Ok(true)
    }
}

impl fmt::Debug for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Active").field("dir", &self.settings.dir).field("set", &self.now.load()).finish_non_exhaustive()
    }
}

/// What a check of the files finds.
#[derive(Debug)]
pub struct Check {
    pub files: Files,
    pub hash: String,
    pub rules: usize,
    pub warnings: Vec<Fault>,
}

/// Reads and loads, and keeps nothing.
pub fn check(settings: &Settings, local_issuer: &str, layouts: &Layouts) -> Result<Check, Error> {
    let files = read(&settings.dir)?;
    let set = Set::load(&files.cedar, local_issuer, &**layouts).map_err(Error::Faults)?;
    Ok(Check { hash: set.hash().to_owned(), rules: set.rules(), warnings: set.warnings().to_vec(), files })
}
