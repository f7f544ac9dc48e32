//! Batch entries that were handed over: M3 is asked how far it is, until the record is there.

use super::backoff::wait;
use super::error::Error;
use super::maker::Maker;
use crate::bod::{Mapping, Watch};
use crate::model::FieldName;
use crate::outbox::{self, Polled, Watched};
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LONGEST: Duration = Duration::from_secs(60);
/// What failed waits for a person.
const FAILED: Duration = Duration::from_secs(600);
const TOGETHER: u32 = 64;
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

impl Maker {
    pub(super) async fn poll(&self) -> Result<(), outbox::Error> {
        for watched in self.ledger.watched(TOGETHER).await? {
            let (polled, asked) = self.polled(&watched).await;
            if let Polled::Failed { why, .. } = &polled {
                let (noun, batch) = (&watched.noun, &watched.batch);
                tracing::warn!(noun, batch, key = ?watched.record, cause = watched.cause, why, "M3 did not create what was entered");
            }
            self.ledger.polled(&watched, &polled).await?;
            self.due.notify_one();
            // M3 may be away: the others wait for the next look.
            if !asked {
                break;
            }
        }
        Ok(())
    }

    /// And whether M3 could be asked.
    async fn polled(&self, watched: &Watched) -> (Polled, bool) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = Duration::from_millis(u64::try_from(watched.since).unwrap_or_default());
        if now.saturating_sub(since) > self.editor.settings.entries {
            return (Polled::Expired, true);
        }
        let later = Polled::Later(wait(watched.tries, LONGEST));
        let Some((mapping, watch)) = self.watch(watched) else { return (later, true) };
        match self.ask_for(mapping, watch, watched).await {
            Ok(polled) => (polled.unwrap_or(later), true),
            Err(error) => {
                tracing::warn!(batch = watched.batch, %error, "M3 could not be asked what became of an entry");
                (later, false)
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
