//! Batch entries that were handed over: M3 is asked how far it is, until the record is there.

use super::backoff::wait;
use super::error::{Blame, Error};
use super::maker::{AWAY, BESIDE, LOOK, Maker, SOON};
use crate::bod::{Mapping, Watch};
use crate::model::FieldName;
use crate::outbox::{self, Polled, Watched};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const LONGEST: Duration = Duration::from_secs(60);
/// What failed waits for a person.
const FAILED: Duration = Duration::from_secs(600);
const TOGETHER: u32 = 64;
const BESIDE_U32: u32 = BESIDE as u32;
const UNNAMED: &str = "M3 has created it and does not say under which number: look it up there, and say it with \
    `mi-gateway outbox resolve`";

type Said = HashMap<String, String>;

enum Became {
    Created,
    Refused(String),
    Waits,
}

impl Became {
    /// `None`: M3 is not there yet.
    fn polled(self) -> Option<Polled> {
        match self {
            Self::Created => Some(Polled::Created),
            Self::Refused(why) => Some(Polled::Failed { why, wait: FAILED }),
            Self::Waits => None,
        }
    }
}

/// What stands in the batch of a record, or of a part of it.
fn became(watch: &Watch, row: &Said) -> Became {
    let said = |name: &str| row.get(name).map(String::as_str).unwrap_or_default();
    let status = said(watch.status.as_str());
    let is = |words: &[Box<str>]| words.iter().any(|word| **word == *status);
    if is(&watch.done) {
        return Became::Created;
    }
    let why = format!("{} {}", said("MSID"), said("MSGD")).trim().to_owned();
    match (is(&watch.failed), why.is_empty()) {
        (true, true) => Became::Refused(format!("M3 has not created it: its status is {status}")),
        (_, false) => Became::Refused(why),
        (false, true) => Became::Waits,
    }
}

/// Whether M3 is there to be asked, as far as the last answers tell.
#[derive(Default)]
struct There {
    /// That got no answer, one after the other.
    failing: u32,
    left_until: Option<Instant>,
}

impl There {
    fn learn(&mut self, there: bool) {
        self.failing = if there { 0 } else { self.failing.saturating_add(1) };
        let rounds = self.failing / BESIDE_U32;
        // As many as are asked beside each other: one look after the other at an M3 that is not there helps nobody.
        if there {
            self.left_until = None;
        } else if rounds > 0 && self.failing.is_multiple_of(BESIDE_U32) {
            self.left_until = Some(Instant::now() + wait(rounds - 1, AWAY));
        }
    }

    /// How many more may be asked for: each that failed just now takes the place of one, until M3 was left alone.
    fn room(&self, busy: usize) -> usize {
        let failed = usize::try_from(self.failing % BESIDE_U32).unwrap_or(BESIDE);
        BESIDE.saturating_sub(busy + failed)
    }

    /// How long it is left alone.
    fn rest(&self) -> Duration {
        self.left_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }
}

