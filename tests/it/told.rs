//! What is published of what was written: the record as M3 has it, deletes as they were, as the publisher's table says.

use crate::house::over_rest;
use crate::publisher::{documents, done, listed, publishing, quiet, told, until};
use http::Method;
use mi_gateway::bod::{Action, ConfirmationCode, Mapping, Source, shipped};
use mi_gateway::model::Company;
use mi_gateway::relay::{BodId, Entity, Location, Mode, Rule};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

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
async fn a_bulk_call_is_told_as_one_unit_however_long_it_takes() {
    if over_rest() {
        return;
    }
    let (house, caller) = publishing(|settings| {
        (settings.publish.quiet, settings.publish.most_wait) = (Duration::ZERO, Duration::from_millis(50));
    })
    .await;
    house.faults(r#"{"rules":[{"program":"MMS200MI","transaction":"UpdItmBasic","latency_ms":300}]}"#);
    let change =
        |item: &str, name: &str| json!({ "transaction": "UpdItmBasic", "record": { "ITNO": item, "ITDS": name } });
    let all = [change("A00009", "One"), change("NOSUCH", "No"), change("A00009", "Two"), change("A00009", "Three")];
    let body = json!({ "program": "MMS200MI", "cono": 100, "transactions": all });
    let path = "/DEMO_TST/M3/m3api-rest/v2/execute";
    let form = [("content-type", "application/json")];
    let reply = caller.send(Method::POST, path, &form, body.to_string().into()).await.json();
    assert_eq!((&reply["nrOfSuccessfullTransactions"], &reply["nrOfFailedTransactions"]), (&json!(3), &json!(1)));
    let document = told(&house, "A00009", 1).await.remove(0);
    assert!(document.contains(">Three<"), "{document}");
    quiet(&house).await;
    assert_eq!(documents(&house, "A00009").len(), 1, "one of all that it wrote to the record");
    assert_eq!(documents(&house, "NOSUCH"), [] as [String; 0], "what failed causes nothing");
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
    let number = |document: &String| {
        let after = document.split("variationID=\"").nth(1).expect("a number");
        after.split('"').next().and_then(|text| text.parse::<u64>().ok()).expect("a number")
    };
    assert!(number(&documents[0]) < number(&documents[1]), "a receiver's order check looks at no verb: {documents:?}");
    assert!(documents[0].contains("<SyncPurchaseOrder "), "the state comes first: {documents:?}");
}

#[tokio::test]
async fn a_bod_id_that_says_what_it_is_of_and_would_be_too_long_is_a_uuid() {
    let row = |tenant: String| Rule { bod_id: Some(BodId::InforNid), tenant: Some(tenant), ..Rule::default() };
    // All of it but the tenant.
    for (tenant, short) in [("T", true), ("T".repeat(40).as_str(), true), ("T".repeat(250).as_str(), false)] {
        let (house, caller) = publishing(|settings| settings.publish.rules = vec![row(tenant.to_owned())]).await;
        done(&caller, "MMS200MI/UpdItmBasic?ITNO=A00009&ITDS=Named").await;
        let document = told(&house, "A00009", 1).await.remove(0);
        let id = document.split("<BODID>").nth(1).and_then(|rest| rest.split('<').next()).expect("an id");
        assert!(id.len() <= 255 && id.starts_with("infor-nid:") == short, "{}: {id}", tenant.len());
        assert_eq!(uuid::Uuid::try_parse(id).is_ok(), !short, "{id}");
        house.stop().await;
    }
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
        ":2000001:?PurchaseOrder&amp;verb=Sync&amp;variationID=",
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
    // What was changed is told as the row says, and what was deleted as deleted.
    let row = Rule { document: Some("Sync.ItemMaster".into()), action: Some(Action::Change), ..Rule::default() };
    let (house, caller) = publishing(|settings| settings.publish.rules = vec![row]).await;
    done(&caller, "MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=ROW&ITDS=As%20the%20row%20says").await;
    let changed = told(&house, "ROW", 1).await.remove(0);
    assert!(changed.contains("actionCode=\"Change\""), "{changed}");
    done(&caller, "MMS200MI/DltItm?ITNO=ROW").await;
    let deleted = told(&house, "ROW", 2).await.remove(1);
    assert!(deleted.contains("actionCode=\"Delete\""), "{deleted}");
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

#[tokio::test]
async fn a_shadow_is_made_and_kept_and_sent_to_nobody() {
    let (house, caller) = publishing(|settings| {
        settings.publish.rules = vec![Rule { mode: Some(Mode::Shadow), ..Rule::default() }];
    })
    .await;
    done(&caller, "MMS200MI/UpdItmBasic?ITNO=A00002&ITDS=Shadow").await;
    let made = until("it is made", async || {
        listed(&house).await.into_iter().find(|entry| entry["kind"] == "message" && entry["document_id"] == "A00002")
    })
    .await;
    assert_eq!(made["state"], "no-route", "{made}");
    quiet(&house).await;
    assert_eq!(documents(&house, "A00002"), [] as [String; 0]);
}

#[tokio::test]
async fn writes_go_on_without_an_outbox_where_none_is_required() {
    for required in [true, false] {
        let (house, caller) = publishing(|settings| {
            settings.outbox.most_bytes = 1;
            settings.outbox.required = required;
        })
        .await;
        let reply = caller.m3("MMS200MI/UpdItmBasic?ITNO=A00001&ITDS=Untold").await;
        if required {
            assert_eq!(reply.problem(), "outbox-unavailable");
        } else {
            assert_eq!(reply.json()["nrOfSuccessfullTransactions"], 1, "{}", reply.text());
        }
        assert_eq!(house.asked().iter().any(|call| call.contains("UpdItmBasic")), !required);
    }
}

#[tokio::test]
async fn only_an_address_that_goods_are_sent_to_is_a_ship_to_party_and_its_file_is_named_as_it_is() {
    let (house, caller) = publishing(|_| {}).await;
    for kind in ["2", "1"] {
        let named = format!("CUNO=C00005&ADRT={kind}&ADID=WH9&CUNM=Depot&CUA1=Street&PONO=10115&TOWN=Berlin&CSCD=DE");
        done(&caller, &format!("CRS610MI/AddAddress?{named}")).await;
    }
    let told = told(&house, "C00005_WH9", 1).await;
    quiet(&house).await;
    assert!(told[0].contains(">C00005_WH9</ID>") && told[0].contains(">1<"), "{told:?}");
    done(&caller, "CRS610MI/DeleteAddress?CUNO=C00005&ADRT=2&ADID=WH9").await;
    quiet(&house).await;
    assert_eq!(documents(&house, "C00005_WH9").len(), 1, "an invoice address is no ship-to party, gone or not");
}

#[tokio::test]
async fn records_that_m3_never_shows_hold_up_no_others_and_are_parked() {
    if over_rest() {
        return;
    }
    let (house, caller) = publishing(|settings| settings.publish.tries = 2).await;
    house.faults(r#"{"rules":[{"program":"MMS200MI","transaction":"Get","action":"drop_before"}]}"#);
    for at in 1..=9 {
        done(&caller, &format!("MMS200MI/UpdItmBasic?ITNO=A0000{at}&ITDS=Never")).await;
    }
    let mut others = 0;
    until("some are parked, and others are told all the while", async || {
        others += 1;
        done(&caller, &format!("PPS200MI/UpdHead?PUNO=2000001&YRE1=Told{others}")).await;
        told(&house, "2000001", others).await;
        let parked = |entry: &Value| entry["kind"] == "document" && entry["state"] == "parked";
        (others >= 3 && listed(&house).await.iter().any(parked)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_write_that_no_document_tells_of_is_counted() {
    let (house, caller) = publishing(|_| {}).await;
    done(&caller, "PPS370MI/StartEntry?BAOR=TESTS").await;
    done(&caller, "MMS200MI/UpdItmBasic?ITNO=A00001&ITDS=Told").await;
    let metrics = house.operations("/metrics").await.text();
    let counted = |program: &str| {
        metrics
            .lines()
            .any(|line| line.contains("writes_untold_total") && line.contains(program) && line.ends_with(" 1"))
    };
    assert!(counted("PPS370MI") && !counted("MMS200MI"), "{metrics}");
}
