//! A million documents that wait for a target which is away: what a gateway needs for them, and how long a look takes.

use crate::common::inside::Inside;
use crate::deliveries::point;
use crate::held::{Held, hold};
use mi_gateway::mock_m3;
use mi_gateway::outbox::{Ledger, Settings, Wanted};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

const MESSAGES: i64 = 1_000_000;
const WATCHED: Duration = Duration::from_secs(20);

pub(crate) async fn measure() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let inside = Inside::start_with(mock_m3::Settings::default(), |settings| {
        settings.publish.enabled = true;
        settings.points.push(point("target", nobody.expect("a port")));
    })
    .await;
    let outbox = inside.state.path().join("outbox");
    let empty = watched().await;
    hold(&outbox, &Held { point: "target", messages: MESSAGES, of_each: 4, bytes: 200 }).await;
    let full = watched().await;
    println!("{MESSAGES} messages pending, of {} documents, their target away", MESSAGES / 4);
    println!("  memory            {:>9.1} MiB, and {:.1} MiB with nothing pending", full.0, empty.0);
    println!("  processor         {:>9.2} % of one core, and {:.2} % with nothing pending", full.1, empty.1);
    let ledger = Ledger::open(&Settings::under(outbox.clone())).await.expect("the outbox");
    for (what, state) in [("newest hundred", None), ("hundred pending", Some("pending")), ("parked", Some("parked"))] {
        let wanted = Wanted { state: state.map(str::to_owned), most: 100, ..Wanted::default() };
        let clock = Instant::now();
        let found = ledger.list(&wanted).await.expect("a list").len();
        println!("  list the {what:<16} {:>9.1} ms ({found} found)", clock.elapsed().as_secs_f64() * 1e3);
    }
    ledger.close().await;
    inside.running.stop().await;
}

/// The most resident memory in MiB, and the part of a core that was used, over a while.
async fn watched() -> (f64, f64) {
    let (used, clock) = (process_time(), Instant::now());
    let mut most = 0.0_f64;
    while clock.elapsed() < WATCHED {
        most = most.max(memory());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (most, 100.0 * (process_time() - used).as_secs_f64() / clock.elapsed().as_secs_f64())
}

fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells it");
    line.split_whitespace().nth(1).and_then(|word| word.parse::<f64>().ok()).expect("a number of KiB") / 1024.0
}
