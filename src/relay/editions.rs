//! What was read, as documents: one of the record, or where it is of a whole company one for each of its divisions.
//!
//! Invariants: what one reading gives is given whole or not at all; no two of a record's messages have one number, whatever
//! division they are of.

use super::error::Error;
use super::maker::NotMade;
use super::publisher::{BodId, Location, Mode, Plan, Settings};
use super::reading::Found;
use super::ways::{IN_SHADOW, Left, SWITCHED_OFF, Ways, leaving, ways};
use crate::bod::{Action, Bound, Composed, Envelope, Mapping, Rows, Verb, validate};
use crate::model::Place;
use crate::outbox::{DueDocument, Edition, Has, Made, Message, Stood};
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

/// Where a document was told the last time, and who has it.
struct Before<'a> {
    stood: Option<Stood>,
    told_at: &'a [Has],
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
            let left = Left { verb, gone, from: None, why: SWITCHED_OFF };
            let told = plan.mode != Mode::Off || leaving(&self.points, &due.told_at, &left).tell();
            if told { vec![(None, plan)] } else { Vec::new() }
        } else {
            let place = Place { company: due.company, division: due.division };
            self.settings.editions(mapping, name, place, divisions)
        };
        if editions.is_empty() {
            return Err(NotMade::Nothing(OFF));
        }
        let (mut made, mut number) = (Vec::new(), variation);
        for (division, plan) in editions {
            let edition = self.edition(&reading, division, &plan, number)?;
            number += edition.messages.len() as u64;
            made.push(edition);
        }
        Ok(made)
    }

    fn edition(
        &self,
        reading: &Reading<'_>,
        of: Option<String>,
        plan: &Plan,
        variation: u64,
    ) -> Result<Edition, NotMade> {
        let (due, before) = (reading.due, reading.before(of.as_deref()));
        let now = Stood {
            division: of.clone().unwrap_or_else(|| reading.division()),
            location: match &before.stood {
                Some(known) if reading.rows.is_empty() || reading.gone => known.location.clone(),
                _ => reading.bound.location(reading.key, reading.rows),
            },
        };
        let action = if reading.gone { Action::Delete } else { plan.action };
        let made = self.made(reading, plan, action, &now, variation)?;
        let from = before.stood.as_ref().filter(|stood| reading.moved(stood, &now));
        let left = |why| Left { verb: reading.verb, gone: reading.gone, from, why };
        let ways = match plan.mode {
            Mode::Publish => ways(&self.points, due, before.told_at, from, &made),
            Mode::Off => leaving(&self.points, before.told_at, &left(SWITCHED_OFF)),
            Mode::Shadow => {
                // Those who have it from where it is compared now are told by M3's own publisher.
                let from_elsewhere = |has: &Has| {
                    let stood = has.stood.as_ref().or(before.stood.as_ref());
                    stood.is_some_and(|stood| reading.changed_division(stood, &now))
                };
                let (elsewhere, here): (Vec<Has>, Vec<Has>) = before.told_at.iter().cloned().partition(from_elsewhere);
                let mut ways = leaving(&self.points, &elsewhere, &left(IN_SHADOW));
                ways.told_at.extend(here);
                ways
            }
        };
        let (goes, Ways { points, left, told_at }) = (ways.goes(), ways);
        let mut messages = Vec::new();
        if plan.mode != Mode::Off || goes {
            messages.push(Message { made: Box::new(made), points, shadow: plan.mode == Mode::Shadow });
        }
        // What they have stands where it stood when they were told of it.
        for (stood, points) in by_place(left, before.stood.as_ref().unwrap_or(&now)) {
            let points = points.into_iter().map(|point| (point, None)).collect();
            let plan = self.settings.plan(reading.name, due.company, &stood.division);
            let number = variation + messages.len() as u64;
            let gone = self.made(reading, &plan, Action::Delete, &stood, number)?;
            messages.push(Message { made: Box::new(gone), points, shadow: false });
        }
        Ok(Edition { division: of, messages, told_at, now: Some(now) })
    }

    /// Composed, and found valid.
    fn made(
        &self,
        reading: &Reading<'_>,
        plan: &Plan,
        action: Action,
        stood: &Stood,
        variation: u64,
    ) -> Result<Made, NotMade> {
        let (made, replaced) = reading.compose(plan, action, (&stood.division, &stood.location), variation);
        if replaced > 0 {
            self.metrics.publishing.documents.with_label_values(&[reading.name, "characters-replaced"]).inc();
        }
        match validate(reading.name, &made.xml).first() {
            Some(flaw) if self.strict => Err(NotMade::Trouble(format!("the document is not valid: {flaw}"))),
            _ => Ok(made),
        }
    }
}

/// Those whom a record left, by where they have it; who has it where it was told the last time has it `there`.
fn by_place(left: Vec<Has>, there: &Stood) -> Vec<(Stood, Vec<String>)> {
    let mut places: Vec<(Stood, Vec<String>)> = Vec::new();
    for Has { point, stood } in left {
        let stood = stood.unwrap_or_else(|| there.clone());
        match places.iter_mut().find(|(place, _)| *place == stood) {
            Some((_, points)) => points.push(point),
            None => places.push((stood, vec![point])),
        }
    }
    places
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

    fn moved(&self, before: &Stood, now: &Stood) -> bool {
        before.location != now.location || self.changed_division(before, now)
    }

    /// What is of a whole company is of none of its divisions: where it was written last says nothing of where it is.
    fn changed_division(&self, before: &Stood, now: &Stood) -> bool {
        self.bound.mapping().has_division() && before.division != now.division
    }

    fn before(&self, division: Option<&str>) -> Before<'_> {
        let due = self.due;
        let stood = |division: &Option<String>, location: &Option<String>| {
            Some(Stood { division: division.clone()?, location: location.clone().unwrap_or_default() })
        };
        let Some(division) = division else {
            return Before { stood: stood(&due.known_division, &due.known_location), told_at: &due.told_at };
        };
        match due.editions.iter().find(|known| known.division == division) {
            Some(known) => {
                Before { stood: stood(&Some(known.division.clone()), &known.location), told_at: &known.told_at }
            }
            None => Before { stood: None, told_at: &[] },
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
