//! ION's messaging service from the application's side: what receivers say of documents that they were sent.
//!
//! A ConfirmBOD or an Acknowledge goes to the outbox, which ties it to the delivery that it speaks of. What M3's own publisher
//! sends of a document that is made here in shadow is kept there, to be compared. Whatever else comes is told to its sender
//! by a ConfirmBOD of the gateway's own, once.
//! Invariants: who speaks is a client that the settings name, under a logical id of its own, of what its own point was
//! sent; a ConfirmBOD is never answered by one; nothing of a caller's is unpacked beyond its bounds.
//! Does not know: where documents are sent, what an operator sees.

mod inflate;
mod judge;
mod message;
mod read;
mod surface;
mod take;

use super::Parts;
use super::body::{Fault, Request, Response};
use super::door;
use super::problem::{Kind, Problem};
use super::visit::Visit;
use crate::audit;
use crate::model::{ClientId, Principal, TenantId};
use crate::outbox::Ledger;
use crate::policies::Active;
use crate::telemetry::Metrics;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Without senders nobody has anything to say here, and the routes are not there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What a token must have.
    pub scope: String,
    /// Bytes of a body, and of what is packed in it.
    pub body: usize,
    pub unpacked: usize,
    pub senders: Vec<Sender>,
    /// Whose clients are meant where a sender names no issuer.
    pub own_issuer: String,
    /// As documents of the gateway's own say it.
    pub tenant: String,
    pub logical_id: String,
    /// Documents that are made here in shadow: what M3's own publisher sends of these is compared.
    pub shadowed: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scope: "bod".to_owned(),
            body: 8 * 1024 * 1024,
            unpacked: 32 * 1024 * 1024,
            senders: Vec::new(),
            own_issuer: String::new(),
            tenant: String::new(),
            logical_id: String::new(),
            shadowed: Vec::new(),
        }
    }
}

/// A client that may send something here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    pub client: String,
    /// `None`: a client of the embedded issuer.
    pub issuer: Option<String>,
    /// Under which it speaks; a `*` at an end stands for any.
    pub logical_ids: Vec<String>,
    pub role: Role,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It says what became of what this point was sent.
    AnswersFor(String),
    /// It is M3's own publisher, or ION on its behalf: its documents are compared, and it is told nothing.
    M3sPublisher,
}

impl Sender {
    /// `None`: nothing was ever sent to it.
    pub fn point(&self) -> Option<&str> {
        match &self.role {
            Role::AnswersFor(point) => Some(point),
            Role::M3sPublisher => None,
        }
    }

    fn speaks_as(&self, logical_id: &str) -> bool {
        self.logical_ids.iter().any(|own| match own.strip_suffix('*') {
            Some(beginning) => logical_id.starts_with(beginning),
            None => own == logical_id,
        })
    }
}

/// The calls of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImsCall {
    Ping,
    Versions,
    Protocol,
    Discovery,
    /// In two parts; `accepted` is the status of success.
    Multipart {
        accepted: u16,
    },
    /// In one part, as JSON or XML.
    Single,
}

impl ImsCall {
    /// By the path behind `service/`.
    pub(super) fn of(path: &str) -> Option<Self> {
        Some(match path {
            "ping" => Self::Ping,
            "versions" => Self::Versions,
            "protocol" => Self::Protocol,
            "v2/discovery" | "v3/discovery" => Self::Discovery,
            "v2/multipartMessage" => Self::Multipart { accepted: 201 },
            "v3/multipartMessage" | "v3/message/multipart" => Self::Multipart { accepted: 202 },
            "v2/message" => Self::Single,
            _ => return None,
        })
    }
}

/// What a message in two parts says, by the reader of the service: its name and its payload. `pieces`: its body as it came,
/// `most`: bytes of it. `Err`: what its sender is told. For laws that hold whatever comes.
pub fn read_parts(content_type: &str, pieces: Vec<Bytes>, most: usize) -> Result<(String, Bytes), String> {
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_str(content_type).map_err(|error| error.to_string())?;
    headers.insert(CONTENT_TYPE, kind);
    let frames = pieces.into_iter().map(|piece| Ok::<_, Fault>(Frame::data(piece)));
    let body = Limited::new(StreamBody::new(futures_util::stream::iter(frames)), most);
    let body = body.map_err(Fault::new).boxed_unsync();
    let read = read::message(ImsCall::Multipart { accepted: 202 }, &headers, body, most);
    let read = read.now_or_never().ok_or("It waits, and all of it is there.")?;
    read.map(|message| (message.head.document_name, message.payload)).map_err(|problem| problem.detail.into_owned())
}

