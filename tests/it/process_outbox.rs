//! The outbox over kills of the whole process: what was committed is told, what was refused is not.

use super::{PATIENCE, Process, run, text};
use crate::house::{Https, Reply, https, send};
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const FIXED: [(&str, &str); 2] =
    [("MI_GATEWAY__PUBLIC_URL", "https://gateway.test"), ("MI_GATEWAY__PUBLISH__SETTLE_AFTER_SECONDS", "0")];

/// A gateway and somebody who may write through it.
pub(super) struct Live {
    pub(super) process: Process,
    client: Https,
    url: String,
    token: String,
}

impl Live {
    async fn start(folder: &Path) -> Self {
        let process = Process::start(folder, &FIXED).await;
        Self::of(process, folder, ".mi-gateway/clients/demo.ionapi").await
    }

    pub(super) async fn of(process: Process, folder: &Path, ionapi: &str) -> Self {
        let port = process.addresses["public"][0].as_str().and_then(|a| a.rsplit(':').next()).unwrap_or_default();
        let url = format!("https://localhost:{port}");
        let client = https(&folder.join("certs/dev/ca.pem"));
        let file = std::fs::read(folder.join(ionapi)).expect("a file");
        let ionapi: Value = serde_json::from_slice(&file).expect("JSON");
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", ionapi["ci"].as_str().unwrap_or_default())
            .append_pair("client_secret", ionapi["cs"].as_str().unwrap_or_default())
            .finish();
        let ask = Request::post(format!("{url}/oauth2/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::from(form))
            .expect("a request");
        let token = send(&client, ask).await.json()["access_token"].as_str().expect("a token").to_owned();
        Self { process, client, url, token }
    }

    fn request(&self, call: &str) -> Request<Full<bytes::Bytes>> {
        Request::get(format!("{}/m3api-rest/v2/execute/{call}", self.url))
            .header("authorization", format!("Bearer {}", self.token))
            .body(Full::default())
            .expect("a request")
    }

    pub(super) async fn call(&self, call: &str) -> Reply {
        send(&self.client, self.request(call)).await
    }

    /// Of the operations door: the sum of what has this label.
    pub(super) async fn metric(&self, name: &str, label: &str) -> f64 {
        let url = format!("http://{}/metrics", self.process.word("operations"));
        let reply = send(&self.client, Request::get(url).body(Full::default()).expect("a request")).await;
        let text = reply.text();
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// `None`: the gateway went away.
    #[expect(clippy::disallowed_methods, reason = "a test reads its own gateway's answers, up to a bound")]
    pub(super) async fn succeeded(&self, call: &str) -> Option<bool> {
        let response = self.client.request(self.request(call)).await.ok()?;
        let (parts, body) = response.into_parts();
        let body = http_body_util::BodyExt::collect(http_body_util::Limited::new(body, 65_536)).await.ok()?.to_bytes();
        let json: Value = serde_json::from_slice(&body).ok()?;
        // What is on the gateway's own account says nothing of M3.
        (parts.status.as_u16() == 200).then(|| json["nrOfSuccessfullTransactions"] == 1)
    }
}

async fn listed(folder: &Path, words: &[&str]) -> Vec<Value> {
    let got = run(folder, &[&["outbox", "list", "--json", "--limit", "100000"], words].concat(), &[]).await;
    assert!(got.status.success(), "{}", text(&got.stderr));
    text(&got.stdout).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The documents of an item in the folder, by variation.
fn documents(folder: &Path) -> BTreeMap<String, BTreeMap<u64, String>> {
    let mut found: BTreeMap<String, BTreeMap<u64, String>> = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(folder.join(".mi-gateway/bods")) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let parts: Vec<&str> = name.split('_').collect();
        if let ["SyncItemMaster", item, _, variation] = parts[..] {
            let variation = variation.parse().expect("a number");
            let text = std::fs::read_to_string(&path).expect("a document");
            found.entry(item.to_owned()).or_default().insert(variation, text);
        }
    }
    found
}

pub(super) async fn until<F: Future<Output = bool>>(what: &str, look: impl Fn() -> F) {
    let wait = async {
        while !look().await {
            crate::house::a_moment().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_lies_in_the_folder_a_moment_after_the_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let live = Live::start(folder.path()).await;
    let added = live.call("MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=TOLD&ITDS=Told%20to%20all").await;
    assert_eq!(added.json()["nrOfSuccessfullTransactions"], 1, "{}", added.text());
    until("its document", || async { documents(folder.path()).contains_key("TOLD") }).await;
    let documents = documents(folder.path());
    let (variation, document) = documents["TOLD"].first_key_value().expect("one");
    assert!(document.contains("Told to all") && !document.contains("<TenantID>"), "{document}");
    let messages = listed(folder.path(), &["--noun", "ItemMaster", "--key", "TOLD"]).await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["variation"], *variation);
    let id = messages[0]["id"].as_str().expect("an id").to_owned();
    let shown = run(folder.path(), &["outbox", "show", &id, "--json"], &[]).await;
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(shown["cause"], added.header("x-request-id"), "from the call to the document");
    // Read again and told anew, under a higher number.
    let again = run(folder.path(), &["outbox", "replay", "--fresh", &id], &[]).await;
    assert!(again.status.success(), "{}", text(&again.stderr));
    until("another document", || async { self::documents(folder.path())["TOLD"].len() == 2 }).await;
    // What was deleted is told as deleted.
    let deleted = live.call("MMS200MI/DltItm?ITNO=TOLD").await;
    assert_eq!(deleted.json()["nrOfSuccessfullTransactions"], 1, "{}", deleted.text());
    until("the last document", || async {
        let all = self::documents(folder.path());
        all["TOLD"].last_key_value().is_some_and(|(_, text)| text.contains("actionCode=\"Delete\""))
    })
    .await;
    let unknown = run(folder.path(), &["outbox", "show", "nothing"], &[]).await;
    assert_eq!(unknown.status.code(), Some(2));
}

/// What callers know of the items they wrote.
#[derive(Default)]
pub(super) struct Known {
    pub(super) committed: Mutex<BTreeSet<String>>,
    pub(super) refused: Mutex<BTreeSet<String>>,
    pub(super) answered: AtomicUsize,
}

impl Known {
    pub(super) fn commits(&self, item: &str) {
        self.committed.lock().expect("kept").insert(item.to_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_it_is_killed_every_committed_write_is_told_and_no_refused_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let known = Known::default();
    for round in 0..6_usize {
        let mut live = Live::start(folder.path()).await;
        let kill_after = known.answered.load(Ordering::Relaxed) + 3 + uuid::Uuid::new_v4().as_u128() as usize % 60;
        let writers = futures_util::future::join_all((0..8).map(|writer| writes(&live, &known, round, writer)));
        let killed = async {
            while known.answered.load(Ordering::Relaxed) < kill_after {
                crate::house::a_moment().await;
            }
            live.process.signal("KILL");
        };
        tokio::join!(writers, killed);
        live.process.child.wait().await.expect("killed");
    }
    let live = Live::start(folder.path()).await;
    until("everything is told", || async {
        let open = listed(folder.path(), &[]).await;
        let waits =
            |state: &Value| ["open", "unknown", "due", "pending", "sent"].contains(&state.as_str().unwrap_or_default());
        !open.iter().any(|entry| waits(&entry["state"]))
    })
    .await;
    let documents = documents(folder.path());
    let (committed, refused) = (known.committed.into_inner().expect("kept"), known.refused.into_inner().expect("kept"));
    assert!(committed.len() >= 6 && !refused.is_empty(), "{} and {}", committed.len(), refused.len());
    for item in &committed {
        assert!(documents.contains_key(item), "{item} was committed, and nobody was told");
    }
    for item in &refused {
        assert!(!documents.contains_key(item), "{item} was refused, and told all the same");
    }
    for item in documents.keys() {
        let there = live.call(&format!("MMS200MI/Get?ITNO={item}")).await;
        assert_eq!(there.json()["nrOfSuccessfullTransactions"], 1, "{item} is told and M3 doesn't have it");
    }
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut messages: Vec<Value> = listed(folder.path(), &["--noun", "ItemMaster"]).await;
    messages.reverse();
    for message in messages.iter().filter(|entry| entry["kind"] == "message") {
        let item = message["document_id"].as_str().unwrap_or_default().to_owned();
        let variation = message["variation"].as_u64().expect("a number");
        let before = last.insert(item.clone(), variation);
        assert!(before.is_none_or(|before| before < variation), "{item}: {before:?} then {variation}");
    }
}

/// New items, one of them shared by all, and adds that M3 refuses, until the gateway is gone.
pub(super) async fn writes(live: &Live, known: &Known, round: usize, writer: usize) {
    for at in 0.. {
        let item = format!("K{round}W{writer}N{at}");
        let add = format!("MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO={item}&ITDS=First");
        let Some(added) = live.succeeded(&add).await else { return };
        assert!(added, "{item} is new");
        known.commits(&item);
        let bad = format!("R{round}W{writer}N{at}");
        // No such item: M3 says no.
        let Some(added) = live.succeeded(&format!("MMS200MI/UpdItmBasic?ITNO={bad}&ITDS=x")).await else { return };
        assert!(!added, "{bad} is not there");
        known.refused.lock().expect("kept").insert(bad);
        let shared = format!("MMS200MI/UpdItmBasic?ITNO=A00001&ITDS=Round{round}x{writer}x{at}");
        if live.succeeded(&shared).await.is_none() {
            return;
        }
        known.answered.fetch_add(3, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_that_is_damaged_is_one_clear_line_and_is_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = folder.path().join(".mi-gateway/outbox");
    std::fs::create_dir_all(&outbox).expect("a folder");
    let damaged = vec![b'x'; 8_192];
    std::fs::write(outbox.join("gateway.db"), &damaged).expect("a file");
    let ended = run(folder.path(), &["serve"], &[]).await;
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("gateway.db is damaged") && said.contains(".recover"), "{said}");
    assert_eq!(std::fs::read(outbox.join("gateway.db")).expect("the file"), damaged);
}
