//! The set in force, and the watch that replaces it when the files change.

use super::bundle::Trust;
use super::files::{Error, Files, read_trusted};
use super::gate::{Against, Gate, Good, Layouts, LimitsCheck, pass};
use super::kept::{self, Kept};
use super::manifest::Manifest;
use super::shadow::{Shadow, ShadowSettings};
use super::whence::{Whence, asked, found, last_good, last_kept, may_follow};
use crate::clock::unix_seconds;
use crate::policy::{Set, Site, Source};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A folder, or a bundle where `trust` asks for one.
    pub dir: PathBuf,
    pub trust: Trust,
    /// How often the folder is looked at.
    pub every: Duration,
    pub gate: Gate,
    /// Where good sets are kept; `None` keeps none.
    pub kept: Option<Kept>,
    /// A candidate to be asked beside the set in force.
    pub shadow: Option<ShadowSettings>,
}

/// Files that are to decide, and whether they were gone back to.
pub(super) type Found = Result<(Files, bool), Error>;

/// How long files that changed must have stayed as they are.
const SETTLED: Duration = Duration::from_millis(250);

impl Default for Settings {
    fn default() -> Self {
        let (dir, trust, gate) = ("policies".into(), Trust::default(), Gate::default());
        Self { dir, trust, every: Duration::from_secs(1), gate, kept: None, shadow: None }
    }
}

/// Which set decides, for whoever asks about the house.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InForce {
    pub name: String,
    pub version: u64,
    /// Of the rules alone, as decisions and the audit log name it.
    pub hash: String,
    /// Of all its files, limits and tests too, as kept sets are named.
    pub id: String,
    /// The keys whose signatures it came with.
    pub signers: Vec<String>,
    /// It was gone back to, and the folder doesn't count.
    pub rolled_back: bool,
    /// Why the folder's own set is not in force.
    pub trouble: Option<String>,
    pub expires_at: Option<u64>,
}

/// A set, or other limits, that came into force, for whoever writes it down.
#[derive(Debug, Clone)]
pub struct Change {
    /// What it followed; nothing at the start.
    pub was: Option<Arc<InForce>>,
    pub now: Arc<InForce>,
}

pub struct Active {
    settings: Settings,
    against: Against,
    metrics: Metrics,
    now: ArcSwap<Set>,
    limits: ArcSwap<Source>,
    /// The texts last looked at, good or bad, and whether they were gone back to: a fault is told once, not every second.
    seen: Mutex<Option<(Files, bool)>>,
    in_force: ArcSwap<InForce>,
    embedded: AtomicBool,
    again: AtomicBool,
    shadow: Option<Arc<Shadow>>,
}

impl Active {
    /// Loads the folder, or the embedded files where there is none; of one with a fault the last good set. Blocks.
    pub fn load(
        settings: Settings,
        site: Site,
        layouts: Layouts,
        limits: LimitsCheck,
        metrics: Metrics,
    ) -> Result<Arc<Self>, Error> {
        let (now, against) = (unix_seconds(), Against { site, layouts, limits });
        let Whence { dir, rollback } = Whence::now(&settings)?;
        let rolled_back = rollback.is_some();
        let own = found(&dir, rollback.as_deref(), &settings.trust).and_then(|files| {
            let asked = asked(&settings, &files, rolled_back, last_kept(&settings).as_deref());
            let good = pass(&files, asked, &against, now)?;
            may_follow(&settings, &files, good.manifest.version, rolled_back)?;
            Ok((good, files))
        });
        let (good, files, seen, trouble) = match own {
            Ok((good, files)) => (good, files.clone(), Some((files, rolled_back)), None),
            // Whoever went back from a set must not find it in force again because another one was damaged.
            Err(error) if rolled_back => return Err(error),
            Err(error) => {
                let Some((good, files)) = last_good(&settings, &against, now) else { return Err(error) };
                let trouble = error.to_string();
                tracing::error!(%error, "the policy folder can't be used; the last good set is in force");
                metrics.reloads_refused.with_label_values(&["policy"]).inc();
                (good, files, read_trusted(&dir, &settings.trust).ok().map(|files| (files, false)), Some(trouble))
            }
        };
        let shadow = settings.shadow.clone();
        let active = Self {
            shadow: shadow.map(|shadow| Shadow::load(shadow, settings.gate, &against, metrics.clone())),
            settings,
            against,
            metrics,
            limits: ArcSwap::from_pointee(files.limits.clone()),
            embedded: AtomicBool::new(files.embedded),
            seen: Mutex::new(seen),
            in_force: ArcSwap::from_pointee(InForce { rolled_back, trouble, ..InForce::default() }),
            again: AtomicBool::new(false),
            now: ArcSwap::from_pointee(good.set),
        };
        active.tell(&good.manifest, &files);
        Ok(Arc::new(active))
    }

    /// The set in force. Hold it for one call, not longer.
    pub fn set(&self) -> Arc<Set> {
        self.now.load_full()
    }

