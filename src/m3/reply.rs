//! M3's answer to one call, a record at a time, whichever way it comes.

use super::error::Error;
use super::{rest, socket};
use crate::model::Record;

/// Whoever drops it before its end gives up what it came over.
#[derive(Debug)]
pub struct Reply(Way);

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a session's is the ordinary one, and who keeps it boxes the whole")]
enum Way {
    Socket(socket::Reply),
    Rest(Box<rest::Reply>),
}

impl From<socket::Reply> for Reply {
    fn from(reply: socket::Reply) -> Self {
        Self(Way::Socket(reply))
    }
}

impl From<rest::Reply> for Reply {
    fn from(reply: rest::Reply) -> Self {
        Self(Way::Rest(Box::new(reply)))
    }
}

impl Reply {
    /// `Snd…`: M3 took it, and never says whether it worked.
    pub fn outcome_reported(&self) -> bool {
        match &self.0 {
            Way::Socket(reply) => reply.outcome_reported(),
            Way::Rest(reply) => reply.outcome_reported(),
        }
    }

    /// The next record; `None` at the end. NOK in the middle of a list is an error and the end.
    pub async fn next(&mut self) -> Result<Option<Record>, Error> {
        match &mut self.0 {
            Way::Socket(reply) => reply.next().await,
            Way::Rest(reply) => reply.next().await,
        }
    }

    /// What is here already: `None` when it would have to be waited for, `Some(Ok(None))` at the end.
    pub fn ready(&mut self) -> Option<Result<Option<Record>, Error>> {
        match &mut self.0 {
            Way::Socket(reply) => reply.ready(),
            Way::Rest(reply) => reply.ready(),
        }
    }
}
