//! What of a call says in which place it works: by which field M3 would hold it to its division, and which fields name
//! another company or division than the one it runs in.
//!
//! Each place that a call reaches is decided as well as its own. A blank company is the call's own company.
//! Invariant: a value that names no place, or a range whose inside can't be listed, is told to the caller of this
//! module, never dropped.

use crate::model::{Company, Division, Effect, FieldName, Input, Layout, Place, TransactionLayout};

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

/// Whether a transaction carries the division that a call of it says. Where it does not, M3 goes by the key of a record,
/// and what the caller says of its division is his word alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    Always,
    /// Where the call gives a site, or the other division that it reaches.
    Given,
    Never,
}

impl Carries {
    pub fn of(layout: &TransactionLayout, effect: Effect) -> Self {
        let input = |name: &str| has(&layout.input, name);
        let given = SITES.iter().chain(&OTHERS).any(|name| input(name));
        // What is told of the session and of its house is of no division.
        let of_none = effect == Effect::Read && Effect::is_technical(layout.name);
        match of_none || input(OWN) || says_place(layout, effect) {
            true => Self::Always,
            // A list begins at a site, and goes on with others.
            false if given && !(layout.multi && effect == Effect::Read) => Self::Given,
            false => Self::Never,
        }
    }

    /// Whether this very call does.
    pub(super) fn with(self, layout: &TransactionLayout, inputs: &[Input]) -> bool {
        let says = |name: &str| given(layout, inputs, name).is_some_and(|(_, text)| !matches!(text.trim(), "" | "?"));
        match self {
            Self::Always => true,
            Self::Given => SITES.iter().chain(&OTHERS).any(|name| says(name)),
            Self::Never => false,
        }
    }
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
pub fn reached(layout: &TransactionLayout, inputs: &[Input], own: Place) -> Result<Vec<Place>, FieldName> {
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
