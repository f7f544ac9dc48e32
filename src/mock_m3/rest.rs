//! m3api-rest as a grid serves it: v1 and v2 as JSON, passwords or tokens, a CSRF token where the profile wants one.
//!
//! Requests are answered by the same engine as the socket's; documents are written by the house's own writer.

use super::columns::{Habits, put, status};
use super::desk::{Desk, TECHNICAL, played};
use super::engine::{Answer, Row};
use super::faults::Action;
use super::logon::{Admitted, Asked};
use super::metadata::Field;
use super::server::Shared;
use super::session::{Kill, wait};
use crate::model::{Charset, Conventions, FieldName, Record, Refusal};
use crate::translate::{self, Asked as Call, Document, Failure, Fault, FaultKind, Shape, Table};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A form for a token.
const MOST_FORM: usize = 16 * 1024;
const CSRF: &str = "csrf-of-the-mock";
/// Before the second half of an answer does not come.
const HALF: Duration = Duration::from_millis(20);
/// Written records wait for this much before they are sent.
const BATCH: usize = 32 * 1024;

pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    mut killed: watch::Receiver<Option<Kill>>,
) -> io::Result<()> {
    let service = service_fn(move |request| answer(shared.clone(), request));
    let mut connection =
        std::pin::pin!(http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service));
    let told = tokio::select! {
        ended = &mut connection => return ended.map_err(io::Error::other),
        told = killed.wait_for(Option::is_some) => told.ok().and_then(|kill| *kill),
    };
    if told == Some(Kill::Silent) {
        // Open, and nobody at home.
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// An error ends the connection without an answer.
async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
    let path = request.uri().path().to_owned();
    if path.ends_with("/token.oauth2") {
        return token(&shared, request).await;
    }
    let Some((_, rest)) = path.split_once("/m3api-rest/") else { return Ok(plain(StatusCode::NOT_FOUND, "not here")) };
    let Some((user, password)) = caller(&shared, &request) else {
        return Ok(plain(StatusCode::UNAUTHORIZED, "<html>Unauthorized</html>"));
    };
    let (shape, tail) = match (rest, rest.strip_prefix("execute/"), rest.strip_prefix("v2/execute/")) {
        ("csrf", ..) if shared.profile.csrf => return Ok(plain(StatusCode::OK, CSRF)),
        (_, Some(tail), _) => (Shape::V1Json, tail),
        (_, _, Some(tail)) => (Shape::V2, tail),
        _ => return Ok(plain(StatusCode::NOT_FOUND, "not here")),
    };
    if shared.profile.csrf && request.headers().get("fnd-csrf-token").is_none_or(|token| token != CSRF) {
        return Ok(plain(StatusCode::FORBIDDEN, "CSRF token missing"));
    }
    let call = match translate::read(tail, request.uri().query()) {
        Ok(call) => call,
        Err(fault) => return Ok(plain(StatusCode::BAD_REQUEST, &fault.to_string())),
    };
    let admitted = admitted(&shared, &call, &user, password.as_deref());
    match admitted {
        Ok(who) => Counter { desk: Desk { shared, who }, shape, call }.serve().await,
        Err(text) if text.starts_with("XAU") => {
            let (id, text) = text.split_once(' ').unwrap_or_default();
            let failure = Failure::refused(&refusal(text, id, ""));
            Ok(document(StatusCode::OK, Document::failed(shape, call.transaction, &call.options, &failure)))
        }
        // He who asks may come in, and may not name this one.
        Err(_) if call.options.run_as.as_ref().is_some_and(|other| other.as_str() != user) => {
            Ok(plain(StatusCode::FORBIDDEN, "<html>Forbidden</html>"))
        }
        Err(_) => Ok(plain(StatusCode::UNAUTHORIZED, "<html>Unauthorized</html>")),
    }
}

fn admitted(shared: &Shared, call: &Call, user: &str, password: Option<&str>) -> Result<Admitted, String> {
    let options = &call.options;
    let place = options.company.map(|company| {
        format!(
            "{:<3}{}",
            company.to_string(),
            options.division.map(|division| division.to_string()).unwrap_or_default()
        )
    });
    let asked = Asked {
        place: place.unwrap_or_default(),
        user: user.to_owned(),
        password: password.unwrap_or_default().to_owned(),
        program: call.program.to_string(),
    };
    let speaking = |mut who: Admitted| {
        if let Some(language) = &options.language {
            language.as_str().clone_into(&mut who.user.language);
        }
        who
    };
    let own = if password.is_some() { shared.admit(&asked)? } else { shared.enter(&asked)? };
    match &options.run_as {
        // An account may name others; which is M3's to say, and the mock lets every one.
        Some(other) => shared.enter(&Asked { user: other.to_string(), ..asked }).map(speaking),
        None => Ok(speaking(own)),
    }
}

