//! One run: transactions in, results out, in order, until the body's end or a reason to stop.

use super::super::super::exchange::{Answer, Exchange};
use super::super::super::problem::{Kind, Problem};
use super::super::super::rate::{Pace, caller};
use super::super::super::refused::Refused;
use super::super::super::visit::Visit;
use super::head::Head;
use super::item::{self, Done, is_write};
use super::out::{Gone, Out};
use super::{Settings, read::Read};
use crate::m3;
use crate::model::Principal;
use crate::outbox;
use crate::translate::{Bulk, BulkDocument, BulkFault, Failure, Item, Next};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// A chunk is sent when it is this large, or when the next result is not here yet.
const CHUNK: usize = 16 * 1024;

pub(super) struct Run {
    exchange: Arc<Exchange>,
    settings: Settings,
    who: Arc<Principal>,
    visit: Arc<Visit>,
    /// Until it is over its documents wait.
    unit: Arc<outbox::Bulk>,
    bulk: Bulk,
    document: BulkDocument,
    chunk: Vec<u8>,
    out: Out,
    head: Head,
    pace: Arc<Pace>,
    until: tokio::time::Instant,
    /// Transactions that were begun.
    begun: u32,
    /// The body has more than was read.
    unread: bool,
}

/// Why a run ended where it did.
enum Stop {
    Gone,
    /// Nothing has run: the call as a whole is refused.
    Refused,
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl Run {
    pub(super) fn new(
        exchange: Arc<Exchange>,
        settings: Settings,
        who: Arc<Principal>,
        visit: Arc<Visit>,
        bulk: Bulk,
        out: Out,
        begin: oneshot::Sender<Option<Problem>>,
    ) -> Self {
        let head = Head::new(visit.clone(), begin);
        let document = BulkDocument::new(bulk.options().format);
        let pace = Arc::new(Pace::new());
        let until = tokio::time::Instant::from_std(Instant::now() + settings.time);
        let (chunk, unit) = (Vec::with_capacity(1024), exchange.outbox.bulk(&visit.id.to_string()));
        Self {
            exchange,
            settings,
            who,
            visit,
            unit,
            bulk,
            document,
            chunk,
            out,
            head,
            pace,
            until,
            begun: 0,
            unread: false,
        }
    }

    pub(super) async fn run(mut self, mut read: mpsc::UnboundedReceiver<Read>) {
        if self.results(&mut read).await.is_err() || self.left_out(&mut read).await.is_err() {
            return;
        }
        self.head.send();
        let (_, failed, _) = self.document.counts();
        self.visit.learnt().outcome = Some(match failed {
            _ if self.document.is_cut_short() => "cut-short",
            0 => "ok",
            _ => "nok",
        });
        self.document.tail(&self.visit.id.to_string(), &mut self.chunk);
        if self.flush().await.is_ok() {
            self.out.end();
        }
    }

    /// Runs until the body has ended or the run is cut short, and everything that was begun has its result.
    async fn results(&mut self, read: &mut mpsc::UnboundedReceiver<Read>) -> Result<(), Stop> {
        self.document.head(&mut self.chunk);
        let mut under_way: FuturesOrdered<BoxFuture<'static, Done>> = FuturesOrdered::new();
        // More than the client may have in flight would only wait, and for one another.
        let at_once = self.exchange.limits.at_once(caller(&self.who)).map_or(usize::MAX, |calls| calls as usize);
        let parallel = self.settings.parallel.min(self.exchange.m3.share()).min(at_once).max(1);
        let mut alone = false;
        let mut next: Option<Item> = None;
        loop {
            let mut ended = self.document.is_cut_short();
            if next.is_none() && !ended {
                match self.bulk.next_item() {
                    Next::Item(item) => next = Some(item),
                    Next::More => {}
                    Next::End => ended = true,
                    Next::Broken(fault) => {
                        self.broken(&fault)?;
                        ended = true;
                    }
                }
            }
            if let Some(item) = next.take_if(|item| {
                !ended && if is_write(item) { under_way.is_empty() } else { !alone && under_way.len() < parallel }
            }) {
                if self.may_begin().await? {
                    alone = is_write(&item);
                    under_way.push_back(self.begin_item(item));
                } else {
                    next = Some(item);
                }
                continue;
            }
            if ended && under_way.is_empty() {
                if let Some(item) = next {
                    self.document.left_out(&item.name, &mut self.chunk);
                }
                return self.read_to_the_end(read).await;
            }
            // What is done by now goes out together.
            if let Some(Some(done)) = under_way.next().now_or_never() {
                alone = false;
                self.write(done).await?;
                continue;
            }
            if !self.chunk.is_empty() && self.head.is_sent() {
                self.flush().await?;
            }
            tokio::select! {
                biased;
                Some(done) = under_way.next(), if !under_way.is_empty() => {
                    alone = false;
                    self.write(done).await?;
                }
                part = read.recv(), if next.is_none() && !ended && !self.unread => self.take(part)?,
                () = tokio::time::sleep_until(self.until), if !ended => self.document.cut_short(
                    format!("The run took longer than {} s.", self.settings.time.as_secs()),
                    "TimeLimit",
                ),
                () = self.out.gone() => return Err(Stop::Gone),
            }
        }
    }

    /// What stands behind the last transaction belongs to the body too, however late it comes.
    async fn read_to_the_end(&mut self, read: &mut mpsc::UnboundedReceiver<Read>) -> Result<(), Stop> {
        while !self.document.is_cut_short() {
            if self.head.is_sent() {
                self.flush().await?;
            }
            let part = tokio::select! {
                biased;
                part = read.recv() => part,
                () = tokio::time::sleep_until(self.until) => return Ok(()),
                () = self.out.gone() => return Err(Stop::Gone),
            };
            match part {
                None => return Ok(()),
                Some(Read::NoJson(fault)) => self.broken(&BulkFault::Json(fault))?,
                part => self.take(part)?,
            }
        }
        Ok(())
    }

    /// A part of the body. After its end, or after what broke it, the channel is closed.
    fn take(&mut self, read: Option<Read>) -> Result<(), Stop> {
        match read {
            Some(Read::Part(part)) => {
                self.bulk.take(part);
                Ok(())
            }
            Some(Read::NoJson(fault)) => {
                self.bulk.break_off(fault);
                Ok(())
            }
            Some(Read::TooLarge) => {
                let detail = format!("The body of a bulk call may have {} bytes.", self.settings.body);
                self.stop(Kind::BodyTooLarge, detail, "BodyTooLarge")
            }
            // What waits is more than may run: where it begins to be too many is found in its turn.
            Some(Read::TooMany) if self.bulk.gives_out() => {
                self.unread = true;
                Ok(())
            }
            Some(Read::TooMany) => {
                let detail = format!("A bulk call may have {} transactions.", self.settings.transactions);
                self.stop(Kind::BodyTooLarge, detail, "TooManyTransactions")
            }
            Some(Read::Lost) => {
                self.stop(Kind::RequestUnreadable, "The body broke off before its end.".to_owned(), "MalformedRequest")
            }
            // A body that ended has an end or a fault in it; without either the reader was ended with the house.
            None => Err(Stop::Gone),
        }
    }

    fn broken(&mut self, fault: &BulkFault) -> Result<(), Stop> {
        self.stop(Kind::RequestUnreadable, fault.to_string(), fault.kind())
    }

    /// Before anything ran the call is refused as a whole; after it the run is cut short, and what ran is told.
    fn stop(&mut self, kind: Kind, detail: String, word: &'static str) -> Result<(), Stop> {
        if self.begun == 0 {
            self.head.refuse(Problem::new(kind, detail));
            return Err(Stop::Refused);
        }
        self.document.cut_short(detail, word);
        Ok(())
    }

    /// One more transaction: within the call's bounds and the client's rate. The first was paid for at the door.
    async fn may_begin(&mut self) -> Result<bool, Stop> {
        if self.begun == self.settings.transactions {
            let most = self.settings.transactions;
            self.document.cut_short(format!("A bulk call may have {most} transactions."), "TooManyTransactions");
            return Ok(false);
        }
        // The first one is refused by itself, as any call would be.
        while self.begun > 0 {
            // Again after every wait: what was taken back in it runs no more.
            if let Some((why, word)) = self.exchange.blocking.stops_run(&self.who, &self.visit) {
                self.document.cut_short(why.to_owned(), word);
                return Ok(false);
            }
            let said = self.exchange.limits.check(&self.who.client, &self.who.groups, 1);
            match said.verdict.as_ref().and_then(|verdict| verdict.wait()) {
                Some(wait) if self.pace.take(wait) => {
                    tokio::time::sleep(wait).await;
                    continue;
                }
                Some(_) | None => {}
            }
            match self.exchange.ears(&self.who, &self.visit, None).hear(said) {
                Ok(_) => break,
                Err(problem) => {
                    self.limited(&problem);
                    return Ok(false);
                }
            }
        }
        self.begun += 1;
        Ok(true)
    }

    fn limited(&mut self, problem: &Problem) {
        self.document.cut_short(problem.told(), problem.kind.error_type());
    }

    fn begin_item(&mut self, item: Item) -> BoxFuture<'static, Done> {
        {
            let mut learnt = self.visit.learnt();
            learnt.transactions = Some(self.begun);
            learnt.program = item.asked.as_ref().map_or(learnt.program, |asked| Some(asked.program));
        }
        // The first one's rate was paid for at the door, so it does not wait for it.
        let pace = (self.begun > 1).then(|| self.pace.clone());
        let visit = self.visit.item(self.begun, &self.unit, pace);
        self.head.with(&visit);
        item::begin(self.exchange.clone(), self.who.clone(), visit, item)
    }

