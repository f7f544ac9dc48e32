//! What of a call says in which place it works: by which field M3 would hold it to its division, and which fields name
//! another company or division than the one it runs in.
//!
//! Each place that a call reaches is decided as well as its own. A blank company is the call's own company.
//! Invariant: a value that names no place, or a range whose inside can't be listed, is told to the caller of this
//! module, never dropped.

use crate::model::{Company, Division, Effect, FieldName, Input, Layout, Place, TransactionLayout, Value};
use std::fmt;

/// What two fields say together.
enum Names {
    /// A company and a division of it; either may be missing from the transaction.
    Pair(&'static str, &'static str),
    /// A division of the call's own company.
    Division(&'static str),
    /// From and to, in the call's own company.
    Range(&'static str, &'static str),
}

const ELSEWHERE: &[Names] = &[
    Names::Pair("CCMP", "CDIV"),
    Names::Pair("DFCO", "DFDI"),
    Names::Division("CPDIVI"),
    Names::Range("FDIV", "TDIV"),
    Names::Range("FRDI", "TODI"),
];

/// Filled with the division that a call is decided for.
const OWN: &str = "DIVI";
/// Of these the gateway looks up which division they are of.
const SITES: [&str; 2] = ["FACI", "WHLO"];
/// Divisions that a call reaches besides, each decided by itself.
const OTHERS: [&str; 5] = ["CDIV", "CPDIVI", "DFDI", "FDIV", "FRDI"];
/// Each names a record of its whole company by itself: a site beside it is one of the record's values, or a new one. These
/// are the ones that are known; another that names a record so is not told from its values.
const NUMBERS: [&str; 12] =
    ["AGNB", "DLIX", "INBN", "MSGN", "MSNR", "ORNO", "PLNO", "PUNO", "RIDN", "SCHN", "TRNR", "WOSQ"];
/// Of manufacturing orders: their key begins with the facility, though not each transaction demands it.
const BY_FACILITY: [&str; 4] = ["PMS050MI", "PMS060MI", "PMS070MI", "PMS100MI"];
/// What makes a whole record, whose division is that of this site. A number that it takes is the new record's.
const MAKES: [(&str, &str, &str); 14] = [
    ("MMS850MI", "AddAdjust", "WHLO"),
    ("MMS850MI", "AddMove", "WHLO"),
    ("MMS850MI", "AddRclLotSts", "WHLO"),
    ("MMS850MI", "AddReclass", "WHLO"),
    ("MMS850MI", "AddStkHead", "WHLO"),
    ("MMS850MI", "SndAdjust", "WHLO"),
    ("OIS100MI", "AddBatchHead", "FACI"),
    ("OIS100MI", "AddOrderHead", "FACI"),
    ("PMS100MI", "AddInboxOp", "FACI"),
    ("PMS100MI", "AddInboxOrder", "FACI"),
    ("PMS100MI", "CrtMO", "FACI"),
    ("PMS100MI", "SndInboxOp", "FACI"),
    ("PMS100MI", "SndInboxOrder", "FACI"),
    ("PPS370MI", "AddHead", "FACI"),
];
/// What takes a division that is one of the record's values: a warehouse and an item name the one, a user the other.
const NAMED_WITHOUT: [(&str, &str); 3] =
    [("MMS200MI", "AddItmWhs"), ("MMS200MI", "UpdItmWhs"), ("MNS150MI", "ChgDefaultValue")];
/// What reads by a number, and tells by its sites whose the record is. The others tell of lines and deliveries: where
/// those are, which may be anywhere.
const OF_ITS_SITES: [(&str, &str); 6] = [
    ("MMS100MI", "GetHead"),
    ("MMS850MI", "GetStkHead"),
    ("OIS100MI", "GetBatchHead"),
    ("PMS060MI", "LstAgrBySchedNo"),
    ("PMS060MI", "LstMatBySchedNo"),
    ("PPS100MI", "GetAgrHead"),
];

/// Whether a transaction carries the division that a call of it says. Where it does not, M3 goes by the key of a record,
/// and what the caller says of its division is his word alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    Always,
    /// Where the call gives this field, which is part of what names its record, and no number that names one by itself.
    Given(&'static str),
    Never,
}

impl Carries {
    pub fn of(layout: &TransactionLayout, effect: Effect) -> Self {
        // Whoever made a program himself names its fields, and marks as mandatory, what he likes.
        if layout.program.is_customer_made() {
            return Self::Never;
        }
        // What is told of the session and of its house is of no division.
        let of_none = effect == Effect::Read && Effect::is_technical(layout.name);
        if of_none || holds_division(layout) || told_apart(layout, effect) {
            return Self::Always;
        }
        // A list begins at a site, and goes on with others.
        let goes_on = layout.multi && effect == Effect::Read;
        SITES.iter().find(|name| !goes_on && holds(layout, name)).map_or(Self::Never, |name| Self::Given(name))
    }

