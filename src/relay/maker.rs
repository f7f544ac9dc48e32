//! From a record that was written to a document on the disk: read back, numbered, composed, checked, kept.
//!
//! Invariant: one reading of a record at a time, and its number is taken when the reading begins: a newer number never
//! stands on older content.

use super::backoff::{wait, wait_by_age};
use super::divisions::Divisions;
use super::editions::Editor;
use super::error::{Blame, Error};
use super::holds::{self, Cause, Holds};
use super::publisher::Settings;
use super::read_back::Reader;
use super::reading::find;
use crate::clock::unix_micros;
use crate::outbox::{self, Bulks, DueDocument, Ending, Held, Ledger, Message, Seen};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::field::Empty;
use tracing::{Instrument, Span};

/// Records that are read beside each other.
pub(super) const BESIDE: usize = 8;
pub(super) const TOGETHER: u32 = 256;
/// Nothing tells the relay of what another process wrote.
pub(super) const LOOK: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(600);
/// The longest between two looks at an M3 that is away.
pub(super) const AWAY: Duration = Duration::from_secs(60);
pub(super) const SOON: Duration = Duration::from_millis(10);
/// How often it is looked at what is due, while a reading is under way.
const LOOK_BESIDE: Duration = Duration::from_millis(100);

pub(super) struct Maker {
    pub(super) ledger: Ledger,
    pub(super) reader: Reader,
    pub(super) divisions: Divisions,
    pub(super) editor: Arc<Editor>,
    /// Something was settled, or a bulk call is over.
    pub(super) due: Arc<Notify>,
    pub(super) bulks: Bulks,
    /// Something may be delivered.
    pub(super) made: Arc<Vec<Notify>>,
    /// What can't be read by itself, as `company/noun`.
    pub(super) holds: Mutex<Holds<String>>,
}

/// Why there is no document now.
pub(super) enum NotMade {
    /// And there will be none.
    Nothing(&'static str),
    Trouble(String),
    /// M3 can't be asked: that is no fault of the document, and it is tried for as long as it takes.
    Away(String),
    /// Records of this company and noun can't be read; others may be.
    Apart(Cause, String),
}

impl From<Error> for NotMade {
    fn from(error: Error) -> Self {
        let why = error.to_string();
        match error.blame() {
            Blame::M3 => Self::Away(why),
            Blame::Part => Self::Apart(Cause::Certain, why),
            Blame::Unclear => Self::Apart(Cause::Perhaps, why),
            Blame::Record => Self::Trouble(why),
        }
    }
}

impl Maker {
    /// Questions and what was handed over beside documents: a read that M3 keeps waiting holds up none of the others.
    pub(super) async fn run(self: &Arc<Self>) {
        tokio::join!(self.tells(), self.asks(), self.polls());
    }

    async fn tells(self: &Arc<Self>) {
        let Settings { quiet, most_wait, settle_after, .. } = self.editor.settings;
        let mut away = 0;
        loop {
            match self.pass().await {
                Ok(true) => away = 0,
                // One look after the other at an M3 that is not there helps nobody.
                Ok(false) => {
                    tokio::time::sleep(wait(away, AWAY)).await;
                    away = away.saturating_add(1);
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, "documents can't be made: the outbox can't be read or written");
                    tokio::time::sleep(LOOK).await;
                }
            }
            // What is settled from now on is due when its quiet time is over, and not before.
            let fresh = quiet.min(settle_after).clamp(SOON, LOOK);
            let next = self.ledger.until_due(quiet, most_wait, &self.left_alone()).await.ok().flatten();
            // Where one may be asked for and none is due, nothing has to be looked at sooner for it.
            let held = self.holds().next().filter(|next| !next.is_zero());
            let next = next.into_iter().chain(held).min();
            match next {
                Some(next) => tokio::time::sleep(next.clamp(SOON, fresh)).await,
                None if tokio::time::timeout(LOOK, self.due.notified()).await.is_ok() => {
                    tokio::time::sleep(fresh).await;
                }
                None => {}
            }
        }
    }

