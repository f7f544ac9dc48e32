//! One entry: what is stopped, by whom, why and until when.

use super::error::Error;
use crate::model::{ClientId, ProgramName, TransactionName};
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// One token, by its `jti`, which is unique inside its issuer.
    Token {
        issuer: Arc<str>,
        id: Box<str>,
    },
    /// Every token of one grant, refreshed ones too.
    Grant {
        issuer: Arc<str>,
        id: Box<str>,
    },
    /// One token without a name, by the SHA-256 of its text.
    Text {
        digest: [u8; 32],
    },
    /// What a client was given up to this instant, in seconds since 1970.
    Client {
        client: ClientId,
        before: u64,
    },
    /// What an issuer gave to anybody up to this instant.
    Issuer {
        issuer: Arc<str>,
        before: u64,
    },
    BlockedClient(ClientId),
    BlockedProgram(ProgramName, Option<TransactionName>),
}

impl What {
    pub fn is_block(&self) -> bool {
        matches!(self, Self::BlockedClient(_) | Self::BlockedProgram(..))
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token { .. } => "token",
            Self::Grant { .. } => "grant",
            Self::Text { .. } => "text",
            Self::Client { .. } => "client",
            Self::Issuer { .. } => "issuer",
            Self::BlockedClient(_) => "blocked-client",
            Self::BlockedProgram(..) => "blocked-program",
        }
    }

    pub fn issuer(&self) -> Option<&str> {
        match self {
            Self::Token { issuer, .. } | Self::Grant { issuer, .. } | Self::Issuer { issuer, .. } => Some(issuer),
            Self::Client { client, .. } | Self::BlockedClient(client) => Some(&client.issuer),
            Self::Text { .. } | Self::BlockedProgram(..) => None,
        }
    }

    /// The id, client, digest or program that it is about.
    pub fn subject(&self) -> Option<String> {
        match self {
            Self::Token { id, .. } | Self::Grant { id, .. } => Some(id.to_string()),
            Self::Text { digest } => Some(digest.iter().map(|byte| format!("{byte:02x}")).collect()),
            Self::Client { client, .. } | Self::BlockedClient(client) => Some(client.id.to_string()),
            Self::Issuer { .. } => None,
            Self::BlockedProgram(program, None) => Some(program.to_string()),
            Self::BlockedProgram(program, Some(transaction)) => Some(format!("{program}/{transaction}")),
        }
    }

    pub fn before(&self) -> Option<u64> {
        match self {
            Self::Client { before, .. } | Self::Issuer { before, .. } => Some(*before),
            _ => None,
        }
    }

    /// Read back as the three words above were written.
    pub(super) fn read(
        kind: &str,
        issuer: Option<String>,
        subject: Option<String>,
        before: Option<u64>,
    ) -> Option<Self> {
        let issuer = issuer.map(Arc::<str>::from);
        Some(match kind {
            "token" => Self::Token { issuer: issuer?, id: subject?.into() },
            "grant" => Self::Grant { issuer: issuer?, id: subject?.into() },
            "text" => Self::Text { digest: unhex(&subject?)? },
            "client" => Self::Client { client: ClientId { issuer: issuer?, id: subject?.into() }, before: before? },
            "issuer" => Self::Issuer { issuer: issuer?, before: before? },
            "blocked-client" => Self::BlockedClient(ClientId { issuer: issuer?, id: subject?.into() }),
            "blocked-program" => Self::program(&subject?)?,
            _ => return None,
        })
    }

    /// `MMS200MI` or `MMS200MI/AddItm`.
    pub fn program(text: &str) -> Option<Self> {
        let (program, transaction) = match text.split_once('/') {
            None => (text, None),
            Some((program, transaction)) => (program, Some(TransactionName::parse(transaction).ok()?)),
        };
        Some(Self::BlockedProgram(ProgramName::parse(program).ok()?, transaction))
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(out)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Short enough to be typed: `r-` for a revocation, `b-` for a block.
    pub id: Arc<str>,
    pub what: What,
    pub reason: String,
    /// Who gave the order.
    pub who: String,
    pub made: u64,
    /// After this it may be dropped; a block without one holds until it is lifted.
    pub until: Option<u64>,
    /// When it was lifted early, and by whom.
    pub ended: Option<(u64, String)>,
}

impl Entry {
    pub fn holds(&self, now: u64) -> bool {
        self.ended.is_none() && self.until.is_none_or(|until| now < until)
    }
}

/// What somebody wants to be stopped.
#[derive(Debug, Clone)]
pub struct Order {
    /// One token may be ended under several of its names.
    pub what: Vec<What>,
    pub reason: String,
    pub who: String,
    pub until: Option<u64>,
}

const MOST_TEXT: usize = 200;
/// Longer than the settings let any token of ours live, and than a foreign issuer should.
const LONGEST: u64 = 366 * 24 * 3_600;

impl Order {
    /// A revocation has an end: that of the token, or the longest that any token lives.
    pub(super) fn checked(mut self, now: u64) -> Result<Self, Error> {
        for (what, text) in [("the reason", &self.reason), ("the name of who orders it", &self.who)] {
            if text.chars().count() > MOST_TEXT || text.chars().any(char::is_control) {
                return Err(Error::Text { what, most: MOST_TEXT });
            }
        }
        if self.until.is_some_and(|until| until <= now) {
            return Err(Error::Over);
        }
        if self.what.iter().any(|what| !what.is_block()) {
            let latest =
                self.what.iter().filter_map(What::before).max().unwrap_or(now).max(now).saturating_add(LONGEST);
            self.until = Some(self.until.unwrap_or(latest).min(latest));
        }
        for what in &self.what {
            let fits = |text: &str| !text.is_empty() && text.len() <= 1_024 && !text.chars().any(char::is_control);
            if !what.issuer().is_none_or(fits) || !what.subject().as_deref().is_none_or(fits) {
                return Err(Error::Text { what: "an id or an issuer", most: 1_024 });
            }
        }
        Ok(self)
    }
}
