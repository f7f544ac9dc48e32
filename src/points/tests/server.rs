//! A receiver on a port of its own: it remembers what it got, and answers what it is told.

use crate::auth::install_crypto;
use crate::tasks::Tasks;
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// What came, as `METHOD path`, with headers and body.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

pub(super) struct Receiver {
    pub(super) url: String,
    got: Arc<Mutex<Vec<Got>>>,
    /// It lives as long as the test.
    _tasks: Tasks,
}

/// By the request: a status, a header and a body.
pub(super) type Says = fn(&Got) -> (u16, Option<(&'static str, &'static str)>, &'static str);

impl Receiver {
    pub(super) async fn start(says: Says) -> Self {
        install_crypto();
        let tasks = Tasks::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let got = Arc::new(Mutex::new(Vec::<Got>::new()));
        let (all, connections) = (Arc::clone(&got), tasks.clone());
        tasks.spawn_until_stop(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let all = Arc::clone(&all);
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let all = Arc::clone(&all);
                    async move {
                        let (head, body) = request.into_parts();
                        let frames = Limited::new(body, 1 << 20);
                        let got = Got {
                            line: format!("{} {}", head.method, head.uri.path()),
                            headers: head.headers,
                            body: gathered(frames).await,
                        };
                        let (status, header, text) = {
                            let mut all = all.lock().expect("nobody panicked");
                            let mut got = got;
                            // Where it was asked so before, it is told.
                            if all.iter().any(|before| before.line == got.line) {
                                got.headers.insert("x-asked", http::HeaderValue::from_static("before"));
                            }
                            let said = says(&got);
                            all.push(got);
                            said
                        };
                        let mut answer = Response::builder().status(status);
                        if let Some((name, value)) = header {
                            answer = answer.header(name, value);
                        }
                        answer.body(Full::new(Bytes::from_static(text.as_bytes())))
                    }
                });
                let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                connections.spawn_until_stop(async move { drop(served.await) });
            }
        });
        Self { url, got, _tasks: tasks }
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.got.lock().expect("nobody panicked").clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.got().into_iter().map(|got| got.line).collect()
    }
}

async fn gathered(mut body: Limited<hyper::body::Incoming>) -> Bytes {
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
    }
    bytes.into()
}

impl Got {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
