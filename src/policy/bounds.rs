//! What operators bound a client to, besides the rules: the places where its calls may run and reach.
//!
//! Invariant: the division of a call that carries none is its caller's word. Such a call is of its company as a whole, and
//! whoever is bound to divisions makes it only if he is bound to that, too.

use super::ask::Ask;
use super::places::{Carries, Unheld, reached};
use crate::model::{Company, Division, FieldName, Place, Standing};
use std::fmt;

/// Where a call works and its client may not, behind "may not work in".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    Place(Place),
    /// This field's value names no place, or a range whose inside nobody can list.
    Named(FieldName),
    /// It carries no division.
    Whole(Company, Unheld),
}

/// `None`: it keeps to its client's bounds.
pub fn outside(standing: &Standing, ask: &Ask<'_>) -> Option<Outside> {
    if !standing.is_bound() {
        return None;
    }
    let reached = match reached(ask.layout, ask.inputs, ask.place) {
        Ok(reached) => reached,
        Err(field) => return Some(Outside::Named(field)),
    };
    if let Some(place) = reached.into_iter().find(|place| !standing.may_work_in(*place)) {
        return Some(Outside::Place(place));
    }
    let whole = Place { division: Division::BLANK, ..ask.place };
    let kept = standing.may_work_in(whole) || Carries::of(ask.layout, ask.effect).with(ask.layout, ask.inputs);
    (!kept).then(|| Outside::Whole(whole.company, Unheld::of(ask.layout, ask.effect, ask.inputs)))
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(Place { company, division }) if division.is_blank() => write!(f, "company {company}"),
            Self::Place(Place { company, division }) => write!(f, "company {company}, division {division}"),
            Self::Named(field) => write!(f, "the places that {field} names"),
            Self::Whole(company, unheld) => write!(
                f,
                "company {company} as a whole, and this call carries no division that M3 would hold it to{unheld}; \
                 whoever runs the gateway may let a client work there by {:?} among its divisions",
                Standing::WHOLE
            ),
        }
    }
}
