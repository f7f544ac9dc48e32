//! A candidate set beside the one in force: it is asked what was just decided, and where it would have decided otherwise.
//!
//! A question is a copy of the very call that was decided, and waits in a bounded queue for a thread that serves nobody;
//! when the queue is full it is dropped and counted.
//! Invariant: no answer hangs on it, waits for it or fails with it. Does not know: what became of the call.

#[cfg(test)]
mod tests;

use super::files::{Files, read};
use super::gate::{Against, Asked, Gate, Good, pass};
use super::manifest::Manifest;
use super::tally::{Pair, Tally};
use crate::clock::unix_seconds;
use crate::model::{
    Claim, ClientId, Effect, Input, M3User, Place, Principal, ProgramName, TransactionLayout, TransactionName,
};
use crate::policy::{Ask, Asker, Decision, FactValues, Reason, Set};
use crate::store::write_private;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use arc_swap::{ArcSwap, ArcSwapOption};
use serde_json::{Value, json};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowSettings {
    /// A folder like that of the set in force. There is no candidate while there is no folder.
    pub dir: PathBuf,
    /// Where the counts of a running gateway are told.
    pub told: Option<PathBuf>,
}

pub struct Shadow {
    settings: ShadowSettings,
    asked: Asked,
    against: Against,
    metrics: Metrics,
    candidate: ArcSwapOption<Candidate>,
    trouble: ArcSwap<Option<String>>,
    seen: Mutex<Option<Files>>,
    again: AtomicBool,
    tally: Mutex<Tally>,
    queue: mpsc::Sender<Question>,
    waiting: Mutex<Option<mpsc::Receiver<Question>>>,
}

struct Candidate {
    set: Set,
    manifest: Manifest,
}

/// What was decided, and on what.
struct Question {
    /// Of the decision, as its caller was told.
    id: String,
    client: ClientId,
    groups: Arc<[Box<str>]>,
    scopes: Arc<[Box<str>]>,
    claims: Arc<[Claim]>,
    on: On,
    /// By the set in force.
    was: Decision,
}

enum On {
    Door,
    Name(ProgramName, TransactionName, Effect),
    Values(Box<Values>),
}

struct Values {
    effect: Effect,
    place: Place,
    m3_user: M3User,
    layout: Arc<TransactionLayout>,
    inputs: Vec<Input>,
    /// What was read for the decision, and by which fact it was tried.
    record: Option<FactValues>,
    tried: Option<Arc<str>>,
    address: IpAddr,
    unix_seconds: u64,
}

/// Calls that wait to be asked about.
const WAITING: usize = 4_096;
/// As many are taken to a thread at once.
const BATCH: usize = 64;

impl Shadow {
    /// Looks at the folder once. Blocks.
    pub(super) fn load(settings: ShadowSettings, gate: Gate, against: &Against, metrics: Metrics) -> Arc<Self> {
        let (queue, waiting) = mpsc::channel(WAITING);
        // It is asked for its rules alone.
        let against = Against { limits: Arc::new(|_| Ok(())), ..against.clone() };
        let shadow = Self {
            settings,
            asked: Asked { gate, in_time: true },
            against,
            tally: Mutex::new(Tally::new(&metrics)),
            metrics,
            candidate: ArcSwapOption::empty(),
            trouble: ArcSwap::default(),
            seen: Mutex::default(),
            again: AtomicBool::new(false),
            queue,
            waiting: Mutex::new(Some(waiting)),
        };
        shadow.look();
        Arc::new(shadow)
    }

    /// The client was refused at the door: no rule permits it anything.
    pub fn door(&self, who: &Principal, id: impl fmt::Display) {
        self.ask(who, id, || (On::Door, Decision::by_nobody()));
    }

    /// The call was refused by its name.
    pub fn name(&self, who: &Principal, name: (ProgramName, TransactionName), effect: Effect, id: impl fmt::Display) {
        self.ask(who, id, || (On::Name(name.0, name.1, effect), Decision::by_nobody()));
    }

    /// The call was decided on its values.
    pub fn values(
        &self,
        who: &Principal,
        ask: &Ask<'_>,
        (layout, tried): (&Arc<TransactionLayout>, Option<&Arc<str>>),
        was: &Decision,
        id: impl fmt::Display,
    ) {
        self.ask(who, id, || {
            let values = Values {
                effect: ask.effect,
                place: ask.place,
                m3_user: ask.m3_user.clone(),
                layout: Arc::clone(layout),
                inputs: ask.inputs.to_vec(),
                record: ask.record.cloned(),
                tried: tried.cloned(),
                address: ask.address,
                unix_seconds: ask.unix_seconds,
            };
            (On::Values(Box::new(values)), was.clone())
        });
    }

