//! The operations door's service: which path, who asks, what runs.

use super::action::{Action, ActionError};
use super::health::Health;
use super::problem::Refused;
use super::token::OperatorToken;
use crate::telemetry::Metrics;
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, uri::Authority};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;
use tower::Service;

/// A fault of whoever registered the actions.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{method} {path} is registered twice")]
    Twice { method: Method, path: &'static str },
    #[error("{path} is the door's own or no path")]
    Path { path: &'static str },
}

/// The service. Clones share everything.
#[derive(Clone)]
pub struct Operations {
    parts: Arc<Parts>,
}

struct Parts {
    health: Health,
    metrics: Metrics,
    token: OperatorToken,
    /// Names and addresses that a Host may have, lower case, without brackets and port.
    hosts: Vec<String>,
    actions: Vec<Action>,
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operations").field("actions", &self.parts.actions).finish()
    }
}

const OPEN: [&str; 3] = ["/livez", "/readyz", "/metrics"];
const MOST_BODY: usize = 64 * 1024;
const BODY_WAIT: Duration = Duration::from_secs(10);
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

type Answer = Response<Full<Bytes>>;

impl Operations {
    /// `addresses` are those the door listens on; `names` are further hosts it is called by.
    pub fn new(
        health: Health,
        metrics: Metrics,
        token: OperatorToken,
        addresses: &[SocketAddr],
        names: &[String],
        actions: Vec<Action>,
    ) -> Result<Self, Error> {
        for (at, action) in actions.iter().enumerate() {
            if OPEN.contains(&action.path) || !action.path.starts_with('/') || !METHODS.contains(&action.method) {
                return Err(Error::Path { path: action.path });
            }
            if actions[..at].iter().any(|other| (other.path, &other.method) == (action.path, &action.method)) {
                return Err(Error::Twice { method: action.method.clone(), path: action.path });
            }
        }
        let listening = addresses.iter().map(|address| address.ip().to_canonical());
        let mut hosts: Vec<String> = listening.filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string()).collect();
        hosts.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        hosts.extend(names.iter().map(|name| name.to_ascii_lowercase()));
        Ok(Self { parts: Arc::new(Parts { health, metrics, token, hosts, actions }) })
    }
}

impl<B> Service<Request<B>> for Operations
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let parts = Arc::clone(&self.parts);
        Box::pin(async move { Ok(parts.answer(request).await.unwrap_or_else(Answer::from)) })
    }
}

impl Parts {
    async fn answer<B: Body<Data = Bytes>>(&self, request: Request<B>) -> Result<Answer, Refused> {
        if OPEN.contains(&request.uri().path()) {
            return self.open(request.method(), request.uri().path());
        }
        // Who asks comes before what there is: an outsider learns no paths.
        if !self.is_our_host(&request) {
            return Err(Refused::Host);
        }
        self.operator(request.headers())?;
        let action = self.action(request.method(), request.uri().path())?;
        let body = if action.method == Method::GET {
            Value::Null
        } else {
            if !is_json(request.headers()) {
                return Err(Refused::NotJson);
            }
            json_body(request.into_body()).await?
        };
        match (action.run)(body).await {
            Ok(answer) => Ok(json_answer(StatusCode::OK, &answer)),
            Err(ActionError::Refused(detail)) => Err(Refused::Action { detail }),
            Err(ActionError::Failed(error)) => {
                tracing::error!(path = action.path, error, "an operator's action failed");
                Err(Refused::Failed)
            }
        }
    }

    fn open(&self, method: &Method, path: &str) -> Result<Answer, Refused> {
        if method != Method::GET && method != Method::HEAD {
            return Err(Refused::Method { allow: vec![Method::GET, Method::HEAD] });
        }
        Ok(match path {
            "/livez" => json_answer(StatusCode::OK, &json!({ "alive": true })),
            "/readyz" => {
                let report = self.health.report();
                let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                json_answer(status, &json!(report))
            }
            _ => answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.metrics.text()),
        })
    }

    fn is_our_host<B>(&self, request: &Request<B>) -> bool {
        // HTTP/2 has it in the target, HTTP/1.1 in the header; two headers are nobody's.
        let mut headers = request.headers().get_all(header::HOST).iter();
        let named = match (request.uri().authority(), headers.next(), headers.next()) {
            (Some(authority), _, None) => Some(authority.clone()),
            (None, Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
            _ => None,
        };
        let Some(named) = named.filter(|named| !named.as_str().contains('@')) else { return false };
        let host = named.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let host = host.parse::<IpAddr>().map_or(host, |ip| ip.to_canonical().to_string());
        self.hosts.contains(&host)
    }

    fn operator(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let mut sent = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (sent.next(), sent.next()) else { return Err(Refused::NoToken) };
        let (scheme, token) = value.as_bytes().split_at_checked(7).ok_or(Refused::NoToken)?;
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return Err(Refused::NoToken);
        }
        if self.token.is(token) { Ok(()) } else { Err(Refused::BadToken) }
    }

    fn action(&self, method: &Method, path: &str) -> Result<&Action, Refused> {
        let here = || self.actions.iter().filter(|action| action.path == path);
        match here().find(|action| action.method == method) {
            Some(action) => Ok(action),
            None if here().next().is_none() => Err(Refused::NotFound),
            None => Err(Refused::Method { allow: here().map(|action| action.method.clone()).collect() }),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut sent = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (sent.next(), sent.next()) else { return false };
    let kind = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

/// Reads no more than the cap, whatever the caller announced.
async fn json_body(body: impl Body<Data = Bytes>) -> Result<Value, Refused> {
    let read = async {
        let mut body = pin!(body);
        let mut held = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Refused::BadBody)?.into_data() else { continue };
            if held.len() + data.len() > MOST_BODY {
                return Err(Refused::TooLarge);
            }
            held.extend_from_slice(&data);
        }
        Ok(held)
    };
    let held = timeout(BODY_WAIT, read).await.map_err(|_| Refused::TooSlow)??;
    if held.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&held).map_err(|_| Refused::BadBody) }
}

fn json_answer(status: StatusCode, body: &Value) -> Answer {
    answer(status, "application/json", body.to_string())
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
