//! What was read, as documents: one of the record, or where it is of a whole company one for each of its divisions.
//!
//! Invariants: what one reading gives is given whole or not at all; no two of a record's messages have one number, whatever
//! division they are of.

use super::error::Error;
use super::maker::NotMade;
use super::publisher::{BodId, Location, Mode, Plan, Settings};
use super::reading::Found;
use super::ways::{Ways, leaving, ways};
use crate::bod::{Action, Bound, Composed, Envelope, Mapping, Rows, Verb, validate};
use crate::model::Place;
use crate::outbox::{DueDocument, Edition, Made, Message};
use crate::points::Point;
use crate::telemetry::Metrics;
use jiff::Timestamp;
use std::sync::Arc;
use uuid::Uuid;

/// A longer BODID is taken by nobody.
const MOST_BODID: usize = 255;
pub(super) const UNLIKE: &str = "records like this one have no document";
pub(super) const OFF: &str = "the document is switched off here";

/// What documents are written by.
pub(super) struct Editor {
    pub(super) mappings: Arc<Vec<Mapping>>,
    pub(super) settings: Settings,
    pub(super) points: Arc<Vec<Point>>,
    pub(super) metrics: Arc<Metrics>,
    /// A document with a flaw is none. Who only wants to see it is shown it all the same.
    pub(super) strict: bool,
}

/// All that the documents of one reading have in common.
struct Reading<'a> {
    due: &'a DueDocument,
    name: &'a str,
    verb: Verb,
    bound: &'a Bound<'a>,
    rows: &'a [Rows<'a>],
    key: &'a [&'a str],
    gone: bool,
}

/// One message of the record now, and one for those whom it leaves.
const NUMBERS: usize = 2;

/// Where a document was told the last time, and who has it.
struct Before<'a> {
    division: Option<&'a str>,
    location: Option<&'a str>,
    told_at: &'a [String],
}

impl Editor {
    pub(super) fn mapping(&self, noun: &str) -> Option<&Mapping> {
        self.mappings.iter().find(|mapping| mapping.noun() == noun)
    }

    pub(super) fn write(
        &self,
        due: &DueDocument,
        name: &str,
        found: &Found,
        variation: u64,
    ) -> Result<Vec<Edition>, NotMade> {
        let Found { layouts, back, gone, divisions } = found;
        let gone = *gone;
        let Some(mapping) = self.mapping(&due.noun) else { return Err(NotMade::Nothing("no mapping has this noun")) };
        let verb = Verb::parse(&due.verb).unwrap_or(Verb::Sync);
        let known: Vec<_> = layouts.iter().map(Option::as_deref).collect();
        let bound = mapping.bind(&known).map_err(Error::Unbound)?;
        let key: Vec<&str> = due.record.iter().take(mapping.key().len()).map(String::as_str).collect();
        let rows = back.rows();
        if gone && verb == Verb::Process {
            return Err(NotMade::Nothing("the record is gone"));
        }
        // What is gone is told to whoever has it, and needs nothing to be seen of it.
        let told = gone && (!due.told_at.is_empty() || due.editions.iter().any(|known| !known.told_at.is_empty()));
        if !(told || bound.has_document(&key, &rows)) {
            return Err(NotMade::Nothing(UNLIKE));
        }
        let reading = Reading { due, name, verb, bound: &bound, rows: &rows, key: &key, gone };
        let editions = if mapping.has_division() {
            let plan = self.settings.plan(name, due.company, &reading.division());
            let told = plan.mode != Mode::Off || leaving(&self.points, verb, &due.told_at).tell();
            if told { vec![(None, plan)] } else { Vec::new() }
        } else {
            let place = Place { company: due.company, division: due.division };
            self.settings.editions(mapping, name, place, divisions)
        };
        if editions.is_empty() {
            return Err(NotMade::Nothing(OFF));
        }
        let numbers = (variation..).step_by(NUMBERS);
        let numbered = editions.into_iter().zip(numbers);
        numbered.map(|((division, plan), variation)| self.edition(&reading, division, &plan, variation)).collect()
    }