    fn ask(&self, who: &Principal, id: impl fmt::Display, on: impl FnOnce() -> (On, Decision)) {
        if self.candidate.load().is_none() {
            return;
        }
        // Room first: a copy that finds none would be made for nothing.
        let Ok(room) = self.queue.try_reserve() else { return self.metrics.policy_shadow_dropped.inc() };
        let (on, was) = on();
        room.send(Question {
            id: id.to_string(),
            client: who.client.clone(),
            groups: Arc::clone(&who.groups),
            scopes: Arc::clone(&who.scopes),
            claims: Arc::clone(&who.claims),
            on,
            was,
        });
    }

    /// Looks at the folder, answers questions and tells what it counted, until the house stops.
    pub(super) fn watch(self: &Arc<Self>, every: Duration, tasks: &Tasks) {
        let shadow = Arc::clone(self);
        tasks.spawn_until_stop(async move {
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                aside(&shadow, |shadow| {
                    shadow.look();
                    shadow.tell();
                })
                .await;
            }
        });
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut waiting) = waiting else { return };
        let shadow = Arc::clone(self);
        tasks.spawn_until_stop(async move {
            loop {
                let mut batch = Vec::with_capacity(BATCH);
                if waiting.recv_many(&mut batch, BATCH).await == 0 {
                    return;
                }
                aside(&shadow, move |shadow| batch.iter().for_each(|question| shadow.compare(question))).await;
            }
        });
    }

    pub(super) fn layouts_changed(&self) {
        self.again.store(true, Ordering::Release);
    }

    /// One look: what changed and is good is asked from now on, and what isn't is told once. Blocks.
    pub(super) fn look(&self) {
        let again = self.again.swap(false, Ordering::AcqRel);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.settings.dir.is_dir() {
            if seen.take().is_some() || self.trouble.load().is_some() {
                tracing::info!(folder = %self.settings.dir.display(), "there is no shadow set any more");
                self.replace(None, None);
            }
            return;
        }
        let files = match read(&self.settings.dir) {
            Ok(files) if files.embedded => return,
            Ok(files) => files,
            Err(error) => {
                *seen = None;
                return self.refuse(error.to_string());
            }
        };
        if seen.as_ref().is_some_and(|seen| seen.same_rules(&files)) && !again {
            return;
        }
        let good = pass(&files, self.asked, &self.against, unix_seconds());
        *seen = Some(files);
        match good {
            Ok(Good { set, manifest, .. }) => {
                tracing::info!(hash = set.hash(), rules = set.rules(), "a shadow set is asked beside the one in force");
                self.replace(Some(Candidate { set, manifest }), None);
            }
            Err(error) => self.refuse(error.to_string()),
        }
    }

    fn replace(&self, candidate: Option<Candidate>, trouble: Option<String>) {
        self.metrics.policy_shadow_trouble.set(i64::from(trouble.is_some()));
        self.metrics.policy_shadow_set.reset();
        let hash = candidate.as_ref().map(|candidate| candidate.set.hash().to_owned());
        if let Some(Candidate { set, manifest }) = &candidate {
            let version = manifest.version.to_string();
            self.metrics.policy_shadow_set.with_label_values(&[&manifest.name, &version, set.hash()]).set(1);
        }
        self.candidate.store(candidate.map(Arc::new));
        self.trouble.store(Arc::new(trouble));
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).begin(hash);
    }

    /// The last good one stays.
    fn refuse(&self, trouble: String) {
        if (**self.trouble.load()).as_ref() != Some(&trouble) {
            tracing::error!(fault = %trouble, "the shadow set can't be used");
        }
        self.metrics.policy_shadow_trouble.set(1);
        self.trouble.store(Arc::new(Some(trouble)));
    }

    /// For readiness: what is asked, or why nothing is.
    pub fn note(&self) -> String {
        let mut note = match &*self.candidate.load() {
            None => format!("none in {}", self.settings.dir.display()),
            Some(one) => format!("{} version {}, {}", one.manifest.name, one.manifest.version, one.set.hash()),
        };
        if let Some(trouble) = &**self.trouble.load() {
            note.push_str("; the folder can't be used: ");
            note.push_str(trouble);
        }
        note.trim_start().to_owned()
    }

    fn compare(&self, question: &Question) {
        let Some(candidate) = self.candidate.load_full() else { return };
        let is = question.put(&candidate.set);
        let pair = Pair::of(&question.was, &is);
        let compared = &self.metrics.policy_shadow_decisions;
        if question.hangs_on_a_record(&candidate.set, &is) {
            // M3 is asked nothing for a candidate: what it would have decided is not known.
            compared.with_label_values(&[question.step(), "unread"]).inc();
            return self.tally.lock().unwrap_or_else(PoisonError::into_inner).unread();
        }
        compared.with_label_values(&[question.step(), pair.map_or("same", Pair::word)]).inc();
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pair) = pair else { return tally.agreed() };
        let rule = tally.disagreed(pair, (&question.was, &is), &question.client, (&question.id, question.call()));
        drop(tally);
        let (was, would_be) = (word(&question.was), word(&is));
        tracing::info!(
            decision = %question.id, client = %question.client.id, issuer = %question.client.issuer, call = question.call(), step = question.step(),
            was, was_reason = question.was.reason.word(), was_by = ?question.was.rules,
            would_be, would_be_reason = is.reason.word(), would_be_by = ?is.rules,
            rule, shadow = candidate.set.hash(), "the shadow set decides otherwise"
        );
    }

    /// Everything that was counted since the candidate was taken up.
    pub fn report(&self) -> Value {
        let candidate = self.candidate.load_full();
        let one = candidate.as_ref().map(|one| {
            json!({ "name": one.manifest.name, "version": one.manifest.version, "hash": one.set.hash(),
                "rules": one.set.rules() })
        });
        let mut report = self.tally.lock().unwrap_or_else(PoisonError::into_inner).report();
        report["set"] = json!(one);
        report["folder"] = json!(self.settings.dir);
        report["trouble"] = json!(**self.trouble.load());
        report["dropped"] = json!(self.metrics.policy_shadow_dropped.get());
        report
    }

    /// For `policy shadow`, which asks the folder of the state and not the process.
    fn tell(&self) {
        let Some(path) = &self.settings.told else { return };
        let mut report = self.report();
        report["at"] = json!(unix_seconds());
        let text = serde_json::to_vec(&report).unwrap_or_default();
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = made.and_then(|()| write_private(path, &text)) {
            tracing::warn!(%error, path = %path.display(), "the counts of the shadow set can't be told");
        }
    }
}

