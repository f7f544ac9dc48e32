//! A write may say one division and name a facility or a warehouse of another: it is decided for that one as well.
//!
//! M3 believes the site and not the option, and two thirds of its transactions that name a site have no field for a
//! division. Reads are left to the sieve, which looks at what they answer.
//! Invariant: a site that can't be placed is one where nothing may be written, for whoever is not let write everywhere.

use super::exchange::Exchange;
use super::problem::{Kind, Problem};
use super::sites::{Kind as Of, Whose};
use super::verdict::Weighed;
use crate::model::{Effect, Place, Value};
use crate::policy::Set;

const SITES: [(&str, Of); 2] = [("FACI", Of::Facility), ("WHLO", Of::Warehouse)];
/// Where sites themselves are written: one that M3 doesn't know yet is about to be made.
const MASTERS: [&str; 2] = ["CRS008MI", "MMS005MI"];

impl Exchange {
    /// For a call that is allowed where it says it works.
    pub(super) async fn by_its_sites(&self, call: &Weighed<'_>, set: &Set) -> Result<(), Problem> {
        let ask = call.ask();
        let bound = !call.who().standing.divisions.is_empty();
        let looks = || bound || set.looks_at_division(ask.asker, ask.program, ask.transaction, ask.effect);
        if ask.effect == Effect::Read {
            return Ok(());
        }
        for (name, kind) in SITES {
            let named = ask.layout.input.fields().iter().position(|field| field.name.as_str() == name);
            let given = named.and_then(|at| ask.inputs.iter().find(|input| usize::from(input.at) == at));
            let Some(Value::Text(code)) = given.map(|input| &input.value) else { continue };
            if !looks() {
                return Ok(());
            }
            let whose = Whose { client: ask.asker.client.clone(), user: ask.m3_user.clone(), place: ask.place };
            let found = self.sites.division(&whose, &(kind, code.as_ref().into())).await;
            let division = match found {
                Ok(Some(division)) => division,
                Ok(None) if MASTERS.contains(&ask.program.as_str()) => continue,
                Ok(None) => {
                    return Err(refused(format!("M3 tells of no {name} like this one, so its division is not known.")));
                }
                Err(_) => return Err(refused(format!("M3 did not say in time which division this {name} is of."))),
            };
            let there = Place { company: ask.place.company, division };
            if there == ask.place {
                continue;
            }
            let allowed = call.who().standing.may_work_in(there) && set.decide(&call.ask_in(there)).allowed;
            if !allowed {
                let detail =
                    format!("This {name} is of a division for which the same call would be refused to this client.");
                return Err(refused(detail));
            }
        }
        Ok(())
    }
}

fn refused(detail: String) -> Problem {
    Problem::new(Kind::PolicyDenied, detail)
}
