//! A call may say one division and name a facility or a warehouse of another: it is decided for that one as well.
//!
//! M3 believes the site and not the option, and two thirds of its transactions that name a site have no field for a
//! division. What each record of an answer says by itself is left to the sieve.
//! Invariant: a site that can't be placed is one where nothing may be done, for whoever is not let do it everywhere.

use super::exchange::Exchange;
use super::problem::{Kind, Problem};
use super::reader::Whose;
use super::sites::{Kind as Of, Unplaced};
use super::verdict::{Weighed, bound_to};
use crate::model::{Input, Place, ProgramName, TransactionLayout, TransactionName, Value};
use crate::policy::{Ask, Fact, Set, says_place_of};
use crate::translate;
use std::sync::Arc;

/// Where something is, and from where or to where it goes. The supplying and the main warehouse of an item (`SUWH`, `REWH`)
/// are what it is planned by, and may well be another division's.
const SITES: [(&str, Of); 6] = [
    ("FACI", Of::Facility),
    ("WHLO", Of::Warehouse),
    ("FWHL", Of::Warehouse),
    ("STWH", Of::Warehouse),
    ("TWHL", Of::Warehouse),
    ("TWLO", Of::Warehouse),
];
/// Where sites themselves are written: one that M3 doesn't know yet is about to be made.
const MASTERS: [&str; 2] = ["CRS008MI", "MMS005MI"];

impl Exchange {
    /// For a call that is allowed where it says it works.
    pub(super) async fn by_its_sites(&self, call: &mut Weighed<'_>, set: &Set) -> Result<(), Problem> {
        let ask = call.ask();
        let left = |(site, _): &(&str, Of)| says_place_of(ask.layout, ask.effect, site);
        let named: Vec<(&str, Of, Box<str>)> =
            SITES.into_iter().filter(|site| !left(site)).filter_map(|site| given(&ask, site)).collect();
        let bound = !call.who().standing.divisions.is_empty();
        let looks = || bound || set.looks_at_division(ask.asker, ask.program, ask.transaction, ask.effect);
        if named.is_empty() || !looks() {
            return Ok(());
        }
        let makes_one = makes_one(ask.program, ask.transaction);
        let whose = Whose { client: ask.asker.client.clone(), user: ask.m3_user.clone(), place: ask.place };
        for (name, kind, code) in named {
            let site = (kind, code);
            // One that is about to be made is not made up.
            let found = match makes_one {
                true => self.sites.division(&whose, &site).await.map_err(|_| Unplaced::Unanswered),
                false => self.sites.named(&whose, &site).await,
            };
            let division = match found {
                Ok(Some(division)) => division,
                Ok(None) if makes_one => continue,
                Ok(None) => {
                    return Err(refused(format!("M3 tells of no {name} like this one, so its division is not known.")));
                }
                Err(Unplaced::Unanswered) => {
                    return Err(refused(format!("M3 did not say in time which division this {name} is of.")));
                }
                Err(Unplaced::MadeUp(wait)) => {
                    let detail = format!(
                        "This client has named too many sites that M3 doesn't know, so M3 was not asked of which \
                         division this {name} is."
                    );
                    return Err(refused(detail).retry_after(wait));
                }
            };
            let there = Place { company: whose.place.company, division };
            if there == whose.place {
                continue;
            }
            if !self.may_work_in(call, set, there).await {
                let detail =
                    format!("This {name} is of a division for which the same call would be refused to this client.");
                return Err(refused(detail));
            }
        }
        Ok(())
    }

    /// The same call, said to be of that place in its fields too.
    async fn may_work_in(&self, call: &mut Weighed<'_>, set: &Set, there: Place) -> bool {
        let inputs = inputs_in(call.ask().inputs, call.ask().layout, there);
        let elsewhere = |call: &Weighed<'_>| -> Option<Arc<Fact>> {
            set.wants_record(&Ask { place: there, inputs: &inputs, ..call.ask() }).filter(|_| !call.has_read())
        };
        if bound_to(call.who(), &Ask { place: there, inputs: &inputs, ..call.ask() }).is_err() {
            return false;
        }
        if let Some(fact) = elsewhere(call) {
            let read = self.read_fact(call, fact).await;
            call.reads(read);
        }
        set.decide(&Ask { place: there, inputs: &inputs, ..call.ask() }).allowed
    }
}

/// The site that it names may be one that is not there yet.
fn makes_one(program: ProgramName, transaction: TransactionName) -> bool {
    MASTERS.contains(&program.as_str()) && transaction.as_str().starts_with("Add")
}

/// A site that the call names.
fn given(ask: &Ask<'_>, (name, kind): (&'static str, Of)) -> Option<(&'static str, Of, Box<str>)> {
    let at = ask.layout.input.fields().iter().position(|field| field.name.as_str() == name)?;
    match &ask.inputs.iter().find(|input| usize::from(input.at) == at)?.value {
        Value::Text(code) => Some((name, kind, code.as_ref().into())),
        Value::Number(_) | Value::Date(_) | Value::Cleared => None,
    }
}

/// What would be sent if the call were of that place.
pub(super) fn inputs_in(inputs: &[Input], layout: &TransactionLayout, place: Place) -> Vec<Input> {
    let stays = |input: &&Input| {
        let field = layout.input.fields()[usize::from(input.at)].name;
        !matches!(field.as_str(), "CONO" | "DIVI")
    };
    translate::placed(inputs.iter().filter(stays).cloned().collect(), layout, place)
}

fn refused(detail: String) -> Problem {
    Problem::new(Kind::PolicyDenied, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_m3_does_not_know_is_no_fault_where_sites_are_made_and_nowhere_else() {
        let makes = |program: &str, transaction: &str| {
            let program = ProgramName::parse(program).expect("a program");
            makes_one(program, TransactionName::parse(transaction).expect("a transaction"))
        };
        assert!(makes("MMS005MI", "AddWarehouse") && makes("CRS008MI", "AddFacility"));
        assert!(!makes("MMS005MI", "ChgWarehouse") && !makes("MMS200MI", "AddItmWhs"));
    }
}
