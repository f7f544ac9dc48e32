//! Kills at every step of a write's way, and at random under load. M3 and the receiver live on in this process: what they
//! saw is held against what callers were told.

use super::outbox::{Known, Live, until, writes};
use super::{Process, run, text};
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use mi_gateway::mock_m3::{self, Faults, Mock};
use mi_gateway::outbox::{Ledger, Settings, Wanted};
use mi_gateway::store::Store;
use mi_gateway::tasks::Tasks;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Where a write is when the gateway dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    BeforeItsIntent,
    BehindItsIntent,
    DoneByM3,
    Answered,
    BeingDelivered,
    Delivered,
    /// Eight callers, anywhere.
    UnderLoad,
}

const MOMENTS: [Moment; 12] = [
    Moment::BeforeItsIntent,
    Moment::UnderLoad,
    Moment::BehindItsIntent,
    Moment::UnderLoad,
    Moment::DoneByM3,
    Moment::UnderLoad,
    Moment::Answered,
    Moment::UnderLoad,
    Moment::BeingDelivered,
    Moment::UnderLoad,
    Moment::Delivered,
    Moment::UnderLoad,
];

/// Every second kill is one at random: `tests/run --long` asks for so many of these.
#[expect(clippy::disallowed_methods, reason = "the tests' own setting, which no configuration of the product has")]
fn kills() -> usize {
    let at_random = std::env::var("MI_GATEWAY_KILLS").ok().and_then(|word| word.parse().ok());
    at_random.map_or(MOMENTS.len(), |count: usize| 2 * count)
}

/// A document as it came.
struct Arrived {
    id: String,
    item: String,
    /// The company, or a division of it.
    entity: String,
    variation: u64,
    text: String,
}

/// A receiver that answers when it is let.
struct Receiver {
    url: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    /// The item whose documents get no answer yet.
    holds: watch::Sender<String>,
}

impl Receiver {
    async fn start(tasks: &Tasks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let (holds, held) = watch::channel(String::new());
        let (all, connections) = (arrived.clone(), tasks.clone());
        tasks.spawn_until_stop(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (all, held) = (all.clone(), held.clone());
                let service = hyper::service::service_fn(move |request| answer(request, all.clone(), held.clone()));
                let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                connections.spawn_until_stop(async move { drop(served.await) });
            }
        });
        Self { url, arrived, holds }
    }

    fn has(&self, item: &str) -> bool {
        self.arrived.lock().expect("kept").iter().any(|one| one.item == item)
    }
}

#[expect(clippy::disallowed_methods, reason = "a test reads its own gateway's documents, up to a bound")]
async fn answer(
    request: Request<hyper::body::Incoming>,
    all: Arc<Mutex<Vec<Arrived>>>,
    mut held: watch::Receiver<String>,
) -> Result<http::Response<Full<bytes::Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, 1 << 20).collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    let (id, item) = text.split_once("<ItemID><ID ").and_then(|(_, rest)| rest.split_once('>')).unwrap_or_default();
    let item = item.split('<').next().unwrap_or_default().to_owned();
    let entity = id.split("accountingEntity=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let entity = entity.to_owned();
    let variation = header("mi-variation").parse().unwrap_or_default();
    let own = item.clone();
    all.lock().expect("kept").push(Arrived { id: header("webhook-id").to_owned(), item, entity, variation, text });
    let _ = held.wait_for(|held| *held != own).await;
    Ok(http::Response::new(Full::default()))
}

/// Everything but the gateway.
struct World {
    folder: tempfile::TempDir,
    mock: Mock,
    receiver: Receiver,
    environment: Vec<(String, String)>,
    tasks: Tasks,
}

