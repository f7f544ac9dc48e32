//! One record of M3 by its key, read as somebody: what decisions hang on, and whose division a site is of.
//!
//! Invariant: an answer is read to its end, so that its session can be used again; a layout that M3 has no more is looked up
//! anew, once. That there is no such record, and that this user may not see it, come to the same.
//! Does not know: what it is read for, or how long that may take in all.

use crate::catalog::Catalog;
use crate::m3;
use crate::model::{
    Call, ClientId, DateForm, Effect, FieldName, Input, M3User, Place, ProgramName, Record, TransactionLayout,
    TransactionName, Value,
};
use crate::translate;
use std::sync::Arc;
use std::time::Duration;

/// Whose question it is, as whom it is asked, and where.
#[derive(Debug, Clone)]
pub(super) struct Whose {
    pub(super) client: ClientId,
    pub(super) user: M3User,
    pub(super) place: Place,
}

/// Why nothing is known of a record: not that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// M3 goes on answering to a question for one.
    Many,
    Busy,
    TimedOut,
    /// M3 is away, lets this user not in, or is of two minds about a layout.
    Unavailable,
}

/// A record, with the layout that it was read with.
pub(super) type Read = (Arc<TransactionLayout>, Record);

#[derive(Debug, Clone)]
pub(super) struct Reader {
    catalog: Catalog,
    m3: m3::Client,
}

/// Of one question to M3.
const PATIENCE: Duration = Duration::from_secs(2);
/// One record was asked for; who answers with a list is not listened to for ever.
const MOST_RECORDS: usize = 100;

enum Failed {
    LayoutChanged,
    Unread(Unread),
}

impl Reader {
    pub(super) fn new(catalog: Catalog, m3: m3::Client) -> Self {
        Self { catalog, m3 }
    }

    /// Whether a record may come of a session that proves no company.
    pub(super) fn accepts_unproven(&self) -> bool {
        self.m3.accepts_unproven_reads()
    }

    pub(super) async fn record(
        &self,
        (program, transaction): (ProgramName, TransactionName),
        whose: &Whose,
        key: &[(FieldName, &str)],
    ) -> Result<Option<Read>, Unread> {
        for again in [false, true] {
            let layout = self.catalog.layout(program, transaction).await.map_err(|_| Unread::Unavailable)?;
            match self.ask(&layout, whose, key).await {
                Ok(found) => return Ok(found.map(|record| (layout, record))),
                Err(Failed::LayoutChanged) => self.catalog.disagreed(program, transaction, again).await,
                Err(Failed::Unread(unread)) => return Err(unread),
            }
        }
        Err(Unread::Unavailable)
    }

    async fn ask(
        &self,
        layout: &Arc<TransactionLayout>,
        whose: &Whose,
        key: &[(FieldName, &str)],
    ) -> Result<Option<Record>, Failed> {
        let inputs = key.iter().map(|(to, text)| input(layout, *to, text)).collect::<Option<Vec<_>>>();
        // Longer than the read takes it, or of another kind: there is no such record.
        let Some(inputs) = inputs else { return Ok(None) };
        let call = Call {
            client: whose.client.clone(),
            user: whose.user.clone(),
            place: whose.place,
            inputs: translate::placed(inputs, layout, whose.place),
            layout: layout.clone(),
            effect: Effect::Read,
            max_records: 1,
            language: None,
            patience: PATIENCE,
        };
        let mut reply = match self.m3.call(&call).await {
            Ok(reply) => reply,
            Err(error) => return failed(layout, &error),
        };
        let mut first = None;
        for _ in 0..MOST_RECORDS {
            match reply.next().await {
                Ok(Some(record)) => first = first.or(Some(record)),
                Ok(None) => return Ok(first),
                Err(error) => return failed(layout, &error),
            }
        }
        Err(Failed::Unread(Unread::Many))
    }
}

fn failed(layout: &TransactionLayout, error: &m3::Error) -> Result<Option<Record>, Failed> {
    let (program, transaction) = (layout.program, layout.name);
    match error {
        m3::Error::Refused(refusal) => {
            tracing::info!(%program, %transaction, message = %refusal.id, "M3 refused to read a record that a decision hangs on");
            Ok(None)
        }
        m3::Error::LayoutChanged { .. } => Err(Failed::LayoutChanged),
        m3::Error::TimedOut { .. } => Err(Failed::Unread(Unread::TimedOut)),
        m3::Error::Busy { .. } | m3::Error::QueueFull => Err(Failed::Unread(Unread::Busy)),
        error => {
            tracing::warn!(%program, %transaction, %error, "a record that a decision hangs on can't be read of M3");
            Err(Failed::Unread(Unread::Unavailable))
        }
    }
}

fn input(layout: &TransactionLayout, name: FieldName, text: &str) -> Option<Input> {
    let at = layout.input.position(name)?;
    let value = Value::parse(&layout.input.fields()[at], text, DateForm::Ymd8).ok()??;
    Some(Input { at: u16::try_from(at).ok()?, value })
}
