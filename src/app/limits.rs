//! How the limits stand, in words: at the operations door, and for the command line.

use super::build::Tokens;
use super::stops::{Named, OPERATOR, read};
use crate::admin::{Action, ActionError};
use crate::audit;
use crate::clock::unix_seconds;
use crate::config::Settings;
use crate::limit::{Caller, Limits, Per, Standing, Used};
use crate::model::ClientId;
use crate::store::Error;
use crate::tasks::Tasks;
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Lines of one answer.
const MOST: usize = 1_000;

/// Unknown members are refused: an order that was misread forgets another's usage.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UsageOrder {
    client: Option<String>,
    issuer: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ResetOrder {
    client: String,
    issuer: Option<String>,
    /// `day` or `month`; both without it.
    per: Option<String>,
    by: Option<String>,
}

pub(super) fn actions(
    settings: &Settings,
    public_url: &str,
    tokens: &Tokens,
    limits: &Arc<Limits>,
    audit: &audit::Log,
    tasks: &Tasks,
) -> Vec<Action> {
    let named = Named::new(settings, public_url, &tokens.store);
    let (told, known, directory) = (Arc::clone(limits), named.clone(), tokens.directory.clone());
    let usage = Action::new(Method::POST, "/limits/usage", move |body| {
        let (limits, named, directory) = (Arc::clone(&told), known.clone(), directory.clone());
        async move {
            let order: UsageOrder = read(body)?;
            let client = match &order.client {
                None => None,
                Some(client) => Some(one(&named, client, order.issuer.as_deref()).await?),
            };
            let groups = |client: &ClientId| {
                directory.facts(&client.issuer, &client.id).map(|facts| facts.groups.to_vec()).unwrap_or_default()
            };
            usage(&limits, client.as_ref(), groups).await.map_err(|error| ActionError::Failed(error.to_string()))
        }
    });
    let (limits, audit, tasks) = (Arc::clone(limits), audit.clone(), tasks.clone());
    let reset = Action::new(Method::POST, "/limits/reset", move |body| {
        let (limits, named, audit, tasks) = (Arc::clone(&limits), named.clone(), audit.clone(), tasks.clone());
        async move {
            let ResetOrder { client, issuer, per, by } = read(body)?;
            let wrong = || ActionError::Refused("per is \"day\" or \"month\"; leave it out for both".into());
            let per = per.map(|word| Per::parse(&word).ok_or_else(wrong)).transpose()?;
            let client = one(&named, &client, issuer.as_deref()).await?;
            let by = by.unwrap_or_else(|| OPERATOR.to_owned());
            // On a task: an operator who goes away leaves no order half done.
            let done = tasks.spawn(async move { reset(&limits, &audit, &client, per, &by).await }).await;
            done.map_err(|error| ActionError::Failed(error.to_string()))?
        }
    });
    vec![usage, reset]
}

/// The order is in the audit log before anything is forgotten, and what hindered it after.
async fn reset(
    limits: &Limits,
    audit: &audit::Log,
    client: &ClientId,
    per: Option<Per>,
    by: &str,
) -> Result<Value, ActionError> {
    let failed = |error: Error| ActionError::Failed(error.to_string());
    let mut was = limits.used(Some(client)).await.map_err(failed)?;
    was.retain(|row| per.is_none_or(|per| per == row.per));
    let mut members = forgotten(client, &was).as_object().cloned().unwrap_or_default();
    members.insert("by".into(), by.into());
    audit.note_first("quota-reset", members.clone()).await.map_err(|_| {
        ActionError::Unable("the audit log can't be written, so nothing was set to nothing; see /readyz".into())
    })?;
    match limits.reset(client, per).await {
        Ok(was) => {
            tracing::warn!(client = %client.id, issuer = %client.issuer, by, "what a client used of its quotas was set to nothing");
            Ok(forgotten(client, &was))
        }
        Err(error) => {
            audit.note("quota-reset-failed", members);
            Err(failed(error))
        }
    }
}

async fn one(named: &Named, client: &str, issuer: Option<&str>) -> Result<ClientId, ActionError> {
    named.client(client, issuer).await.map_err(|error| ActionError::Refused(error.to_string()))
}

/// Every limit of one client; or of all, those of which something is used.
pub async fn usage(
    limits: &Limits,
    client: Option<&ClientId>,
    groups: impl Fn(&ClientId) -> Vec<Box<str>>,
) -> Result<Value, Error> {
    let now = unix_seconds();
    let clients = match client {
        Some(client) => [client.clone()].into(),
        None => limits.callers().await?,
    };
    let (mut lines, mut more) = (Vec::new(), false);
    for one in &clients {
        let groups = groups(one);
        let standing = limits.standing(Caller { client: one, groups: &groups }, now).await?;
        lines.extend(standing.iter().filter(|line| client.is_some() || line.used > 0).map(shown));
        if client.is_none() && lines.len() > MOST {
            more = true;
            lines.truncate(MOST);
            break;
        }
    }
    Ok(json!({ "at": time(now), "limits": lines, "more": more }))
}

fn shown(line: &Standing) -> Value {
    let Standing { client, limit, on, shadow, place, allows, most, used, left, whole_at } = line;
    json!({
        "client": &*client.id, "issuer": &*client.issuer, "limit": limit.name(), "on": on, "shadow": shadow,
        "place": place, "allows": allows, "most": most, "used": used, "left": left,
        "resets_at": whole_at.map(time),
    })
}

/// What a client had used before it was forgotten.
fn forgotten(client: &ClientId, was: &[Used]) -> Value {
    let was: Vec<Value> = was
        .iter()
        .map(|row| json!({ "per": row.per.word(), "since": row.first.to_string(), "used": row.used }))
        .collect();
    json!({ "client": &*client.id, "issuer": &*client.issuer, "was": was })
}

fn time(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.unwrap_or(Timestamp::MAX).to_string()
}
