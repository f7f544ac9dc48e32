//! What is published of what was written: the record as M3 has it, deletes as they were, as the publisher's table says.

use crate::house::{Caller, House, over_rest};
use mi_gateway::bod::{ConfirmationCode, Filter, Mapping, OnLeave, Source, shipped};
use mi_gateway::config::Settings;
use mi_gateway::model::Company;
use mi_gateway::outbox::{Ledger, Operator, Wanted};
use mi_gateway::points::{Answers, FileSettings, Pattern, Settings as Point, Target};
use mi_gateway::relay::{self, BodId, Entity, Location, Mode, Rule};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A house that publishes into a folder, and somebody who may do everything.
async fn publishing(change: impl FnOnce(&mut Settings)) -> (House, Caller) {
    House::open_to_all("MIDEMO", "rate = \"100000/second\"\nburst = 100000", |settings| {
        let (quiet, settle_after) = (Duration::from_millis(50), Duration::ZERO);
        settings.publish = relay::Settings { enabled: true, quiet, settle_after, ..relay::Settings::default() };
        settings.points = vec![folder("bods", &settings.state, Filter::default())];
        change(settings);
    })
    .await
}

fn folder(name: &str, state: &Path, filter: Filter) -> Point {
    let pattern = Pattern::parse("{document}_{variation}_{verb}.xml").expect("a pattern");
    let file = FileSettings { folder: state.join(name), pattern, keep: None };
    Point {
        name: name.to_owned(),
        filter,
        most_bytes: 1_000_000,
        receiver: None,
        answers: Answers::default(),
        target: Target::File(file),
    }
}

/// The documents of a record in their order.
fn documents(house: &House, key: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(house.state.path().join("bods")) else { return Vec::new() };
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort();
    let of = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(&format!("{key}_")) && name.ends_with(".xml")
    };
    found.iter().filter(|path| of(path)).map(|path| std::fs::read_to_string(path).expect("a document")).collect()
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}"))
}

/// The first so many documents of a record.
async fn told(house: &House, key: &str, many: usize) -> Vec<String> {
    until(&format!("{many} documents of {key}"), async || {
        Some(documents(house, key)).filter(|found| found.len() >= many)
    })
    .await
}

async fn listed(house: &House) -> Vec<Value> {
    let ledger = Ledger::open(&house.state.path().join("outbox")).await.expect("the outbox");
    let listed = ledger.list(&Wanted { most: 1_000, ..Wanted::default() }).await.expect("a list");
    ledger.close().await;
    listed
}

/// Nothing waits any more: what is not told now is never told.
async fn quiet(house: &House) {
    let waits = |entry: &Value| {
        ["open", "unknown", "due", "pending", "replayed", "sent"].contains(&entry["state"].as_str().unwrap_or_default())
    };
    until("nothing waits", async || (!listed(house).await.iter().any(waits)).then_some(())).await;
}

async fn done(caller: &Caller, call: &str) {
    let reply = caller.m3(call).await;
    assert_eq!(reply.json()["nrOfSuccessfullTransactions"], 1, "{call}: {}", reply.text());
}

#[tokio::test]
async fn what_was_deleted_is_told_as_it_was() {
    let (house, caller) = publishing(|_| {}).await;
    done(&caller, "MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=GONE&ITDS=As%20it%20was").await;
    told(&house, "GONE", 1).await;
    done(&caller, "MMS200MI/DltItm?ITNO=GONE").await;
    let deleted = told(&house, "GONE", 2).await.remove(1);
    assert!(deleted.contains("actionCode=\"Delete\""), "{deleted}");
    assert!(deleted.contains(">As it was</Description>") && deleted.contains(">001</Code>"), "{deleted}");
}