    /// The candidate that is asked what this set was asked, where the settings name one.
    pub fn shadow(&self) -> Option<&Arc<Shadow>> {
        self.shadow.as_ref()
    }

    /// The text of the limits in force, or as last seen; `limit` reads it.
    pub fn limits(&self) -> Arc<Source> {
        self.limits.load_full()
    }

    /// The rules are those that were compiled in.
    pub fn is_embedded(&self) -> bool {
        self.embedded.load(Ordering::Relaxed)
    }

    pub fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// Whether the last day of the set in force is over. To deny everything would be an outage, so it is an alarm.
    pub fn is_over(&self, unix_seconds: u64) -> bool {
        let now = self.in_force();
        let over = now.expires_at.is_some_and(|end| unix_seconds >= end);
        self.metrics.policy_trouble.set(i64::from(over || now.trouble.is_some()));
        over
    }

    /// The catalog learnt layouts: rules that couldn't be checked may be now. Picked up by the watch.
    pub fn layouts_changed(&self) {
        self.again.store(true, Ordering::Release);
        if let Some(shadow) = &self.shadow {
            shadow.layouts_changed();
        }
    }

    /// Looks at the folder until the house stops. `limits` is told of new limits, `changed` of all that comes into force.
    pub fn watch(
        self: &Arc<Self>,
        tasks: &Tasks,
        limits: impl Fn(&Source) + Send + Sync + 'static,
        changed: impl Fn(&Change) + Send + Sync + 'static,
    ) {
        let active = Arc::clone(self);
        if let Some(shadow) = &self.shadow {
            shadow.watch(self.settings.every.max(Duration::from_millis(10)), tasks);
        }
        let limits = Arc::new(limits);
        let pause = self.settings.every.min(SETTLED);
        tasks.spawn_until_stop(async move {
            let mut ticks = tokio::time::interval(active.settings.every.max(Duration::from_millis(10)));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let (active, limits) = (Arc::clone(&active), Arc::clone(&limits));
                let glancing = Arc::clone(&active);
                // A large set takes a second to load: never on a thread that serves requests.
                let news = tokio::task::spawn_blocking(move || glancing.news()).await.unwrap_or_default();
                if news.is_some() {
                    tokio::time::sleep(pause).await;
                }
                let looked = tokio::task::spawn_blocking(move || active.look_settled(&news, &*limits)).await;
                match looked {
                    Ok(change) => change.iter().for_each(&changed),
                    Err(why) => tracing::error!(%why, "looking at the policy folder failed"),
                }
            }
        });
    }

    /// One look: reads, and swaps what changed and is good. Blocks.
    pub fn look(&self, limits: &dyn Fn(&Source)) -> Option<Change> {
        self.look_at(self.found(), limits)
    }

    /// What lies there now, where it is not what was looked at last. Blocks.
    pub(super) fn news(&self) -> Option<Found> {
        let found = self.found();
        (!self.is_seen(&found)).then_some(found)
    }

    /// One look, of files that are as they were a moment before, when there was this `news`: somebody may be in the middle
    /// of writing them, and a set without the guardrails that come next would be a good one. Blocks.
    pub(super) fn look_settled(&self, news: &Option<Found>, limits: &dyn Fn(&Source)) -> Option<Change> {
        let found = self.found();
        let settled = match (news, &found) {
            // What can't be read is told; it changes nothing.
            (_, Err(_)) => true,
            (Some(Ok(before)), Ok(now)) if before == now => true,
            _ => self.is_seen(&found),
        };
        if settled { self.look_at(found, limits) } else { None }
    }

    fn is_seen(&self, found: &Found) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        matches!((&*seen, found), (Some(seen), Ok(found)) if seen == found)
    }

    /// The files that are to decide, and whether they were gone back to.
    fn found(&self) -> Found {
        let Whence { dir, rollback } = Whence::now(&self.settings)?;
        let files = found(&dir, rollback.as_deref(), &self.settings.trust)?;
        // A folder that goes away is a mishap; falling back to the demo's rules would be a surprise.
        let gone = files.embedded && !self.is_embedded();
        if gone { Err(Error::Gone { path: dir }) } else { Ok((files, rollback.is_some())) }
    }

    fn look_at(&self, found: Found, limits: &dyn Fn(&Source)) -> Option<Change> {
        let was = self.in_force();
        match self.try_look(found, limits) {
            Ok(false) => None,
            Ok(true) => {
                let now = self.in_force();
                let InForce { name, version, hash, rolled_back, .. } = &*now;
                tracing::info!(%name, version, %hash, rolled_back, rules = self.set().rules(), "policy set replaced");
                // Read again because a layout changed, it is still the same.
                let same = was.id == now.id && was.hash == now.hash && was.rolled_back == now.rolled_back;
                (!same).then_some(Change { was: Some(was), now })
            }
            Err(error) => {
                self.metrics.reloads_refused.with_label_values(&["policy"]).inc();
                let trouble = Some(error.to_string());
                self.in_force.rcu(|held| InForce { trouble: trouble.clone(), ..InForce::clone(held) });
                for line in error.lines() {
                    tracing::error!(fault = %line, "policy files can't be used; the last good set stays");
                }
                None
            }
        }
    }

    fn try_look(&self, found: Found, limits: &dyn Fn(&Source)) -> Result<bool, Error> {
        let again = self.again.swap(false, Ordering::AcqRel);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (files, rolled_back) = match found {
            Ok(found) => found,
            // The same trouble is told once; `seen` is empty while it lasts.
            Err(why) => {
                let told = seen.take().is_none() && self.in_force().trouble == Some(why.to_string());
                return if told { Ok(false) } else { Err(why) };
            }
        };
        if seen.as_ref().is_some_and(|seen| seen.0 == files && seen.1 == rolled_back) && !again {
            return Ok(false);
        }
        let unchanged = !again && seen.as_ref().is_some_and(|seen| seen.1 == rolled_back && seen.0.same_rules(&files));
        *seen = Some((files.clone(), rolled_back));
        // The rules first: limits that came with a set that has a fault are not taken over without it.
        let good = match unchanged && self.in_force().trouble.is_none() {
            true => None,
            false => match self.passed(&files, rolled_back) {
                Ok(good) => Some(good),
                // What was kept could not be read, which is no fault of these files: they are looked at again.
                Err(why @ Error::Unreadable { .. }) => {
                    *seen = None;
                    let told = self.in_force().trouble == Some(why.to_string());
                    return if told { Ok(false) } else { Err(why) };
                }
                Err(why) => return Err(why),
            },
        };
        if *self.limits.load_full() != files.limits {
            // Nor is a set without its limits: one whose limits can't be used is none.
            (self.against.limits)(&files.limits).map_err(Error::Faults)?;
            self.limits.store(Arc::new(files.limits.clone()));
            limits(&files.limits);
        } else if good.is_none() {
            return Ok(false);
        }
        let Some(Good { set, manifest }) = good else {
            let InForce { name, version, .. } = &*self.in_force();
            self.keep(&files, name, *version);
            self.in_force.rcu(|held| InForce { id: kept::id(&files), ..InForce::clone(held) });
            return Ok(true);
        };
        self.now.store(Arc::new(set));
        self.embedded.store(files.embedded, Ordering::Relaxed);
        self.in_force.store(Arc::new(InForce { rolled_back, ..InForce::default() }));
        self.tell(&manifest, &files);
        Ok(true)
    }

    fn passed(&self, files: &Files, rolled_back: bool) -> Result<Good, Error> {
        let InForce { id, version: active, .. } = &*self.in_force();
        let asked = asked(&self.settings, files, rolled_back, Some(id));
        let good = pass(files, asked, &self.against, unix_seconds())?;
        let (found, active) = (good.manifest.version, *active);
        // Whoever comes back from a rollback goes forward again, and whoever rolls back means it.
        if found < active && !rolled_back {
            return Err(Error::Older { found, active });
        }
        may_follow(&self.settings, files, found, rolled_back)?;
        Ok(good)
    }

    /// What it starts with, or goes back to: a set that is in force, with the limits that are.
    fn keep(&self, files: &Files, name: &str, version: u64) {
        let rolled_back = self.in_force().rolled_back;
        if let Some(kept) = self.settings.kept.as_ref().filter(|_| !files.embedded && !rolled_back)
            && let Err(error) = kept.keep(files, name, version, unix_seconds())
        {
            tracing::warn!(%error, "the policy set is in force and could not be kept: a rollback won't find it");
        }
    }

    /// What is in force now, for metrics, readiness and the next start.
    fn tell(&self, manifest: &Manifest, files: &Files) {
        let set = self.set();
        let rolled_back = self.in_force().rolled_back;
        // First of all: whoever reads that a set is in force may go back from it at once.
        self.keep(files, &manifest.name, manifest.version);
        if let Some(kept) = self.settings.kept.as_ref().filter(|_| files.sealed.is_some() && !rolled_back)
            && let Err(error) = kept.rise(manifest.version, kept::id(files))
        {
            tracing::error!(%error, "that this version is in force could not be written down: after a restart an older one may follow");
        }
        self.metrics.policy_rules.set(i64::try_from(set.rules()).unwrap_or(i64::MAX));
        self.metrics.policy_set.reset();
        let version = manifest.version.to_string();
        self.metrics.policy_set.with_label_values(&[&manifest.name, &version, set.hash()]).set(1);
        self.in_force.rcu(|held| InForce {
            name: manifest.name.clone(),
            version: manifest.version,
            hash: set.hash().to_owned(),
            id: kept::id(files),
            expires_at: manifest.expires_at,
            signers: files.sealed.iter().flat_map(|sealed| &sealed.signers).map(ToString::to_string).collect(),
            ..InForce::clone(held)
        });
    }
}

impl fmt::Debug for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Active").field("dir", &self.settings.dir).field("set", &self.now.load()).finish_non_exhaustive()
    }
}
