//! Two publishers beside each other: what is made in shadow is compared with what M3's own publisher tells, and sent nowhere.

use crate::fabric::{Fabric, ITEM, accepted, deflated, head, operate, parts, posted, say, until};
use crate::house::{Reply, text};
use http::StatusCode;
use mi_gateway::gateway::InboundRole;
use mi_gateway::points::Answers;
use mi_gateway::relay::{Mode, Rule};
use serde_json::{Value, json};
use std::time::Duration;

const M3: &str = "lid://infor.m3.m3";

/// A house whose items are in shadow, and beside it the client `crm` as M3's own publisher.
async fn shadowing(compare: Duration) -> Fabric {
    Fabric::with(Answers::default(), move |settings| {
        let document = Some("Sync.ItemMaster".to_owned());
        settings.publish.rules = vec![Rule { document, mode: Some(Mode::Shadow), ..Rule::default() }];
        settings.publish.compare = compare;
        settings.gateway.inbound.shadowed = vec!["Sync.ItemMaster".into()];
        let sender = &mut settings.gateway.inbound.senders[1];
        (sender.logical_ids, sender.role) = (vec![M3.into()], InboundRole::M3sPublisher);
    })
    .await
}

async fn listed(fabric: &Fabric, wanted: Value) -> Vec<Value> {
    let listed = operate(&fabric.house, "/outbox/list", &wanted).await.json();
    listed["entries"].as_array().expect("entries").clone()
}

async fn add(fabric: &Fabric, item: &str) {
    let added = fabric.demo.m3(&format!("{ITEM}={item}")).await;
    assert_eq!(added.json()["nrOfSuccessfullTransactions"], 1, "{}", added.text());
}

/// The newest message of an item, once it is in this state.
async fn message(fabric: &Fabric, item: &str, state: &str) -> Value {
    let mut id = String::new();
    until(&format!("{item} is {state}"), async || {
        let found = listed(fabric, json!({ "key": item, "noun": "ItemMaster" })).await;
        let newest = found.iter().find(|entry| entry["kind"] == "message");
        id = newest.map(|entry| text(entry, "id").to_owned()).unwrap_or_default();
        newest.is_some_and(|entry| entry["compared"] == state && entry["state"] == "no-route")
    })
    .await;
    fabric.shown(&id).await
}

/// What M3's own publisher makes of the same record.
fn theirs(ours: &str, bod_id: &str) -> String {
    let element = |name: &str| {
        let begin = ours.find(&format!("<{name}>")).expect("it is there") + name.len() + 2;
        &ours[begin..begin + ours[begin..].find('<').expect("its end")]
    };
    ours.replace(element("BODID"), bod_id)
        .replace(element("CreationDateTime"), "2026-03-01T12:00:00.000Z")
        .replace("lid://mi-gateway.m3", M3)
        .replace("variationID=\"", "variationID=\"9")
        .replace("><", ">\n<")
}

async fn published(fabric: &Fabric, name: &str, message: &str, document: &str) -> Reply {
    posted(&fabric.crm, parts(&head(name, message, M3), &deflated(document.as_bytes()))).await
}

