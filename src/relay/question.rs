//! What became of a write that nobody knows of: its record is read back and compared.
//!
//! Two questions. What is the state? is told as it is, whatever happened. Was it this write? only where its mapping calls
//! it provable and what M3 says leaves no other answer; else somebody has to decide.
//! Does not know: what follows from the answer.

use super::backoff::{wait, wait_by_age};
use super::error::{Blame, Error};
use super::maker::{BESIDE, LOOK, Maker, SOON, TOGETHER};
use super::proven::{Same, Shown, changed_by, compare, shown};
use crate::bod::{Deed, Proof, Reference};
use crate::model::FieldName;
use crate::outbox::{self, Due, Question, Seen, Verdict};
use futures_util::StreamExt;
use futures_util::stream;
use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(300);
const NUMBERED: &str = "M3 gives the record its number, and its answer was lost";

/// The record, as it is now.
struct Found {
    same: Same,
    moved: Moved,
}

/// Its count of changes against that of its last reading before the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    /// Nobody has changed it since, this write neither.
    Not,
    On,
    /// Another record stands there now, or the count began anew.
    Back,
    /// It was not read before, or M3 doesn't count.
    Unseen,
}

fn parked(why: &str) -> Verdict {
    Verdict::Parked { why: why.to_owned(), state: false }
}

impl Maker {
    pub(super) async fn asks(&self) {
        loop {
            if let Err(error) = self.ask().await {
                tracing::error!(%error, "writes can't be asked about: the outbox can't be read or written");
                tokio::time::sleep(LOOK).await;
            }
            let next = self.ledger.until_asked(self.editor.settings.settle_after).await.ok().flatten();
            tokio::time::sleep(next.unwrap_or(LOOK).clamp(SOON, LOOK)).await;
        }
    }

    async fn ask(&self) -> Result<(), outbox::Error> {
        let questions = self.ledger.questions(self.editor.settings.settle_after, TOGETHER).await?;
        let mut answered = stream::iter(questions).map(|one| self.answer(one)).buffer_unordered(BESIDE);
        let mut all = Ok(());
        while let Some(kept) = answered.next().await {
            all = all.and(kept);
        }
        all
    }

    async fn answer(&self, question: Question) -> Result<(), outbox::Error> {
        let verdict = self.judge(&question).await?;
        tracing::info!(intent = question.name, program = %question.program, transaction = %question.transaction, ?verdict, "a write that nobody knew of was asked for");
        self.ledger.answer(&question, &verdict).await?;
        self.due.notify_one();
        Ok(())
    }

    pub(super) async fn judge(&self, question: &Question) -> Result<Verdict, outbox::Error> {
        let Some(due) = question.due.iter().find(|due| due.verb == "Sync").or(question.due.first()) else {
            return Ok(match self.reference(question) {
                Some(reference) => self.find(question, reference).await,
                None => parked("no document tells of it, so nobody knows how to read it back"),
            });
        };
        if due.entry.is_some() {
            // What comes of a batch is asked for as long as it takes, and only what is there is told.
            return Ok(Verdict::Parked { why: "it is a step of a batch entry".to_owned(), state: due.is_known() });
        }
        let proof = self.proof(question);
        if proof == Proof::Never {
            return Ok(parked("its mapping says that nothing proves it"));
        }
        if !due.is_known() {
            return Ok(match self.reference(question) {
                Some(reference) if proof == Proof::Provable => self.find(question, reference).await,
                _ => parked(NUMBERED),
            });
        }
        let seen = self.ledger.seen(question, due).await?;
        let deed = Deed::of(question.transaction.as_str());
        Ok(match self.read(question, due, seen.as_ref()).await {
            Ok(Some(_)) if proof == Proof::StateOnly => is_there(),
            Ok(Some(found)) => of_what_is_there(deed, &found),
            Ok(None) => match deed {
                Deed::Add if proof == Proof::Provable => Verdict::Refused,
                // It was not there before either: that it is gone proves nothing.
                Deed::Delete if due.absent => parked("the record was not there before the write, nor is it now"),
                Deed::Delete if proof == Proof::Provable && due.deletes => Verdict::Committed,
                _ => parked("the record is not there"),
            },
            Err(error) => self.later(question, &error),
        })
    }

