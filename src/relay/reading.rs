//! One reading of a record: all that its documents are made of.

use super::divisions::Divisions;
use super::error::Error;
use super::publisher::Settings;
use super::read_back::{Back, Reader};
use crate::bod::Mapping;
use crate::model::{Place, TransactionLayout};
use crate::outbox::DueDocument;
use std::sync::Arc;

pub(super) struct Found {
    pub(super) layouts: Vec<Option<Arc<TransactionLayout>>>,
    pub(super) back: Back,
    /// It was deleted: what was read is what it was before, as far as that is known.
    pub(super) gone: bool,
    /// The company's, besides those that rows name: of a record that may have a document for each of them.
    pub(super) divisions: Vec<String>,
}

pub(super) async fn find(
    (reader, divisions): (&Reader, &Divisions),
    settings: &Settings,
    mapping: &Mapping,
    due: &DueDocument,
) -> Result<Found, Error> {
    let layouts = reader.layouts(mapping).await?;
    let place = Place { company: due.company, division: due.division };
    let (back, gone) = {
        let known: Vec<_> = layouts.iter().map(Option::as_deref).collect();
        let bound = mapping.bind(&known).map_err(Error::Unbound)?;
        let key: Vec<&str> = due.record.iter().take(mapping.key().len()).map(String::as_str).collect();
        match reader.read(&bound, &layouts, place, &key).await {
            Ok(back) => (back, false),
            // What was deleted has nothing to read back: it is told as it was.
            Err(error) if error.says_absent() && due.deletes => {
                let before = due.before.as_deref().and_then(|image| Back::of_image(&layouts, image));
                (before.unwrap_or_default(), true)
            }
            Err(error) => return Err(error),
        }
    };
    let mut known: Vec<String> = due.editions.iter().map(|edition| edition.division.clone()).collect();
    let name = format!("{}.{}", due.verb, due.noun);
    if !mapping.has_division() && settings.is_of_every_division(mapping, &name, due.company) {
        known.extend(divisions.of(place).await?.iter().cloned());
    }
    Ok(Found { layouts, back, gone, divisions: known })
}