    async fn write(&mut self, done: Done) -> Result<(), Stop> {
        let answer = match done.answer {
            Ok(answer) => answer,
            Err(Refused::Problem(problem)) if problem.kind.is_of_limits() => {
                // Others that were begun beside the first are reads: nothing of them is missed.
                if !self.head.is_sent() {
                    self.head.refuse(problem);
                    return Err(Stop::Refused);
                }
                self.limited(&problem);
                self.document.left_out(&done.name, &mut self.chunk);
                self.head.send();
                return Ok(());
            }
            Err(refused) => {
                self.failed(&done.name, refused);
                self.head.send();
                return Ok(());
            }
        };
        self.head.send();
        Ok(self.records(answer, done.extended).await?)
    }

    fn failed(&mut self, name: &str, refused: Refused) {
        let failure = match refused {
            Refused::Nok(failure) => failure,
            Refused::Fault(fault) => Failure::fault(&fault),
            Refused::Problem(problem) => {
                let kind = problem.kind.error_type();
                let message = problem.told();
                if problem.kind.ends_a_run() {
                    self.document.cut_short(message.clone(), kind);
                }
                Failure { kind, message, ..Failure::default() }
            }
        };
        self.document.failed(name, &failure, &mut self.chunk);
    }

    /// The records of one result, as they come.
    async fn records(&mut self, answer: Answer, extended: bool) -> Result<(), Gone> {
        let Answer { table, inputs, mut listing, reported } = answer;
        self.document.begin(&table, extended.then_some(inputs.as_slice()), &mut self.chunk);
        let failure = loop {
            let next = match listing.ready() {
                Some(next) => next,
                None => {
                    self.flush().await?;
                    listing.next().await
                }
            };
            match next {
                Ok(Some(record)) => self.document.record(&table, &record, &mut self.chunk),
                Ok(None) => break None,
                Err(m3::Error::Refused(refusal)) => break Some(Failure::refused(&refusal)),
                Err(error) => {
                    tracing::warn!(request = %self.visit.id, %error, "a list of a bulk call ended before its end");
                    let failure = Failure::cut_short("M3 stopped before the end of the list.".to_owned());
                    self.document.cut_short(failure.message.clone(), failure.kind);
                    break Some(failure);
                }
            }
            if self.chunk.len() >= CHUNK {
                self.flush().await?;
            }
        };
        if !reported {
            self.document.unreported();
        }
        self.document.end(failure.as_ref(), listing.mark().as_ref(), &mut self.chunk);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(1024));
        self.out.send(chunk).await
    }

    /// After a run was cut short: the transactions that still come are named, and not run.
    async fn left_out(&mut self, read: &mut mpsc::UnboundedReceiver<Read>) -> Result<(), Stop> {
        if !self.document.is_cut_short() {
            return Ok(());
        }
        loop {
            while let Some(name) = self.bulk.next_left_out() {
                self.document.left_out(&name, &mut self.chunk);
                if self.chunk.len() >= CHUNK {
                    self.flush().await?;
                }
            }
            let more = tokio::select! {
                biased;
                () = tokio::time::sleep_until(self.until) => return Ok(()),
                more = read.recv() => more,
            };
            match more {
                Some(Read::Part(part)) => self.bulk.take(part),
                Some(Read::NoJson(_) | Read::TooLarge | Read::TooMany | Read::Lost) | None => return Ok(()),
            }
        }
    }
}
