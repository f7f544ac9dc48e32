//! What one core spends on one request: the whole stack, a v2 GET of one record, everything warm.
//!
//! The caller is in the same thread, without a socket; M3 is a mock on another thread, so that the thread's time is the
//! gateway's alone. What the kernel takes for the socket to M3 is measured beside it with the same bytes and no gateway.

#![expect(clippy::print_stdout, reason = "a bench is there to print figures")]

mod common;

use bytes::Bytes;
use common::inside::{Inside, send};
use common::{micros, thread_time};
use http::{Request, StatusCode};
use mi_gateway::mock_m3;
use std::io::{Read, Write};
use std::thread;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The binary's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WARM: u32 = 3_000;
const TIMES: u32 = 20_000;
const ROUNDS: u32 = 5;
/// GetBasicData in UCS-2: fifteen columns, company and customer.
const ASKED: usize = 4 + 2 * 28;

fn asked(path: &str, token: &str) -> Request<Bytes> {
    let header = format!("Bearer {token}");
    Request::builder()
        .uri(path)
        .header("authorization", header)
        .header("accept", "application/json")
        .header("user-agent", "hot-path/1")
        .body(Bytes::new())
        .expect("a request")
}

/// The best of a few rounds: processor time of this thread, and time on the clock, for one request.
async fn rounds(mut one: impl AsyncFnMut()) -> (f64, f64) {
    for _ in 0..WARM {
        one().await;
    }
    let mut best = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let (used, clock) = (thread_time(), Instant::now());
        for _ in 0..TIMES {
            one().await;
        }
        let round = (micros(thread_time() - used, TIMES), micros(clock.elapsed(), TIMES));
        if round.0 < best.0 {
            best = round;
        }
    }
    best
}

/// A socket alone: the same bytes there and back, through the same runtime.
async fn bare(answer: usize) -> (f64, f64) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the bench");
        stream.set_nodelay(true).expect("a socket");
        let (mut ask, reply) = ([0; ASKED], vec![0; answer]);
        while stream.read_exact(&mut ask).is_ok() && stream.write_all(&reply).is_ok() {}
    });
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let mut reply = vec![0; answer];
    rounds(async || {
        stream.write_all(&[0; ASKED]).await.expect("an echo that lives");
        stream.read_exact(&mut reply).await.expect("an echo that lives");
    })
    .await
}

async fn run() {
    let Inside { running, token, .. } = Inside::start(mock_m3::Settings::default()).await;
    let mut service = running.gateway.clone();

    let get = "/DEMO_TST/M3/m3api-rest/v2/execute/CRS610MI/GetBasicData;cono=100?CUNO=C00001";
    let few = format!("{get}&returncols=CUNO,CUNM,TOWN,CSCD");
    println!("{:<44} {:>12} {:>12}", "one request, µs", "processor", "clock");
    let shown = |name: &str, (used, clock): (f64, f64)| {
        println!("{name:<44} {used:>12.2} {clock:>12.2}");
        used
    };
    let (status, body) = send(&mut service, asked(get, &token)).await;
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    let columns = body.iter().filter(|byte| **byte == b'\n').count();
    println!("({} bytes in {columns} lines)", body.len());

    let socket = shown("the socket to M3 alone, as many bytes", bare(4 + 1_600).await);
    let refused = shown("no token: 401", {
        let mut service = service.clone();
        rounds(async || {
            let (status, _) = send(&mut service, Request::get(get).body(Bytes::new()).expect("a request")).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
        })
        .await
    });
    let mut of = async |path: &str| {
        rounds(async || {
            let (status, _) = send(&mut service, asked(path, &token)).await;
            assert_eq!(status, StatusCode::OK);
        })
        .await
    };
    let whole = shown("v2, every column", of(get).await);
    let few = shown("v2, four columns", of(&few).await);
    let v1 = shown("v1, every column", of(&get.replace("/v2", "")).await);
    println!("{:<44} {:>12}", "without the socket to M3, µs", "processor");
    for (name, used) in [("v2, every column", whole), ("v2, four columns", few), ("v1, every column", v1)] {
        println!("{name:<44} {:>12.2}", used - socket);
    }
    println!("{:<44} {refused:>12.2}", "no token: 401");
    running.stop().await;
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    run().await;
}
