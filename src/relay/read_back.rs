//! Reading a document's record back: each read of its mapping in turn, as one user, in one place.

use super::error::Error;
use crate::bod::{Bound, Mapping, Rows};
use crate::catalog::{self, Catalog};
use crate::m3;
use crate::model::{
    Call, ClientId, DateForm, Effect, FieldName, Input, M3User, Place, ProgramName, Record, TransactionLayout,
    TransactionName, Value,
};
use std::sync::Arc;
use std::time::Duration;

/// Reads as one M3 user; no option of a caller reaches it.
#[derive(Debug, Clone)]
pub struct Reader {
    m3: m3::Client,
    catalog: Catalog,
    user: M3User,
}

/// What was read, in the order of the mapping's reads.
#[derive(Debug, Default)]
pub struct Back {
    parts: Vec<(Arc<TransactionLayout>, Vec<Record>)>,
}

impl Back {
    pub fn rows(&self) -> Vec<Rows<'_>> {
        self.parts.iter().map(|(layout, records)| Rows { layout, records }).collect()
    }
}

/// Records of one list: an order of more lines has no document, and says so.
const MOST_RECORDS: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(30);

impl Reader {
    pub fn new(m3: m3::Client, catalog: Catalog, user: M3User) -> Self {
        Self { m3, catalog, user }
    }

    /// The layouts that a mapping's reads have in this M3, in their order.
    pub async fn layouts(&self, mapping: &Mapping) -> Result<Vec<Option<Arc<TransactionLayout>>>, Error> {
        let mut layouts = Vec::new();
        for read in mapping.reads() {
            layouts.push(match self.catalog.layout(read.program(), read.transaction()).await {
                Ok(layout) => Some(layout),
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
        for (at, layout) in layouts.iter().flatten().enumerate() {
            let inputs = bound.inputs(at, key, place.division.as_str(), &back.rows());
            let records = self.ask(at == 0, layout, place, &inputs).await?;
            back.parts.push((layout.clone(), records));
        }
        Ok(back)
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
            client: ClientId { issuer: "mi-gateway".into(), id: "publisher".into() },
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
