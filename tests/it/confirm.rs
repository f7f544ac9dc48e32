//! What receivers say of documents that they were sent: what a word changes, what comes twice or late, what silence does.

use crate::fabric::{
    Fabric, TENANT, WMS, about, accepted, deflated, document, head, operate, parts, posted, rejected, say, states,
    until,
};
use crate::house::text;
use crate::receiver::element;
use http::{Method, StatusCode};
use mi_gateway::bod::ConfirmationCode;
use mi_gateway::points::Answers;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_receivers_word_settles_the_delivery_that_it_speaks_of_and_comes_twice_for_nothing() {
    let fabric = Fabric::start().await;
    let bod_id = fabric.item("CONFIRMED").await;
    assert_eq!(fabric.state(&bod_id).await, "delivered");
    for _ in 0..2 {
        let reply = say(&fabric.wms, "m-1", WMS, &accepted(&bod_id)).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::ACCEPTED, json!({ "status": "OK" })), "{}", reply.text());
    }
    let way = fabric.way(&bod_id).await;
    assert_eq!((text(&way, "state"), states(&way).as_str()), ("confirmed", "sent delivered confirmed"));
    // The first final word wins; what comes late is no fault, and is remembered.
    assert_eq!(say(&fabric.wms, "m-2", WMS, &rejected(&bod_id, "late")).await.status, StatusCode::ACCEPTED);
    let way = fabric.way(&bod_id).await;
    assert_eq!(text(&way, "state"), "confirmed");
    assert!(text(&way["history"][3], "words").contains("late"), "{way}");
    let other = say(&fabric.wms, "m-1", WMS, &rejected(&bod_id, "another message")).await;
    assert_eq!((other.status, other.problem().as_str()), (StatusCode::BAD_REQUEST, "message-unreadable"));
    let metrics = fabric.metrics().await;
    for (result, times) in [("confirmed", 1), ("late", 1)] {
        let line = format!(
            "mi_gateway_confirmations_total{{document=\"Sync.ItemMaster\",point=\"wms\",result=\"{result}\"}} {times}"
        );
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    assert!(
        metrics.contains("mi_gateway_delivery_seconds_count{document=\"Sync.ItemMaster\",point=\"wms\"} 1"),
        "{metrics}"
    );
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_fails_the_delivery_with_its_reason_and_it_can_be_sent_again() {
    let fabric = Fabric::start().await;
    let bod_id = fabric.item("REFUSED").await;
    // The older form, not packed: JSON.
    let mut message = head("Confirm.BOD", "m-1", WMS);
    message["document"] =
        json!({ "value": rejected(&bod_id, "No such warehouse"), "encoding": "NONE", "characterSet": "UTF-8" });
    let path = "/service/v2/message";
    let reply = fabric
        .wms
        .send(Method::POST, path, &[("content-type", "application/json"), TENANT], message.to_string().into())
        .await;
    assert_eq!((reply.status, reply.json()["status"].as_str()), (StatusCode::CREATED, Some("OK")), "{}", reply.text());
    let way = fabric.way(&bod_id).await;
    assert_eq!((text(&way, "state"), states(&way).as_str()), ("failed", "sent delivered failed"));
    assert!(text(&way, "reason").starts_with("E7: No such warehouse"), "{way}");
    let again =
        operate(&fabric.house, "/outbox/replay", &json!({ "state": "failed", "noun": "ItemMaster", "point": "wms" }))
            .await;
    assert_eq!(again.json()["replayed"], 1, "{}", again.text());
    until("it is there once more", async || fabric.state(&bod_id).await == "delivered").await;
    let times =
        fabric.at_wms.named("Sync.ItemMaster").iter().filter(|(head, _)| head["bodId"] == bod_id.as_str()).count();
    assert_eq!(times, 2, "under one BODID");
    say(&fabric.wms, "m-2", WMS, &accepted(&bod_id)).await;
    let way = fabric.way(&bod_id).await;
    assert_eq!(states(&way), "sent delivered failed replayed sent delivered confirmed");
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_where_an_answer_must_come_expires_and_raises_an_alert() {
    let always = Answers { code: Some(ConfirmationCode::Always), within: Duration::from_millis(200) };
    let fabric = Fabric::with(always, |_| {}).await;
    let bod_id = fabric.item("SILENT").await;
    let (_, asked) = fabric.at_wms.named("Sync.ItemMaster").remove(0);
    assert_eq!(element(&asked, "ConfirmationCode"), "Always", "{asked}");
    until("it expires", async || fabric.state(&bod_id).await == "expired").await;
    let alert = "mi_gateway_deliveries_expired{document=\"Sync.ItemMaster\",point=\"wms\"} 1";
    until("the alert", async || fabric.metrics().await.contains(alert)).await;
    assert_eq!(say(&fabric.wms, "m-1", WMS, &accepted(&bod_id)).await.status, StatusCode::ACCEPTED);
    let way = fabric.way(&bod_id).await;
    assert_eq!((text(&way, "state"), states(&way).as_str()), ("expired", "sent delivered expired expired"), "too late");
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_in_time_lets_nothing_expire_and_never_asks_for_nothing() {
    let always = Answers { code: Some(ConfirmationCode::Always), within: Duration::from_secs(600) };
    let fabric = Fabric::with(always, |settings| settings.publish.confirmation = ConfirmationCode::Never).await;
    let bod_id = fabric.item("ANSWERED").await;
    assert!(fabric.way(&bod_id).await["answer_by"].is_string(), "it is waited for");
    say(&fabric.wms, "m-1", WMS, &accepted(&bod_id)).await;
    let way = fabric.way(&bod_id).await;
    assert_eq!((text(&way, "state"), &way["answer_by"]), ("confirmed", &Value::Null));
    // The other point asks for what the publisher does.
    fabric.demo.m3("CRS610MI/ChgBasicData?CUNO=C00001&CUNM=Changed").await;
    until("the customer", async || !fabric.at_crm.named("Sync.CustomerPartyMaster").is_empty()).await;
    let (head, customer) = fabric.at_crm.named("Sync.CustomerPartyMaster").remove(0);
    assert_eq!(element(&customer, "ConfirmationCode"), "Never");
    let bod_id = text(&head, "bodId");
    until("it is delivered", async || fabric.state(bod_id).await == "delivered").await;
    assert_eq!(fabric.way(bod_id).await["answer_by"], Value::Null);
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledge_answers_a_request_and_no_other_document() {
    let fabric = Fabric::start().await;
    let approved = fabric.demo.m3("PPS200MI/ApprovePO?PUNO=2000003").await;
    assert_eq!(approved.json()["nrOfSuccessfullTransactions"], 1, "{}", approved.text());
    until("the request", async || !fabric.at_wms.named("Process.PurchaseOrder").is_empty()).await;
    until("the state", async || !fabric.at_wms.named("Sync.PurchaseOrder").is_empty()).await;
    let id = |name: &str| text(&fabric.at_wms.named(name)[0].0, "bodId").to_owned();
    let acknowledge = |bod_id: &str, code: &str| {
        let said = format!("<ResponseCriteria><ResponseExpression actionCode=\"{code}\"/></ResponseCriteria>");
        document("AcknowledgePurchaseOrder", "Always", &format!("<Acknowledge>{}{said}</Acknowledge>", about(bod_id)))
    };
    let answer = async |message: &str, document: &str| {
        let head = head("Acknowledge.PurchaseOrder", message, WMS);
        posted(&fabric.wms, parts(&head, &deflated(document.as_bytes()))).await
    };
    let state = answer("m-1", &acknowledge(&id("Sync.PurchaseOrder"), "Accepted")).await;
    assert_eq!(state.problem(), "not-its-document", "nobody asked for that to be done");
    let request = id("Process.PurchaseOrder");
    assert_eq!(answer("m-2", &acknowledge(&request, "Rejected")).await.status, StatusCode::ACCEPTED);
    assert_eq!(fabric.state(&request).await, "failed");
    // Whoever always wants to hear is told that his answer was of use.
    until("a ConfirmBOD", async || !fabric.at_wms.named("Confirm.BOD").is_empty()).await;
    let (_, told) = fabric.at_wms.named("Confirm.BOD").remove(0);
    assert!(told.contains("BODSuccessMessage") && told.contains("of-wms-7"), "{told}");
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_form_may_be_xml_and_is_bounded_as_json_is() {
    let fabric = Fabric::start().await;
    let bod_id = fabric.item("AS-XML").await;
    let packed =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, deflated(accepted(&bod_id).as_bytes()));
    let message = |message: &str, content: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><message><documentName>Confirm.BOD</documentName>\
             <messageId>{message}</messageId><fromLogicalId>{WMS}</fromLogicalId><toLogicalId>lid://default</toLogicalId>\
             <document>{content}</document></message>"
        )
    };
    let sent = async |kind: &'static str, body: String| {
        let headers = [("content-type", kind), TENANT];
        fabric.wms.send(Method::POST, "/service/v2/message", &headers, body.into()).await
    };
    let good = format!("<value>{packed}</value><encoding>DEFLATE</encoding><characterSet>UTF-8</characterSet>");
    let refused = [
        ("application/xml", message("m-1", "<value>not packed</value><encoding>DEFLATE</encoding>"), 400),
        ("application/xml", message("m-1", ""), 400),
        (
            "application/xml",
            message("m-1", &good).replace("<message>", "<!DOCTYPE m [<!ENTITY x \"y\">]><message>"),
            400,
        ),
        ("application/xml", message("m-1", &good.repeat(2)), 400),
        ("application/xml", "no xml".to_owned(), 400),
        ("text/plain", message("m-1", &good), 415),
    ];
    for (kind, body, status) in refused {
        let reply = sent(kind, body.clone()).await;
        assert_eq!(reply.status.as_u16(), status, "{body}: {}", reply.text());
    }
    let way = fabric.way(&bod_id).await;
    assert_eq!(states(&way), "sent delivered", "nothing came of these");
    let reply = sent("text/xml; charset=utf-8", message("m-1", &good)).await;
    assert_eq!((reply.status, reply.json()["status"].as_str()), (StatusCode::CREATED, Some("OK")), "{}", reply.text());
    // The document itself as text, escaped, of another message: a later word changes nothing.
    let bare = rejected(&bod_id, "Late").replace('&', "&amp;").replace('<', "&lt;");
    assert_eq!(
        sent("application/xml", message("m-2", &format!("<value>{bare}</value>"))).await.status,
        StatusCode::CREATED
    );
    let way = fabric.way(&bod_id).await;
    assert_eq!(text(&way, "state"), "confirmed", "{way}");
    fabric.house.stop().await;
}
