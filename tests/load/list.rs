//! A list of a million records through the gateway, read as fast as it comes, with M3 on its socket and behind m3api-rest;
//! and one of 100,000, read slowly, and not read for a while.
//!
//! The gateway is a process of its own, so that what grows is its memory alone. That it grows by less than 16 MiB is
//! held; the times are shown.

#![expect(clippy::print_stdout, reason = "a bench is there to print figures")]

mod common;

use common::process::{Gateway, Https, read};
use http::{Request, StatusCode};
use http_body_util::Full;
use std::cell::Cell;
use std::time::{Duration, Instant};

const MILLION: usize = 1_000_000;
const PART: usize = 100_000;
/// MiB.
const MAY_GROW: f64 = 16.0;
const LIST: &str = "/DEMO_TST/M3/m3api-rest/v2/execute/MMS060MI/LstBalID";

/// Reads the whole list, pausing after each of so many bytes, and gives the gateway's memory at its highest.
async fn list(
    gateway: &Gateway,
    https: &Https,
    token: &str,
    wanted: usize,
    first: Duration,
    (every, pause): (usize, Duration),
) -> f64 {
    let most = if wanted == MILLION { 0 } else { wanted };
    let path = format!("{LIST};maxrecs={most}?WHLO=001&format=UNFORMATTED");
    let request = Request::get(gateway.url(&path))
        .header("authorization", format!("Bearer {token}"))
        .body(Full::default())
        .expect("a request");
    let clock = Instant::now();
    let response = https.request(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let highest = Cell::new(gateway.memory());
    tokio::time::sleep(first).await;
    let (mut since, mut records) = (0, 0);
    let look = || highest.set(highest.get().max(gateway.memory()));
    look();
    let bytes = read(response.into_body(), async |bytes: &[u8]| {
        // One brace a record; no value of the mock's has any.
        records += bytes.iter().filter(|byte| **byte == b'{').count();
        since += bytes.len();
        if since > every {
            since = 0;
            look();
            tokio::time::sleep(pause).await;
        }
    })
    .await;
    // The document and its one result have a brace each.
    assert_eq!(records - 2, wanted, "every record came");
    let (seconds, mib) = (clock.elapsed().as_secs_f64(), bytes as f64 / 1024.0 / 1024.0);
    println!("  {mib:.1} MiB in {seconds:.1} s: {:.0} records/s, {:.1} MiB/s", wanted as f64 / seconds, mib / seconds);
    highest.get()
}

async fn measure(way: &str, mock: &[&str]) {
    let million = MILLION.to_string();
    let gateway = Gateway::start(&[&["--big-list", &million], mock].concat(), &[]).await;
    let https = gateway.https();
    let token = gateway.token(&https).await;
    let mib = 1024 * 1024;
    let none = Duration::ZERO;
    println!("M3 {way}");
    for (name, wanted, first, pace) in [
        ("as fast as it comes", MILLION, none, (mib, none)),
        ("not read for 5 s, then as fast as it comes", PART, Duration::from_secs(5), (mib, none)),
        ("slowly: 20 ms after each MiB", PART, none, (mib, Duration::from_millis(20))),
    ] {
        let before = gateway.memory();
        println!("{wanted} records, {name}:");
        let highest = list(&gateway, &https, &token, wanted, first, pace).await;
        let grown = highest - before;
        println!("  memory of the gateway: {before:.1} MiB before, {highest:.1} at its highest, grown by {grown:.1}");
        assert!(grown < MAY_GROW, "a list is never held whole: {grown:.1} MiB");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    measure("on its socket", &[]).await;
    measure("behind m3api-rest", &["--rest", "127.0.0.1:0"]).await;
}