    /// Whether this very call does.
    pub(super) fn with(self, layout: &TransactionLayout, inputs: &[Input]) -> bool {
        if !matches!(self, Self::Given(_)) {
            return self == Self::Always;
        }
        let holds = |input: &Input| said(&input.value) && holds(layout, name_of(layout, input));
        inputs.iter().any(holds) && (makes(layout).is_some() || number(layout, inputs).is_none())
    }
}

/// Why a call that carries no division is not believed, behind "none that M3 would hold it to".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheld {
    /// No field of it would name a record of one division.
    Plainly,
    /// It lacks this field.
    Without(&'static str),
    /// It gives this one.
    By(&'static str),
}

impl Unheld {
    pub fn of(layout: &TransactionLayout, effect: Effect, inputs: &[Input]) -> Self {
        let by = number(layout, inputs).filter(|_| makes(layout).is_none() && !layout.program.is_customer_made());
        match (by, Carries::of(layout, effect)) {
            (Some(number), _) => Self::By(number),
            (None, Carries::Given(site)) => Self::Without(site),
            (None, Carries::Always | Carries::Never) => Self::Plainly,
        }
    }
}

impl fmt::Display for Unheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plainly => Ok(()),
            Self::Without(field) => write!(f, " (it would to that of {field})"),
            Self::By(field) => write!(f, " ({field} names the record, of whichever division that is)"),
        }
    }
}

/// Whether this field is part of what names the record, so that M3 finds none of another division. One that may be left
/// out is not: without it M3 finds the record all the same.
fn holds(layout: &TransactionLayout, name: &str) -> bool {
    if let Some(site) = makes(layout) {
        return site == name && has(&layout.input, name);
    }
    if demands(layout, &NUMBERS) || !SITES.contains(&name) {
        return false;
    }
    let by_facility = name == "FACI" && BY_FACILITY.contains(&layout.program.as_str()) && has(&layout.input, name);
    by_facility || demands(layout, &[name])
}

fn makes(layout: &TransactionLayout) -> Option<&'static str> {
    let (program, name) = (layout.program.as_str(), layout.name.as_str());
    MAKES.iter().find(|(of, makes, _)| (*of, *makes) == (program, name)).map(|(_, _, site)| *site)
}

/// Whether M3 is told of the division, and finds the record by it.
pub fn holds_division(layout: &TransactionLayout) -> bool {
    has(&layout.input, OWN) && !layout.program.is_customer_made() && !is_in(&NAMED_WITHOUT, layout)
}

/// Whether records of the answer say whose they are, so that those of others are withheld.
fn told_apart(layout: &TransactionLayout, effect: Effect) -> bool {
    let by_sites = || !demands(layout, &NUMBERS) || is_in(&OF_ITS_SITES, layout);
    says(layout, effect, OWN) || (SITES.iter().any(|site| says(layout, effect, site)) && by_sites())
}

/// Whether each record of the answer says the division of this site by itself.
pub fn says_place_of(layout: &TransactionLayout, effect: Effect, site: &str) -> bool {
    says(layout, effect, OWN) || says(layout, effect, site)
}

/// What reads any table has the table's letters in front of each field.
fn says(layout: &TransactionLayout, effect: Effect, name: &str) -> bool {
    match effect {
        Effect::Read => has(&layout.output, name),
        Effect::Raw => layout.output.fields().iter().any(|field| field.name.as_str().ends_with(name)),
        Effect::Write | Effect::Session => false,
    }
}

