//! Writes with 64 in flight, with the outbox and without it: what keeping every intent costs. M3 takes 5 ms; the relay
//! rests.

use crate::common::inside::{Inside, send};
use bytes::Bytes;
use http::{Request, StatusCode};
use mi_gateway::config::{Backend, Settings};
use mi_gateway::mock_m3::{self, Profile};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const IN_FLIGHT: usize = 64;
const TIMES: usize = 8_000;
const ROUNDS: usize = 5;
const PATH: &str = "/DEMO_TST/M3/m3api-rest/v2/execute/CRS610MI/ChgBasicData";

pub(crate) async fn measure() {
    for (name, latency_ms) in [("M3 takes 5 ms", (5, 5)), ("M3 answers at once", (0, 0))] {
        let (without, with) = (house(false, latency_ms).await, house(true, latency_ms).await);
        let mut best = (0.0_f64, 0.0_f64);
        // In turns, so that what else the machine does befalls both.
        for _ in 0..ROUNDS {
            best.0 = best.0.max(round(&without).await);
            best.1 = best.1.max(round(&with).await);
        }
        println!("{name}: writes, {IN_FLIGHT} in flight, every intent on the disk");
        println!("  without the outbox {:>9.0} writes/s", best.0);
        println!("  with the outbox    {:>9.0} writes/s: {:.1} % lost", best.1, 100.0 * (1.0 - best.1 / best.0));
        for house in [without, with] {
            house.running.stop().await;
        }
    }
}

async fn house(published: bool, latency_ms: (u64, u64)) -> Inside {
    let profile = Profile { latency_ms, ..Profile::default() };
    let mock = mock_m3::Settings { profile, ..mock_m3::Settings::default() };
    Inside::start_with(mock, |settings: &mut Settings| {
        settings.publish.enabled = published;
        let hour = Duration::from_secs(3_600);
        (settings.publish.quiet, settings.publish.most_wait) = (hour, hour);
        if let Backend::Real(client) = &mut settings.backend {
            (client.pool.max_sessions, client.pool.max_per_key) = (4 * IN_FLIGHT, 2 * IN_FLIGHT);
        }
    })
    .await
}

/// Writes a second.
async fn round(house: &Inside) -> f64 {
    let next = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..IN_FLIGHT).map(|_| caller(house, next.clone())).collect();
    let clock = Instant::now();
    let mut under_way = tokio::task::JoinSet::new();
    callers.into_iter().for_each(|caller| drop(under_way.spawn(caller)));
    while let Some(ended) = under_way.join_next().await {
        ended.expect("a caller that ends");
    }
    TIMES as f64 / clock.elapsed().as_secs_f64()
}

fn caller(house: &Inside, next: Arc<AtomicUsize>) -> impl Future<Output = ()> + Send + 'static {
    let (mut service, bearer) = (house.running.gateway.clone(), format!("Bearer {}", house.token));
    async move {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= TIMES {
                return;
            }
            let path = format!("{PATH};cono=100?CUNO=C{:05}&CUNM=Changed%20{at}", 1 + at % 250);
            let request = Request::builder().uri(path).header("authorization", &bearer).body(Bytes::new());
            let (status, body) = send(&mut service, request.expect("a request")).await;
            let text = String::from_utf8_lossy(&body);
            assert!(status == StatusCode::OK && text.contains("\"nrOfFailedTransactions\" : 0"), "{status}: {text}");
        }
    }
}
