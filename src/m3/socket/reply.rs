//! M3's answer to one call, a record at a time, straight from the session.

use super::super::error::Error;
use super::super::pool::{Lease, Lent};
use super::session::Session;
use crate::model::{Record, TransactionLayout};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::translate::Status;
use prometheus::IntCounter;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Whoever drops it before its end gives the session up, after a short look whether the end is near.
#[derive(Debug)]
pub(in crate::m3) struct Reply {
    first: Option<Record>,
    /// Gone when the answer has ended and the session is back in the pool.
    running: Option<(Session, Lease<Session>)>,
    patience: Duration,
    reported: bool,
    /// A list: its OK is the end whatever stands behind it.
    multi: bool,
    /// A record came: what follows is a list, whatever the transaction is said to be.
    list: bool,
    records: IntCounter,
    tasks: Tasks,
}

/// What is read from M3 for nobody, before the session is given up.
const READ_ON: usize = 256;
const READ_ON_FOR: Duration = Duration::from_secs(5);

impl Reply {
    pub(in crate::m3) fn new(
        (session, lease): (Session, Lease<Session>),
        patience: Duration,
        layout: &TransactionLayout,
        metrics: &Metrics,
        tasks: Tasks,
    ) -> Self {
        let records = metrics.m3_records.with_label_values(&[layout.program.as_str()]);
        let running = Some((session, lease));
        Self { first: None, running, patience, reported: true, multi: layout.multi, list: false, records, tasks }
    }

    /// Takes M3's first frame: NOK is an error, and after any of them that end the answer the session is free.
    pub(in crate::m3) async fn begin(mut self) -> Result<Self, Error> {
        self.first = self.read_on().await?;
        Ok(self)
    }

    /// M3 took it and says nothing more. The session ends with it: an answer that came after all would be read as the
    /// next call's.
    pub(in crate::m3) fn unreported(mut self) -> Self {
        self.reported = false;
        if let Some((session, _)) = self.running.take() {
            session.farewell();
        }
        self
    }

    /// `Snd…`: M3 took it, and never says whether it worked.
    pub(in crate::m3) fn outcome_reported(&self) -> bool {
        self.reported
    }

    /// The next record; `None` at the end. NOK in the middle of a list is an error and the end.
    pub(in crate::m3) async fn next(&mut self) -> Result<Option<Record>, Error> {
        match self.first.take() {
            Some(record) => Ok(Some(record)),
            None => self.read_on().await,
        }
    }

    /// What is here already: `None` when it would have to be waited for, `Some(Ok(None))` at the end.
    pub(in crate::m3) fn ready(&mut self) -> Option<Result<Option<Record>, Error>> {
        if let Some(record) = self.first.take() {
            return Some(Ok(Some(record)));
        }
        let Some((session, _)) = &mut self.running else { return Some(Ok(None)) };
        let next = session.ready()?;
        Some(self.take(next))
    }

    async fn read_on(&mut self) -> Result<Option<Record>, Error> {
        let Some((session, _)) = &mut self.running else { return Ok(None) };
        let next = session.next(self.patience).await;
        self.take(next)
    }

    fn take(&mut self, next: Result<(Status, bytes::Bytes), Error>) -> Result<Option<Record>, Error> {
        let Some((session, _)) = &self.running else { return Ok(None) };
        match next {
            Ok((Status::Record, payload)) => {
                self.records.inc();
                self.list = true;
                Ok(Some(session.record(payload)))
            }
            Ok((Status::Ok { data }, payload)) => {
                let record = (data && !self.multi && !self.list).then(|| session.record(payload));
                self.records.inc_by(u64::from(record.is_some()));
                self.end();
                Ok(record)
            }
            Ok((Status::Refused(refusal), _)) => {
                self.end();
                Err(Error::Refused(refusal))
            }
            Err(error) => {
                // Where the stream stands is not known any more: the session is closed, not pooled.
                self.running = None;
                Err(error)
            }
        }
    }

    /// The answer is whole: the session goes back.
    fn end(&mut self) {
        if let Some((mut session, lease)) = self.running.take() {
            session.answered = Instant::now();
            lease.give_back(session);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let Some((mut session, lease)) = self.running.take() else { return };
        // A call that was dropped before its answer began is no list: how long M3 works on it nobody knows. And where
        // no runtime is left there is nobody to read on.
        if !self.list || Handle::try_current().is_err() {
            return;
        }
        let read_on = async move {
            for _ in 0..READ_ON {
                match session.next(READ_ON_FOR).await {
                    Ok((Status::Record, _)) => {}
                    Ok((Status::Ok { .. } | Status::Refused(_), _)) => {
                        session.answered = Instant::now();
                        lease.give_back(session);
                        return;
                    }
                    Err(_) => return,
                }
            }
        };
        self.tasks.spawn_until_stop(async move {
            let _ = tokio::time::timeout(READ_ON_FOR, read_on).await;
        });
    }
}
