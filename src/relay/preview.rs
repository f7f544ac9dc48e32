//! The documents that the relay would make of a record now, for eyes: nothing is kept, and nothing is sent.
//!
//! Invariant: they are read, planned and composed by what makes those that are sent.

use super::divisions::Divisions;
use super::editions::{Editor, OFF, UNLIKE};
use super::error::Error;
use super::maker::NotMade;
use super::publisher::{Mode, Rule, Settings};
use super::read_back::Reader;
use super::reading::find;
use crate::clock::unix_micros;
use crate::model::Place;
use crate::outbox::{DueDocument, Made};
use crate::telemetry::Metrics;
use std::sync::Arc;

#[derive(Debug)]
pub struct Preview {
    reader: Reader,
    divisions: Divisions,
    settings: Settings,
    metrics: Arc<Metrics>,
}

/// A document, and whose it is where its record has one for each division.
#[derive(Debug, Clone)]
pub struct Previewed {
    pub division: Option<String>,
    pub made: Made,
}

#[derive(Debug, thiserror::Error)]
pub enum NotShown {
    #[error(transparent)]
    Read(#[from] Error),
    /// Records like this one have no such document.
    #[error("records like this one have no document")]
    Unlike,
    /// There would be none.
    #[error("{0}")]
    Nothing(&'static str),
    /// There would be none, for it is switched off.
    #[error("the document is switched off here")]
    Off,
    #[error("{0}")]
    Failed(String),
}

impl Preview {
    pub fn new(reader: Reader, settings: Settings, metrics: Arc<Metrics>) -> Self {
        Self { divisions: Divisions::new(reader.clone()), reader, settings, metrics }
    }

    /// `record`: the parts of its key, and the division behind them where that is one. `deletes`: as if it were deleted now.
    /// `always`: also where it is switched off.
    pub async fn of(
        &self,
        (verb, noun): (&str, &str),
        place: Place,
        record: Vec<String>,
        deletes: bool,
        always: bool,
    ) -> Result<Vec<Previewed>, NotShown> {
        let name = format!("{verb}.{noun}");
        let mut settings = self.settings.clone();
        if always {
            settings.rules.push(Rule { document: Some(name.clone()), mode: Some(Mode::Publish), ..Rule::default() });
        }
        let (mappings, metrics) = (settings.mappings.clone(), self.metrics.clone());
        let editor = Editor { mappings, settings, points: Arc::default(), metrics, strict: false };
        let mapping = editor.mapping(noun).ok_or(NotShown::Nothing("no mapping has this noun"))?;
        let due = due((verb, noun), place, record, deletes);
        let mut found = find((&self.reader, &self.divisions), &editor.settings, mapping, &due).await?;
        found.gone |= deletes;
        let editions = editor.write(&due, &name, &found, unix_micros() / 1_000).map_err(|why| match why {
            NotMade::Nothing(why) if why == OFF => NotShown::Off,
            NotMade::Nothing(why) if why == UNLIKE => NotShown::Unlike,
            NotMade::Nothing(why) => NotShown::Nothing(why),
            NotMade::Trouble(why) | NotMade::Away(why) | NotMade::Apart(_, why) => NotShown::Failed(why),
        })?;
        let documents = editions.into_iter().flat_map(|edition| {
            let division = edition.division;
            edition.messages.into_iter().map(move |one| Previewed { division: division.clone(), made: *one.made })
        });
        Ok(documents.collect())
    }
}

/// As if the record had just been written, and never been told.
fn due((verb, noun): (&str, &str), place: Place, record: Vec<String>, deletes: bool) -> DueDocument {
    DueDocument {
        id: 0,
        noun: noun.to_owned(),
        verb: verb.to_owned(),
        company: place.company,
        record,
        division: place.division,
        deletes,
        cause: String::new(),
        marks: 1,
        variation: 0,
        tries: 0,
        since: 0,
        known_division: None,
        known_location: None,
        before: None,
        told_at: Vec::new(),
        editions: Vec::new(),
    }
}
