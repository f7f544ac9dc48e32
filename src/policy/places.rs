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
/// Of those: where M3 begins to go through divisions. The others are where a copy goes to, and say nothing of what is
/// copied.
const RANGES: [&str; 2] = ["FDIV", "FRDI"];
/// Each names a record of its whole company by itself: a site beside it is one of the record's values, or a new one.
const NUMBERS: [&str; 11] = ["AGNB", "DLIX", "INBN", "MSGN", "MSNR", "ORNO", "PUNO", "RIDN", "SCHN", "TRNR", "WOSQ"];
/// Of manufacturing orders: their key begins with the facility, though not each transaction demands it.
const BY_FACILITY: [&str; 4] = ["PMS050MI", "PMS060MI", "PMS070MI", "PMS100MI"];
/// What makes a whole record, whose division is that of this site. A number that it takes is the new record's.
const MAKES: [(&str, &str, &str); 3] =
    [("OIS100MI", "AddBatchHead", "FACI"), ("OIS100MI", "AddOrderHead", "FACI"), ("PPS370MI", "AddHead", "FACI")];

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
        // What is told of the session and of its house is of no division.
        let of_none = effect == Effect::Read && Effect::is_technical(layout.name);
        if of_none || has(&layout.input, OWN) || says_place(layout, effect) {
            return Self::Always;
        }
        // A list begins at a site, and goes on with others.
        let goes_on = layout.multi && effect == Effect::Read;
        SITES
            .iter()
            .chain(&RANGES)
            .find(|name| !goes_on && holds(layout, name))
            .map_or(Self::Never, |name| Self::Given(name))
    }

    /// Whether this very call does.
    pub(super) fn with(self, layout: &TransactionLayout, inputs: &[Input]) -> bool {
        if !matches!(self, Self::Given(_)) {
            return self == Self::Always;
        }
        let said = |value: &Value| !matches!(value.as_str().trim(), "" | "?");
        // Of numbers, none is 0.
        let numbers = |value: &Value| said(value) && !matches!(value, Value::Number(digits) if **digits == *"0");
        let name = |input: &Input| layout.input.fields()[usize::from(input.at)].name;
        let makes = makes(layout).is_some();
        let numbered = |input: &Input| NUMBERS.contains(&name(input).as_str()) && numbers(&input.value);
        inputs.iter().any(|input| said(&input.value) && holds(layout, name(input).as_str()))
            && (makes || !inputs.iter().any(numbered))
    }
}

/// What a call lacks that carries none, behind "none that M3 would hold it to".
impl fmt::Display for Carries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(field) => {
                write!(f, " (it would to that of {field}, where no number beside it names the record)")
            }
            Self::Always | Self::Never => Ok(()),
        }
    }
}

/// Whether this field is part of what names the record, so that M3 finds none of another division. One that may be left
/// out is not: without it M3 finds the record all the same. Whoever made a program himself marks as mandatory what he likes.
fn holds(layout: &TransactionLayout, name: &str) -> bool {
    if let Some(site) = makes(layout) {
        return site == name && has(&layout.input, name);
    }
    let demands = |names: &[&str]| {
        layout.input.fields().iter().any(|field| field.mandatory && names.contains(&field.name.as_str()))
    };
    let program = layout.program;
    if program.is_customer_made() || demands(&NUMBERS) || !SITES.iter().chain(&RANGES).any(|site| *site == name) {
        return false;
    }
    let by_facility = name == "FACI" && BY_FACILITY.contains(&program.as_str()) && has(&layout.input, name);
    by_facility || demands(&[name])
}

fn makes(layout: &TransactionLayout) -> Option<&'static str> {
    let (program, name) = (layout.program.as_str(), layout.name.as_str());
    MAKES.iter().find(|(of, makes, _)| (*of, *makes) == (program, name)).map(|(_, _, site)| *site)
}

/// Whether records of the answer say of which place they are, so that those of others are withheld. What reads any table
/// has the table's letters in front of each field.
pub fn says_place(layout: &TransactionLayout, effect: Effect) -> bool {
    let named = |name: &str| match effect {
        Effect::Read => has(&layout.output, name),
        Effect::Raw => layout.output.fields().iter().any(|field| field.name.as_str().ends_with(name)),
        Effect::Write | Effect::Session => false,
    };
    named(OWN) || SITES.iter().any(|name| named(name))
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
