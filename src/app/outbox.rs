//! The outbox at the operations door: what `mi-gateway outbox` does, in JSON.

use crate::admin::{Action, ActionError};
use crate::outbox::{Error, Ledger, Outbox, Resolution, Selection, Wanted};
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const MOST: u32 = 1_000;

/// Unknown members are refused: an order that was misread does the wrong thing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Listing {
    state: Option<String>,
    noun: Option<String>,
    key: Option<String>,
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
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Aside {
    id: String,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settle {
    id: String,
    outcome: Became,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Became {
    Committed,
    Refused,
}

pub(super) fn actions(outbox: &Outbox) -> Vec<Action> {
    let ledger = || outbox.ledger();
    let (list, show, replay, park, resolve) = (ledger(), ledger(), ledger(), ledger(), ledger());
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
                let Aside { id, reason } = read(body)?;
                let reason = reason.unwrap_or_else(|| "parked by an operator".to_owned());
                ledger.park(&id, &reason).await.map_err(failed)?;
                Ok(json!({ "parked": id }))
            }
        }),
        Action::new(Method::POST, "/outbox/resolve", move |body| {
            let ledger = resolve.clone();
            async move {
                let Settle { id, outcome } = read(body)?;
                let resolution = match outcome {
                    Became::Committed => Resolution::Committed,
                    Became::Refused => Resolution::Refused,
                };
                ledger.resolve(&id, resolution).await.map_err(failed)?;
                Ok(json!({ "resolved": id }))
            }
        }),
    ]
}

async fn listed(ledger: &Ledger, body: Value) -> Result<Value, ActionError> {
    let Listing { state, noun, key, most } = if body.is_null() { Listing::default() } else { read(body)? };
    let wanted = Wanted { state, noun, key, most: most.unwrap_or(100).min(MOST) };
    let found = ledger.list(&wanted).await.map_err(failed)?;
    Ok(json!({ "entries": found }))
}

/// One that is named, or all that are meant.
async fn again(ledger: &Ledger, order: Again) -> Result<Value, ActionError> {
    let Again { id, fresh, noun, key, since, until, point, state } = order;
    let at = |text: Option<String>| match text.map(|text| text.parse::<Timestamp>()).transpose() {
        Ok(time) => Ok(time.map(Timestamp::as_millisecond)),
        Err(error) => Err(ActionError::Refused(format!("this is no instant: {error}"))),
    };
    let meant = Selection { noun, key, since: at(since)?, until: at(until)?, point, state };
    match id {
        Some(id) if meant.is_empty() => {
            ledger.replay(&id, fresh).await.map_err(failed)?;
            Ok(json!({ "replayed": id }))
        }
        None if !meant.is_empty() => {
            let many = ledger.replay_all(&meant, fresh).await.map_err(failed)?;
            Ok(json!({ "replayed": many }))
        }
        _ => Err(ActionError::Refused("say an id, or what is meant: noun, key, since, until, point, state".to_owned())),
    }
}

fn read<T: DeserializeOwned>(body: Value) -> Result<T, ActionError> {
    serde_json::from_value(body).map_err(|error| ActionError::Refused(format!("this is no such order: {error}")))
}

fn failed(error: Error) -> ActionError {
    match error {
        Error::Unknown { .. } => ActionError::Refused(error.to_string()),
        error => ActionError::Failed(error.to_string()),
    }
}
