//! Reading a document's record back: each read of its mapping in turn, as one user, in one place.

use super::backoff::least;
use super::error::{Error, Refusal};
use super::proven::cut;
use crate::bod::{Bound, Mapping, Read, Rows};
use crate::catalog::{self, Catalog};
use crate::m3;
use crate::model::{
    Call, ClientId, Company, DateForm, Division, Effect, FieldName, Input, Layout, M3User, Place, ProgramName, Record,
    TransactionLayout, TransactionName, Value,
};
use crate::telemetry::Metrics;
use moka::sync::Cache;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Reads as one M3 user; no option of a caller reaches it.
#[derive(Debug, Clone)]
pub struct Reader {
    m3: m3::Client,
    catalog: Catalog,
    user: M3User,
    /// Lists of a whole company, each with the layout that it was read with.
    lists: Cache<(ProgramName, TransactionName, Company, Division), Part>,
    /// Since when M3 refuses what the document of a record can do without, though it may be given the next time.
    refused: Cache<(ProgramName, TransactionName, Company, Box<str>), Instant>,
    /// What is refused for so long, and never given meanwhile, is refused for good.
    passes: Duration,
    metrics: Arc<Metrics>,
}

/// What one transaction gave, with the layout that it was read with.
type Part = (Arc<TransactionLayout>, Arc<Vec<Record>>);

/// What was read, in the order of the mapping's reads.
#[derive(Debug, Default)]
pub struct Back {
    parts: Vec<Part>,
}

impl Back {
    pub fn rows(&self) -> Vec<Rows<'_>> {
        self.parts.iter().map(|(layout, records)| Rows { layout, records: records.as_slice() }).collect()
    }

    /// M3's own count of the changes of the record, where the first read gives it.
    pub(super) fn changes(&self) -> Option<String> {
        let (layout, records) = self.parts.first()?;
        let field = layout.output.fields().iter().find(|field| field.name.as_str() == "CHNO")?;
        Some(records.first()?.value(field).into_owned()).filter(|changes| !changes.is_empty())
    }

    /// Of a list: what stands as `number` in those records that have this value in this field.
    pub(super) fn having(&self, name: &str, value: &str, number: &str) -> Vec<String> {
        let Some((layout, records)) = self.parts.first() else { return Vec::new() };
        let field = |name: &str| layout.output.fields().iter().find(|field| field.name.as_str() == name);
        let (Some(by), Some(number)) = (field(name), field(number)) else { return Vec::new() };
        let meant = cut(value, by);
        let has = records.iter().filter(|record| record.value(by) == meant);
        has.map(|record| record.value(number).into_owned()).filter(|number| !number.is_empty()).collect()
    }

    /// What the document is made of, by read, record and field: for when it can't be read any more.
    pub(super) fn image(&self, mapping: &Mapping) -> String {
        let values = |read: &Read, layout: &TransactionLayout, record: &Record| -> BTreeMap<String, String> {
            let fields = read.fields().filter_map(|name| layout.output.field(name));
            let values = fields.map(|field| (field.name.to_string(), record.value(field).into_owned()));
            values.filter(|(_, value)| !value.is_empty()).collect()
        };
        let of = |(read, (layout, records)): (&Read, &Part)| -> Vec<_> {
            records.iter().map(|record| values(read, layout, record)).collect()
        };
        let image: Vec<Vec<_>> = mapping.reads().iter().zip(&self.parts).map(of).collect();
        serde_json::to_string(&image).unwrap_or_default()
    }

    /// `None`: it is of another mapping.
    pub(super) fn of_image(layouts: &[Option<Arc<TransactionLayout>>], image: &str) -> Option<Self> {
        let image: Vec<Vec<BTreeMap<String, String>>> = serde_json::from_str(image).ok()?;
        let record = |layout: &TransactionLayout, values: BTreeMap<String, String>| {
            Record::of_values(&layout.output, values.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        };
        let parts: Vec<_> = layouts
            .iter()
            .flatten()
            .zip(image)
            .map(|(layout, records)| {
                (layout.clone(), Arc::new(records.into_iter().map(|values| record(layout, values)).collect()))
            })
            .collect();
        (parts.len() == layouts.len()).then_some(Self { parts })
    }
}

/// Records of one list: an order of more lines has no document, and says so.
const MOST_RECORDS: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(30);
/// Lists that are kept, and how long: what they tell (which division a warehouse is of) changes about never.
const LISTS: u64 = 64;
const KEPT: Duration = Duration::from_secs(600);
const PASSES: Duration = Duration::from_secs(600);
/// Records of which something is refused that are known at a time.
const REFUSED: u64 = 4_096;

