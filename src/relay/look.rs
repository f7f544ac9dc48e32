//! A look at what is about to be deleted: behind the delete there is nothing to read back.

use super::error::Error;
use super::read_back::{Back, Reader};
use crate::bod::Mapping;
use crate::model::Place;
use crate::outbox::{Before, Due, Look};
use std::sync::Arc;

/// A larger record is told as deleted by its name alone.
const MOST: usize = 4 * 1024 * 1024;

/// How the outbox looks before a delete goes to M3.
pub fn look(reader: Reader, mappings: Arc<Vec<Mapping>>) -> Look {
    Arc::new(move |due, place| {
        let (reader, mappings) = (reader.clone(), mappings.clone());
        Box::pin(async move { before(&reader, &mappings, &due, place).await })
    })
}

async fn before(reader: &Reader, mappings: &[Mapping], due: &Due, place: Place) -> Before {
    let Some(mapping) = mappings.iter().find(|mapping| mapping.noun() == due.noun) else { return Before::Unseen };
    match read(reader, mapping, due, place).await.map(|back| back.image(mapping)) {
        Ok(image) if image.len() <= MOST => Before::Image(image),
        Ok(_) => Before::Unseen,
        Err(error) if error.says_absent() => Before::Absent,
        Err(error) => {
            tracing::warn!(noun = due.noun, %error, "what is to be deleted could not be read; its document will name it alone");
            Before::Unseen
        }
    }
}

async fn read(reader: &Reader, mapping: &Mapping, due: &Due, place: Place) -> Result<Back, Error> {
    let layouts = reader.layouts(mapping).await?;
    let known: Vec<_> = layouts.iter().map(Option::as_deref).collect();
    let bound = mapping.bind(&known).map_err(Error::Unbound)?;
    let key: Vec<&str> = due.key.iter().filter_map(|(_, value)| value.as_deref()).collect();
    reader.read(&bound, &layouts, place, &key).await
}
