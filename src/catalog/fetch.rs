//! Asking M3 what it has: MRS001MI/LstTransactions and LstFields, over layouts that the session itself tells.

use crate::m3::{Client, Error};
use crate::model::{
    Call, ClientId, Effect, FieldKind, FieldLayout, FieldName, Input, Layout, ProgramName, Record, Slot,
    TransactionLayout, TransactionName, Value,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// One row of LstPrograms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramFacts {
    pub name: ProgramName,
    pub description: Box<str>,
}

/// One row of LstTransactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionFacts {
    pub name: TransactionName,
    pub description: Box<str>,
    pub multi: bool,
}

/// No program of any release has more; beyond it the answer is not believed.
const MOST_PROGRAMS: usize = 20_000;
const MOST_TRANSACTIONS: usize = 5_000;
const MOST_FIELDS: usize = 2_000;
const MOST_COLUMNS: u16 = 60_000;

/// The reader of MRS001MI. Its own layouts come from the session, so that no release is assumed.
#[derive(Debug)]
pub(super) struct Fetch {
    m3: Client,
    patience: Duration,
    /// Held while they are asked for: one question for many.
    lists: Mutex<Option<Arc<Lists>>>,
}

#[derive(Debug)]
struct Lists {
    programs: Arc<TransactionLayout>,
    transactions: Arc<TransactionLayout>,
    fields: Arc<TransactionLayout>,
}

impl Fetch {
    pub(super) fn new(m3: Client, patience: Duration) -> Self {
        Self { m3, patience, lists: Mutex::default() }
    }

    pub(super) async fn programs(&self) -> Result<Vec<ProgramFacts>, Error> {
        let lists = self.lists().await?;
        let layout = &lists.programs;
        let rows = self.list(layout, &[], MOST_PROGRAMS).await?;
        let facts = rows.iter().filter_map(|row| {
            let name = ProgramName::parse(&column(row, layout, "MINM")).ok()?;
            Some(ProgramFacts { name, description: column(row, layout, "MIDS").into() })
        });
        Ok(facts.collect())
    }

    pub(super) async fn transactions(&self, program: ProgramName) -> Result<Vec<TransactionFacts>, Error> {
        let lists = self.lists().await?;
        let layout = &lists.transactions;
        let rows = self.list(layout, &[("MINM", program.as_str())], MOST_TRANSACTIONS).await?;
        let text = |row: &Record, name: &str| column(row, layout, name);
        let facts = rows.iter().filter_map(|row| {
            let name = TransactionName::parse(&text(row, "TRNM")).ok()?;
            let multi = text(row, "SIMU") == "M";
            Some(TransactionFacts { name, description: text(row, "TRDS").into(), multi })
        });
        Ok(facts.collect())
    }

    pub(super) async fn layout(
        &self,
        program: ProgramName,
        facts: &TransactionFacts,
    ) -> Result<TransactionLayout, Error> {
        let input = self.fields(program, facts.name, "I").await?;
        let output = self.fields(program, facts.name, "O").await?;
        // M3 refuses to list where there is nothing; a transaction with no fields at all is one that it could not list.
        if input.fields().is_empty() && output.fields().is_empty() {
            return Err(Error::LayoutChanged { program, transaction: facts.name });
        }
        Ok(TransactionLayout {
            program,
            name: facts.name,
            description: facts.description.clone(),
            multi: facts.multi,
            input,
            output,
        })
    }

    async fn fields(&self, program: ProgramName, transaction: TransactionName, which: &str) -> Result<Layout, Error> {
        let lists = self.lists().await?;
        let layout = &lists.fields;
        let keys = [("MINM", program.as_str()), ("TRNM", transaction.as_str()), ("TRTP", which)];
        let rows = self.list(layout, &keys, MOST_FIELDS).await?;
        let mut fields: Vec<_> = rows.iter().filter_map(|row| field(row, layout)).collect();
        fields.sort_by_key(|field| field.from);
        if self.m3.speaks_by_name() {
            one_after_the_other(&mut fields)?;
        }
        Ok(Layout::new(fields))
    }

