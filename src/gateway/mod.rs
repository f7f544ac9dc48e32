//! The gateway: request in, response out.
//!
//! `stack` reads in request order; at its end `routes` sends an execute call through `exchange`, which decides on
//! typed values and talks to M3, and a token request to the issuer.
//! Invariant: every answer that is not M3's own is problem JSON (or RFC 6749's shape at the token endpoints), and
//! nothing below a layer that refused was asked.
//! Does not know: sockets, TLS, files, or where its parts come from (see `app`).

mod blocked;
mod body;
mod cursor;
mod dialects;
mod door;
mod exchange;
mod facts;
mod flow;
mod inbound;
mod intent;
mod layers;
mod listing;
mod openapi;
mod placed;
mod problem;
mod rate;
mod reader;
mod refused;
mod room;
mod route;
mod routes;
mod sieve;
mod sites;
mod stack;
mod token;
mod verdict;
mod visit;

pub use body::{Body, Fault as BodyFault, Request, Response};
pub use cursor::Seal;
pub use dialects::bulk::Settings as BulkSettings;
pub use exchange::Settings as ExchangeSettings;
pub use inbound::{Role as InboundRole, Sender as InboundSender, Settings as InboundSettings, read_parts};
pub use problem::{Kind as ProblemKind, Problem};
pub use sites::READS as SITE_READS;
pub use stack::Service;

use crate::audit;
use crate::auth::Verifier;
use crate::catalog::Catalog;
use crate::issuer::Issuer;
use crate::limit::Limits;
use crate::m3;
use crate::model::M3User;
use crate::outbox::Outbox;
use crate::policies::Active;
use crate::stoplist::Stops;
use crate::tasks::Tasks;
use crate::telemetry::{AccessLog, Metrics};
use http::HeaderValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything that a request may meet.
#[derive(Clone)]
pub struct Parts {
    pub verifier: Verifier,
    pub issuer: Option<Issuer>,
    pub limits: Arc<Limits>,
    pub policies: Arc<Active>,
    pub catalog: Catalog,
    pub m3: m3::Client,
    pub metrics: Arc<Metrics>,
    /// `None` writes no access log.
    pub access_log: Option<AccessLog>,
    pub audit: audit::Log,
    pub outbox: Outbox,
    /// What the operators blocked.
    pub stops: Stops,
    pub tasks: Tasks,
    /// The M3 user of a group's clients, where they have none of their own.
    pub group_users: Arc<BTreeMap<String, M3User>>,
    /// By whom M3 is asked what decisions hang on besides the call.
    pub guard_user: Option<M3User>,
    /// Seals the places in lists that callers get.
    pub seal: Seal,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub body_limit: usize,
    pub uri_limit: usize,
    /// Until the head of an answer; longer than any patience with M3.
    pub wait: Duration,
    /// Bytes from which on an answer is compressed for those who can read that.
    pub compress_from: u64,
    /// Origins whose pages may call from a browser; none by default.
    pub cors: Vec<HeaderValue>,
    /// Clients are asked for certificates, and their resource's metadata say so.
    pub client_certificates: bool,
    pub exchange: ExchangeSettings,
    pub bulk: BulkSettings,
    pub inbound: InboundSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_limit: 1024 * 1024,
            // Below the edge's bound on header lists, so that a long URL is told in words.
            uri_limit: 8 * 1024,
            wait: Duration::from_secs(120),
            compress_from: 1_024,
            cors: Vec::new(),
            client_certificates: false,
            exchange: ExchangeSettings::default(),
            bulk: BulkSettings::default(),
            inbound: InboundSettings::default(),
        }
    }
}

/// The gateway as one service.
pub fn service(parts: &Parts, settings: &Settings) -> Service {
    stack::stack(parts, settings)
}