impl World {
    async fn build(row: Option<(&str, &str)>) -> Self {
        let (folder, tasks) = (tempfile::tempdir().expect("a folder"), Tasks::new());
        let mock = Mock::start(mock_m3::Settings::default(), &tasks).await.expect("an M3");
        let receiver = Receiver::start(&tasks).await;
        for (name, text) in [("migate", "migate-dev\n"), ("midemo", "midemo-dev\n"), ("secret", "of the test\n")] {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        let (m3, url) = (mock.address().to_string(), receiver.url.clone());
        let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
        let environment = [
            ("PUBLIC_URL", "https://gateway.test"),
            ("POLICY__DIR", policies),
            ("M3__BACKEND", "socket"),
            ("M3__ADDRESS", &m3),
            ("M3__USER", "MIGATE"),
            ("M3__PASSWORD_FILE", "migate"),
            ("M3__USERS__MIDEMO", "midemo"),
            ("M3__GROUP_USERS__DEMO", "MIDEMO"),
            ("PUBLISH__ENABLED", "true"),
            ("PUBLISH__QUIET_MILLISECONDS", "20"),
            ("PUBLISH__SETTLE_AFTER_SECONDS", "1"),
            ("POINTS__0__NAME", "receiver"),
            ("POINTS__0__KIND", "http"),
            ("POINTS__0__URL", &url),
            ("POINTS__0__SECRET_FILE", "secret"),
            ("POINTS__0__ALLOW_PRIVATE", "true"),
        ];
        let environment = environment.into_iter().chain(row);
        let environment = environment.map(|(key, value)| (format!("MI_GATEWAY__{key}"), value.to_owned())).collect();
        let world = Self { folder, mock, receiver, environment, tasks };
        let words = ["client", "add", "crash", "--group", "demo", "--out", "crash.ionapi"];
        let added = run(world.folder.path(), &words, &world.environment()).await;
        assert!(added.status.success(), "{}", text(&added.stderr));
        world
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        self.environment.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    async fn live(&self) -> Live {
        let up = |line: &str| line.starts_with("  operations");
        let process = Process::up(self.folder.path(), &self.environment(), up).await;
        Live::of(process, self.folder.path(), "crash.ionapi").await
    }

    fn outbox(&self) -> PathBuf {
        self.folder.path().join(".mi-gateway/outbox")
    }

    fn faults(&self, text: &str) {
        let faults: Faults = serde_json::from_str(text).expect("faults of the test");
        self.mock.set_faults(faults);
    }

    fn m3_has(&self, item: &str) -> Option<String> {
        let row = self.mock.record("MMS200MI", 100, &[("ITNO", item)])?;
        Some(row.get("ITDS").cloned().unwrap_or_default())
    }

    fn m3_was_asked(&self, item: &str) -> bool {
        let asked = self.mock.calls();
        asked.iter().any(|call| call.transaction == ADD && call.fields.get("ITNO").is_some_and(|held| held == item))
    }

    /// Brings one write to this moment, and kills the gateway there.
    async fn kill_at(&self, moment: Moment, live: &mut Live, known: &Known, round: usize) {
        let item = format!("S{round}");
        let call = format!("MMS200MI/{ADD}?ITTY=001&ITNO={item}&ITDS=Step%20{round}");
        let outbox = Store::open(&self.outbox()).await.expect("the outbox");
        // While the test holds the outbox nothing in it is committed.
        let mut held = None;
        match moment {
            Moment::BeforeItsIntent => held = Some(outbox.write().await.expect("alone")),
            Moment::BehindItsIntent => self.faults(&format!(
                r#"{{"rules":[{{"transaction":"{ADD}","times":1,"latency_ms":600000,"action":"drop_before"}}]}}"#
            )),
            Moment::DoneByM3 => {
                self.faults(&format!(r#"{{"rules":[{{"transaction":"{ADD}","times":1,"action":"no_answer"}}]}}"#));
            }
            Moment::Answered => {
                self.faults(&format!(r#"{{"rules":[{{"transaction":"{ADD}","times":1,"latency_ms":200}}]}}"#));
            }
            Moment::BeingDelivered | Moment::Delivered => drop(self.receiver.holds.send(item.clone())),
            Moment::UnderLoad => {}
        }
        let delivered = live.metric("mi_gateway_deliveries_total", DELIVERED).await;
        let written = live.succeeded(&call);
        let there = async {
            match moment {
                Moment::BeforeItsIntent => {
                    let waits = || async { live.metric("mi_gateway_http_requests_in_flight", "").await >= 1.0 };
                    until("the write waits", waits).await;
                }
                Moment::BehindItsIntent => until("M3 has the call", || async { self.m3_was_asked(&item) }).await,
                Moment::DoneByM3 => until("M3 did it", || async { self.m3_has(&item).is_some() }).await,
                Moment::Answered => {
                    until("M3 has the call", || async { self.m3_was_asked(&item) }).await;
                    held = Some(outbox.write().await.expect("alone"));
                    until("M3 did it", || async { self.m3_has(&item).is_some() }).await;
                    return;
                }
                Moment::BeingDelivered | Moment::Delivered => {
                    until("the document is on its way", || async { self.receiver.has(&item) }).await;
                    if moment == Moment::Delivered {
                        held = Some(outbox.write().await.expect("alone"));
                        let _ = self.receiver.holds.send(String::new());
                        until("it was taken", || async {
                            live.metric("mi_gateway_deliveries_total", DELIVERED).await > delivered
                        })
                        .await;
                    }
                }
                Moment::UnderLoad => {}
            }
            live.process.signal("KILL");
        };
        let (answered, ()) = tokio::join!(written, there);
        match answered {
            Some(true) => known.commits(&item),
            Some(false) => panic!("{moment:?}: M3 refused {item}"),
            None => {}
        }
        if moment == Moment::Answered {
            assert_eq!(answered, Some(true), "the caller does not wait for the outbox");
            live.process.signal("KILL");
        }
        live.process.child.wait().await.expect("killed");
        drop(held);
        let _ = self.receiver.holds.send(String::new());
        self.faults(r#"{"rules":[]}"#);
        let at_m3 = self.m3_has(&item).is_some();
        let not_done = matches!(moment, Moment::BeforeItsIntent | Moment::BehindItsIntent);
        assert_eq!(at_m3, !not_done, "{moment:?}: the gateway was killed where it was meant to be");
        outbox.close().await;
    }
}

const ADD: &str = "AddItmViaItmTyp";
const DELIVERED: &str = "outcome=\"delivered\"";

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_write_is_when_the_gateway_dies_what_m3_did_is_told_in_order_and_nothing_else() {
    killed_again_and_again(None, &["100"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_write_is_when_the_gateway_dies_each_division_is_told_in_its_order_and_all_of_them() {
    killed_again_and_again(Some(("PUBLISH__DOCUMENTS__0__ENTITY", "division")), &["100_AAA", "100_BBB"]).await;
}

/// `entities`: those that each item has a document for.
async fn killed_again_and_again(row: Option<(&str, &str)>, entities: &[&str]) {
    let (world, known) = (World::build(row).await, Known::default());
    for round in 0..kills() {
        let mut live = world.live().await;
        match MOMENTS[round % MOMENTS.len()] {
            Moment::UnderLoad => under_load(&mut live, &known, round).await,
            moment => world.kill_at(moment, &mut live, &known, round).await,
        }
    }
    let live = world.live().await;
    let ledger = Ledger::open(&Settings::under(world.outbox())).await.expect("the outbox");
    let wanted = Wanted { most: 1_000_000, ..Wanted::default() };
    until("everything is told", || async {
        let listed = ledger.list(&wanted).await.expect("a list");
        let waits = |entry: &Value| {
            ["open", "unknown", "due", "pending", "replayed", "sent"]
                .contains(&entry["state"].as_str().unwrap_or_default())
        };
        !listed.iter().any(waits)
    })
    .await;
    holds(&world, &known, entities, &ledger.list(&wanted).await.expect("a list"));
    ledger.close().await;
    drop(live);
    world.tasks.finish(std::time::Duration::from_secs(1)).await;
}

async fn under_load(live: &mut Live, known: &Known, round: usize) {
    let kill_after = known.answered.load(Ordering::Relaxed) + 3 + uuid::Uuid::new_v4().as_u128() as usize % 60;
    let writers = futures_util::future::join_all((0..8).map(|writer| writes(live, known, round, writer)));
    let killed = async {
        while known.answered.load(Ordering::Relaxed) < kill_after {
            crate::house::a_moment().await;
        }
        live.process.signal("KILL");
    };
    tokio::join!(writers, killed);
    live.process.child.wait().await.expect("killed");
}

fn is_parked(entry: &Value, kind: &str) -> bool {
    entry["kind"] == kind && entry["state"] == "parked"
}

/// What was promised, held against what M3 and the receiver saw.
fn holds(world: &World, known: &Known, entities: &[&str], listed: &[Value]) {
    let arrived = world.receiver.arrived.lock().expect("kept");
    let mut last: BTreeMap<(&str, &str), &Arrived> = BTreeMap::new();
    let mut by_id: BTreeMap<&str, &str> = BTreeMap::new();
    for one in arrived.iter() {
        let before = last.insert((&one.item, &one.entity), one);
        assert!(before.is_none_or(|before| before.variation <= one.variation), "{} came out of its order", one.item);
        let same = by_id.insert(&one.id, &one.text);
        assert!(same.is_none_or(|same| same == one.text), "{} is another document under the same id", one.id);
        assert!(world.m3_has(&one.item).is_some(), "{} is told, and M3 does not have it", one.item);
    }
    let committed = known.committed.lock().expect("kept");
    assert!(!committed.is_empty() && !known.refused.lock().expect("kept").is_empty());
    for item in committed.iter() {
        for entity in entities {
            assert!(last.contains_key(&(item.as_str(), *entity)), "{item} was committed, and {entity} was not told");
        }
    }
    // Nor is anything lost of which no caller heard how it ended.
    for call in world.mock.calls().iter().filter(|call| call.transaction == ADD) {
        let item = call.fields["ITNO"].as_str();
        let told = entities.iter().map(|entity| last.contains_key(&(item, *entity)));
        let is_there = world.m3_has(item).is_some();
        assert!(told.into_iter().all(|told| told == is_there), "{item}: what M3 has is told, whoever heard of it");
    }
    let added = format!("MMS200MI/{ADD}");
    let unsettled = |entry: &&Value| is_parked(entry, "write") && entry["call"] == added;
    let unsettled: Vec<&Value> = listed.iter().filter(unsettled).collect();
    assert_eq!(unsettled, [] as [&Value; 0], "what became of an item that was added can be seen at M3");
    for item in known.refused.lock().expect("kept").iter() {
        assert!(last.keys().all(|(told, _)| told != item), "{item} was refused, and told all the same");
    }
    assert!(last.keys().all(|(_, entity)| entities.contains(entity)), "{:?}", last.keys());
    for ((item, _), document) in &last {
        let now = world.m3_has(item).unwrap_or_default();
        assert!(document.text.contains(&format!(">{now}<")), "{item}: the last document says less than M3: {now}");
    }
    let parked: Vec<&Value> = listed.iter().filter(|entry| is_parked(entry, "message")).collect();
    assert_eq!(parked, [] as [&Value; 0]);
    let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
    for message in listed.iter().rev().filter(|entry| entry["kind"] == "message") {
        let item = message["document_id"].as_str().unwrap_or_default().to_owned();
        let variation = message["variation"].as_u64().expect("a number");
        let before = numbers.insert(item.clone(), variation);
        assert!(before.is_none_or(|before| before < variation), "{item}: {before:?} then {variation}");
    }
}