    /// `false`: M3 was asked and is not there. What is due is taken up while others are still read: a record that M3 keeps
    /// waiting takes one place of several, and holds up none of the rest.
    async fn pass(self: &Arc<Self>) -> Result<bool, outbox::Error> {
        let Settings { quiet, most_wait, settle_after, .. } = self.editor.settings;
        let (mut waiting, mut more) = (VecDeque::new(), true);
        let (mut under_way, mut busy) = (FuturesUnordered::new(), HashSet::new());
        let (mut failed, mut answered) = (0, false);
        loop {
            if more && waiting.is_empty() {
                let due;
                (due, more) = self.ledger.due_beside(quiet, most_wait, TOGETHER, &self.left_alone()).await?;
                waiting.extend(due.into_iter().filter(|due| !busy.contains(&due.whose())));
                more &= !waiting.is_empty();
            }
            while under_way.len() < BESIDE
                && let Some(due) = waiting.pop_front()
            {
                busy.insert(due.whose());
                under_way.push(self.document(due));
            }
            let idle = under_way.len() < BESIDE;
            let look = quiet.min(settle_after).clamp(LOOK_BESIDE, LOOK);
            let first = match tokio::time::timeout(look, under_way.next()).await {
                Ok(None) => return Ok(answered || failed == 0),
                Ok(Some(first)) => first,
                Err(_) => {
                    more |= idle;
                    continue;
                }
            };
            let mut ended = vec![first];
            while let Some(Some(next)) = under_way.next().now_or_never() {
                ended.push(next);
            }
            ended.iter().for_each(|(due, ..)| _ = busy.remove(&due.whose()));
            let away = ended.iter().filter(|(_, _, away)| *away).count();
            (failed, answered) = if away == ended.len() { (failed + away, answered) } else { (0, true) };
            let ended: Vec<_> = ended.into_iter().map(|(due, ending, _)| (due, ending)).collect();
            self.ledger.ended(&ended).await?;
            if ended.iter().any(|(_, ending)| matches!(ending, Ending::Made { .. })) {
                self.made.iter().for_each(Notify::notify_one);
            }
            if failed >= BESIDE {
                return Ok(false);
            }
        }
    }

    fn left_alone(&self) -> Held {
        let (held, probes) = self.holds().held();
        Held { held, probes, bulks: self.bulks.running() }
    }

    fn holds(&self) -> std::sync::MutexGuard<'_, Holds<String>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of it, and whether M3 was away.
    async fn document(self: &Arc<Self>, due: DueDocument) -> (DueDocument, Ending, bool) {
        let span = tracing::debug_span!(
            "relay.make", correlation = due.cause, noun = due.noun, verb = due.verb, company = %due.company,
            bod_id = Empty, outcome = Empty,
        );
        self.told(due).instrument(span).await
    }

    async fn told(self: &Arc<Self>, due: DueDocument) -> (DueDocument, Ending, bool) {
        let name = format!("{}.{}", due.verb, due.noun);
        let counted = |outcome: &str| {
            Span::current().record("outcome", outcome);
            self.editor.metrics.publishing.documents.with_label_values(&[&name, outcome]).inc();
        };
        let kind = format!("{}/{}", due.company, due.noun);
        let (mut counts, mut parked, mut left) = (true, due.tries + 1 >= self.editor.settings.tries, None);
        let (why, away) = match self.make(&due, &name).await {
            Ok(ending) => {
                self.holds().went_well(&kind);
                counted("made");
                if let Ending::Made { editions, .. } = &ending {
                    let messages = || editions.iter().flat_map(|edition| &edition.messages);
                    let ids: Vec<&str> = messages().map(|one| one.made.bod_id.as_str()).collect();
                    Span::current().record("bod_id", ids.join(" "));
                    for Message { made, .. } in messages() {
                        tracing::info!(document = name, company = %due.company, entity = made.entity, bod_id = made.bod_id, variation = made.variation, cause = due.cause, "a document was made");
                    }
                }
                return (due, ending, false);
            }
            Err(NotMade::Nothing(why)) => {
                counted("nothing");
                return (due, Ending::Nothing(why), false);
            }
            Err(NotMade::Trouble(why)) => (why, false),
            Err(NotMade::Away(why)) => {
                (counts, parked) = (false, false);
                (why, true)
            }
            Err(NotMade::Apart(cause, why)) => {
                let tries = (due.tries, self.editor.settings.tries);
                let held = self.holds().failed((kind, due.id), cause, tries, Duration::ZERO);
                holds::Held { counts, parked, wait: left } = held;
                (why, false)
            }
        };
        let own = if counts { wait(due.tries, LONGEST) } else { wait_by_age(due.age(), AWAY) };
        let wait = (!parked).then(|| left.unwrap_or(own));
        counted(if parked { "parked" } else { "failed" });
        tracing::warn!(document = name, company = %due.company, reason = why, parked = wait.is_none(), "a document could not be made");
        (due, Ending::Failed { why, wait, counts }, away)
    }

    async fn make(self: &Arc<Self>, due: &DueDocument, name: &str) -> Result<Ending, NotMade> {
        let Some(mapping) = self.editor.mapping(&due.noun) else {
            return Err(NotMade::Nothing("no mapping has this noun"));
        };
        let variation = (due.variation + 1).max(unix_micros() / 1_000);
        let found = find((&self.reader, &self.divisions), &self.editor.settings, mapping, due).await?;
        let at = (unix_micros() / 1_000).cast_signed();
        let seen = found.back.changes().map(|changes| Seen { changes, at });
        // A document of thousands of lines takes longer than requests may wait for the thread.
        let (editor, due, name) = (self.editor.clone(), due.clone(), name.to_owned());
        let written = tokio::task::spawn_blocking(move || editor.write(&due, &name, &found, variation));
        let written = written.await;
        let editions =
            written.unwrap_or_else(|error| Err(NotMade::Trouble(format!("it could not be composed: {error}"))))?;
        Ok(Ending::Made { editions, seen })
    }
}
