//! ION's messaging service, as an application that sends to it.
//!
//! What the service takes from this connection point is read first and believed for a while. 2xx is taken; 400 is a
//! message that it will never take; 401 asks for a new token; 403 and 412 are faults of ION's configuration, which
//! somebody mends: the message waits for that. Whose fault it is the connection point says when it is asked once more what it
//! takes: one that does not answer that is not active, and no document can help it; one that does refuses this kind.

use super::failure::{Blame, Failure, retry_after, shown};
use super::http::CONNECTIONS;
use super::ims_message::{json, misfit, multipart, packed};
use super::message::Message;
use super::settings::{ImsPaths, ImsSettings};
use crate::outbound::{self, Answered, Client, NoToken, TokenSource};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

#[derive(Debug)]
pub(super) struct Ims {
    client: Client,
    url: String,
    paths: ImsPaths,
    account: Option<TokenSource>,
    tenant: String,
    /// By logical id.
    accepted: Mutex<HashMap<String, Accepted>>,
}

/// What the service takes from one sender; nothing known means that it is asked.
#[derive(Debug, Clone)]
struct Accepted {
    documents: Result<Option<BTreeSet<String>>, Failure>,
    since: Instant,
}

impl Accepted {
    fn holds(&self) -> bool {
        self.since.elapsed() < if self.documents.is_ok() { BELIEVED } else { FAILED }
    }

    fn takes(&self, name: &str) -> Result<bool, Failure> {
        let documents = self.documents.as_ref().map_err(Failure::clone)?;
        Ok(documents.as_ref().is_none_or(|documents| documents.contains(name)))
    }
}

/// How long a list of documents is believed.
const BELIEVED: Duration = Duration::from_secs(300);
/// How long a question that failed is not put again: who waited for it need not wait for one of his own.
const FAILED: Duration = Duration::from_secs(5);
/// Senders whose lists are kept.
const SENDERS: usize = 64;
/// How long somebody may take to mend a configuration before the next try.
const MENDING: Duration = Duration::from_secs(60);
const ANSWER: usize = 1024 * 1024;

impl Ims {
    pub(super) fn new(settings: ImsSettings) -> Result<Self, outbound::Error> {
        let client = Client::new(outbound::Settings {
            timeout: settings.timeout,
            most_bytes: ANSWER,
            private_addresses: settings.allow_private,
            loopback_http: settings.allow_private,
            roots: settings.roots,
            idle_connections: CONNECTIONS,
        })?;
        client.check(&settings.url)?;
        let account = settings.account.as_ref().map(TokenSource::ionapi).transpose();
        // The settings have read the file already.
        let account = account.map_err(|_| outbound::Error::Url("the .ionapi file's token service".to_owned()))?;
        let url = settings.url.trim_end_matches('/').to_owned();
        Ok(Self { client, url, paths: settings.paths, account, tenant: settings.tenant, accepted: Mutex::default() })
    }

    pub(super) async fn deliver(&self, message: &Message<'_>) -> Result<String, Failure> {
        if let Some(why) = misfit(message, &self.tenant) {
            return Err(Failure::lasting(why));
        }
        let name = message.name();
        if !self.takes(message.from, &name).await? {
            let from = message.from;
            let why = format!("ION does not take {name} from {from}: add the document to that connection point");
            return Err(Failure::passing(why).of(Blame::Kind).after(Some(MENDING)));
        }
        let payload = packed(message.xml).await?;
        let (path, written) = match self.paths {
            ImsPaths::V3 => ("/v3/message/multipart", multipart(message, &payload)),
            ImsPaths::V3Direct => ("/v3/multipartMessage", multipart(message, &payload)),
            ImsPaths::V2 => ("/v2/message", json(message, &payload)),
        };
        let sent = Instant::now();
        let answered = self.ask(Method::POST, path, &written.content_type, written.body.into()).await?;
        match answered.status {
            200..=299 => Ok(format!("{} {}", answered.status, shown(&answered.body)).trim().to_owned()),
            403 | 412 => Err(Self::failure(&answered).of(self.blamed(message.from, sent).await)),
            _ => Err(Self::failure(&answered)),
        }
    }

    /// What is to blame for a refusal of the configuration, of what was sent then: what was known before that is out of date.
    async fn blamed(&self, from: &str, sent: Instant) -> Blame {
        {
            let mut accepted = self.accepted.lock().await;
            if accepted.get(from).is_some_and(|known| known.since <= sent) {
                accepted.remove(from);
            }
        }
        match self.known(from).await.documents {
            Ok(Some(_)) => Blame::Kind,
            // There is nobody to ask: what becomes of other documents tells.
            Ok(None) => Blame::Busy,
            Err(failure) => failure.blame,
        }
    }

