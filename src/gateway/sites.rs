//! Which division a facility or a warehouse is of, as M3 tells it, and kept for an hour.
//!
//! Asked as the guard user where there is one, else as the caller's own M3 user: then what he may not see of M3's sites,
//! his records can't be told apart by.
//! Invariant: what could not be learnt is never kept, and never guessed.
//! Does not know: what a division is asked for.

use crate::catalog::Catalog;
use crate::m3;
use crate::model::{
    Call, ClientId, Company, DateForm, Division, Effect, FieldName, Input, M3User, Place, ProgramName, Record,
    TransactionLayout, TransactionName, Value,
};
use crate::translate;
use moka::sync::Cache;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Facility,
    Warehouse,
}

/// A site of a company, by its code.
pub(super) type Site = (Kind, Box<str>);

/// Whose question it is, and where it is asked.
#[derive(Debug, Clone)]
pub(super) struct Whose {
    pub(super) client: ClientId,
    pub(super) user: M3User,
    pub(super) place: Place,
}

/// M3 said nothing of it: not that there is no such site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unanswered;

#[derive(Clone)]
pub(super) struct Sites {
    catalog: Catalog,
    m3: m3::Client,
    guard: Option<M3User>,
    known: Cache<(Company, Site), Division>,
}

/// More sites than any company has; the oldest make place for others.
const MOST: u64 = 10_000;
/// A site changes its division about never.
const KEPT: Duration = Duration::from_secs(3_600);
/// A list waits behind it.
const PATIENCE: Duration = Duration::from_secs(2);

impl Sites {
    pub(super) fn new(catalog: Catalog, m3: m3::Client, guard: Option<M3User>) -> Self {
        Self { catalog, m3, guard, known: Cache::builder().max_capacity(MOST).time_to_live(KEPT).build() }
    }

    /// What was learnt before.
    pub(super) fn known(&self, company: Company, site: &Site) -> Option<Division> {
        self.known.get(&(company, site.clone()))
    }

    /// `None`: M3 knows no such site, or none that this user may see.
    pub(super) async fn division(&self, whose: &Whose, site: &Site) -> Result<Option<Division>, Unanswered> {
        if let Some(known) = self.known(whose.place.company, site) {
            return Ok(Some(known));
        }
        let found = tokio::time::timeout(PATIENCE, self.learn(whose, site)).await.map_err(|_| Unanswered)??;
        if let Some(division) = found {
            self.known.insert((whose.place.company, site.clone()), division);
        }
        Ok(found)
    }

    async fn learn(&self, whose: &Whose, (kind, code): &Site) -> Result<Option<Division>, Unanswered> {
        let facility = match kind {
            Kind::Facility => code.to_string(),
            Kind::Warehouse => {
                let Some((layout, record)) = self.ask(whose, "MMS005MI", "GetWarehouse", "WHLO", code).await? else {
                    return Ok(None);
                };
                let division = told(&layout, &record, "DIVI").and_then(|text| Division::parse(&text).ok());
                if division.is_some() {
                    return Ok(division);
                }
                match told(&layout, &record, "FACI") {
                    Some(facility) => facility,
                    None => return Ok(None),
                }
            }
        };
        let found = self.ask(whose, "CRS008MI", "Get", "FACI", &facility).await?;
        Ok(found
            .and_then(|(layout, record)| told(&layout, &record, "DIVI"))
            .and_then(|text| Division::parse(&text).ok()))
    }

    /// The one record of a key; `None` where M3 refuses it.
    async fn ask(
        &self,
        whose: &Whose,
        program: &str,
        transaction: &str,
        field: &str,
        code: &str,
    ) -> Result<Option<(Arc<TransactionLayout>, Record)>, Unanswered> {
        let program = ProgramName::parse(program).map_err(|_| Unanswered)?;
        let transaction = TransactionName::parse(transaction).map_err(|_| Unanswered)?;
        let layout = self.catalog.layout(program, transaction).await.map_err(|_| Unanswered)?;
        let Some(key) = key(&layout, field, code) else { return Ok(None) };
        let call = Call {
            client: whose.client.clone(),
            user: self.guard.as_ref().unwrap_or(&whose.user).clone(),
            place: whose.place,
            inputs: translate::placed(vec![key], &layout, whose.place),
            layout: layout.clone(),
            effect: Effect::Read,
            max_records: 1,
            language: None,
            patience: PATIENCE,
        };
        let mut reply = match self.m3.call(&call).await {
            Ok(reply) => reply,
            Err(m3::Error::Refused(_)) => return Ok(None),
            Err(_) => return Err(Unanswered),
        };
        let mut first = None;
        // Read to its end, so that the session can be used again.
        loop {
            match reply.next().await {
                Ok(Some(record)) => first = first.or(Some(record)),
                Ok(None) => return Ok(first.map(|record| (layout, record))),
                Err(m3::Error::Refused(_)) => return Ok(None),
                Err(_) => return Err(Unanswered),
            }
        }
    }
}

fn key(layout: &TransactionLayout, field: &str, code: &str) -> Option<Input> {
    let at = layout.input.position(FieldName::parse(field).ok()?)?;
    let value = Value::parse(&layout.input.fields()[at], code, DateForm::Ymd8).ok()??;
    Some(Input { at: u16::try_from(at).ok()?, value })
}

/// `None` where the answer lacks the field or leaves it blank.
fn told(layout: &TransactionLayout, record: &Record, field: &str) -> Option<String> {
    let field = layout.output.field(FieldName::parse(field).ok()?)?;
    let text = record.value(field).trim().to_owned();
    (!text.is_empty()).then_some(text)
}
