//! Taking tokens back and blocking, as an order in words: from the command line, and at the operations door.

use super::build::Tokens;
use crate::admin::{Action, ActionError, Health};
use crate::audit;
use crate::auth::claimed;
use crate::clock::unix_seconds;
use crate::config::Settings;
use crate::issuer::{Clients, HashCost};
use crate::model::ClientId;
use crate::stoplist::{Book, Change, Entry, Error, Order, Stoplist, What};
use crate::store::Store;
use crate::tasks::Tasks;
use aws_lc_rs::digest::{SHA256, digest};
use http::Method;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What is to be taken back. Unknown members are refused: an order that was misread stops the wrong thing.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RevokeOrder {
    pub token: Option<SecretString>,
    pub id: Option<String>,
    pub client: Option<String>,
    pub issuer: Option<String>,
    /// RFC 3339, or `now`.
    pub before: Option<String>,
    pub reason: String,
    pub by: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlockOrder {
    pub client: Option<String>,
    pub issuer: Option<String>,
    /// `PROGRAM` or `PROGRAM/Transaction`.
    pub program: Option<String>,
    pub reason: String,
    pub until: Option<String>,
    pub by: Option<String>,
}

impl std::fmt::Debug for RevokeOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RevokeOrder").field("id", &self.id).field("client", &self.client).finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LiftOrder {
    entry: String,
    by: Option<String>,
}

/// Why an order can't be carried out: what it says is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadOrder(String);

/// Who can be named: the issuers that are trusted, and the registered clients.
#[derive(Clone)]
pub struct Named {
    own: Arc<str>,
    issuers: Vec<String>,
    store: Store,
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Named").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}

impl Named {
    pub fn new(settings: &Settings, public_url: &str, store: &Store) -> Self {
        let issuers = settings.issuers.iter().map(|foreign| foreign.issuer.clone());
        let issuers = std::iter::once(public_url.to_owned()).chain(issuers).collect();
        Self { own: public_url.into(), issuers, store: store.clone() }
    }

    /// A name that nobody here knows is a slip of the pen, and a block of nobody helps nobody.
    fn issuer(&self, given: Option<&str>) -> Result<Arc<str>, BadOrder> {
        match given {
            None => Ok(Arc::clone(&self.own)),
            Some(issuer) if self.issuers.iter().any(|known| known == issuer) => Ok(issuer.into()),
            Some(issuer) => Err(BadOrder(format!(
                "no tokens of {issuer} are trusted here; name one of {}",
                self.issuers.join(", ")
            ))),
        }
    }

    pub async fn client(&self, client: &str, issuer: Option<&str>) -> Result<ClientId, BadOrder> {
        let issuer = self.issuer(issuer)?;
        if issuer != self.own {
            return Ok(ClientId { issuer, id: client.into() });
        }
        let failed = |error: &dyn std::fmt::Display| BadOrder(error.to_string());
        let clients = Clients::open(&self.store, HashCost::default()).await.map_err(|error| failed(&error))?;
        let mut all = clients.list().await.map_err(|error| failed(&error))?;
        // Of two with one name the newer is the live one.
        all.reverse();
        let found = all.into_iter().find(|one| one.name == client || &*one.id == client);
        let unknown = || BadOrder(format!("no client is named {client}; give --issuer (issuer) for another issuer's"));
        found.map(|one| ClientId { issuer, id: one.id }).ok_or_else(unknown)
    }

    pub async fn revocation(&self, order: RevokeOrder, by: &str) -> Result<Order, BadOrder> {
        let (reason, who) = (order.reason, order.by.unwrap_or_else(|| by.to_owned()));
        let issuer = order.issuer.as_deref();
        let before = order.before.as_deref().map(instant).transpose()?;
        let mut until = None;
        let what = match (order.token, order.id, order.client) {
            (Some(token), None, None) if before.is_none() => {
                let (what, end) = self.by_text(token.expose_secret().trim())?;
                until = end;
                what
            }
            (None, Some(id), None) if before.is_none() => {
                vec![What::Token { issuer: self.issuer(issuer)?, id: id.into() }]
            }
            (None, None, Some(client)) => {
                let client = self.client(&client, issuer).await?;
                vec![What::Client { client, before: before.unwrap_or_else(unix_seconds) }]
            }
            (None, None, None) => match before {
                Some(before) => vec![What::Issuer { issuer: self.issuer(issuer)?, before }],
                None => {
                    return Err(BadOrder(
                        "say which tokens: a token, an id, a client, or an issuer and an instant".into(),
                    ));
                }
            },
            _ => {
                return Err(BadOrder(
                    "say one of token, id and client; an instant goes with a client or an issuer".into(),
                ));
            }
        };
        Ok(Order { what, reason, who, until })
    }

