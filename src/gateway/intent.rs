//! What stands in the outbox before a write may reach M3, and what a repeated request gets instead of a second write.
//!
//! An intent is opened for writes that a document tells of, and for every write with an Idempotency-Key. Reads have no
//! use for a key, and it is not looked at.

use super::problem::{Kind, Problem};
use super::refused::{self, Refused};
use super::visit::Visit;
use crate::audit::Ticket;
use crate::model::{Call, Effect, FieldName, Principal, Record, Refusal, TransactionLayout};
use crate::outbox::{self, Due, IdempotencyKey, Intent, Opened, Outbox, Outcome, Pledge};
use crate::translate::{Asked, Failure};
use http::HeaderMap;
use std::time::Duration;

pub(super) enum Begun {
    /// M3 is asked.
    Write(Option<Pledge>),
    /// M3 was asked before, and this is what it said.
    Answered { records: Vec<Record>, reported: bool },
}

const KEY: &str = "idempotency-key";
const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(5);

/// What the caller calls his request.
pub(super) fn take_key(headers: &HeaderMap, visit: &Visit) -> Result<(), Problem> {
    let mut given = headers.get_all(KEY).iter();
    let Some(key) = given.next() else { return Ok(()) };
    let key = key.to_str().ok().and_then(IdempotencyKey::parse).filter(|_| given.next().is_none());
    let detail = "The Idempotency-Key is one word of at most 255 printable characters, bare or in quotes, said once.";
    visit.is_called(key.ok_or_else(|| Problem::new(Kind::RequestUnreadable, detail))?);
    Ok(())
}

/// Where the client is set so, its `_rid` stands for the key that it did not give.
pub(super) fn called_by_rid(outbox: &Outbox, asked: &Asked, who: &Principal, visit: &Visit, effect: Effect) {
    let rid = asked.rid.as_deref().filter(|_| who.standing.rid_is_key && effect.is_write());
    let said = || format!("{}/{} {:?} {:?}", asked.program, asked.transaction, asked.options, asked.fields);
    if let Some(key) = rid.and_then(|rid| outbox.key_of_rid(rid, &said())) {
        visit.is_called(key);
    }
}

/// Returns when the log has the decision and the outbox the intent, each where it has to: one wait for both.
pub(super) async fn written(
    outbox: &Outbox,
    call: &Call,
    visit: &Visit,
    ticket: &mut Ticket,
) -> Result<Begun, Refused> {
    let (kept, begun) = tokio::join!(ticket.kept(), begin(outbox, call, visit));
    if kept.is_ok() {
        return begun;
    }
    if let Ok(Begun::Write(Some(pledge))) = begun {
        pledge.withdraw();
    }
    let problem = Problem::new(Kind::AuditUnavailable, "The audit log can't be written at the moment.");
    Err(problem.retry_after(LATER).decided(ticket.id).into())
}

/// Returns when the intent is on the disk, where the write needs one.
async fn begin(outbox: &Outbox, call: &Call, visit: &Visit) -> Result<Begun, Refused> {
    let (program, transaction) = (call.layout.program, call.layout.name);
    let told = outbox.coverage().of(program, transaction);
    let key = visit.key();
    if call.effect.is_write() && told.is_empty() {
        outbox.passes_by(program);
    }
    if !call.effect.is_write() || (told.is_empty() && key.is_none()) {
        return Ok(Begun::Write(None));
    }
    let layout_fields = call.layout.input.fields();
    let fields: Vec<(FieldName, String)> = call
        .inputs
        .iter()
        .map(|input| (layout_fields[usize::from(input.at)].name, input.value.as_str().to_owned()))
        .collect();
    let value = |name: &str| fields.iter().find(|(field, _)| field.as_str() == name).map(|(_, text)| text.clone());
    let due = told.iter().map(|told| Due::of(told, value)).collect();
    let intent = Intent {
        name: visit.intent(),
        bulk: visit.bulk().cloned(),
        client: call.client.clone(),
        key: key.cloned(),
        user: call.user.clone(),
        program,
        transaction,
        place: call.place,
        due,
        fields,
    };
    match outbox.open(&intent).await {
        Ok(Opened::New(pledge)) => Ok(Begun::Write(Some(pledge))),
        Ok(Opened::Settled(outcome)) => again(outcome, &call.layout),
        Ok(Opened::InFlight) => {
            let detail = "A request with this Idempotency-Key is being done at the moment.";
            Err(Problem::new(Kind::RequestInFlight, detail).retry_after(SOON).into())
        }
        Ok(Opened::Unknown(name)) => {
            let detail = "The first request with this Idempotency-Key ended without a word of M3's.";
            Err(refused::outcome_unknown(detail, &name).into())
        }
        Ok(Opened::OtherRequest) => {
            let detail = "This Idempotency-Key was used for another call, or for the same with other values.";
            Err(Problem::new(Kind::KeyReused, detail).into())
        }
        Err(error) if outbox.is_required() || intent.key.is_some() => {
            tracing::error!(%error, "a write was refused: its intent can't be kept");
            let detail = match error {
                outbox::Error::TooLarge(_) => "The outbox is full: documents of earlier writes have to be told first.",
                _ => "The outbox can't be written at the moment.",
            };
            Err(Problem::new(Kind::OutboxUnavailable, detail).retry_after(LATER).into())
        }
        Err(error) => {
            tracing::error!(%error, intent = intent.name, "a write goes on without its intent; no document tells of it");
            Ok(Begun::Write(None))
        }
    }
}

fn again(outcome: Outcome, layout: &TransactionLayout) -> Result<Begun, Refused> {
    match outcome {
        Outcome::Done { reported, records } => {
            let values = |fields: &[(String, String)]| {
                let values = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                Record::of_values(&layout.output, values)
            };
            let records = records.iter().map(|fields| values(fields)).collect();
            Ok(Begun::Answered { records, reported })
        }
        Outcome::Refused { message, id, field } => {
            let field = field.and_then(|name| FieldName::parse(&name).ok());
            Err(Refused::Nok(Failure::refused(&Refusal { message, id, field })))
        }
    }
}

/// M3's records by field, as the outbox keeps them: what is blank or secret is left out.
pub(super) fn kept(pledge: &Pledge, layout: &TransactionLayout, records: &[Record]) -> Vec<Vec<(String, String)>> {
    let of = |record: &Record| {
        let fields = layout.output.fields().iter().filter(|field| pledge.may_keep(field.name));
        let fields = fields.map(|field| (field.name.to_string(), record.value(field).into_owned()));
        fields.filter(|(_, value)| !value.is_empty()).collect()
    };
    records.iter().map(of).collect()
}