    fn edition(
        &self,
        reading: &Reading<'_>,
        of: Option<String>,
        plan: &Plan,
        variation: u64,
    ) -> Result<Edition, NotMade> {
        let (due, before) = (reading.due, reading.before(of.as_deref()));
        let division = of.clone().unwrap_or_else(|| reading.division());
        let location = match before.location {
            Some(known) if reading.rows.is_empty() || reading.gone => known.to_owned(),
            _ => reading.bound.location(reading.key, reading.rows),
        };
        let action = if reading.gone { Action::Delete } else { plan.action };
        let made = self.made(reading, plan, action, (&division, &location), variation)?;
        if plan.mode == Mode::Shadow {
            let messages = vec![Message { made: Box::new(made), points: Vec::new(), shadow: true }];
            return Ok(Edition { division: of, messages, told_at: before.told_at.to_vec() });
        }
        let ways = match plan.mode {
            Mode::Off => leaving(&self.points, reading.verb, before.told_at),
            Mode::Publish | Mode::Shadow => ways(&self.points, due, before.told_at, &made),
        };
        let (goes, Ways { points, left, told_at }) = (ways.goes(), ways);
        let mut messages = Vec::new();
        if plan.mode != Mode::Off || goes {
            messages.push(Message { made: Box::new(made), points, shadow: false });
        }
        if !left.is_empty() {
            let points = left.into_iter().map(|point| (point, None)).collect();
            // What they have stands where it stood when they were told of it.
            let (division, location) = (before.division.unwrap_or(&division), before.location.unwrap_or(&location));
            let plan = self.settings.plan(reading.name, due.company, division);
            let gone = self.made(reading, &plan, Action::Delete, (division, location), variation + 1)?;
            messages.push(Message { made: Box::new(gone), points, shadow: false });
        }
        Ok(Edition { division: of, messages, told_at })
    }

    /// Composed, and found valid.
    fn made(
        &self,
        reading: &Reading<'_>,
        plan: &Plan,
        action: Action,
        place: (&str, &str),
        variation: u64,
    ) -> Result<Made, NotMade> {
        let (made, replaced) = reading.compose(plan, action, place, variation);
        if replaced > 0 {
            self.metrics.publishing.documents.with_label_values(&[reading.name, "characters-replaced"]).inc();
        }
        match validate(reading.name, &made.xml).first() {
            Some(flaw) if self.strict => Err(NotMade::Trouble(format!("the document is not valid: {flaw}"))),
            _ => Ok(made),
        }
    }
}

impl Reading<'_> {
    /// Of the record, else as it was told before, else where the write was made. What is gone is gone from where it was told.
    fn division(&self) -> String {
        let said = self.bound.division(self.key, self.rows);
        match &self.due.known_division {
            Some(known) if self.gone => return known.clone(),
            _ if !said.is_empty() => return said,
            _ => {}
        }
        match &self.due.known_division {
            Some(known) if self.rows.is_empty() => known.clone(),
            _ => self.due.division.as_str().to_owned(),
        }
    }

    fn before(&self, division: Option<&str>) -> Before<'_> {
        let due = self.due;
        let Some(division) = division else {
            let (division, location) = (due.known_division.as_deref(), due.known_location.as_deref());
            return Before { division, location, told_at: &due.told_at };
        };
        match due.editions.iter().find(|known| known.division == division) {
            Some(known) => {
                Before { division: Some(&known.division), location: known.location.as_deref(), told_at: &known.told_at }
            }
            None => Before { division: None, location: None, told_at: &[] },
        }
    }

    fn compose(
        &self,
        plan: &Plan,
        action: Action,
        (division, location): (&str, &str),
        variation: u64,
    ) -> (Made, usize) {
        let Self { due, verb, bound, rows, key, .. } = self;
        let company = due.company.to_string();
        let by_division = plan.is_by_division(bound.mapping()) && !division.is_empty();
        let entity = if by_division { format!("{company}_{division}") } else { company.clone() };
        let document_id = bound.document_id(key, rows);
        let created = format!("{:.3}", Timestamp::now());
        let location = match &plan.location {
            Location::None => String::new(),
            Location::Fixed(fixed) => fixed.clone(),
            Location::Record => location.to_owned(),
        };
        let bod_id = match plan.bod_id {
            BodId::Uuid => Uuid::now_v7().to_string(),
            BodId::InforNid => {
                let (tenant, noun, verb) = (&plan.tenant, &due.noun, verb.as_str());
                // Records of M3 have no revision.
                let place = format!("{tenant}:{entity}:{location}:{document_id}:");
                let name = format!("infor-nid:{place}?{noun}&verb={verb}&variationID={variation}");
                if name.len() > MOST_BODID { Uuid::now_v7().to_string() } else { name }
            }
        };
        let envelope = Envelope {
            verb: *verb,
            action,
            tenant: &plan.tenant,
            entity: &entity,
            location: &location,
            company: &company,
            division,
            logical_id: &plan.logical_id,
            component: "mi-gateway",
            reference: &due.cause,
            confirmation: plan.confirmation.as_str(),
            created: &created,
            bod_id: &bod_id,
            variation,
            key,
        };
        let Composed { xml, replaced } = bound.compose(&envelope, rows);
        let (tenant, lid, division) = (plan.tenant.clone(), plan.logical_id.clone(), division.to_owned());
        let action = action.as_str().to_owned();
        let made =
            Made { bod_id, action, variation, tenant, lid, division, entity, location, document_id, created, xml };
        (made, replaced)
    }
}
