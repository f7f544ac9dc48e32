//! The outbox at the operations door: what `mi-gateway outbox` does, in JSON.

use crate::admin::{Action, ActionError};
use crate::audit;
use crate::outbox::{Dropped, Error, Ledger, Operator, Outbox, Resolution, Selection, Wanted};
use crate::tasks::Tasks;
use http::Method;
use jiff::Timestamp;
use prometheus::IntCounter;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const MOST: u32 = 1_000;

/// Unknown members are refused: an order that was misread does the wrong thing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Listing {
    state: Option<String>,
    noun: Option<String>,
    key: Option<String>,
    /// Instants, like `2026-03-01T12:00:00Z`.
    since: Option<String>,
    until: Option<String>,
    most: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Again {
    id: Option<String>,
    #[serde(default)]
    fresh: bool,
    noun: Option<String>,
    key: Option<String>,
    /// Instants, like `2026-03-01T12:00:00Z`.
    since: Option<String>,
    until: Option<String>,
    point: Option<String>,
    state: Option<String>,
    #[serde(default)]
    reason: String,
    by: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Aside {
    id: String,
    reason: Option<String>,
    by: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settle {
    id: String,
    outcome: Became,
    #[serde(default)]
    key: BTreeMap<String, Said>,
    #[serde(default)]
    no_document: bool,
    #[serde(default)]
    reason: String,
    by: Option<String>,
}

/// A part of a record's name; of several records that one batch made, one of each.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Said {
    Once(String),
    OfEach(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drop {
    id: Option<String>,
    point: Option<String>,
    #[serde(default)]
    reason: String,
    by: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Became {
    Committed,
    Refused,
}

const OPERATOR: &str = "operations door";
const EVERY: Duration = Duration::from_secs(1);

/// Takes every order into the audit log, whoever gave it: at this door, or in a process of his own.
pub(super) fn audited(outbox: &Outbox, audit: &audit::Log, bugs: IntCounter, tasks: &Tasks) {
    let (ledger, audit) = (outbox.ledger(), audit.clone());
    tasks.spawn_for_good("noting orders", bugs, move || {
        let (ledger, audit) = (ledger.clone(), audit.clone());
        async move {
            loop {
                if let Err(error) = note(&ledger, &audit).await {
                    tracing::error!(%error, "orders to the outbox can't be taken into the audit log");
                }
                tokio::time::sleep(EVERY).await;
            }
        }
    });
}

async fn note(ledger: &Ledger, audit: &audit::Log) -> Result<(), Error> {
    let mut last = None;
    for order in ledger.orders().await? {
        let about = Value::Object(order.members.clone());
        tracing::warn!(kind = order.kind, %about, "an operator's order");
        audit.note(&order.kind, order.members);
        last = Some(order.id);
    }
    match last {
        // Twice after a crash, rather than never.
        Some(last) => ledger.noted(last).await,
        None => Ok(()),
    }
}

fn operator(by: Option<String>, reason: String) -> Operator {
    Operator { by: by.unwrap_or_else(|| OPERATOR.to_owned()), reason }
}

pub(super) fn actions(outbox: &Outbox) -> Vec<Action> {
    let ledger = || outbox.ledger();
    let (list, show, replay, park, resolve, discard) = (ledger(), ledger(), ledger(), ledger(), ledger(), ledger());
    vec![
        Action::new(Method::POST, "/outbox/list", move |body| {
            let ledger = list.clone();
            async move { listed(&ledger, body).await }
        }),
        Action::new(Method::POST, "/outbox/show", move |body| {
            let ledger = show.clone();
            async move { ledger.show(&read::<One>(body)?.id).await.map_err(failed) }
        }),
        Action::new(Method::POST, "/outbox/replay", move |body| {
            let ledger = replay.clone();
            async move { again(&ledger, read(body)?).await }
        }),
        Action::new(Method::POST, "/outbox/park", move |body| {
            let ledger = park.clone();
            async move {
                let Aside { id, reason, by } = read(body)?;
                let reason = reason.unwrap_or_else(|| "parked by an operator".to_owned());
                ledger.park(&id, &operator(by, reason)).await.map_err(failed)?;
                Ok(json!({ "parked": id }))
            }
        }),
        Action::new(Method::POST, "/outbox/drop", move |body| {
            let ledger = discard.clone();
            async move { dropped(&ledger, read(body)?).await }
        }),
        Action::new(Method::POST, "/outbox/resolve", move |body| {
            let ledger = resolve.clone();
            async move {
                let Settle { id, outcome, key, no_document, reason, by } = read(body)?;
                let resolution = match outcome {
                    Became::Committed if no_document => Resolution::Untold,
                    Became::Committed => Resolution::Committed { key: parts(key) },
                    Became::Refused => Resolution::Refused,
                };
                ledger.resolve(&id, &resolution, &operator(by, reason)).await.map_err(failed)?;
                Ok(json!({ "resolved": id }))
            }
        }),
    ]
}

fn parts(key: BTreeMap<String, Said>) -> Vec<(String, String)> {
    let parts = key.into_iter().flat_map(|(name, said)| {
        let said = match said {
            Said::Once(value) => vec![value],
            Said::OfEach(values) => values,
        };
        said.into_iter().map(move |value| (name.clone(), value))
    });
    parts.collect()
}

async fn listed(ledger: &Ledger, body: Value) -> Result<Value, ActionError> {
    let Listing { state, noun, key, since, until, most } =
        if body.is_null() { Listing::default() } else { read(body)? };
    let (since, until) = (instant(since)?, instant(until)?);
    let wanted = Wanted { state, noun, key, since, until, most: most.unwrap_or(100).min(MOST) };
    let found = ledger.list(&wanted).await.map_err(failed)?;
    Ok(json!({ "entries": found }))
}

async fn dropped(ledger: &Ledger, order: Drop) -> Result<Value, ActionError> {
    let Drop { id, point, reason, by } = order;
    let what = match (id, point) {
        (Some(id), None) => Dropped::One(id),
        (None, Some(point)) => Dropped::Of(point),
        _ => return Err(ActionError::Refused("say an id, or a point".to_owned())),
    };
    let many = ledger.discard(&what, &operator(by, reason)).await.map_err(failed)?;
    Ok(json!({ "dropped": many }))
}

/// One that is named, or all that are meant.
async fn again(ledger: &Ledger, order: Again) -> Result<Value, ActionError> {
    let Again { id, fresh, noun, key, since, until, point, state, reason, by } = order;
    let who = operator(by, reason);
    let meant = Selection { noun, key, since: instant(since)?, until: instant(until)?, point, state };
    match id {
        Some(id) if meant.is_empty() => {
            ledger.replay(&id, fresh, &who).await.map_err(failed)?;
            Ok(json!({ "replayed": id }))
        }
        None if !meant.is_empty() => {
            let many = ledger.replay_all(&meant, fresh, &who).await.map_err(failed)?;
            Ok(json!({ "replayed": many }))
        }
        _ => Err(ActionError::Refused("say an id, or what is meant: noun, key, since, until, point, state".to_owned())),
    }
}

fn instant(text: Option<String>) -> Result<Option<i64>, ActionError> {
    match text.map(|text| text.parse::<Timestamp>()).transpose() {
        Ok(time) => Ok(time.map(Timestamp::as_millisecond)),
        Err(error) => Err(ActionError::Refused(format!("this is no instant: {error}"))),
    }
}

fn read<T: DeserializeOwned>(body: Value) -> Result<T, ActionError> {
    serde_json::from_value(body).map_err(|error| ActionError::Refused(format!("this is no such order: {error}")))
}

#[expect(clippy::needless_pass_by_value, reason = "where errors are mapped it is handed one of its own")]
fn failed(error: Error) -> ActionError {
    if error.is_of_the_order() {
        ActionError::Refused(error.to_string())
    } else {
        ActionError::Failed(error.to_string())
    }
}
