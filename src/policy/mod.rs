//! May this client make this call? Cedar rules over the typed values that will be sent.
//!
//! A set is loaded whole or not at all, sliced by client and transaction, and never changes afterwards.
//! Invariant: what a rule can't be told, can't be proven or fails to evaluate ends as a refusal.
//! Does not know: URLs, tokens, files, clocks. Time and address are handed in with each question.

mod ask;
mod bounds;
mod context;
mod contradiction;
mod declare;
mod explain;
mod fact;
mod fault;
mod identity;
mod judge;
mod load;
mod names;
mod narrow;
mod nesting;
mod places;
mod plain;
mod reads;
mod record;
mod review;
mod rights;
mod rows;
mod rule;
mod schema;
mod scope;
mod set;
mod site;
#[cfg(test)]
mod tests;
mod zones;

pub use ask::{Ask, Asker, Decision, Reason};
pub use bounds::{Outside, outside};
pub use declare::FACTS;
pub use explain::{Miss, Near};
pub use fact::{Fact, FactValues, NoValue};
pub use fault::{Fault, Source};
pub use places::{Carries, Unheld, holds_division, says_place_of};
pub use review::{Demands, Finding, Severity};
pub use rights::{Places, Reviewed, Terms};
pub use rows::Looks;
pub use rule::end_of_day;
pub use set::{Layouts, Set};
pub use site::Site;
pub use zones::Zones;
