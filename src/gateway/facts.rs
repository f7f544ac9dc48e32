//! The record that a decision hangs on, read of M3 before the decision is made.
//!
//! Asked as the guard user and not as the caller, in the company and division that the call is decided for, and anew for
//! each call: an amount of a minute ago is no ground to decide on.
//! Invariant: what could not be read, in time and by its key, is missing; nothing stands in for it.
//! Does not know: which rule looks at it, or what becomes of a call without it.

use super::exchange::Exchange;
use super::reader::{Reader, Unread, Whose};
use super::room::Room;
use super::sites::{Kind, Sites};
use super::verdict::Weighed;
use crate::audit::FactRecord;
use crate::model::{ClientId, Company, DateForm, FieldName, Input, M3User, Place, Record, TransactionLayout, Value};
use crate::policy::{Fact, FactValues, NoValue};
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
pub(super) struct Facts {
    reader: Reader,
    sites: Sites,
    user: Option<M3User>,
    room: Room,
    metrics: Arc<Metrics>,
}

/// What came of a read.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) fact: Arc<Fact>,
    pub(super) got: Result<FactValues, Missing>,
}

/// Why a record is missing. Logs and metrics tell it; a caller learns no more than what he lacks himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// The settings name nobody who reads records.
    NoUser,
    /// The call doesn't give this input, or is to blank it.
    NoKey(FieldName),
    /// M3 has none of this key, or none that the guard user may see.
    NoRecord,
    /// M3 answered with the record of another key or company.
    Another,
    /// A value that is none of its field's kind, or a field that M3 has no more.
    Unreadable,
    /// Its facility or warehouse can't be placed.
    NoDivision,
    Busy,
    TimedOut,
    /// M3 is away, or doesn't let the guard user in.
    Unavailable,
}

/// In all: for a place in the queue, the session and the answer. A caller waits behind it.
const PATIENCE: Duration = Duration::from_secs(2);

impl Missing {
    /// Of metrics and of the audit log.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::NoUser => "no-guard-user",
            Self::NoKey(_) => "no-key",
            Self::NoRecord => "no-record",
            Self::Another => "another-record",
            Self::Unreadable => "unreadable",
            Self::NoDivision => "no-division",
            Self::Busy => "busy",
            Self::TimedOut => "timed-out",
            Self::Unavailable => "unavailable",
        }
    }

    /// The operators' to mend, and not the caller's.
    fn is_ours(self) -> bool {
        match self {
            Self::NoKey(_) | Self::NoRecord => false,
            Self::NoUser
            | Self::Another
            | Self::Unreadable
            | Self::NoDivision
            | Self::Busy
            | Self::TimedOut
            | Self::Unavailable => true,
        }
    }
}

impl From<Unread> for Missing {
    fn from(why: Unread) -> Self {
        match why {
            Unread::Many => Self::Another,
            Unread::Busy => Self::Busy,
            Unread::TimedOut => Self::TimedOut,
            Unread::Unavailable => Self::Unavailable,
        }
    }
}

impl From<NoValue> for Missing {
    fn from(_: NoValue) -> Self {
        Self::Unreadable
    }
}

impl Reading {
    pub(super) fn values(&self) -> Option<&FactValues> {
        self.got.as_ref().ok()
    }

    pub(super) fn missing(&self) -> Option<Missing> {
        self.got.as_ref().err().copied()
    }

    pub(super) fn told(&self) -> FactRecord<'_> {
        let told = self.got.as_ref().map(FactValues::all).map_err(|missing| missing.word());
        FactRecord { by: self.fact.text(), told }
    }
}

impl Exchange {
    pub(super) async fn read_fact(&self, call: &Weighed<'_>, fact: Arc<Fact>) -> Reading {
        let ask = call.ask();
        let got = self.facts.read(&fact, ask.asker.client, ask.place, (ask.layout, ask.inputs)).await;
        let word = got.as_ref().map_or_else(|missing| missing.word(), |_| "read");
        self.facts.metrics.policy_fact_reads.with_label_values(&[word]).inc();
        if let Some(missing) = got.as_ref().err().filter(|missing| missing.is_ours()) {
            let (request, program, transaction) = (call.request(), ask.program, ask.transaction);
            tracing::warn!(%request, %program, %transaction, read = %fact.text(), why = missing.word(), "the record that a rule looks at could not be read: the call is refused");
        }
        Reading { fact, got }
    }
}

impl Facts {
    pub(super) fn new(reader: Reader, sites: Sites, user: Option<M3User>, metrics: Arc<Metrics>) -> Self {
        Self { reader, sites, user, room: Room::new(), metrics }
    }

