//! One MI transaction, fully decided: exactly what is sent, as whom and where.

use super::effect::Effect;
use super::ids::{ClientId, Company, Division, Language, M3User};
use super::layout::TransactionLayout;
use super::value::Value;
use std::sync::Arc;
use std::time::Duration;

/// The effective company and division: decided = logged = pooled = sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub company: Company,
    pub division: Division,
}

/// One input field, by its position in the layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    pub at: u16,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub struct Call {
    /// Who asks; the pool is fair between clients.
    pub client: ClientId,
    /// Who M3 sees.
    pub user: M3User,
    pub place: Place,
    pub layout: Arc<TransactionLayout>,
    pub effect: Effect,
    /// In the layout's order, each field at most once.
    pub inputs: Vec<Input>,
    /// SetLstMaxRec; 0 asks M3 for all of them. Meaningful on lists alone.
    pub max_records: u32,
    /// The caller's own language, where M3 can be told of it call by call.
    pub language: Option<Language>,
    /// How long M3 may take until its first frame, and then between frames.
    pub patience: Duration,
}

impl Call {
    /// A session or an account that works here must not carry the call: it would run in another place than was decided.
    /// Where the call itself says its division, any of the company will do.
    pub fn would_run_elsewhere(&self, found: Place) -> bool {
        found.company != self.place.company || (!self.says_division() && found.division != self.place.division)
    }

    /// The division is among the fields that are sent; else the session's own holds.
    pub fn says_division(&self) -> bool {
        let fields = self.layout.input.fields();
        self.inputs.iter().any(|input| fields[usize::from(input.at)].name.as_str() == "DIVI")
    }
}
