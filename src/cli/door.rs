//! A running gateway's operations door, asked by a command on the same machine.

use super::failure::Failure;
use super::state::operations;
use crate::admin::OperatorToken;
use crate::config::Settings;
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::Duration;
use zeroize::Zeroizing;

const WAIT: Duration = Duration::from_secs(15);
const MOST_ANSWER: usize = 4 * 1024 * 1024;

/// Nothing where no gateway runs over this state.
pub(super) async fn ask(settings: &Settings, path: &str, order: &Value) -> Result<Option<Value>, Failure> {
    ask_for(settings, path, order, WAIT).await
}

/// For an order that takes its time.
pub(super) async fn ask_for(
    settings: &Settings,
    path: &str,
    order: &Value,
    wait: Duration,
) -> Result<Option<Value>, Failure> {
    let Some(address) = operations(settings) else { return Ok(None) };
    let url = format!("http://{address}{path}");
    let asked = exchange(settings, &url, order);
    let late = |_| Err(Failure::on_the_way(format!("the operations door {address} has not answered in time")));
    tokio::time::timeout(wait, asked).await.unwrap_or_else(late)
}

async fn exchange(settings: &Settings, url: &str, order: &Value) -> Result<Option<Value>, Failure> {
    let token = match &settings.operations.token {
        Some(token) => OperatorToken::given(token),
        None => OperatorToken::ensure(&settings.state),
    };
    let token = token.map_err(|error| Failure::begin(error.to_string()))?;
    let bearer = Zeroizing::new(format!("Bearer {}", token.expose()));
    let failed = |error: &dyn std::fmt::Display| Failure::on_the_way(format!("{url}: {error}"));
    let mut bearer = HeaderValue::from_str(&bearer).map_err(|error| failed(&error))?;
    bearer.set_sensitive(true);
    let request = Request::post(url)
        .header(header::AUTHORIZATION, bearer)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(order.to_string()))
        .map_err(|error| failed(&error))?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let answer = match client.request(request).await {
        Ok(answer) => answer,
        // It has ended since it wrote down where it listens.
        Err(error) if error.is_connect() => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    let (status, mut body) = (answer.status(), Limited::new(answer.into_body(), MOST_ANSWER));
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|error| failed(&error))?.into_data() {
            text.extend_from_slice(&data);
        }
    }
    let told: Value = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
    if status.is_success() {
        return Ok(Some(told));
    }
    let why = told["detail"].as_str().or(told["title"].as_str()).unwrap_or_default();
    Err(Failure::begin(format!("{url} answered {status}: {why}")))
}
