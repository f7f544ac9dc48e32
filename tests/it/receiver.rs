//! A receiver of documents on a port of its own: it remembers what it got, and answers as it is told, well or badly.

use bytes::Bytes;
use flate2::read::ZlibDecoder;
use http::{HeaderMap, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mi_gateway::tasks::Tasks;
use serde_json::Value;
use std::convert::Infallible;
use std::io::{Error, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What came, as `METHOD path`.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
    /// How many were being answered, with it.
    pub(crate) beside: usize,
}

#[derive(Clone)]
pub(crate) enum Says {
    Status(u16, Option<(&'static str, &'static str)>, &'static str),
    /// A head that promises more than comes.
    Half,
    /// Nothing: the connection ends.
    HangUp,
    /// Good, once somebody lets it.
    Late(Arc<Semaphore>),
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    got: Arc<Mutex<Vec<Got>>>,
    _tasks: Tasks,
}

type Answer = Result<Response<UnsyncBoxBody<Bytes, Error>>, Error>;

fn whole(text: &'static str) -> UnsyncBoxBody<Bytes, Error> {
    Full::new(Bytes::from_static(text.as_bytes())).map_err(|never: Infallible| match never {}).boxed_unsync()
}

impl Receiver {
    pub(crate) async fn start(says: impl Fn(&Got) -> Says + Send + Sync + 'static) -> Self {
        let (tasks, says) = (Tasks::new(), Arc::new(says));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (got, open) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (all, connections) = (got.clone(), tasks.clone());
        tasks.spawn_until_stop(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (all, says, open) = (all.clone(), says.clone(), open.clone());
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (all, says, open) = (all.clone(), says.clone(), open.clone());
                    async move {
                        let beside = open.fetch_add(1, Ordering::SeqCst) + 1;
                        let answer = answered(request, &all, says.as_ref(), beside).await;
                        open.fetch_sub(1, Ordering::SeqCst);
                        answer
                    }
                });
                let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                connections.spawn_until_stop(async move { drop(served.await) });
            }
        });
        Self { url, got, _tasks: tasks }
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().expect("nobody panicked").clone()
    }

    /// Messages of ION's messaging service, with their headers and their documents.
    pub(crate) fn messages(&self) -> Vec<(Value, String)> {
        self.got().iter().filter_map(Got::message).collect()
    }

    /// Those of one document, by its name.
    pub(crate) fn named(&self, name: &str) -> Vec<(Value, String)> {
        self.messages().into_iter().filter(|(head, _)| head["documentName"] == name).collect()
    }
}

async fn answered(
    request: http::Request<hyper::body::Incoming>,
    all: &Mutex<Vec<Got>>,
    says: &(dyn Fn(&Got) -> Says + Send + Sync),
    beside: usize,
) -> Answer {
    let (head, body) = request.into_parts();
    let line = format!("{} {}", head.method, head.uri.path());
    let mut frames = Limited::new(body, 1 << 24);
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = frames.frame().await {
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
    }
    let got = Got { line, headers: head.headers, body: bytes.into(), at: Instant::now(), beside };
    let said = says(&got);
    all.lock().expect("nobody panicked").push(got);
    let torn = || Error::other("as the test wants it");
    match said {
        Says::Status(status, header, text) => {
            let mut answer = Response::builder().status(status);
            if let Some((name, value)) = header {
                answer = answer.header(name, value);
            }
            Ok(answer.body(whole(text)).expect("an answer"))
        }
        Says::Half => {
            let parts = [Ok(Frame::data(Bytes::from_static(b"{\"status\":"))), Err(torn())];
            let body = StreamBody::new(futures_util::stream::iter(parts)).boxed_unsync();
            Ok(Response::builder().status(202).header("content-length", "100").body(body).expect("an answer"))
        }
        Says::HangUp => Err(torn()),
        Says::Late(allowed) => {
            allowed.acquire().await.map_err(|_| torn())?.forget();
            Ok(Response::builder().status(202).body(whole("")).expect("an answer"))
        }
    }
}

/// The calls of ION's messaging service besides messages; `None` for those.
pub(crate) fn ion(got: &Got) -> Option<Says> {
    let documents =
        r#"["Sync.ItemMaster","Sync.CustomerPartyMaster","Sync.PurchaseOrder","Process.PurchaseOrder","Confirm.BOD"]"#;
    got.line.ends_with("/acceptedDocuments").then_some(Says::Status(200, None, documents))
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The two parts of a message, taken apart by hand.
    pub(crate) fn message(&self) -> Option<(Value, String)> {
        let boundary = self.header("content-type").split("boundary=").nth(1)?.to_owned();
        let find = |from: usize, word: &[u8]| {
            let rest = &self.body[from..];
            rest.windows(word.len()).position(|window| window == word).map(|at| from + at)
        };
        let part = |name: &str| {
            let head = find(0, format!("name=\"{name}\"").as_bytes())?;
            let begin = find(head, b"\r\n\r\n")? + 4;
            Some(self.body[begin..find(begin, format!("\r\n--{boundary}").as_bytes())?].to_vec())
        };
        let mut document = String::new();
        ZlibDecoder::new(part("MessagePayload")?.as_slice()).read_to_string(&mut document).expect("deflated");
        Some((serde_json::from_slice(&part("ParameterRequest")?).expect("JSON"), document))
    }
}

/// The text of the first element of this name.
pub(crate) fn element<'x>(document: &'x str, name: &str) -> &'x str {
    let begin = document.find(&format!("<{name}>")).map_or(document.len(), |at| at + name.len() + 2);
    let end = document[begin..].find(&format!("</{name}>")).map_or(document.len(), |at| begin + at);
    &document[begin..end]
}
