//! Deliveries to a webhook on this machine: signed, each written down, in order for each document.

use crate::common::inside::Inside;
use crate::held::{Held, hold};
use mi_gateway::bod::Filter;
use mi_gateway::mock_m3;
use mi_gateway::points::{Answers, HttpSettings, Settings, Target};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const MESSAGES: usize = 40_000;
const OF_EACH: usize = 8;
const BYTES: usize = 4_000;

#[derive(Default)]
struct Taken {
    all: AtomicUsize,
    now: AtomicUsize,
    /// How many were under way at the same time, at most.
    beside: AtomicUsize,
}

pub(crate) async fn measure() {
    let taken = Arc::new(Taken::default());
    let address = target(taken.clone());
    let inside = Inside::start_with(mock_m3::Settings::default(), |settings| {
        settings.publish.enabled = true;
        settings.points.push(point("target", address));
    })
    .await;
    let held = Held { point: "target", messages: MESSAGES as i64, of_each: OF_EACH as i64, bytes: BYTES as i64 };
    hold(&inside.state.path().join("outbox"), &held).await;
    until(&taken.all, 1).await;
    let clock = Instant::now();
    let before = taken.all.load(Ordering::Relaxed);
    until(&taken.all, MESSAGES).await;
    let beside = taken.beside.load(Ordering::Relaxed);
    assert!(beside > 1, "documents that have nothing to do with each other wait for each other");
    let each = (MESSAGES - before) as f64 / clock.elapsed().as_secs_f64();
    println!("{MESSAGES} messages of {BYTES} bytes, {OF_EACH} of each document, to one webhook on this machine");
    println!("  {each:>9.0} deliveries/s, up to {beside} at the same time");
    inside.running.stop().await;
}

pub(crate) fn point(name: &str, address: SocketAddr) -> Settings {
    let http = HttpSettings {
        url: format!("http://{address}/hook"),
        secret: "of the bench".into(),
        timeout: Duration::from_secs(10),
        allow_private: true,
        roots: Vec::new(),
    };
    let (filter, target) = (Filter::default(), Target::Http(http));
    Settings {
        name: name.to_owned(),
        filter,
        mask: mi_gateway::bod::Mask::default(),
        most_bytes: 1_000_000,
        receiver: None,
        answers: Answers::default(),
        target,
    }
}

async fn until(taken: &AtomicUsize, most: usize) {
    while taken.load(Ordering::Relaxed) < most {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// On a thread of its own; answers 204 to whatever comes.
fn target(taken: Arc<Taken>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a socket");
                tokio::task::spawn_local(serve(stream, taken.clone()));
            }
        });
    });
    address
}

async fn serve(stream: tokio::net::TcpStream, taken: Arc<Taken>) {
    let answer = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let taken = taken.clone();
        async move {
            let now = taken.now.fetch_add(1, Ordering::Relaxed) + 1;
            taken.beside.fetch_max(now, Ordering::Relaxed);
            crate::common::process::read(request.into_body(), async |_| {}).await;
            // Others that have come are seen before this one is answered.
            tokio::task::yield_now().await;
            taken.now.fetch_sub(1, Ordering::Relaxed);
            taken.all.fetch_add(1, Ordering::Relaxed);
            let answer = http::Response::builder().status(204).body(http_body_util::Empty::<bytes::Bytes>::new());
            Ok::<_, Infallible>(answer.expect("an answer"))
        }
    });
    let io = hyper_util::rt::TokioIo::new(stream);
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, answer).await;
}
