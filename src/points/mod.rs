//! Connection points: where documents go.
//!
//! A point has a name, a filter and a target; it takes one message at a time and says whether it arrived, and if not
//! whether another try can help. It keeps no state of its own about messages: a message that comes again has the same
//! id, and a target that can't tell gets it twice.
//! Does not know: which documents are due, what came before, when to try again (see `relay`).

mod database;
mod failure;
mod file;
mod http;
mod ims;
mod ims_message;
mod message;
mod pattern;
mod point;
mod settings;
#[cfg(test)]
mod tests;

pub use failure::{Blame, Failure};
pub use message::Message;
pub use pattern::{BadPattern, Pattern};
pub use point::{Delivered, Point};
pub use settings::{Answers, DatabaseSettings, FileSettings, HttpSettings, ImsPaths, ImsSettings, Settings, Target};