    /// M3 may be away for longer than a weekend, and a question is not given up for that. What it says no to, or what its
    /// mapping can't ask, no time mends.
    fn later(&self, question: &Question, error: &Error) -> Verdict {
        let counts = matches!(error.blame(), Blame::Record | Blame::Part);
        if counts && question.tries + 1 >= self.editor.settings.tries {
            return parked(&format!("the record can't be read back: {error}"));
        }
        let wait = if counts { wait(question.tries, LONGEST) } else { wait_by_age(question.age(), LONGEST) };
        Verdict::Later { why: error.to_string(), wait, counts }
    }

    /// Of all that tell of the write, the strictest. A mapping that is there no longer says nothing.
    fn proof(&self, question: &Question) -> Proof {
        let of = |due: &Due| Some(self.editor.mapping(&due.noun)?.write(question.program, question.transaction)?.proof);
        question.due.iter().map(|due| of(due).unwrap_or(Proof::StateOnly)).min().unwrap_or(Proof::Never)
    }

    fn reference(&self, question: &Question) -> Option<&Reference> {
        self.editor.mappings.iter().find_map(|mapping| mapping.reference(question.program, question.transaction))
    }

    /// `None`: there is no such record.
    async fn read(&self, question: &Question, due: &Due, seen: Option<&Seen>) -> Result<Option<Found>, Error> {
        let unclear = Found { same: Same::Unclear, moved: Moved::Unseen };
        let Some(mapping) = self.editor.mapping(&due.noun) else { return Ok(Some(unclear)) };
        let layouts = self.reader.layouts(mapping).await?;
        let known: Vec<_> = layouts.iter().map(Option::as_deref).collect();
        let bound = mapping.bind(&known).map_err(Error::Unbound)?;
        let key: Vec<&str> = due.key.iter().filter_map(|(_, value)| value.as_deref()).collect();
        let back = match self.reader.read(&bound, &layouts, question.place, &key).await {
            Ok(back) => back,
            Err(error) if error.says_absent() => return Ok(None),
            Err(error) => return Err(error),
        };
        let names: Vec<&str> = due.key.iter().map(|(name, _)| name.as_str()).collect();
        let rows = back.rows();
        let of_the_record = rows.iter().zip(mapping.reads()).filter(|(_, read)| read.is_of_the_record());
        let shown: Vec<Shown<'_>> = of_the_record.filter_map(|(rows, _)| shown(rows)).collect();
        let own = question.whole && changed_by(&shown, &question.user);
        let same = if own { compare(&question.fields, &names, &[], &shown) } else { Same::Unclear };
        Ok(Some(Found { same, moved: moved(seen, back.changes().as_deref()) }))
    }

    /// By the caller's own reference: the one record that has it, if all that was sent is in it and it is nobody else's.
    async fn find(&self, question: &Question, reference: &Reference) -> Verdict {
        let sent = |name: FieldName| {
            let (_, value) = question.fields.iter().find(|(field, _)| field == name.as_str())?;
            Some(value.clone()).filter(|value| !value.is_empty() && value != "?")
        };
        let with: Option<Vec<_>> = reference.with.iter().map(|name| Some((*name, sent(*name)?))).collect();
        let (Some(own), Some(with), true) = (sent(reference.field), with, question.whole) else {
            return parked(NUMBERED);
        };
        match self.found(question, reference, &own, &with).await {
            Ok(verdict) => verdict,
            Err(error @ (Error::TooMany { .. } | Error::Input { .. })) => parked(&format!("{NUMBERED}: {error}")),
            Err(error) => self.later(question, &error),
        }
    }

    async fn found(
        &self,
        question: &Question,
        reference: &Reference,
        own: &str,
        with: &[(FieldName, String)],
    ) -> Result<Verdict, Error> {
        let by = reference.field.as_str();
        let numbers = match self.reader.of(reference.list, question.place, with).await {
            Ok(list) => list.having(by, own, reference.number.as_str()),
            Err(error) if error.says_absent() => Vec::new(),
            Err(error) => return Err(error),
        };
        let [number] = numbers.as_slice() else {
            let many = numbers.len();
            return Ok(parked(&format!("{NUMBERED}; {many} records have what was sent as {by}")));
        };
        let record = self.reader.of(reference.shows, question.place, &[(reference.number, number.clone())]).await?;
        let rows = record.rows();
        let shown: Vec<Shown<'_>> = rows.first().and_then(shown).into_iter().collect();
        // By what the list was asked with it was found: the record need not show it again.
        let given: Vec<&str> = reference.with.iter().map(|name| name.as_str()).collect();
        let same = compare(&question.fields, &[reference.number.as_str()], &given, &shown);
        if same != Same::Yes || !changed_by(&shown, &question.user) {
            let name = reference.number;
            let why = format!("{NUMBERED}; {name} {number} has the same {by}, and not all that was sent is in it");
            return Ok(parked(&why));
        }
        Ok(Verdict::Found { number: (self.called(question, reference), number.clone()), by: by.to_owned() })
    }

