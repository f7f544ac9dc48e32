//! The operations door: alive, ready, metrics for anyone who reaches it; everything else for the operator.
//!
//! An action needs the operator's token, a Host that is this door's (a web page's name pointed at loopback is not)
//! and, when it changes something, a JSON content type (which no form of a web page can send).
//!
//! Invariant: nothing of an action runs before all of that held. Does not know: what the actions do.

mod action;
mod health;
mod operations;
mod problem;
mod token;

pub use action::{Action, ActionError, Run};
pub use health::{Check, Health, Report};
pub use operations::{Error, Operations};
pub use token::{Error as TokenError, OperatorToken};