    fn failure(answered: &Answered) -> Failure {
        let said = shown(&answered.body);
        let told = |what: &str| format!("ION answered {}: {what} {said}", answered.status).trim_end().to_owned();
        match answered.status {
            400 => Failure::lasting(told("it can't read the message.")),
            413 => Failure::lasting(told("the message is too large for it.")),
            401 => Failure::passing(told("it does not believe the token; see the service account.")),
            403 | 412 => {
                let what = "the connection point is not active there, or not this sender's, or lacks the document.";
                Failure::passing(told(what)).after(Some(MENDING))
            }
            status => Failure::passing(told("")).answered(status).after(retry_after(answered.retry_after.as_deref())),
        }
    }

    /// Whether the service takes this document from that sender, as far as it tells.
    async fn takes(&self, from: &str, name: &str) -> Result<bool, Failure> {
        self.known(from).await.takes(name)
    }

    async fn known(&self, from: &str) -> Accepted {
        // Held while it is asked: one question for all who wait.
        let mut accepted = self.accepted.lock().await;
        if let Some(known) = accepted.get(from).filter(|known| known.holds()) {
            return known.clone();
        }
        let documents = self.accepted_documents(from).await;
        if accepted.len() >= SENDERS {
            accepted.clear();
        }
        let known = Accepted { documents, since: Instant::now() };
        accepted.insert(from.to_owned(), known.clone());
        known
    }

    async fn accepted_documents(&self, from: &str) -> Result<Option<BTreeSet<String>>, Failure> {
        let sender = utf8_percent_encode(from, NON_ALPHANUMERIC);
        let path = format!("/v3/{sender}/acceptedDocuments");
        let answered = self.ask(Method::GET, &path, "application/json", Bytes::new()).await?;
        match answered.status {
            200 => Ok(named(&answered.body)),
            // An older service has no such call.
            404 | 405 => Ok(None),
            // Asked without a document, it fails for all of them.
            _ => Err(Self::failure(&answered).of(Blame::Point)),
        }
    }

    /// A token that was refused is replaced once.
    async fn ask(&self, method: Method, path: &str, kind: &str, body: Bytes) -> Result<Answered, Failure> {
        let mut again = true;
        loop {
            let authorization = match &self.account {
                Some(account) => {
                    let token = account.authorization(&self.client).await;
                    let failure = |why: NoToken| {
                        let again = if let NoToken::Held { again, .. } = why { Some(again) } else { None };
                        Failure::passing(format!("no token for ION: {why}")).after(again)
                    };
                    Some(token.map_err(failure)?)
                }
                None => None,
            };
            let mut request = Request::new(body.clone());
            *request.method_mut() = method.clone();
            *request.uri_mut() = self.uri(path)?;
            let headers = request.headers_mut();
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
            for (name, value) in [(CONTENT_TYPE.as_str(), kind), ("x-tenantid", self.tenant.as_str())] {
                if let Ok(value) = HeaderValue::try_from(value) {
                    headers.insert(http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?, value);
                }
            }
            if let Some(authorization) = &authorization {
                headers.insert(AUTHORIZATION, authorization.clone());
            }
            let answered = self.client.ask(request).await?;
            match (&self.account, &authorization) {
                (Some(account), Some(shown)) if answered.status == 401 && std::mem::replace(&mut again, false) => {
                    account.lapsed(shown).await;
                }
                _ => return Ok(answered),
            }
        }
    }

    fn uri(&self, path: &str) -> Result<Uri, Failure> {
        format!("{}{path}", self.url).parse().map_err(|_| unfit())
    }
}

fn unfit() -> Failure {
    Failure::lasting("the message's sender can't stand in a URL")
}

/// The list's names, however it is wrapped; `None` where it is of no form that is known.
fn named(body: &[u8]) -> Option<BTreeSet<String>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let inside =
        |value: &Value| value.as_object().and_then(|object| object.values().find(|one| one.is_array()).cloned());
    let list = if value.is_array() { value } else { inside(&value)? };
    let name = |one: &Value| match one {
        Value::String(name) => Some(name.clone()),
        Value::Object(object) => {
            let names = ["documentName", "name", "bodType"];
            names.iter().find_map(|key| object.get(*key)?.as_str().map(str::to_owned))
        }
        _ => None,
    };
    list.as_array()?.iter().map(name).collect()
}