    async fn list(
        &self,
        layout: &Arc<TransactionLayout>,
        keys: &[(&str, &str)],
        most: usize,
    ) -> Result<Vec<Record>, Error> {
        let user = self.m3.user();
        let place = self.m3.home(&user).await?.place;
        let mut inputs: Vec<Input> = Vec::with_capacity(keys.len());
        for (name, value) in keys {
            let at = FieldName::parse(name).ok().and_then(|name| layout.input.position(name));
            let at = at.ok_or(Error::Protocol {
                sent: false,
                what: "MRS001MI lists without the inputs that every release has",
            })?;
            inputs.push(Input { at: at as u16, value: Value::Text((*value).into()) });
        }
        inputs.sort_by_key(|input| input.at);
        let call = Call {
            client: ClientId { issuer: "".into(), id: "catalog".into() },
            user,
            place,
            layout: layout.clone(),
            effect: Effect::Read,
            inputs,
            max_records: 0,
            language: None,
            patience: self.patience,
        };
        let mut reply = match self.m3.call(&call).await {
            Ok(reply) => reply,
            // What stands before M3 refuses without M3's own message id: that says nothing of what there is.
            Err(Error::Refused(refusal)) if refusal.id.is_empty() && self.m3.speaks_by_name() => {
                return Err(Error::Protocol { sent: false, what: "MRS001MI was refused without a reason of M3's" });
            }
            // M3 says NOK where there is nothing to list.
            Err(Error::Refused(_)) => return Ok(Vec::new()),
            // Its own layouts are others by now: they are asked for again before the next list.
            Err(error @ Error::LayoutChanged { .. }) => {
                *self.lists.lock().await = None;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let mut rows = Vec::new();
        while let Some(row) = reply.next().await? {
            if rows.len() == most {
                return Err(Error::Protocol { sent: false, what: "MRS001MI lists more than any program has" });
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// MRS001MI's own layouts are asked for anew after everything was forgotten.
    pub(super) async fn forget(&self) {
        *self.lists.lock().await = None;
    }

    async fn lists(&self) -> Result<Arc<Lists>, Error> {
        let mut held = self.lists.lock().await;
        if let Some(lists) = &*held {
            return Ok(lists.clone());
        }
        let lists = Arc::new(Lists {
            programs: self.bootstrap("LstPrograms").await?,
            transactions: self.bootstrap("LstTransactions").await?,
            fields: self.bootstrap("LstFields").await?,
        });
        *held = Some(lists.clone());
        Ok(lists)
    }

    /// MRS001MI can't be looked up in MRS001MI: its layouts come from GetInLayout and GetOutLayout, all text.
    async fn bootstrap(&self, transaction: &str) -> Result<Arc<TransactionLayout>, Error> {
        const NAMED: &str = "names of this file";
        let program = ProgramName::parse("MRS001MI").expect(NAMED);
        let name = TransactionName::parse(transaction).expect(NAMED);
        let slots = self.m3.slots(program, name).await?;
        let layout = |slots: &[Slot]| Layout::new(slots.iter().map(|slot| text_field(*slot)).collect());
        Ok(Arc::new(TransactionLayout {
            program,
            name,
            description: "".into(),
            multi: true,
            input: layout(&slots.input),
            output: layout(&slots.output),
        }))
    }
}

fn text_field(slot: Slot) -> FieldLayout {
    let kind = FieldKind::Alphanumeric;
    FieldLayout {
        name: slot.name,
        kind,
        from: slot.from,
        length: slot.length,
        mandatory: false,
        description: "".into(),
    }
}

/// By name alone every field may stand anywhere: no place of M3's lets one overwrite another.
fn one_after_the_other(fields: &mut [FieldLayout]) -> Result<(), Error> {
    let mut from: u16 = 16;
    for field in fields {
        field.from = from;
        let next = from.checked_add(field.length).filter(|next| *next < MOST_COLUMNS);
        from = next.ok_or(Error::Protocol { sent: false, what: "MRS001MI lists fields longer than any record" })?;
    }
    Ok(())
}

fn column(row: &Record, layout: &TransactionLayout, name: &str) -> String {
    let field = FieldName::parse(name).ok().and_then(|name| layout.output.field(name));
    field.map(|field| row.text(field).trim().to_owned()).unwrap_or_default()
}

fn field(row: &Record, layout: &TransactionLayout) -> Option<FieldLayout> {
    let text = |name: &str| column(row, layout, name);
    let from: u16 = text("FRPO").parse().ok()?;
    let to: u16 = text("TOPO").parse().ok()?;
    Some(FieldLayout {
        name: FieldName::parse(&text("FLNM")).ok()?,
        kind: FieldKind::of(&text("TYPE")).unwrap_or(FieldKind::Alphanumeric),
        from,
        length: to.checked_sub(from)?.checked_add(1)?,
        mandatory: text("MAND") == "1",
        description: text("FLDS").into(),
    })
}
