//! One message: read, looked at, handed to the outbox, and answered.

use super::super::body::{Request, Response};
use super::super::layers::limits::too_large;
use super::super::problem::{Kind, Problem};
use super::super::visit::Visit;
use super::inflate::{Bad, inflate, plain};
use super::judge::{Judged, judge};
use super::message::{Message, Packing};
use super::{ImsCall, Inbound, Role, Sender, read, surface, tenant};
use crate::bod::{Area, Confirmation, Identity, confirm};
use crate::clock::unix_micros;
use crate::model::Principal;
use crate::outbox::{Answered, Arrival, Made, Own, Taken, Theirs};
use aws_lc_rs::digest;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Whoever is routed to.
const ANYBODY: &str = "lid://default";
const SOON: Duration = Duration::from_secs(1);
/// Characters of a document's id in a message's headers.
const MOST_ID: usize = 100;

/// What became of a message, as it is remembered for when it comes again.
const ANSWERED: &str = "answered";
const USELESS: &str = "useless";
const NOT_TAKEN: &str = "not-taken";
const KEPT: &str = "to-compare";

impl Inbound {
    pub(super) async fn message(
        self: &Arc<Self>,
        call: ImsCall,
        request: Request,
        who: Arc<Principal>,
        visit: &Arc<Visit>,
    ) -> Response {
        let Ok(_place) = self.room.try_acquire() else {
            let problem = Problem::new(Kind::TooManyInFlight, "As many messages are being read as may be.");
            return problem.retry_after(SOON).answer(visit);
        };
        let (head, body) = request.into_parts();
        if let Err(problem) = tenant(&head.headers, &who) {
            return self.not_for(&who, visit, problem);
        }
        let message = match read::message(call, &head.headers, body, self.settings.body).await {
            Ok(message) => message,
            Err(problem) => return self.unreadable(problem, visit),
        };
        match self.sent(message, &who, visit).await {
            Ok(()) => accepted(call, visit),
            Err(response) => response,
        }
    }

    fn unreadable(&self, problem: Problem, visit: &Visit) -> Response {
        self.counted("unreadable");
        problem.answer(visit)
    }

    async fn sent(self: &Arc<Self>, message: Message, who: &Principal, visit: &Arc<Visit>) -> Result<(), Response> {
        let head = message.head.clone();
        let unreadable = |why: String| self.unreadable(Problem::new(Kind::MessageUnreadable, why), visit);
        head.check().map_err(unreadable)?;
        let tenant = who.tenant.as_ref().map(|tenant| tenant.as_str());
        if head.tenant_id.as_deref().is_some_and(|said| Some(said) != tenant) {
            let problem = Problem::new(Kind::TenantMismatch, "The message is for another tenant than the token's.");
            return Err(self.refused(who, visit, "tenant-mismatch", problem));
        }
        let Some(sender) = self.sender(&who.client, &head.from_logical_id) else {
            let detail = format!("{} is no logical id of this client.", shown(&head.from_logical_id));
            return Err(self.refused(who, visit, "sender-not-known", Problem::new(Kind::SenderUnknown, detail)));
        };
        if ![ANYBODY, self.settings.logical_id.as_str()].contains(&head.to_logical_id.as_str()) {
            self.counted(NOT_TAKEN);
            let detail = format!("{} is no connection point of this gateway.", shown(&head.to_logical_id));
            return Err(Problem::new(Kind::NotConfigured, detail).answer(visit));
        }
        let (name, most) = (head.document_name.clone(), self.settings.unpacked);
        let compares = sender.role == Role::M3sPublisher && self.settings.shadowed.contains(&name);
        // A large document is looked through for longer than others should wait.
        let looked = tokio::task::spawn_blocking(move || looked(&name, &message, most, compares)).await;
        let Looked { judged, digest, text } = match looked {
            Ok(Ok(looked)) => looked,
            Ok(Err(most)) => return Err(self.unreadable(too_large(most), visit)),
            Err(_) => {
                return Err(Problem::new(Kind::Internal, "The message met a bug in the gateway.").answer(visit));
            }
        };
        let cause = visit.intent();
        // Who answers for no point can be sent nothing.
        let told = sender.point().is_some() && judged.is_asked_for(&head.document_name);
        let own = told.then(|| self.own(&judged));
        let (outcome, words) = match &judged {
            Judged::Words { words, .. } => (ANSWERED, words.as_slice()),
            Judged::Theirs { .. } => (KEPT, [].as_slice()),
            Judged::Useless { taken: true, .. } => (USELESS, [].as_slice()),
            Judged::Useless { .. } => (NOT_TAKEN, [].as_slice()),
            Judged::Unreadable(why) => return Err(unreadable(why.clone())),
        };
        let arrival = Arrival {
            client: &who.client,
            message: &head.message_id,
            digest: &digest,
            document: &head.document_name,
            point: sender.point().unwrap_or_default(),
            words,
            outcome,
            own: own.as_ref().map(|made| Own { made, cause: &cause }),
            theirs: judged.theirs(&text),
        };
        let outcome = match self.ledger.receive(&arrival).await {
            Ok(Taken::Now(answered)) => {
                self.counted(outcome);
                answered.iter().for_each(|one| self.told(one, &cause, who));
                if let Judged::Useless { code, why, .. } = &judged {
                    let (from, document) = (&head.from_logical_id, &head.document_name);
                    tracing::warn!(request = cause, %from, document, code, why, told = own.is_some(), "a document of somebody else's is of no use here");
                }
                outcome.to_owned()
            }
            Ok(Taken::Again { outcome }) => {
                self.counted("again");
                outcome
            }
            Ok(Taken::Other) => return Err(unreadable("Its messageId stands for another message.".to_owned())),
            Ok(Taken::NotTheirs { bod_id }) => return Err(self.not_theirs(sender, &bod_id, who, visit)),
            Err(error) => {
                tracing::error!(request = cause, %error, "what a receiver said could not be written down");
                let problem = Problem::new(Kind::OutboxUnavailable, "The message could not be kept.");
                return Err(problem.retry_after(SOON).answer(visit));
            }
        };
        if outcome == NOT_TAKEN {
            let detail = format!("Nothing here takes a {}.", shown(&head.document_name));
            return Err(Problem::new(Kind::NotConfigured, detail).answer(visit));
        }
        Ok(())
    }