#[tokio::test]
async fn what_was_not_there_is_not_told_as_deleted() {
    let (house, caller) = publishing(|_| {}).await;
    let refused = caller.m3("MMS200MI/DltItm?ITNO=NOSUCH").await;
    assert_eq!(refused.error().0, "ServerReturnedNOK", "{}", refused.text());
    // M3 says yes to what it does not have.
    house.faults(r#"{"rules":[{"transaction":"DltItm","action":{"answer":{"records":[]}}}]}"#);
    done(&caller, "MMS200MI/DltItm?ITNO=NOSUCH").await;
    quiet(&house).await;
    assert_eq!(documents(&house, "NOSUCH"), [] as [String; 0]);
}

#[tokio::test]
async fn what_is_still_there_after_a_delete_is_told_with_its_status() {
    let (house, caller) = publishing(|_| {}).await;
    // M3 marks it, or does it later.
    house.faults(r#"{"rules":[{"transaction":"DltItm","action":{"answer":{"records":[]}}}]}"#);
    done(&caller, "MMS200MI/DltItm?ITNO=A00007").await;
    let document = told(&house, "A00007", 1).await.remove(0);
    assert!(document.contains("actionCode=\"Replace\"") && document.contains("<ItemStatus>"), "{document}");
}

#[tokio::test]
async fn a_refusal_for_another_reason_is_not_taken_for_a_deletion() {
    let (house, caller) = publishing(|_| {}).await;
    // The record is locked when it is read back, and M3 has not deleted it.
    let locked = r#"{"nok":{"id":"WIT0108","field":"ITNO","text":"A00008 is being updated by another user"}}"#;
    house.faults(&format!(
        r#"{{"rules":[{{"transaction":"DltItm","action":{{"answer":{{"records":[]}}}}}},
            {{"program":"MMS200MI","transaction":"Get","action":{locked}}}]}}"#
    ));
    done(&caller, "MMS200MI/DltItm?ITNO=A00008").await;
    until("it was tried", async || {
        let metrics = house.operations("/metrics").await.text();
        let failed = |line: &str| line.contains("documents_total") && line.contains("\"failed\"");
        metrics.lines().any(failed).then_some(())
    })
    .await;
    assert_eq!(documents(&house, "A00008"), [] as [String; 0]);
    house.faults(r#"{"rules":[]}"#);
    let document = told(&house, "A00008", 1).await.remove(0);
    assert!(document.contains("actionCode=\"Replace\""), "{document}");
}

#[tokio::test]
async fn a_part_that_was_deleted_is_a_document_of_the_whole() {
    let (house, caller) = publishing(|_| {}).await;
    done(&caller, "MMS200MI/UpdItmBasic?ITNO=A00009&ITDS=Before").await;
    let before = told(&house, "A00009", 1).await.remove(0);
    let place =
        before.split_once("<Facility><IDs><ID ").and_then(|(_, rest)| rest.split_once('>')).expect("a warehouse");
    let warehouse = place.1.split('<').next().unwrap_or_default().to_owned();
    done(&caller, &format!("MMS200MI/DltItmWhs?ITNO=A00009&WHLO={warehouse}")).await;
    let after = told(&house, "A00009", 2).await.remove(1);
    assert!(after.contains("actionCode=\"Replace\""), "{after}");
    let many = |text: &str| text.matches("<ItemLocation>").count();
    assert_eq!(many(&after) + 1, many(&before), "{after}");
}

#[tokio::test]
async fn an_order_that_was_approved_is_a_state_and_a_request() {
    let (house, caller) = publishing(|_| {}).await;
    done(&caller, "PPS200MI/ApprovePO?PUNO=2000003").await;
    let documents = told(&house, "2000003", 2).await;
    for root in ["<SyncPurchaseOrder ", "<ProcessPurchaseOrder "] {
        assert!(documents.iter().any(|document| document.contains(root)), "{root}: {documents:?}");
    }
    assert!(documents.iter().all(|document| document.contains(">2000003</ID>")), "{documents:?}");
}