    /// By every name that a token has: with its grant end the tokens that it could be exchanged for.
    fn by_text(&self, token: &str) -> Result<(Vec<What>, Option<u64>), BadOrder> {
        if token.is_empty() || token.len() > MOST_TOKEN || token.contains(char::is_whitespace) {
            return Err(BadOrder("this is no token: one word of at most 8 KiB".into()));
        }
        let Some(said) = claimed(token) else {
            let mut text = [0; 32];
            text.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
            return Ok((vec![What::Text { digest: text }], None));
        };
        let issuer = self.issuer(Some(&said.issuer))?;
        // A refresh token of ours outlives the token that came with it.
        let until = said.expires.filter(|_| said.grant.is_none());
        if until.is_some_and(|until| until.saturating_add(LEEWAY) < unix_seconds()) {
            return Err(BadOrder(Error::Expired.to_string()));
        }
        let id = said.id.map(|id| What::Token { issuer: issuer.clone(), id: id.into() });
        let grant = said.grant.map(|id| What::Grant { issuer, id: id.into() });
        let what: Vec<What> = id.into_iter().chain(grant).collect();
        match what.is_empty() {
            true => Err(BadOrder(
                "the token has no id (jti) to end it by: end its client's tokens up to now instead".into(),
            )),
            false => Ok((what, until.map(|until| until.saturating_add(LEEWAY)))),
        }
    }

    pub async fn block(&self, order: BlockOrder, by: &str) -> Result<Order, BadOrder> {
        let what = match (order.client, order.program) {
            (Some(client), None) => What::BlockedClient(self.client(&client, order.issuer.as_deref()).await?),
            (None, Some(program)) if order.issuer.is_none() => What::program(&program)
                .ok_or_else(|| BadOrder(format!("{program} is no program; write MMS200MI or MMS200MI/AddItm")))?,
            _ => return Err(BadOrder("say one of client and program; an issuer goes with a client".into())),
        };
        let until = order.until.as_deref().map(instant).transpose()?;
        Ok(Order { what: vec![what], reason: order.reason, who: order.by.unwrap_or_else(|| by.to_owned()), until })
    }
}

const MOST_TOKEN: usize = 8 * 1024;
/// More than any issuer's clock may differ by.
const LEEWAY: u64 = 600;

fn instant(text: &str) -> Result<u64, BadOrder> {
    if text == "now" {
        return Ok(unix_seconds());
    }
    let time: Option<Timestamp> = text.parse().ok();
    let seconds = time.and_then(|time| u64::try_from(time.as_second()).ok());
    seconds.ok_or_else(|| BadOrder(format!("{text} is no moment; write it as 2026-11-24T12:00:00Z")))
}

/// An entry as scripts read it.
pub fn shown(entry: &Entry) -> Value {
    let time = |seconds: u64| {
        i64::try_from(seconds).ok().and_then(|at| Timestamp::from_second(at).ok()).map(|at| at.to_string())
    };
    let mut told = json!({ "entry": &*entry.id, "kind": entry.what.kind() });
    let mut tell = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            told[name] = value.into();
        }
    };
    tell("subject", entry.what.subject());
    tell("issuer", entry.what.issuer().map(str::to_owned));
    tell("before", entry.what.before().and_then(time));
    tell("reason", Some(entry.reason.clone()).filter(|reason| !reason.is_empty()));
    tell("by", Some(entry.who.clone()));
    tell("made", time(entry.made));
    tell("until", entry.until.and_then(time));
    if let Some((at, by)) = &entry.ended {
        tell("ended", time(*at));
        tell("ended_by", Some(by.clone()));
    }
    told
}

pub(super) const OPERATOR: &str = "operator";