/// Never on a thread that serves requests. What goes wrong there is told, and ends there.
async fn aside(shadow: &Arc<Shadow>, work: impl FnOnce(&Shadow) + Send + 'static) {
    let shadow = Arc::clone(shadow);
    if let Err(why) = tokio::task::spawn_blocking(move || work(&shadow)).await {
        tracing::error!(%why, "the shadow set could not be asked");
    }
}

fn word(decision: &Decision) -> &'static str {
    if decision.allowed { "allow" } else { "deny" }
}

impl Question {
    fn put(&self, set: &Set) -> Decision {
        let Self { client, groups, scopes, claims, .. } = self;
        let asker = Asker { client, groups, scopes, claims };
        match &self.on {
            On::Door => set.decide_door(asker),
            On::Name(program, transaction, effect) => set.decide_name(asker, *program, *transaction, *effect),
            On::Values(values) => set.decide(&Ask {
                asker,
                program: values.layout.program,
                transaction: values.layout.name,
                effect: values.effect,
                place: values.place,
                m3_user: &values.m3_user,
                layout: &values.layout,
                inputs: &values.inputs,
                record: values.record.as_ref(),
                address: values.address,
                unix_seconds: values.unix_seconds,
            }),
        }
    }

    /// Whether this set's decision is none, for it looks at a record that M3 was not asked for.
    fn hangs_on_a_record(&self, set: &Set, decision: &Decision) -> bool {
        let On::Values(values) = &self.on else { return false };
        let Some(fact) = set.fact(values.layout.program, values.layout.name) else { return false };
        let tried = values.record.is_none() && values.tried.as_ref() == Some(fact.text());
        match decision.reason {
            Reason::FactMissing => !tried,
            Reason::Unverifiable => !fact.is_known(),
            _ => false,
        }
    }

    fn step(&self) -> &'static str {
        match self.on {
            On::Door => "door",
            On::Name(..) => "name",
            On::Values(_) => "values",
        }
    }

    fn call(&self) -> String {
        match &self.on {
            On::Door => "anything".to_owned(),
            On::Name(program, transaction, _) => format!("{program}/{transaction}"),
            On::Values(values) => format!("{}/{}", values.layout.program, values.layout.name),
        }
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow").field("dir", &self.settings.dir).finish_non_exhaustive()
    }
}