#[tokio::test]
async fn a_row_of_the_publishers_table_holds_for_its_documents() {
    let row = Rule {
        document: Some("Sync.PurchaseOrder".into()),
        company: Company::new(100).ok(),
        entity: Some(Entity::Company),
        location: Some(Location::Fixed("FR1".into())),
        bod_id: Some(BodId::InforNid),
        tenant: Some("ACME_TST".into()),
        logical_id: Some("lid://acme.m3".into()),
        confirmation: Some(ConfirmationCode::Always),
        ..Rule::default()
    };
    let process = Rule { document: Some("Process.PurchaseOrder".into()), mode: Some(Mode::Off), ..Rule::default() };
    let (house, caller) = publishing(|settings| settings.publish.rules = vec![row, process]).await;
    done(&caller, "PPS200MI/UpdHead?PUNO=2000001&YRE1=By%20the%20table").await;
    let document = told(&house, "2000001", 1).await.remove(0);
    for part in [
        "<LogicalID>lid://acme.m3</LogicalID>",
        "<ConfirmationCode>Always</ConfirmationCode>",
        "<BODID>infor-nid:ACME_TST:100:FR1:2000001:",
        "?PurchaseOrder&amp;verb=Sync</BODID>",
        "<TenantID>ACME_TST</TenantID>",
        "<AccountingEntityID>100</AccountingEntityID>",
        "<LocationID>FR1</LocationID>",
        "accountingEntity=\"100\" location=\"FR1\"",
        "lid=\"lid://acme.m3\"",
    ] {
        assert!(document.contains(part), "{part}: {document}");
    }
    done(&caller, "PPS200MI/ApprovePO?PUNO=2000003").await;
    told(&house, "2000003", 1).await;
    quiet(&house).await;
    assert_eq!(documents(&house, "2000003").len(), 1, "the request is switched off");
    let none = Rule { location: Some(Location::None), ..Rule::default() };
    let (house, caller) = publishing(|settings| settings.publish.rules = vec![none]).await;
    done(&caller, "PPS200MI/UpdHead?PUNO=2000001&YRE1=Nowhere").await;
    let document = told(&house, "2000001", 1).await.remove(0);
    assert!(!document.contains("<LocationID>") && !document.contains(" location="), "{document}");
    assert!(document.contains("<AccountingEntityID>100_"), "{document}");
}

#[tokio::test]
async fn a_sites_mapping_is_what_the_running_gateway_publishes() {
    let site = Source {
        name: "item.toml".into(),
        text: r#"
noun = "ItemMaster"
extends = "shipped"
[document]
without = ["ItemMasterHeader/Description#long"]
elements = [
  { property = "acme.Owner", in = "ItemMasterHeader", value = "head.RESP | or('nobody')" },
  { path = "ItemMasterHeader/custom:Shelf", value = "'S1'", when = "head.ITTY" },
]
"#
        .into(),
    };
    let (house, caller) = publishing(|settings| {
        let all = shipped().expect("shipped mappings");
        let own = Mapping::parse_over(&site, &all).expect("no fault");
        let mut mappings: Vec<Mapping> = all.into_iter().filter(|known| known.noun() != own.noun()).collect();
        mappings.push(own);
        settings.publish.mappings = Arc::new(mappings);
    })
    .await;
    done(&caller, "MMS200MI/UpdItmBasic?ITNO=A00003&ITDS=Ours").await;
    let document = told(&house, "A00003", 1).await.remove(0);
    assert!(document.contains("<custom:Shelf>S1</custom:Shelf>"), "{document}");
    assert!(document.contains("name=\"acme.Owner\" type=\"StringType\""), "{document}");
    assert!(document.contains(">Ours</Description>"), "{document}");
}