fn demands(layout: &TransactionLayout, names: &[&str]) -> bool {
    layout.input.fields().iter().any(|field| field.mandatory && names.contains(&field.name.as_str()))
}

/// The number that this call gives.
fn number(layout: &TransactionLayout, inputs: &[Input]) -> Option<&'static str> {
    // Of numbers, none is 0.
    let given =
        |input: &Input| said(&input.value) && !matches!(&input.value, Value::Number(digits) if **digits == *"0");
    let is = |name: &str| inputs.iter().any(|input| name_of(layout, input) == name && given(input));
    NUMBERS.into_iter().find(|name| is(name))
}

fn said(value: &Value) -> bool {
    !matches!(value.as_str().trim(), "" | "?")
}

fn name_of<'a>(layout: &'a TransactionLayout, input: &Input) -> &'a str {
    layout.input.fields()[usize::from(input.at)].name.as_str()
}

fn is_in(table: &[(&str, &str)], layout: &TransactionLayout) -> bool {
    table.contains(&(layout.program.as_str(), layout.name.as_str()))
}

/// Whether a field says, or names what is of, a division.
pub(super) fn is_of_a_place(field: FieldName) -> bool {
    std::iter::once(&OWN).chain(&SITES).chain(&OTHERS).any(|name| field.as_str() == *name)
}

fn has(layout: &Layout, name: &str) -> bool {
    layout.fields().iter().any(|field| field.name.as_str() == name)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elsewhere {
    pub(super) places: Vec<Place>,
    /// A range of divisions that is more than one: allowed only where no rule looks at the division.
    pub(super) open_range: Option<FieldName>,
}

/// Every place that a call works in: its own first, then those that its fields name. The error is a field whose value
/// names no place, or a range of divisions whose inside nobody can list.
pub(super) fn reached(layout: &TransactionLayout, inputs: &[Input], own: Place) -> Result<Vec<Place>, FieldName> {
    let found = elsewhere(layout, inputs, own)?;
    match found.open_range {
        Some(field) => Err(field),
        None => Ok(std::iter::once(own).chain(found.places).collect()),
    }
}

/// Where else the call reaches; the field whose value names no place is the error.
pub(super) fn elsewhere(layout: &TransactionLayout, inputs: &[Input], own: Place) -> Result<Elsewhere, FieldName> {
    let mut found = Elsewhere { places: Vec::new(), open_range: None };
    for names in ELSEWHERE {
        match names {
            Names::Pair(company, division) => {
                let (company, division) = (given(layout, inputs, company), given(layout, inputs, division));
                if company.is_some() || division.is_some() {
                    let place = Place {
                        company: company.map_or(Ok(own.company), read_company)?,
                        division: division.map_or(Ok(own.division), read_division)?,
                    };
                    found.add(place, own);
                }
            }
            Names::Division(field) => {
                if let Some(field) = given(layout, inputs, field) {
                    found.add(Place { division: read_division(field)?, ..own }, own);
                }
            }
            Names::Range(from, to) => {
                let (from, to) = (given(layout, inputs, from), given(layout, inputs, to));
                let name = from.or(to).map(|(name, _)| name);
                let from = from.map(read_division).transpose()?;
                let to = to.map(read_division).transpose()?;
                for division in [from, to].into_iter().flatten() {
                    found.add(Place { division, ..own }, own);
                }
                if from != to {
                    found.open_range = name;
                }
            }
        }
    }
    Ok(found)
}

impl Elsewhere {
    fn add(&mut self, place: Place, own: Place) {
        if place != own && !self.places.contains(&place) {
            self.places.push(place);
        }
    }
}

type Given<'a> = (FieldName, &'a str);

fn given<'a>(layout: &TransactionLayout, inputs: &'a [Input], field: &str) -> Option<Given<'a>> {
    let name = FieldName::parse(field).ok()?;
    let at = layout.input.position(name)?;
    let input = inputs.iter().find(|input| usize::from(input.at) == at)?;
    Some((name, input.value.as_str()))
}

fn read_company((name, text): Given<'_>) -> Result<Company, FieldName> {
    Company::parse(text).map_err(|_| name)
}

fn read_division((name, text): Given<'_>) -> Result<Division, FieldName> {
    Division::parse(text).map_err(|_| name)
}