/// The user of a password or of a token.
fn caller(shared: &Shared, request: &Request<Incoming>) -> Option<(String, Option<String>)> {
    let (scheme, value) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    match scheme {
        "Basic" => {
            let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
            let (user, password) = text.split_once(':')?;
            Some((user.to_owned(), Some(password.to_owned())))
        }
        "Bearer" => Some((shared.tokens.owner(value)?, None)),
        _ => None,
    }
}

#[expect(clippy::disallowed_methods, reason = "a form of bounded length")]
async fn form(request: Request<Incoming>) -> Option<Bytes> {
    Some(Limited::new(request.into_body(), MOST_FORM).collect().await.ok()?.to_bytes())
}

/// A service account's keys are a user's name and password here, and so are an application's own.
async fn token(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
    let Some(form) = form(request).await else { return Ok(plain(StatusCode::BAD_REQUEST, "no form")) };
    let given =
        |name: &str| form_urlencoded::parse(&form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let keys = match given("grant_type").as_deref() {
        Some("password") => (given("username"), given("password")),
        Some("client_credentials") => (given("client_id"), given("client_secret")),
        _ => (None, None),
    };
    let (Some(user), Some(password)) = keys else { return Ok(plain(StatusCode::BAD_REQUEST, "invalid_request")) };
    let program = "GENERAL".to_owned();
    if shared.admit(&Asked { place: String::new(), user: user.clone(), password, program }).is_err() {
        return Ok(plain(StatusCode::BAD_REQUEST, r#"{"error":"invalid_grant"}"#));
    }
    let token = shared.tokens.grant(user);
    let text = serde_json::json!({ "access_token": token, "token_type": "Bearer", "expires_in": 7200 }).to_string();
    Ok(document(StatusCode::OK, text.into_bytes()))
}

/// One call under way.
struct Counter {
    desk: Desk,
    shape: Shape,
    call: Call,
}

/// The channel that an answer's bytes go through; an error in it breaks the connection off.
type Pipe = mpsc::Sender<Result<Frame<Bytes>, io::Error>>;

impl Counter {
    async fn serve(self) -> Result<Response<Body>, io::Error> {
        let shared = self.desk.shared.clone();
        let (program, name) = (self.call.program.to_string(), self.call.transaction.to_string());
        let technical = TECHNICAL.contains(&name.as_str());
        let input: Row =
            self.call.fields.iter().map(|(name, value)| (name.to_string(), value.trim().to_owned())).collect();
        let input: Row = input.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        self.desk.note(&name, input.clone(), technical);
        let fault = shared.fault(&program, &name, technical);
        wait(fault.as_ref().and_then(|fault| fault.latency_ms)).await;
        wait(Some(shared.latency())).await;
        let action = fault.and_then(|fault| fault.action);
        match action {
            Some(Action::DropBefore) => return Err(io::ErrorKind::ConnectionReset.into()),
            Some(Action::Nok { id, field, text }) => {
                return Ok(self.failed(&Failure::refused(&refusal(&text, &id, &field))));
            }
            _ => {}
        }
        let metadata = shared.metadata();
        let home = if technical { "GENERAL" } else { &program };
        let Some(transaction) = metadata.transaction(home, &name).filter(|_| metadata.program(&program).is_some())
        else {
            let message = format!("Transaction {name} not found in program {program}");
            let fault = Fault { kind: FaultKind::TransactionNotFound, field: None, message };
            return Ok(self.fault(&fault));
        };
        let Some(layout) = transaction.layout().map(Arc::new) else {
            return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, "the mock's own table is wrong"));
        };
        if let Err(fault) = self.call.typed(&layout) {
            return Ok(self.fault(&fault));
        }
        if let Some(nok) = self.desk.refusal(transaction, &input) {
            return Ok(self.failed(&Failure::refused(&refusal(&nok.text, &nok.id, &nok.field))));
        }
        let (played, action) = played(action, transaction);
        let answer = match played {
            Some(answer) => answer,
            None if technical => Answer::Record(self.desk.general(&name, "", transaction)),
            None => shared.engine.run(&self.desk.context(), transaction, &input),
        };
        match &action {
            Some(Action::DropAfter) => return Err(io::ErrorKind::ConnectionReset.into()),
            Some(Action::NoAnswer) => std::future::pending().await,
            Some(Action::Garbage) => return Ok(plain(StatusCode::OK, "<html>It works!</html>")),
            _ => {}
        }
        let rows: Box<dyn Iterator<Item = Row> + Send> = match answer {
            Answer::Nok(nok) => return Ok(self.failed(&Failure::refused(&refusal(&nok.text, &nok.id, &nok.field)))),
            Answer::Done => Box::new(std::iter::empty()),
            Answer::Record(row) => Box::new(std::iter::once(row)),
            Answer::List(rows) => rows,
        };
        let table = match Table::new(&self.call.options, layout.clone(), self.shape.trims_by_default(), |_| true) {
            Ok(table) => table,
            Err(fault) => return Ok(self.fault(&fault)),
        };
        Ok(self.streamed(&transaction.output, table, rows, action))
    }

    fn streamed(
        &self,
        fields: &[Field],
        table: Table,
        rows: Box<dyn Iterator<Item = Row> + Send>,
        action: Option<Action>,
    ) -> Response<Body> {
        let (pipe, bytes) = mpsc::channel(4);
        let fields = fields.to_vec();
        let answer = Streamed {
            document: Document::new(self.shape, table, self.call.options.clone(), Vec::new()),
            fields,
            pipe,
        };
        let most = match self.call.options.max_records.unwrap_or(100) {
            most if most > 0 && self.desk.shared.profile.heeds_most => most as usize,
            _ => usize::MAX,
        };
        let most = most.min(self.desk.shared.profile.ceiling.map_or(usize::MAX, |ceiling| ceiling as usize));
        let writing = answer.write(rows, most, action);
        // The answer is made while it is read: by the body itself, so that it ends with it.
        let stream = futures_util::stream::unfold(
            (bytes, Box::pin(writing), false),
            |(mut bytes, mut writing, done)| async move {
                if done {
                    return bytes.recv().await.map(|frame| (frame, (bytes, writing, true)));
                }
                tokio::select! {
                    biased;
                    frame = bytes.recv() => frame.map(|frame| (frame, (bytes, writing, false))),
                    () = &mut writing => {
                        bytes.close();
                        bytes.recv().await.map(|frame| (frame, (bytes, writing, true)))
                    }
                }
            },
        );
        headed(StatusCode::OK, StreamBody::new(stream.fuse()).boxed_unsync())
    }

    fn failed(&self, failure: &Failure) -> Response<Body> {
        let text = Document::failed(self.shape, self.call.transaction, &self.call.options, failure);
        document(StatusCode::OK, text)
    }

    /// What the REST layer finds before M3 is asked: 400 in v2.
    fn fault(&self, fault: &Fault) -> Response<Body> {
        let text = Document::failed(self.shape, self.call.transaction, &self.call.options, &Failure::fault(fault));
        document(if self.shape == Shape::V2 { StatusCode::BAD_REQUEST } else { StatusCode::OK }, text)
    }
}

struct Streamed {
    document: Document,
    fields: Vec<Field>,
    pipe: Pipe,
}

impl Streamed {
    async fn write(mut self, rows: Box<dyn Iterator<Item = Row> + Send>, most: usize, action: Option<Action>) {
        let stops_at = match &action {
            Some(Action::NokAfter { records, .. } | Action::SilentAfter { records }) => *records as usize,
            Some(Action::HalfAnswer) => 1,
            _ => usize::MAX,
        };
        let mut out = Vec::with_capacity(BATCH + 8 * 1024);
        self.document.head(&mut out);
        for row in rows.take(most.min(stops_at)) {
            self.document.record(&record(&self.fields, &row), &mut out);
            if out.len() >= BATCH && !self.send(&mut out).await {
                return;
            }
        }
        let failure = match action {
            Some(Action::NokAfter { id, field, text, .. }) => Some(Failure::refused(&refusal(&text, &id, &field))),
            Some(Action::SilentAfter { .. }) => {
                self.send(&mut out).await;
                return std::future::pending().await;
            }
            Some(Action::HalfAnswer) => {
                self.send(&mut out).await;
                // What was written has to be on its way before the connection breaks.
                tokio::time::sleep(HALF).await;
                let _ = self.pipe.send(Err(io::ErrorKind::ConnectionReset.into())).await;
                return;
            }
            _ => None,
        };
        self.document.tail(failure.as_ref(), None, &mut out);
        self.send(&mut out).await;
    }

    async fn send(&self, out: &mut Vec<u8>) -> bool {
        let bytes = Bytes::from(std::mem::replace(out, Vec::with_capacity(BATCH + 8 * 1024)));
        self.pipe.send(Ok(Frame::data(bytes))).await.is_ok()
    }
}

fn record(fields: &[Field], row: &Row) -> Record {
    let mut units = status("REP");
    for field in fields {
        let value = row.get(&field.name).map_or("", String::as_str);
        put(&Habits::default().write(field, value), field.from, field.length, false, &mut units);
    }
    let bytes: Vec<u8> = units.into_iter().flat_map(u16::to_be_bytes).collect();
    Record::new(bytes.into(), Charset::Ucs2, Conventions::default())
}

fn refusal(text: &str, id: &str, field: &str) -> Refusal {
    Refusal { message: text.to_owned(), id: id.to_owned(), field: FieldName::parse(field).ok() }
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(full(text.to_owned().into_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

fn document(status: StatusCode, text: Vec<u8>) -> Response<Body> {
    headed(status, full(text))
}

fn headed(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    response
}

fn full(bytes: Vec<u8>) -> Body {
    Full::new(Bytes::from(bytes)).map_err(|never: Infallible| match never {}).boxed_unsync()
}