#[tokio::test]
async fn writes_of_one_entry_are_one_document_and_those_that_m3_refused_cause_none() {
    let (house, caller) = publishing(|settings| settings.publish.quiet = Duration::from_millis(700)).await;
    let lines: Vec<String> = (1..=5)
        .map(|at| format!(r#"{{"transaction":"UpdItmBasic","record":{{"ITNO":"A00004","ITDS":"Number {at}"}}}}"#))
        .collect();
    let refused = r#"{"transaction":"UpdItmBasic","record":{"ITNO":"NOSUCH","ITDS":"x"}}"#;
    let body = format!(r#"{{"program":"MMS200MI","transactions":[{},{refused}]}}"#, lines.join(","));
    let path = "/DEMO_TST/M3/m3api-rest/v2/execute";
    let headers = [("content-type", "application/json")];
    let reply = caller.send(http::Method::POST, path, &headers, body.into()).await.json();
    assert_eq!(reply["nrOfSuccessfullTransactions"], 5, "{reply}");
    told(&house, "A00004", 1).await;
    quiet(&house).await;
    let documents = documents(&house, "A00004");
    assert_eq!(documents.len(), 1, "{documents:?}");
    assert!(documents[0].contains(">Number 5</Description>"), "{documents:?}");
    assert_eq!(self::documents(&house, "NOSUCH"), [] as [String; 0]);
}

#[tokio::test]
async fn a_full_outbox_takes_on_nothing_says_so_and_reads_go_on() {
    let (house, caller) = publishing(|settings| settings.outbox.most_bytes = 1).await;
    let refused = caller.m3("MMS200MI/UpdItmBasic?ITNO=A00001&ITDS=x").await;
    assert_eq!(refused.problem(), "outbox-unavailable");
    assert!(refused.text().contains("full"), "{}", refused.text());
    assert!(!house.asked().iter().any(|call| call.contains("UpdItmBasic")), "M3 is not asked");
    until("readiness says so", async || {
        let ready = house.operations("/readyz").await.text();
        ready.contains("raise outbox.most_mib").then_some(())
    })
    .await;
    let read = caller.m3("MMS200MI/Get?ITNO=A00001").await;
    assert_eq!(read.records().len(), 1, "{}", read.text());
}

#[tokio::test]
async fn while_m3_is_away_documents_wait_and_none_is_parked() {
    if over_rest() {
        return;
    }
    let (house, caller) = publishing(|settings| settings.publish.tries = 1).await;
    // The publisher is not let in to read: its sessions end before they answer.
    house.faults(r#"{"rules":[{"program":"MMS200MI","transaction":"Get","action":"drop_before"}]}"#);
    done(&caller, "MMS200MI/UpdItmBasic?ITNO=A00002&ITDS=Later").await;
    until("it was tried", async || {
        let waits = |entry: &Value| entry["kind"] == "document" && entry["reason"].is_string();
        listed(&house).await.iter().any(waits).then_some(())
    })
    .await;
    assert!(listed(&house).await.iter().all(|entry| entry["state"] != "parked"), "{:?}", listed(&house).await);
    house.faults(r#"{"rules":[]}"#);
    assert!(told(&house, "A00002", 1).await[0].contains(">Later</Description>"));
}

/// An order entered under a message, and not handed over yet: the message and the order.
async fn entered(caller: &Caller) -> (String, String) {
    let text = |reply: &crate::house::Reply, name: &str| reply.records()[0][name].as_str().expect(name).to_owned();
    let message = text(&caller.m3("PPS370MI/StartEntry?BAOR=TESTS").await, "MSGN");
    let head = format!("PPS370MI/AddHead?MSGN={message}&FACI=A01&WHLO=001&SUNO=S00001&DWDT=20270301");
    let order = text(&caller.m3(&head).await, "PUNO");
    done(caller, &format!("PPS370MI/AddLine?MSGN={message}&PUNO={order}&ITNO=A00001&ORQA=5")).await;
    (message, order)
}

async fn watched(house: &House, state: &str) -> Value {
    until(&format!("an entry that is {state}"), async || {
        let of = |entry: &Value| entry["kind"] == "entry" && entry["state"] == state;
        listed(house).await.into_iter().find(of)
    })
    .await
}

#[tokio::test]
async fn an_order_of_a_batch_entry_is_told_once_m3_has_created_it() {
    let (house, caller) = publishing(|_| {}).await;
    let (message, order) = entered(&caller).await;
    quiet(&house).await;
    assert_eq!(documents(&house, &order), [] as [String; 0], "it is entered, and no order yet");
    // The batch stops for a person.
    let waiting = format!(r#"{{"records":[{{"PUNO":"{order}","MSGN":"{message}","STAT":"20"}}]}}"#);
    house.faults(&format!(r#"{{"rules":[{{"transaction":"GetBatchHead","action":{{"answer":{waiting}}}}}]}}"#));
    done(&caller, &format!("PPS370MI/FinishEntry?MSGN={message}")).await;
    let entry = watched(&house, "watched").await;
    assert_eq!((&entry["batch"], &entry["key"][0]), (&Value::from(message.as_str()), &Value::from(order.as_str())));
    until("M3 was asked", async || house.asked().iter().any(|call| call.contains("GetBatchHead")).then_some(())).await;
    assert_eq!(documents(&house, &order), [] as [String; 0], "no document of an order that is not there");
    house.faults(r#"{"rules":[]}"#);
    let document = told(&house, &order, 1).await.remove(0);
    assert!(document.contains("<SyncPurchaseOrder ") && document.contains("<PurchaseOrderLine>"), "{document}");
    assert!(!listed(&house).await.iter().any(|entry| entry["kind"] == "entry"), "and nothing is watched any more");
}

#[tokio::test]
async fn what_m3_refuses_of_a_batch_entry_is_shown_with_its_reason_and_asked_again_by_hand() {
    let (house, caller) = publishing(|_| {}).await;
    let (message, order) = entered(&caller).await;
    let refused = format!(
        r#"{{"records":[{{"PUNO":"{order}","STAT":"20","MSID":"WSU0103","MSGD":"Supplier does not exist"}}]}}"#
    );
    house.faults(&format!(r#"{{"rules":[{{"transaction":"GetBatchHead","action":{{"answer":{refused}}}}}]}}"#));
    done(&caller, &format!("PPS370MI/FinishEntry?MSGN={message}")).await;
    let entry = watched(&house, "failed").await;
    assert_eq!(entry["reason"], "WSU0103 Supplier does not exist");
    // Somebody mended it in M3, and says so.
    house.faults(r#"{"rules":[]}"#);
    let ledger = Ledger::open(&house.state.path().join("outbox")).await.expect("the outbox");
    let who = Operator { by: "tests".into(), reason: "mended in M3".into() };
    ledger.replay(entry["id"].as_str().expect("an id"), false, &who).await.expect("asked again");
    ledger.close().await;
    told(&house, &order, 1).await;
}

#[tokio::test]
async fn a_temporary_order_is_told_under_the_number_that_it_gets() {
    let (house, caller) = publishing(|_| {}).await;
    let text = |reply: &crate::house::Reply| reply.records()[0]["ORNO"].as_str().expect("a number").to_owned();
    let entered = text(&caller.m3("OIS100MI/AddBatchHead?CUNO=C00001&ORTP=A01&FACI=A01").await);
    done(&caller, &format!("OIS100MI/AddBatchLine?ORNO={entered}&ITNO=A00001&ORQT=3")).await;
    let real = text(&caller.m3(&format!("OIS100MI/Confirm?ORNO={entered}")).await);
    assert_ne!(entered, real);
    let document = told(&house, &real, 1).await.remove(0);
    assert!(document.contains("<SyncSalesOrder ") && document.contains("<SalesOrderLine>"), "{document}");
    quiet(&house).await;
    assert_eq!(documents(&house, &entered), [] as [String; 0]);
}

#[tokio::test]
async fn a_receiver_is_told_of_a_record_that_leaves_its_filter() {
    let (house, caller) = publishing(|settings| {
        let mut filter = Filter::default().with("ItemMasterHeader/Description = 'Ours'").expect("a condition");
        filter.on_leave = OnLeave::Delete;
        settings.points = vec![folder("bods", &settings.state, filter)];
    })
    .await;
    done(&caller, "MMS200MI/UpdItmBasic?ITNO=A00006&ITDS=Not%20yet").await;
    quiet(&house).await;
    assert_eq!(documents(&house, "A00006"), [] as [String; 0], "the filter keeps it away");
    done(&caller, "MMS200MI/UpdItmBasic?ITNO=A00006&ITDS=Ours").await;
    told(&house, "A00006", 1).await;
    for name in ["Theirs", "Still%20theirs"] {
        done(&caller, &format!("MMS200MI/UpdItmBasic?ITNO=A00006&ITDS={name}")).await;
        quiet(&house).await;
    }
    let documents = told(&house, "A00006", 2).await;
    assert_eq!(documents.len(), 2, "once: {documents:?}");
    assert!(documents[1].contains("actionCode=\"Delete\""), "{documents:?}");
}