async fn counted(fabric: &Fabric, result: &str, times: u64) {
    let line = format!("mi_gateway_shadow_compared_total{{document=\"Sync.ItemMaster\",result=\"{result}\"}} {times}");
    until(&line, async || fabric.metrics().await.contains(&line)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_in_shadow_is_compared_with_m3s_own_and_sent_nowhere() {
    let fabric = shadowing(Duration::from_secs(600)).await;
    add(&fabric, "TWICE").await;
    let first = message(&fabric, "TWICE", "shadow").await;
    assert_eq!((&first["shadow"], &first["comparison"], &first["points"]), (&json!(true), &Value::Null, &json!([])));
    let same = theirs(text(&first, "xml"), "of-m3-1");
    for _ in 0..2 {
        let reply = published(&fabric, "Sync.ItemMaster", "m-1", &same).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text());
    }
    let first = message(&fabric, "TWICE", "same").await;
    let compared = &first["comparison"];
    assert_eq!((&compared["bod_id"], &compared["logical_id"]), (&json!("of-m3-1"), &json!(M3)), "{first}");
    counted(&fabric, "same", 1).await;
    // M3 tells of a state that is not made here yet, and then that is.
    let description = "<Description type=\"Item\">Told</Description>";
    let other = same.replace("of-m3-1", "of-m3-2").replace(description, &description.replace("Told", "Newer"));
    assert_ne!(same.replace("of-m3-1", "of-m3-2"), other);
    published(&fabric, "Sync.ItemMaster", "m-2", &other).await;
    until("it waits", async || !listed(&fabric, json!({ "state": "waiting" })).await.is_empty()).await;
    assert_eq!(message(&fabric, "TWICE", "same").await["id"], first["id"], "what was the same is no other now");
    fabric.demo.m3("MMS200MI/UpdItmBasic?ITNO=TWICE&ITDS=Newer").await;
    until("there is another", async || listed(&fabric, json!({ "key": "TWICE", "state": "same" })).await.len() == 2)
        .await;
    counted(&fabric, "same", 2).await;
    assert!(listed(&fabric, json!({ "state": "waiting" })).await.is_empty());
    assert_eq!(fabric.at_wms.named("Sync.ItemMaster").len(), 0, "nothing of it is sent");
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_two_differ_each_place_is_shown_and_what_nobody_made_here_is_counted() {
    let fabric = shadowing(Duration::from_secs(3)).await;
    add(&fabric, "OTHER").await;
    let ours = message(&fabric, "OTHER", "shadow").await;
    let other = theirs(text(&ours, "xml"), "of-m3-1").replace(">Told<", ">Changed on a screen<");
    published(&fabric, "Sync.ItemMaster", "m-1", &other).await;
    let shown = message(&fabric, "OTHER", "different").await;
    let found = &shown["comparison"]["first"][0];
    assert_eq!((&found["ours"], &found["theirs"]), (&json!("Told"), &json!("Changed on a screen")), "{shown}");
    assert!(text(found, "path").ends_with("ItemMasterHeader/Description"), "{shown}");
    let nobodys = other.replace("OTHER", "NOBODYS").replace("of-m3-1", "of-m3-2");
    published(&fabric, "Sync.ItemMaster", "m-2", &nobodys).await;
    let waits = listed(&fabric, json!({ "state": "waiting", "key": "NOBODYS" })).await;
    assert_eq!((waits.len(), &waits[0]["kind"]), (1, &json!("theirs")), "{waits:?}");
    counted(&fabric, "different", 1).await;
    counted(&fabric, "alone", 1).await;
    assert!(listed(&fabric, json!({ "state": "waiting" })).await.is_empty(), "for a time that is bounded");
    message(&fabric, "OTHER", "different").await;
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_m3s_own_publisher_has_documents_taken_and_only_those_that_are_in_shadow() {
    let fabric = shadowing(Duration::from_secs(600)).await;
    add(&fabric, "TAKEN").await;
    let ours = message(&fabric, "TAKEN", "shadow").await;
    let item = theirs(text(&ours, "xml"), "of-m3-1");
    let by_wms = parts(&head("Sync.ItemMaster", "m-1", crate::fabric::WMS), &deflated(item.as_bytes()));
    assert_eq!(posted(&fabric.wms, by_wms).await.problem(), "document-not-configured");
    let order = item.replace("ItemMaster", "PurchaseOrder");
    let refused = published(&fabric, "Sync.PurchaseOrder", "m-2", &order).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (StatusCode::PRECONDITION_FAILED, "document-not-configured")
    );
    let word = say(&fabric.crm, "m-3", M3, &accepted(text(&ours, "id"))).await;
    assert_eq!(word.problem(), "not-its-document", "{}", word.text());
    let nameless = item.replace("variationID", "revisionID");
    assert_eq!(published(&fabric, "Sync.ItemMaster", "m-4", &nameless).await.status, StatusCode::ACCEPTED);
    assert!(listed(&fabric, json!({ "state": "waiting" })).await.is_empty(), "it says of nothing what it is");
    let discovery = crate::fabric::SERVICE.to_owned() + "/v3/discovery";
    let told = fabric.crm.send(http::Method::POST, &discovery, &[crate::fabric::TENANT], bytes::Bytes::new()).await;
    assert!(told.json()["receives"].to_string().contains("Sync.ItemMaster"), "{}", told.text());
    message(&fabric, "TAKEN", "shadow").await;
    fabric.house.stop().await;
}
