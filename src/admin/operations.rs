//! The operations door's service: which path, who asks, what runs.

use super::action::{Action, ActionError};
use super::health::Health;
use super::problem::Refused;
use super::token::OperatorToken;
use crate::telemetry::Metrics;
use crate::translate::within_depth;
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
/// Levels of a body's JSON; no action takes more than a few.
const MOST_DEPTH: usize = 16;
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
            Err(ActionError::Refused(detail)) => Err(Refused::action(detail)),
            Err(ActionError::Unable(detail)) => Err(Refused::unable(detail)),
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

/// An object or nothing. Reads no more than the cap, whatever the caller announced.
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
    if held.is_empty() {
        return Ok(Value::Null);
    }
    within_depth(&held, MOST_DEPTH).map_err(|_| Refused::TooDeep)?;
    let body: Option<Value> = serde_json::from_slice(&held).ok();
    body.filter(|body| body.is_object() || body.is_null()).ok_or(Refused::BadBody)
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::request::Builder;
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tempfile::TempDir;
    use tower::ServiceExt;

    struct Door {
        service: Operations,
        health: Health,
        runs: Arc<AtomicUsize>,
        token: String,
        _state: TempDir,
    }

    fn door() -> Door {
        let state = tempfile::tempdir().unwrap();
        let (metrics, runs) = (Metrics::new(), Arc::new(AtomicUsize::new(0)));
        let (health, ran) = (Health::new(&metrics), Arc::clone(&runs));
        let token = OperatorToken::ensure(state.path()).unwrap();
        let clear = Action::new(Method::POST, "/catalog/clear", move |body| {
            ran.fetch_add(1, Ordering::Relaxed);
            async move {
                match body["program"].as_str() {
                    Some("BROKEN") => Err(ActionError::Failed("the secret inside".into())),
                    Some("FULL") => Err(ActionError::Unable("the disk is full".into())),
                    Some("NOSUCH") => Err(ActionError::Refused("no such program".into())),
                    _ => Ok(json!({ "cleared": body })),
                }
            }
        });
        let faults = Action::new(Method::GET, "/mock/faults", |_| async { Ok(json!([])) });
        let listen = ["127.0.0.1:9090".parse().unwrap(), "10.1.2.3:9090".parse().unwrap()];
        let service = Operations::new(health.clone(), metrics, token, &listen, &[], vec![clear, faults]).unwrap();
        let token = fs::read_to_string(state.path().join("operator.token")).unwrap().trim().to_owned();
        Door { service, health, runs, token, _state: state }
    }

    impl Door {
        async fn ask(&self, request: Builder, body: &'static str) -> (u16, Value, HeaderMap) {
            let request = request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap();
            let Ok(answer) = self.service.clone().oneshot(request).await;
            let (head, mut body) = answer.into_parts();
            let bytes = body.frame().await.and_then(Result::ok).and_then(|frame| frame.into_data().ok());
            let bytes = bytes.unwrap_or_default();
            (head.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or_default(), head.headers)
        }

        fn post(&self, path: &str) -> Builder {
            Request::post(path)
                .header("host", "localhost:9090")
                .header("authorization", format!("Bearer {}", self.token))
                .header("content-type", "application/json")
        }
    }

    #[tokio::test]
    async fn alive_ready_and_metrics_need_nothing() {
        let door = door();
        assert_eq!(door.ask(Request::get("/livez"), "").await.0, 200);
        assert_eq!(door.ask(Request::get("/readyz"), "").await.0, 200);
        door.health.set("m3", Err("connection refused".into()));
        let (status, body, _) = door.ask(Request::get("/readyz"), "").await;
        assert_eq!((status, &body["checks"][0]["reason"]), (503, &json!("connection refused")));
        let (status, _, headers) = door.ask(Request::get("/metrics"), "").await;
        assert_eq!(
            (status, &headers["content-type"]),
            (200, &"text/plain; version=0.0.4; charset=utf-8".parse().unwrap())
        );
        assert_eq!(door.ask(Request::post("/readyz"), "").await.0, 405);
    }

    #[tokio::test]
    async fn an_action_runs_for_the_operator() {
        let door = door();
        let (status, body, _) = door.ask(door.post("/catalog/clear"), r#"{"program":"MMS200MI"}"#).await;
        assert_eq!((status, &body["cleared"]["program"]), (200, &json!("MMS200MI")));
        assert_eq!(door.ask(door.post("/catalog/clear"), "").await.0, 200);
        assert_eq!(door.runs.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn nothing_runs_for_anyone_else() {
        let door = door();
        let bare = || Request::post("/catalog/clear").header("content-type", "application/json");
        let bearer = format!("Bearer {}", door.token);
        let known = || bare().header("host", "127.0.0.1:9090");
        let cases = [
            (known(), 401),
            (known().header("authorization", "Bearer wrong"), 401),
            (known().header("authorization", format!("Basic {}", door.token)), 401),
            (known().header("authorization", &bearer).header("authorization", &bearer), 401),
            (bare().header("authorization", &bearer), 421),
            (bare().header("authorization", &bearer).header("host", "attacker.example:9090"), 421),
            (bare().header("authorization", &bearer).header("host", "localhost.attacker.example"), 421),
            (bare().header("authorization", &bearer).header("host", "localhost@attacker.example"), 421),
            (known().header("authorization", &bearer).header("host", "attacker.example"), 421),
        ];
        for (request, expected) in cases {
            let shown = format!("{request:?}");
            let (status, body, headers) = door.ask(request, "{}").await;
            assert_eq!((status, &body["status"]), (expected, &json!(expected)), "{shown}");
            assert_eq!(headers["content-type"], "application/problem+json");
            assert_eq!(headers.contains_key("www-authenticate"), expected == 401);
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
            let request = known().header("authorization", &bearer);
            let mut request = request;
            request.headers_mut().unwrap().insert("content-type", kind.parse().unwrap());
            assert_eq!(door.ask(request, "{}").await.0, 415, "{kind}");
        }
        assert_eq!(door.runs.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn the_doors_own_addresses_are_hosts() {
        let door = door();
        for host in ["localhost", "LOCALHOST:1", "[::1]:9090", "127.0.0.1", "10.1.2.3:9090"] {
            let mut request = door.post("/catalog/clear");
            request.headers_mut().unwrap().insert("host", host.parse().unwrap());
            assert_eq!(door.ask(request, "{}").await.0, 200, "{host}");
        }
        let http2 =
            Request::get("http://localhost:9090/mock/faults").header("authorization", format!("Bearer {}", door.token));
        assert_eq!(door.ask(http2, "").await.0, 200);
    }

    #[tokio::test]
    async fn paths_methods_and_bodies_have_their_answers() {
        let door = door();
        assert_eq!(door.ask(door.post("/nothing"), "{}").await.0, 404);
        let (status, _, headers) = door.ask(door.post("/mock/faults"), "{}").await;
        assert_eq!((status, &headers["allow"]), (405, &"GET".parse().unwrap()));
        assert_eq!(door.ask(door.post("/catalog/clear"), "{").await.0, 400);
        let deep: &'static str = Box::leak(format!("{}{}", "[".repeat(17), "]".repeat(17)).into_boxed_str());
        let (status, body, _) = door.ask(door.post("/catalog/clear"), deep).await;
        assert_eq!((status, &body["code"]), (400, &json!("body-too-deep")));
        let large: &'static str = Box::leak("x".repeat(MOST_BODY + 1).into_boxed_str());
        assert_eq!(door.ask(door.post("/catalog/clear"), large).await.0, 413);
        assert_eq!(door.runs.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn an_actions_no_is_told_and_what_hinders_it_and_its_failure_is_not() {
        let door = door();
        let (status, body, _) = door.ask(door.post("/catalog/clear"), r#"{"program":"NOSUCH"}"#).await;
        assert_eq!((status, &body["detail"]), (422, &json!("no such program")));
        let (status, body, _) = door.ask(door.post("/catalog/clear"), r#"{"program":"FULL"}"#).await;
        assert_eq!((status, &body["detail"]), (500, &json!("the disk is full")));
        let (status, body, _) = door.ask(door.post("/catalog/clear"), r#"{"program":"BROKEN"}"#).await;
        assert_eq!(status, 500);
        assert!(!body.to_string().contains("secret"));
    }

    #[test]
    fn an_action_cannot_be_registered_twice_or_over_the_doors_own() {
        let state = tempfile::tempdir().unwrap();
        let metrics = Metrics::new();
        let token = OperatorToken::ensure(state.path()).unwrap();
        let action = |path| Action::new(Method::POST, path, |_| async { Ok(Value::Null) });
        let made = |actions| Operations::new(Health::new(&metrics), metrics.clone(), token.clone(), &[], &[], actions);
        assert!(matches!(made(vec![action("/a"), action("/a")]), Err(Error::Twice { .. })));
        assert!(matches!(made(vec![action("/metrics")]), Err(Error::Path { .. })));
    }
}