    async fn read(
        &self,
        fact: &Fact,
        client: &ClientId,
        place: Place,
        (layout, inputs): (&TransactionLayout, &[Input]),
    ) -> Result<FactValues, Missing> {
        let user = self.user.clone().ok_or(Missing::NoUser)?;
        let key = key(fact, layout, inputs)?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let room = tokio::time::timeout_at(deadline, self.room.enter(client));
        let _room = room.await.map_err(|_| Missing::Busy)?;
        let whose = Whose { client: client.clone(), user, place };
        tokio::time::timeout_at(deadline, self.of_m3(fact, &whose, &key)).await.map_err(|_| Missing::TimedOut)?
    }

    async fn of_m3(&self, fact: &Fact, whose: &Whose, key: &[(FieldName, &str)]) -> Result<FactValues, Missing> {
        match self.reader.record((fact.program, fact.transaction), whose, key).await? {
            Some((layout, record)) => self.values(fact, &layout, whose, key, &record).await,
            None => Err(Missing::NoRecord),
        }
    }

    async fn values(
        &self,
        fact: &Fact,
        layout: &TransactionLayout,
        whose: &Whose,
        key: &[(FieldName, &str)],
        record: &Record,
    ) -> Result<FactValues, Missing> {
        // Where a session may have read it that proves no company, the record has to say its own.
        let unsaid = !self.reader.accepts_unproven();
        if !is_of(record, layout, key, (whose.place.company, unsaid)) {
            return Err(Missing::Another);
        }
        let mut told = Vec::new();
        for name in fact.fields() {
            if name.as_str() == "DIVI" && !fact.division_by.is_empty() {
                told.push((name, self.division(fact, layout, whose, record).await?));
                continue;
            }
            // As the rules were checked against it, or M3 has changed since.
            let field = layout.output.field(name).filter(|field| fact.kind(name) == Some(field.kind));
            told.push((name, record.value(field.ok_or(Missing::Unreadable)?).into_owned()));
        }
        Ok(fact.values(told.iter().map(|(name, text)| (*name, text.as_str())))?)
    }

    /// By the first facility or warehouse that the record has.
    async fn division(
        &self,
        fact: &Fact,
        layout: &TransactionLayout,
        whose: &Whose,
        record: &Record,
    ) -> Result<String, Missing> {
        let site = fact.division_by.iter().find_map(|name| {
            let text = record.value(layout.output.field(*name)?);
            let kind = if name.as_str() == "FACI" { Kind::Facility } else { Kind::Warehouse };
            Some((kind, text.trim().into())).filter(|_| !text.trim().is_empty())
        });
        let found = self.sites.division(whose, &site.ok_or(Missing::NoDivision)?).await;
        let division = found.map_err(|_| Missing::Unavailable)?.ok_or(Missing::NoDivision)?;
        Ok(division.to_string())
    }
}

/// The read's inputs with what the call gives for them.
fn key<'a>(fact: &Fact, layout: &TransactionLayout, inputs: &'a [Input]) -> Result<Vec<(FieldName, &'a str)>, Missing> {
    let given = |from: FieldName| {
        let at = layout.input.position(from)?;
        inputs.iter().find(|input| usize::from(input.at) == at).map(|input| &input.value)
    };
    let one = |(to, from): &(FieldName, FieldName)| match given(*from) {
        Some(value @ (Value::Text(_) | Value::Number(_) | Value::Date(_))) => Ok((*to, value.as_str())),
        Some(Value::Cleared) | None => Err(Missing::NoKey(*from)),
    };
    fact.key.iter().map(one).collect()
}

/// Where the answer repeats its key and its company, they have to be those that were asked for. `unsaid`: it may say
/// nothing of its company.
fn is_of(
    record: &Record,
    layout: &TransactionLayout,
    key: &[(FieldName, &str)],
    (company, unsaid): (Company, bool),
) -> bool {
    let same = |(name, text): &(FieldName, &str)| {
        let Some(field) = layout.output.field(*name) else { return true };
        let value = Value::parse(field, &record.value(field), DateForm::Ymd8);
        matches!(value, Ok(Some(value)) if value.as_str().eq_ignore_ascii_case(text))
    };
    let told = FieldName::parse("CONO").ok().and_then(|name| layout.output.field(name));
    let told = told.map(|field| record.value(field).trim().to_owned()).unwrap_or_default();
    let ours = match told.bytes().all(|digit| digit == b'0') {
        // Nothing, or zero, is no company's.
        true => unsaid,
        false => Company::parse(&told).is_ok_and(|told| told == company),
    };
    ours && key.iter().all(same)
}