    /// As the write and its answer call what M3 gives, which a record may have under the name of its document's key.
    fn called(&self, question: &Question, reference: &Reference) -> String {
        let of = |due: &Due| {
            let mapping = self.editor.mapping(&due.noun)?;
            let write = mapping.write(question.program, question.transaction)?;
            let at = mapping.key().iter().position(|name| *name == reference.number)?;
            write.key.get(at).copied().filter(|_| !write.key.contains(&reference.number))
        };
        question.due.iter().find_map(of).unwrap_or(reference.number).to_string()
    }
}

fn is_there() -> Verdict {
    Verdict::Parked { why: "the record is there; that doesn't prove this write".to_owned(), state: true }
}

/// Of a write that can be proven.
fn of_what_is_there(deed: Deed, found: &Found) -> Verdict {
    match (deed, found.same, found.moved) {
        // M3 counts each change: this one is not among them, whatever the values are.
        (Deed::Change, _, Moved::Not) => Verdict::Refused,
        // What was there already when it was last read can't have been added since, unless it went in between.
        (Deed::Add, Same::Yes, Moved::Unseen | Moved::Back) => Verdict::Committed,
        (Deed::Change, Same::Yes, Moved::On | Moved::Unseen) => Verdict::Committed,
        (Deed::Add | Deed::Change, Same::No, _) => {
            Verdict::Parked { why: "the record has other values than were sent".to_owned(), state: true }
        }
        _ => is_there(),
    }
}

fn moved(seen: Option<&Seen>, now: Option<&str>) -> Moved {
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let (Some(before), Some(now)) = (seen.and_then(|seen| number(&seen.changes)), now.and_then(number)) else {
        return Moved::Unseen;
    };
    match now.cmp(&before) {
        std::cmp::Ordering::Equal => Moved::Not,
        std::cmp::Ordering::Greater => Moved::On,
        std::cmp::Ordering::Less => Moved::Back,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_was_not_changed_since_it_was_read_was_not_changed_by_this_write() {
        let seen = |changes: &str| Seen { changes: changes.to_owned(), at: 1 };
        let verdict = |same, before: Option<&str>, now: Option<&str>| {
            let moved = moved(before.map(seen).as_ref(), now);
            of_what_is_there(Deed::Change, &Found { same, moved })
        };
        let added = |before: Option<&str>, now: Option<&str>| {
            let moved = moved(before.map(seen).as_ref(), now);
            of_what_is_there(Deed::Add, &Found { same: Same::Yes, moved })
        };
        assert_eq!(added(None, Some("1")), Verdict::Committed);
        assert_eq!(added(Some("7"), Some("1")), Verdict::Committed, "it was deleted, and added again");
        for now in ["7", "8"] {
            assert!(matches!(added(Some("7"), Some(now)), Verdict::Parked { .. }), "it was there before: {now}");
        }
        for same in [Same::Yes, Same::No, Same::Unclear] {
            assert_eq!(verdict(same, Some("7"), Some("7")), Verdict::Refused, "{same:?}");
        }
        assert_eq!(verdict(Same::Yes, Some("7"), Some("8")), Verdict::Committed);
        assert_eq!(verdict(Same::Yes, None, Some("8")), Verdict::Committed, "equality alone, where it was never read");
        assert_eq!(verdict(Same::Yes, Some("7"), None), Verdict::Committed, "or where M3 doesn't count");
        assert!(
            matches!(verdict(Same::Yes, Some("7"), Some("1")), Verdict::Parked { .. }),
            "another record stands there"
        );
        assert!(matches!(verdict(Same::No, Some("7"), Some("8")), Verdict::Parked { .. }), "somebody else changed it");
    }
}
