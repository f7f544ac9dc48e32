//! A hundred reads of one record each: in one bulk call, and one call after the other. With an M3 that answers at once,
//! and with one that takes 30 ms, as most do.

#![expect(clippy::print_stdout, reason = "a bench is there to print figures")]

mod common;

use bytes::Bytes;
use common::inside::{Inside, send};
use http::{Request, StatusCode};
use mi_gateway::mock_m3::{self, Profile};
use std::time::Instant;

const READS: usize = 100;
const ROUNDS: usize = 5;
const PATH: &str = "/DEMO_TST/M3/m3api-rest/v2/execute";

fn request(token: &str) -> http::request::Builder {
    Request::builder().header("authorization", format!("Bearer {token}")).header("accept", "application/json")
}

fn customer(at: usize) -> String {
    format!("C{:05}", 1 + at % 250)
}

/// Seconds of the best of a few rounds.
async fn best(mut round: impl AsyncFnMut()) -> f64 {
    round().await;
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let clock = Instant::now();
        round().await;
        best = best.min(clock.elapsed().as_secs_f64());
    }
    best
}

async fn measure(name: &str, profile: Profile) {
    let inside = Inside::start(mock_m3::Settings { profile, ..mock_m3::Settings::default() }).await;
    let Inside { running, token, .. } = &inside;
    let mut service = running.gateway.clone();
    let single = best(async || {
        for at in 0..READS {
            let path = format!("{PATH}/CRS610MI/GetBasicData;cono=100?CUNO={}&format=UNFORMATTED", customer(at));
            let (status, _) = send(&mut service, request(token).uri(path).body(Bytes::new()).expect("a request")).await;
            assert_eq!(status, StatusCode::OK);
        }
    })
    .await;
    let items: Vec<String> = (0..READS)
        .map(|at| format!(r#"{{"transaction":"GetBasicData","record":{{"CUNO":"{}"}}}}"#, customer(at)))
        .collect();
    let body = format!(r#"{{"program":"CRS610MI","cono":100,"transactions":[{}]}}"#, items.join(","));
    let bulk = best(async || {
        let request = request(token).method("POST").header("content-type", "application/json");
        let request = request.uri(format!("{PATH}?format=UNFORMATTED")).body(Bytes::from(body.clone()));
        let (status, body) = send(&mut service, request.expect("a request")).await;
        assert_eq!(status, StatusCode::OK);
        let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(answer["nrOfSuccessfullTransactions"], READS);
    })
    .await;
    let each = |seconds: f64| READS as f64 / seconds;
    println!("{name}: {READS} reads of one record");
    println!("  one call each   {:>9.2} ms, {:>8.0} reads/s", single * 1e3, each(single));
    println!(
        "  one bulk call   {:>9.2} ms, {:>8.0} reads/s: {:.1} times as many",
        bulk * 1e3,
        each(bulk),
        single / bulk
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    measure("M3 answers at once", Profile::default()).await;
    measure("M3 takes 30 ms", Profile { latency_ms: (30, 31), ..Profile::default() }).await;
}
