//! The outbox at the operations door: what `mi-gateway outbox` does, in JSON.

use crate::admin::{Action, ActionError};
use crate::outbox::{Error, Ledger, Outbox, Resolution, Wanted};
use http::Method;
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
    id: String,
    #[serde(default)]
    fresh: bool,
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
            async move {
                let Again { id, fresh } = read(body)?;
                ledger.replay(&id, fresh).await.map_err(failed)?;
                Ok(json!({ "replayed": id }))
            }
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

fn read<T: DeserializeOwned>(body: Value) -> Result<T, ActionError> {
    serde_json::from_value(body).map_err(|error| ActionError::Refused(format!("this is no such order: {error}")))
}

fn failed(error: Error) -> ActionError {
    match error {
        Error::Unknown { .. } => ActionError::Refused(error.to_string()),
        error => ActionError::Failed(error.to_string()),
    }
}