impl Maker {
    /// Each is asked for by itself: one that M3 keeps waiting holds up no other.
    pub(super) async fn polls(&self) {
        let (mut under_way, mut busy, mut there) = (FuturesUnordered::new(), HashSet::new(), There::default());
        loop {
            let rest = there.rest();
            let (mut next, room) = (LOOK, there.room(busy.len()));
            if !rest.is_zero() {
                next = rest.min(LOOK);
            } else if room > 0 {
                match self.ledger.watched(TOGETHER).await {
                    Ok(watched) => {
                        let free = watched.into_iter().filter(|one| !busy.contains(&one.id));
                        for one in free.take(room).collect::<Vec<_>>() {
                            busy.insert(one.id);
                            under_way.push(self.look_at(one));
                        }
                    }
                    Err(error) => tracing::error!(%error, "entries can't be asked about: the outbox can't be read"),
                }
                if busy.is_empty() {
                    next = self.ledger.until_watched().await.ok().flatten().unwrap_or(LOOK).clamp(SOON, LOOK);
                }
            }
            tokio::select! {
                Some((id, answered)) = under_way.next() => {
                    busy.remove(&id);
                    match answered {
                        Ok(answered) => there.learn(answered),
                        Err(error) => {
                            tracing::error!(%error, "what became of entries can't be written down");
                            there.left_until = Some(Instant::now() + LOOK);
                        }
                    }
                }
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// Which one, and whether M3 was there.
    async fn look_at(&self, watched: Watched) -> (i64, Result<bool, outbox::Error>) {
        let (polled, there) = self.polled(&watched).await;
        if let Polled::Failed { why, .. } = &polled {
            let (noun, batch) = (&watched.noun, &watched.batch);
            tracing::warn!(noun, batch, key = ?watched.record, cause = watched.cause, why, "M3 did not create what was entered");
        }
        let kept = self.ledger.polled(&watched, &polled).await;
        self.due.notify_one();
        (watched.id, kept.map(|()| there))
    }

    async fn polled(&self, watched: &Watched) -> (Polled, bool) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = Duration::from_millis(u64::try_from(watched.since).unwrap_or_default());
        if now.saturating_sub(since) > self.editor.settings.entries {
            return (Polled::Expired, true);
        }
        let later = |why| Polled::Later { why, wait: wait(watched.tries, LONGEST) };
        let Some((mapping, watch)) = self.watch(watched) else {
            return (later(Some("no mapping says how to ask for it".to_owned())), true);
        };
        match self.ask_for(mapping, watch, watched).await {
            Ok(polled) => (polled.unwrap_or_else(|| later(None)), true),
            Err(error) => {
                tracing::warn!(batch = watched.batch, %error, "M3 could not be asked what became of an entry");
                let there = matches!(error.blame(), Blame::Record | Blame::Part);
                (later(Some(error.to_string())), there)
            }
        }
    }

    fn watch(&self, watched: &Watched) -> Option<(&Mapping, &Watch)> {
        let mapping = self.editor.mapping(&watched.noun)?;
        let is = |watch: &&Watch| format!("{}/{}", watch.program, watch.transaction) == watched.call;
        Some((mapping, mapping.watches().iter().find(is)?))
    }

    /// `None`: M3 is not there yet.
    async fn ask_for(&self, mapping: &Mapping, watch: &Watch, watched: &Watched) -> Result<Option<Polled>, Error> {
        let given: Vec<_> = mapping.key().iter().copied().zip(watched.asked.iter().cloned()).collect();
        // What another batch left behind under this number says nothing of this one.
        let of_this = |head: &Said| {
            head.get(watch.batch.as_str()).is_none_or(|batch| batch.is_empty() || *batch == watched.batch)
        };
        let Some(head) = self.reader.one(watch.asks, watched.place, &given).await?.filter(of_this) else {
            return self.ask_for_parts(mapping, watch, watched, &given).await;
        };
        Ok(match became(watch, &head) {
            Became::Created if watched.record.is_empty() => {
                Some(Polled::Failed { why: UNNAMED.to_owned(), wait: FAILED })
            }
            became => became.polled(),
        })
    }

    /// Nothing was entered under this number but parts, for a record that was there before: each is asked for by itself.
    async fn ask_for_parts(
        &self,
        mapping: &Mapping,
        watch: &Watch,
        watched: &Watched,
        given: &[(FieldName, String)],
    ) -> Result<Option<Polled>, Error> {
        if let Some(parts) = &watch.parts {
            for number in &watched.parts {
                let mut given = given.to_vec();
                given.push((parts.field, number.clone()));
                // One that is no longer in the batch is with its record.
                let Some(part) = self.reader.one(parts.asks, watched.place, &given).await? else { continue };
                match became(watch, &part) {
                    Became::Created => {}
                    became => return Ok(became.polled()),
                }
            }
        }
        Ok(self.is_there(mapping, watched).await?.then_some(Polled::Created))
    }

    async fn is_there(&self, mapping: &Mapping, watched: &Watched) -> Result<bool, Error> {
        let layouts = self.reader.layouts(mapping).await?;
        let known: Vec<_> = layouts.iter().map(Option::as_deref).collect();
        let bound = mapping.bind(&known).map_err(Error::Unbound)?;
        let key: Vec<&str> = watched.record.iter().map(String::as_str).collect();
        match self.reader.read(&bound, &layouts, watched.place, &key).await {
            Ok(_) => Ok(true),
            Err(error) if error.says_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_m3_that_is_not_there_is_left_alone_ever_longer_and_asked_at_once_when_it_is_back() {
        let mut there = There::default();
        for round in 0..12 {
            for one in 1..=BESIDE {
                assert_eq!((there.room(0), there.room(9 - one)), (9 - one, 0), "no more than so many in a round");
                assert!(round > 0 || there.rest().is_zero(), "a few that fail say nothing of M3");
                there.learn(false);
                assert!(round > 0 || one == BESIDE || there.rest().is_zero(), "{one}");
            }
            let least = (Duration::from_millis(250) * 2_u32.pow(round)).min(AWAY / 2);
            let rest = there.rest() + Duration::from_millis(100);
            assert!(rest >= least && rest <= AWAY + Duration::from_millis(100), "in round {round}: {rest:?}");
        }
        there.learn(true);
        assert!(there.rest().is_zero());
    }
}