/// Messages that are read beside each other: each may take all the room that one has.
const BESIDE: usize = 8;

pub(super) struct Inbound {
    settings: Settings,
    ledger: Ledger,
    policies: Arc<Active>,
    audit: audit::Log,
    metrics: Arc<Metrics>,
    room: Semaphore,
}

impl Inbound {
    pub(super) fn new(parts: &Parts, settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            ledger: parts.outbox.ledger(),
            policies: parts.policies.clone(),
            audit: parts.audit.clone(),
            metrics: parts.metrics.clone(),
            room: Semaphore::new(BESIDE),
        }
    }

    pub(super) async fn answer(self: &Arc<Self>, call: ImsCall, request: Request, visit: &Arc<Visit>) -> Response {
        if self.settings.senders.is_empty() {
            return Problem::new(Kind::RouteUnknown, "Nobody sends documents to this gateway.").answer(visit);
        }
        let Some(who) = request.extensions().get::<Arc<Principal>>().cloned() else {
            return Problem::new(Kind::TokenMissing, "The call has no principal.").challenge(None).answer(visit);
        };
        let (method, allow) = match call {
            ImsCall::Ping | ImsCall::Versions | ImsCall::Protocol => (Method::GET, "GET"),
            ImsCall::Discovery | ImsCall::Multipart { .. } | ImsCall::Single => (Method::POST, "POST"),
        };
        if request.method() != method {
            let detail = format!("This call of the messaging service is a {allow}.");
            return Problem::new(Kind::MethodNotAllowed, detail).allow(allow).answer(visit);
        }
        if !self.knows(&who.client) {
            let detail = "The settings name nothing that this client may send.";
            return self.refused(&who, visit, "sender-not-known", Problem::new(Kind::SenderUnknown, detail));
        }
        match call {
            ImsCall::Ping => surface::ping(visit),
            ImsCall::Versions => surface::versions(visit),
            ImsCall::Protocol => surface::protocol(visit),
            ImsCall::Discovery => match tenant(request.headers(), &who) {
                Ok(()) => surface::discovery(visit, &self.settings),
                Err(problem) => self.not_for(&who, visit, problem),
            },
            ImsCall::Multipart { .. } | ImsCall::Single => self.message(call, request, who, visit).await,
        }
    }

    fn is(&self, sender: &Sender, client: &ClientId) -> bool {
        let issuer = sender.issuer.as_deref().unwrap_or(&self.settings.own_issuer);
        *client.issuer == *issuer && *client.id == *sender.client
    }

    fn knows(&self, client: &ClientId) -> bool {
        self.settings.senders.iter().any(|sender| self.is(sender, client))
    }

    /// The one that this client is under this logical id.
    fn sender(&self, client: &ClientId, logical_id: &str) -> Option<&Sender> {
        self.settings.senders.iter().find(|sender| self.is(sender, client) && sender.speaks_as(logical_id))
    }

    /// A 403 that the audit log tells of.
    fn refused(&self, who: &Principal, visit: &Visit, reason: &'static str, problem: Problem) -> Response {
        let id = door::refused((&self.audit, &self.policies), (who, visit), None, reason, &[]);
        self.counted("refused");
        problem.decided(id).answer(visit)
    }

    /// A call for another tenant is told by the audit log as well; one that says none is only unreadable.
    fn not_for(&self, who: &Principal, visit: &Visit, problem: Problem) -> Response {
        if problem.kind == Kind::TenantMismatch {
            return self.refused(who, visit, "tenant-mismatch", problem);
        }
        problem.answer(visit)
    }

    fn counted(&self, outcome: &str) {
        self.metrics.publishing.inbound.with_label_values(&[outcome]).inc();
    }
}

/// The header says for which tenant a message is, and that is the token's.
fn tenant(headers: &HeaderMap, who: &Principal) -> Result<(), Problem> {
    let mut given = headers.get_all("x-tenantid").iter();
    let (Some(said), None) = (given.next(), given.next()) else {
        return Err(Problem::new(Kind::MessageUnreadable, "The call needs one X-TenantId header."));
    };
    let said = said.to_str().ok().and_then(|text| TenantId::parse(text).ok());
    if said.is_some() && said == who.tenant {
        return Ok(());
    }
    Err(Problem::new(Kind::TenantMismatch, "X-TenantId names another tenant than the token's."))
}
