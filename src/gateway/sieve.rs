//! The records of an answer that are of a place outside its decision, kept from the caller and counted.
//!
//! A list is decided once, for one company and division, and M3 answers with what it has. So each record is asked for
//! its own place: its company has to be the decided one, and its division one for which the same call would have been
//! allowed, be it told by itself (`DIVI`) or by a facility or warehouse (`FACI`, `WHLO`).
//! Invariant: where the rules look at the division, a record whose facility or warehouse can't be placed is withheld.
//! Does not know: what else a record says, or how an answer is written.

use super::exchange::Exchange;
use super::placed::inputs_in;
use super::reader::Whose;
use super::sites::{Kind, Site, Sites, Unanswered};
use super::verdict::{Decided, bound_to};
use super::visit::Visit;
use crate::audit::{self, DecisionId};
use crate::clock::unix_seconds;
use crate::model::{
    Call, Company, Division, Effect, FieldLayout, FieldName, Input, M3User, Place, Principal, Record, TransactionLayout,
};
use crate::policy::{Ask, Asker, FactValues, Set, holds_division};
use crate::telemetry::Metrics;
use serde_json::{Map, json};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The outputs that say of which place a record is, by where they stand.
#[derive(Debug, Clone, Default)]
struct Fields {
    company: Option<usize>,
    division: Option<usize>,
    sites: Vec<(Kind, usize)>,
    /// M3 finds each by the division that the call says.
    held: bool,
}

/// The decision once more, to be asked for other divisions.
struct Question {
    set: Arc<Set>,
    who: Principal,
    user: M3User,
    inputs: Vec<Input>,
    /// What was read for the decision serves it in other places too.
    record: Option<FactValues>,
    effect: Effect,
    address: IpAddr,
    unix_seconds: u64,
    judged: HashMap<Division, bool>,
    sites: Sites,
    /// Of this answer: what M3 does not know stays unknown until its end.
    placed: HashMap<Site, Option<Division>>,
    unanswered: u32,
}

pub(super) struct Sieve {
    fields: Fields,
    layout: Arc<TransactionLayout>,
    place: Place,
    /// `None`: nobody cares which division a record is of.
    question: Option<Box<Question>>,
    metrics: Arc<Metrics>,
    audit: audit::Log,
    decision: DecisionId,
    withheld: u64,
    told: bool,
    scratch: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Shown,
    Withheld,
    /// A site of it has to be learnt first.
    Unknown,
}

/// Divisions and sites that one answer remembers.
const REMEMBERED: usize = 4_096;
/// After so many questions without an answer M3 is asked no more: every further record would wait as long.
const GIVEN_UP: u32 = 2;

impl Exchange {
    /// `None`: nothing in this answer says of which place a record is, or nobody cares.
    pub(super) fn sieve(
        &self,
        call: &Call,
        who: &Principal,
        visit: &Visit,
        decided: &Decided,
        decision: DecisionId,
    ) -> Option<Sieve> {
        let layout = &call.layout;
        let mut fields = Fields::of(layout, call.effect);
        let of_a_division = fields.division.is_some() || !fields.sites.is_empty();
        let question = of_a_division.then(|| self.question(call, who, visit, decided)).flatten().map(Box::new);
        if question.is_none() {
            fields = Fields { company: fields.company, ..Fields::default() };
        }
        (fields.company.is_some() || question.is_some()).then(|| Sieve {
            fields,
            layout: layout.clone(),
            place: call.place,
            question,
            metrics: self.metrics.clone(),
            audit: self.audit.clone(),
            decision,
            withheld: 0,
            told: false,
            scratch: Vec::new(),
        })
    }

    fn question(&self, call: &Call, who: &Principal, visit: &Visit, decided: &Decided) -> Option<Question> {
        let (program, transaction) = (call.layout.program, call.layout.name);
        let looks = !who.standing.divisions.is_empty()
            || decided.set.looks_at_division(Asker::from(who), program, transaction, call.effect);
        looks.then(|| Question {
            set: decided.set.clone(),
            who: who.clone(),
            user: call.user.clone(),
            inputs: call.inputs.clone(),
            record: decided.record.clone(),
            effect: call.effect,
            address: visit.peer.address,
            unix_seconds: unix_seconds(),
            judged: HashMap::new(),
            sites: self.sites.clone(),
            placed: HashMap::new(),
            unanswered: 0,
        })
    }
}

impl Sieve {
    pub(super) fn withheld(&self) -> u64 {
        self.withheld
    }

    pub(super) fn withhold(&mut self) {
        self.withheld += 1;
    }

    pub(super) fn fate(&mut self, record: &Record) -> Fate {
        if !self.is_of_the_company(record) {
            return Fate::Withheld;
        }
        let Self { fields, layout, place, question, .. } = self;
        let Some(question) = question else { return Fate::Shown };
        if let Some(at) = fields.division {
            let text = record.value(&layout.output.fields()[at]);
            // A blank division is the company's own record: every division's.
            if !text.trim().is_empty()
                && !Division::parse(&text).is_ok_and(|division| question.may_be_of(division, layout, *place))
            {
                return Fate::Withheld;
            }
        }
        let mut fate = Fate::Shown;
        let sites = fields.sites_of(layout, record);
        // Of no site, and with no division to say: the company's own, for whoever is let see that as a whole.
        let of_the_whole = sites.is_empty() && fields.division.is_none() && !fields.held;
        if of_the_whole && !question.may_be_of(Division::BLANK, layout, *place) {
            return Fate::Withheld;
        }
        for site in sites {
            match question.division_of(&site, *place) {
                None => fate = Fate::Unknown,
                Some(Some(division)) if question.may_be_of(division, layout, *place) => {}
                Some(_) => return Fate::Withheld,
            }
        }
        fate
    }