impl Reader {
    pub fn new(m3: m3::Client, catalog: Catalog, user: M3User, metrics: Arc<Metrics>) -> Self {
        let lists = Cache::builder().max_capacity(LISTS).time_to_live(KEPT).build();
        Self { m3, catalog, user, lists, refused: Cache::new(REFUSED), passes: PASSES, metrics }
    }

    /// For whoever gives up after so many tries: no document is given up for what it can do without.
    #[must_use]
    pub(super) fn with_tries(mut self, tries: u32) -> Self {
        self.passes = passes(tries);
        self
    }

    /// The layouts that a mapping's reads have in this M3, in their order.
    pub async fn layouts(&self, mapping: &Mapping) -> Result<Vec<Option<Arc<TransactionLayout>>>, Error> {
        let mut layouts = Vec::new();
        for read in mapping.reads() {
            layouts.push(match self.catalog.layout(read.program(), read.transaction()).await {
                Ok(layout) => Some(layout),
                Err(catalog::Error::ProgramNotFound(_) | catalog::Error::TransactionNotFound { .. })
                    if read.is_optional() =>
                {
                    Some(Arc::new(without(read)))
                }
                // A fault of the mapping, told with its place.
                Err(catalog::Error::ProgramNotFound(_) | catalog::Error::TransactionNotFound { .. }) => None,
                Err(error) => return Err(error.into()),
            });
        }
        Ok(layouts)
    }

    /// `bound` is over these very layouts.
    pub async fn read(
        &self,
        bound: &Bound<'_>,
        layouts: &[Option<Arc<TransactionLayout>>],
        place: Place,
        key: &[&str],
    ) -> Result<Back, Error> {
        let mut back = Back { parts: Vec::new() };
        for ((at, layout), read) in layouts.iter().flatten().enumerate().zip(bound.mapping().reads()) {
            let inputs = bound.inputs(at, key, place.division.as_str(), &back.rows());
            let records = if layout.output.fields().is_empty() {
                Arc::default()
            } else if read.is_of_the_company() {
                self.once(read, layout, place).await?
            } else {
                let asked = self.ask(at == 0, layout, place, &inputs).await;
                self.given(read, place, key, asked)?
            };
            back.parts.push((layout.clone(), records));
        }
        Ok(back)
    }

    /// A list that is the same for every record is read once in a while, and so is that M3 will not give it.
    async fn once(
        &self,
        read: &Read,
        layout: &Arc<TransactionLayout>,
        place: Place,
    ) -> Result<Arc<Vec<Record>>, Error> {
        let name = (layout.program, layout.name, place.company, place.division);
        if let Some((_, records)) = self.lists.get(&name).filter(|(of, _)| Arc::ptr_eq(of, layout)) {
            return Ok(records);
        }
        let asked = self.ask(false, layout, place, &[]).await;
        let records = self.given(read, place, &[], asked)?;
        self.lists.insert(name, (layout.clone(), records.clone()));
        Ok(records)
    }

    /// What documents can do without is left out where M3 will not give it. What it only can't give now is asked for again:
    /// no document lacks a part for one refusal.
    fn given(
        &self,
        read: &Read,
        place: Place,
        key: &[&str],
        asked: Result<Vec<Record>, Error>,
    ) -> Result<Arc<Vec<Record>>, Error> {
        let name = (read.program(), read.transaction(), place.company, key.join("\u{1f}").into_boxed_str());
        let error = match asked {
            Ok(records) => {
                self.refused.invalidate(&name);
                return Ok(Arc::new(records));
            }
            Err(error) => error,
        };
        let lasting = match error.refusal().filter(|_| read.is_optional()) {
            Some(Refusal::Absent) => return Ok(Arc::default()),
            Some(Refusal::Lasting) => true,
            Some(Refusal::Passing) => self.refused.get_with(name.clone(), Instant::now).elapsed() >= self.passes,
            None => false,
        };
        if !lasting {
            return Err(error);
        }
        let (program, transaction, company, _) = name;
        self.metrics.publishing.left_out.with_label_values(&[program.as_str(), transaction.as_str()]).inc();
        tracing::warn!(%program, %transaction, %company, %error, "documents are made without it: M3 will not give it");
        Ok(Arc::default())
    }