    fn not_theirs(&self, sender: &Sender, bod_id: &str, who: &Principal, visit: &Visit) -> Response {
        let labels = [sender.point().unwrap_or("(none)"), "(unknown)", "refused"];
        self.metrics.publishing.confirmations.with_label_values(&labels).inc();
        let detail = format!("No document {} was sent to this client's point.", shown(bod_id));
        self.refused(who, visit, "not-its-document", Problem::new(Kind::NotItsDocument, detail))
    }

    fn told(&self, one: &Answered, request: &str, who: &Principal) {
        let labels = [one.point.as_str(), one.document.as_str(), one.result];
        self.metrics.publishing.confirmations.with_label_values(&labels).inc();
        tracing::info!(
            request,
            client = %who.client.id,
            point = one.point,
            document = one.document,
            bod_id = one.bod_id,
            cause = one.cause,
            result = one.result,
            "a receiver has answered"
        );
    }

    /// What the sender is told by a ConfirmBOD.
    fn own(&self, judged: &Judged) -> Made {
        let nothing = Area::default();
        let (area, failure) = match judged {
            Judged::Words { area, .. } | Judged::Theirs { area, .. } => (area, None),
            Judged::Useless { area, code, why, .. } => (area, Some((*code, why.as_str()))),
            Judged::Unreadable(_) => (&nothing, None),
        };
        let (bod_id, created) = (Uuid::now_v7().to_string(), format!("{:.3}", Timestamp::now()));
        let (tenant, lid) = (self.settings.tenant.clone(), self.settings.logical_id.clone());
        let xml = confirm(&Confirmation {
            tenant: &tenant,
            logical_id: &lid,
            component: "mi-gateway",
            created: &created,
            bod_id: &bod_id,
            original: area,
            failure,
        });
        Made {
            bod_id,
            action: String::new(),
            variation: unix_micros() / 1_000,
            tenant,
            lid,
            division: String::new(),
            entity: String::new(),
            location: String::new(),
            document_id: area.bod_id.chars().take(MOST_ID).collect(),
            created,
            xml,
        }
    }
}

/// What a message means, by what it is known again, and its document.
struct Looked {
    judged: Judged,
    digest: String,
    text: String,
}

impl Judged {
    fn theirs<'a>(&'a self, xml: &'a str) -> Option<Theirs<'a>> {
        let Self::Theirs { identity: Identity { document_id, entity }, area } = self else { return None };
        Some(Theirs { document_id, entity, bod_id: &area.bod_id, lid: &area.logical_id, xml })
    }
}

/// `Err`: it has more bytes than this.
fn looked(name: &str, message: &Message, most: usize, compares: bool) -> Result<Looked, usize> {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [&message.head.from_logical_id, &message.head.to_logical_id, name] {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    hash.update(&message.payload);
    let digest = hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = match message.packing {
        Packing::None => plain(message.payload.to_vec(), most),
        Packing::Deflate => inflate(&message.payload, most),
    };
    let judged = match &text {
        Ok(text) => judge(name, Ok(text), compares),
        Err(Bad::Unreadable(why)) => judge(name, Err(why), compares),
        Err(Bad::Large) => return Err(most),
    };
    let text = text.ok().filter(|_| compares).unwrap_or_default();
    Ok(Looked { judged, digest, text })
}

/// Of what a caller sent, as much as an answer repeats.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

fn accepted(call: ImsCall, visit: &Visit) -> Response {
    let status = match call {
        ImsCall::Multipart { accepted } => StatusCode::from_u16(accepted).unwrap_or(StatusCode::ACCEPTED),
        _ => StatusCode::CREATED,
    };
    let mut response = surface::told(visit, &json!({ "status": "OK" }));
    *response.status_mut() = status;
    response
}