    /// What this record's fate waits for. Given up halfway nothing is lost: it is asked again.
    pub(super) async fn learn(&mut self, record: &Record) {
        let Self { fields, layout, place, question: Some(question), .. } = self else { return };
        if question.placed.len() >= REMEMBERED {
            question.placed.clear();
        }
        let whose = Whose { client: question.who.client.clone(), user: question.user.clone(), place: *place };
        for site in fields.sites_of(layout, record) {
            if question.division_of(&site, *place).is_some() {
                continue;
            }
            let asked = question.unanswered < GIVEN_UP;
            let found = if asked { question.sites.division(&whose, &site).await } else { Ok(None) };
            if found == Err(Unanswered) {
                question.unanswered += 1;
                let (program, transaction) = (layout.program, layout.name);
                tracing::warn!(%program, %transaction, "the division of a facility or warehouse could not be learnt: its records are withheld");
            }
            question.placed.insert(site, found.unwrap_or(None));
        }
    }

    /// Said once, at the answer's end or when its reader has gone.
    pub(super) fn tell(&mut self) {
        if self.withheld == 0 || std::mem::replace(&mut self.told, true) {
            return;
        }
        let labels = [self.layout.program.as_str(), self.layout.name.as_str()];
        self.metrics.rows_withheld.with_label_values(&labels).inc_by(self.withheld);
        let (id, rows) = (json!(self.decision.to_string()), json!(self.withheld));
        self.audit.note("withheld", Map::from_iter([("id".to_owned(), id), ("rows".to_owned(), rows)]));
    }

    fn is_of_the_company(&mut self, record: &Record) -> bool {
        let Some(at) = self.fields.company else { return true };
        let field = &self.layout.output.fields()[at];
        self.scratch.clear();
        if !record.append_plain(field, &mut self.scratch) {
            self.scratch.extend_from_slice(record.value(field).as_bytes());
        }
        // Nothing, or zero, is no company's: M3 leaves it so where a record has none.
        if self.scratch.iter().all(|digit| matches!(digit, b'0' | b' ')) {
            return true;
        }
        let told = std::str::from_utf8(&self.scratch).ok().and_then(|text| Company::parse(text).ok());
        told == Some(self.place.company)
    }
}

impl Drop for Sieve {
    fn drop(&mut self) {
        self.tell();
    }
}

impl Question {
    /// `None`: not learnt yet.
    fn division_of(&self, site: &Site, place: Place) -> Option<Option<Division>> {
        let placed = self.placed.get(site).copied();
        placed.or_else(|| self.sites.known(place.company, site).map(Some))
    }

    /// `place`: what was decided and allowed.
    fn may_be_of(&mut self, division: Division, layout: &TransactionLayout, place: Place) -> bool {
        if division == place.division {
            return true;
        }
        if let Some(judged) = self.judged.get(&division) {
            return *judged;
        }
        if self.judged.len() >= REMEMBERED {
            self.judged.clear();
        }
        let allowed = self.would_be_allowed_in(Place { division, ..place }, layout);
        self.judged.insert(division, allowed);
        allowed
    }

    /// The very same call, had it been made for this place.
    fn would_be_allowed_in(&self, place: Place, layout: &TransactionLayout) -> bool {
        let inputs = inputs_in(&self.inputs, layout, place);
        let ask = Ask {
            asker: Asker::from(&self.who),
            program: layout.program,
            transaction: layout.name,
            effect: self.effect,
            place,
            m3_user: &self.user,
            layout,
            inputs: &inputs,
            record: self.record.as_ref(),
            address: self.address,
            unix_seconds: self.unix_seconds,
        };
        self.set.decide(&ask).allowed && bound_to(&self.who, &ask).is_ok()
    }
}

impl Fields {
    fn of(layout: &TransactionLayout, effect: Effect) -> Self {
        let mut fields = Self { held: holds_division(layout), ..Self::default() };
        // What reads any table has the two letters of the table in front of each field.
        let prefixed = effect == Effect::Raw;
        for known in ["CONO", "DIVI", "FACI", "WHLO"] {
            let mut stands: Vec<usize> =
                FieldName::parse(known).ok().and_then(|name| layout.output.position(name)).into_iter().collect();
            if prefixed {
                let ends = |field: &FieldLayout| field.name.as_str().len() == 6 && field.name.as_str().ends_with(known);
                stands.extend(
                    layout.output.fields().iter().enumerate().filter(|(_, field)| ends(field)).map(|(at, _)| at),
                );
            }
            match known {
                "CONO" => fields.company = stands.first().copied(),
                "DIVI" => fields.division = stands.first().copied(),
                "FACI" => fields.sites.extend(stands.iter().map(|at| (Kind::Facility, *at))),
                _ => fields.sites.extend(stands.iter().map(|at| (Kind::Warehouse, *at))),
            }
        }
        fields
    }

    fn sites_of(&self, layout: &TransactionLayout, record: &Record) -> Vec<Site> {
        let site = |(kind, at): &(Kind, usize)| {
            let text = record.value(&layout.output.fields()[*at]);
            let code = text.trim();
            (!code.is_empty()).then(|| (*kind, code.into()))
        };
        self.sites.iter().filter_map(site).collect()
    }
}