    /// One record of a transaction that a mapping only asks how far M3 is.
    pub(super) async fn one(
        &self,
        (program, transaction): (ProgramName, TransactionName),
        place: Place,
        given: &[(FieldName, String)],
    ) -> Result<Option<HashMap<String, String>>, Error> {
        let layout = self.catalog.layout(program, transaction).await?;
        let records = match self.ask(true, &layout, place, given).await {
            Ok(records) => records,
            Err(error) if error.says_absent() => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(records.first().map(|record| values(&layout, record)))
    }

    /// What one transaction answers.
    pub(super) async fn of(
        &self,
        (program, transaction): (ProgramName, TransactionName),
        place: Place,
        given: &[(FieldName, String)],
    ) -> Result<Back, Error> {
        let layout = self.catalog.layout(program, transaction).await?;
        let records = self.ask(true, &layout, place, given).await?;
        Ok(Back { parts: vec![(layout, Arc::new(records))] })
    }

    /// Every record of a list, each field by its name.
    pub async fn list(
        &self,
        (program, transaction): (ProgramName, TransactionName),
        place: Place,
        given: &[(FieldName, String)],
    ) -> Result<Vec<HashMap<String, String>>, Error> {
        let layout = self.catalog.layout(program, transaction).await?;
        let records = self.ask(true, &layout, place, given).await?;
        Ok(records.iter().map(|record| values(&layout, record)).collect())
    }

    async fn ask(
        &self,
        first: bool,
        layout: &Arc<TransactionLayout>,
        place: Place,
        given: &[(FieldName, String)],
    ) -> Result<Vec<Record>, Error> {
        let (program, transaction) = (layout.program, layout.name);
        let call = Call {
            client: ClientId::publisher(),
            user: self.user.clone(),
            place,
            inputs: inputs(layout, place, given)?,
            layout: layout.clone(),
            effect: Effect::Read,
            max_records: 0,
            language: None,
            patience: PATIENCE,
        };
        let failed = |error| failed(program, transaction, first, error);
        let asked = self.m3.call(&call).await;
        if let Err(m3::Error::LayoutChanged { .. }) = &asked {
            // Looked up anew, so that the next try fits.
            self.catalog.disagreed(program, transaction, false).await;
        }
        let mut reply = asked.map_err(failed)?;
        let mut records = Vec::new();
        while let Some(record) = reply.next().await.map_err(failed)? {
            if records.len() == MOST_RECORDS {
                return Err(Error::TooMany { program, transaction, most: MOST_RECORDS });
            }
            records.push(record);
        }
        Ok(records)
    }
}

/// How long a refusal that may pass is believed to: over before the last of so many tries, and bounded.
fn passes(tries: u32) -> Duration {
    least(tries.saturating_sub(2), PASSES).min(PASSES)
}

/// What stands for a transaction that M3 doesn't have: it gives no field, and is not asked.
fn without(read: &Read) -> TransactionLayout {
    let (input, output) = (Layout::new(Vec::new()), Layout::new(Vec::new()));
    let (program, name, multi) = (read.program(), read.transaction(), read.is_list());
    TransactionLayout { program, name, description: "".into(), multi, input, output }
}

fn values(layout: &TransactionLayout, record: &Record) -> HashMap<String, String> {
    let fields = layout.output.fields().iter();
    fields.map(|field| (field.name.to_string(), record.value(field).into_owned())).collect()
}

/// In the layout's order; the company and the division are said wherever the transaction has the fields.
fn inputs(layout: &TransactionLayout, place: Place, given: &[(FieldName, String)]) -> Result<Vec<Input>, Error> {
    let mut inputs = Vec::new();
    for (at, field) in layout.input.fields().iter().enumerate() {
        let text = match given.iter().find(|(name, _)| *name == field.name) {
            Some((_, text)) => text.clone(),
            None if field.name.as_str() == "CONO" => place.company.to_string(),
            None if field.name.as_str() == "DIVI" => place.division.as_str().to_owned(),
            None => continue,
        };
        let (program, transaction, field_name) = (layout.program, layout.name, field.name);
        let value = Value::parse(field, &text, DateForm::Ymd8).map_err(|fault| Error::Input {
            program,
            transaction,
            field: field_name,
            fault,
        })?;
        let at = u16::try_from(at).unwrap_or(u16::MAX);
        inputs.extend(value.map(|value| Input { at, value }));
    }
    Ok(inputs)
}

fn failed(program: ProgramName, transaction: TransactionName, first: bool, error: m3::Error) -> Error {
    match error {
        m3::Error::Refused(refusal) => {
            Error::Refused { program, transaction, message: refusal.to_string(), id: refusal.id, first }
        }
        other => Error::M3 { program, transaction, source: Arc::new(other) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_what_a_document_can_do_without_is_for_good_before_its_tries_are_used_up_and_after_a_bound_at_the_latest()
     {
        for tries in 1..200 {
            let passes = passes(tries);
            assert!(passes <= PASSES, "{tries}: {passes:?}");
            // The last try but one comes after so long at the earliest: it is made without the part.
            assert!(tries < 3 || passes < least(tries - 1, PASSES), "{tries}: {passes:?}");
            assert!(passes >= super::passes(tries - 1), "with more tries nothing is given up sooner: {tries}");
        }
        assert_eq!((passes(1), passes(1_000)), (Duration::ZERO, PASSES));
    }
}