/// Follows the list, tells what changes in log, audit log and readiness, and gives the operator's calls.
pub(super) fn begin(
    settings: &Settings,
    public_url: &str,
    tokens: &Tokens,
    audit: &audit::Log,
    health: &Health,
    tasks: &Tasks,
) -> Vec<Action> {
    let (list, named) = (tokens.stoplist.clone(), Named::new(settings, public_url, &tokens.store));
    let (audit, health, stops) = (audit.clone(), health.clone(), list.stops());
    let note = move |health: &Health| {
        let (blocks, _) = stops.held().counts(unix_seconds());
        health.note("blocks", (blocks > 0).then(|| format!("{blocks} in force")));
    };
    note(&health);
    list.follow(tasks, move |change| {
        tell(&change, &audit);
        note(&health);
    });
    actions(&list, &named)
}

fn tell(change: &Change, audit: &audit::Log) {
    let (kind, entry) = match change {
        Change::Made(entry) if entry.what.is_block() => ("blocked", &**entry),
        Change::Made(entry) => ("revoked", &**entry),
        Change::Ended(entry) if entry.what.is_block() => ("unblocked", entry),
        Change::Ended(entry) => ("restored", entry),
    };
    let by = entry.ended.as_ref().map_or(entry.who.as_str(), |(_, by)| by);
    let told = shown(entry);
    tracing::warn!(entry = &*entry.id, by, what = %told, "{kind} by an operator, or over");
    let members: Map<String, Value> = match told {
        Value::Object(mut members) => {
            members.insert("what".into(), entry.what.kind().into());
            members.remove("kind");
            members
        }
        _ => Map::new(),
    };
    audit.note(kind, members);
}

fn actions(list: &Stoplist, named: &Named) -> Vec<Action> {
    let revoke = add(list, named, "/revocations", |named, body| async move {
        named.revocation(read(body)?, OPERATOR).await.map_err(|error| ActionError::Refused(error.to_string()))
    });
    let block = add(list, named, "/blocks", |named, body| async move {
        named.block(read(body)?, OPERATOR).await.map_err(|error| ActionError::Refused(error.to_string()))
    });
    let mut all = vec![revoke, block];
    for (path, blocks) in [("/revocations", false), ("/blocks", true)] {
        let (told, lifted) = (list.clone(), list.clone());
        all.push(Action::new(Method::GET, path, move |_| {
            let list = told.clone();
            async move {
                let entries = list.list().await.map_err(failed)?;
                Ok(entries.iter().filter(|entry| entry.what.is_block() == blocks).map(shown).collect())
            }
        }));
        all.push(Action::new(Method::DELETE, path, move |body| {
            let list = lifted.clone();
            async move {
                let order: LiftOrder = read(body)?;
                let by = order.by.unwrap_or_else(|| OPERATOR.to_owned());
                Ok(shown(&list.end(&order.entry, blocks, &by).await.map_err(failed)?))
            }
        }));
    }
    all
}

fn add<F, R>(list: &Stoplist, named: &Named, path: &'static str, order: F) -> Action
where
    F: Fn(Named, Value) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Order, ActionError>> + Send + 'static,
{
    let (list, named) = (list.clone(), named.clone());
    Action::new(Method::POST, path, move |body| {
        let (list, named, order) = (list.clone(), named.clone(), order.clone());
        async move { Ok(list.add(order(named, body).await?).await.map_err(failed)?.iter().map(shown).collect()) }
    })
}

pub(super) fn read<T: Default + serde::de::DeserializeOwned>(body: Value) -> Result<T, ActionError> {
    // The fault may repeat what stood there: it says where, not what.
    let wrong = |_| ActionError::Refused("the order has a member that it can't have, or one of another type".into());
    if body.is_null() { Ok(T::default()) } else { serde_json::from_value(body).map_err(wrong) }
}

#[expect(clippy::needless_pass_by_value, reason = "where errors are mapped it is handed one of its own")]
fn failed(error: Error) -> ActionError {
    if error.is_of_the_order() {
        ActionError::Refused(error.to_string())
    } else {
        ActionError::Failed(error.to_string())
    }
}

/// Carries an order out in the store alone: a running gateway follows within a second.
pub async fn write_down(store: &Store, order: Order) -> Result<Vec<Entry>, Error> {
    Book::open(store).await?.add(order, unix_seconds()).await
}
