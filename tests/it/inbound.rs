//! The endpoints where receivers speak: whose word counts, what is of no use, what is made to harm.

use crate::fabric::{
    CRM, Fabric, KIND, PARTS, SERVICE, TENANT, WMS, accepted, deflated, document, head, operate, parts, posted,
    rejected, say, states, until,
};
use crate::house::{House, text};
use crate::receiver::element;
use bytes::Bytes;
use http::{Method, StatusCode};
use mi_gateway::points::Answers;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_of_what_was_sent_to_another_or_as_somebody_else() {
    let fabric = Fabric::start().await;
    let bod_id = fabric.item("MINE").await;
    let theirs = accepted(&bod_id);
    let cases = [
        (say(&fabric.crm, "m-1", CRM, &theirs).await, "not-its-document"),
        (say(&fabric.wms, "m-1", WMS, &accepted("never-sent")).await, "not-its-document"),
        (say(&fabric.crm, "m-1", WMS, &theirs).await, "sender-unknown"),
        (say(&fabric.wms, "m-1", "lid://infor.wms.south", &theirs).await, "sender-unknown"),
        (say(&fabric.scopeless, "m-1", CRM, &theirs).await, "scope-missing"),
        (say(&fabric.demo, "m-1", WMS, &theirs).await, "scope-missing"),
    ];
    for (reply, code) in &cases {
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, *code), "{}", reply.text());
        assert!(reply.json()["decision_id"].is_string(), "the audit log tells of it: {}", reply.text());
    }
    let packed = deflated(theirs.as_bytes());
    let body = parts(&head("Confirm.BOD", "m-1", WMS), &packed);
    let without = fabric.wms.send(Method::POST, PARTS, &[KIND], body.clone()).await;
    assert_eq!((without.status, without.problem().as_str()), (StatusCode::BAD_REQUEST, "message-unreadable"));
    let other = fabric.wms.send(Method::POST, PARTS, &[KIND, ("x-tenantid", "OTHER_PRD")], body.clone()).await;
    assert!(other.json()["decision_id"].is_string(), "the audit log tells of it: {}", other.text());
    assert_eq!((other.status, other.problem().as_str()), (StatusCode::FORBIDDEN, "tenant-mismatch"));
    let mut said = head("Confirm.BOD", "m-1", WMS);
    said["tenantId"] = "OTHER_PRD".into();
    assert_eq!(posted(&fabric.wms, parts(&said, &packed)).await.problem(), "tenant-mismatch");
    let mut stranger = fabric.wms.clone();
    stranger.token = None;
    assert_eq!(posted(&stranger, body).await.status, StatusCode::UNAUTHORIZED);
    let way = fabric.way(&bod_id).await;
    // On a machine that is busy it may have taken more than one try.
    assert!(
        text(&way, "state") == "delivered" && states(&way).ends_with("sent delivered"),
        "nothing came of it: {way}"
    );
    // A token for messages is good for nothing else.
    assert_eq!(fabric.wms.m3("CRS610MI/GetBasicData?CUNO=C00001").await.status, StatusCode::FORBIDDEN);
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_no_use_is_told_to_its_sender_once_and_a_confirm_bod_never() {
    let fabric = Fabric::start().await;
    let order = |code: &str| document("SyncPurchaseOrder", code, "<Sync/><PurchaseOrder/>");
    let sent = async |name: &str, message: &str, payload: Vec<u8>| {
        posted(&fabric.wms, parts(&head(name, message, WMS), &payload)).await
    };
    let silent = sent("Sync.PurchaseOrder", "m-0", deflated(order("Never").as_bytes())).await;
    assert_eq!(
        (silent.status, silent.problem().as_str()),
        (StatusCode::PRECONDITION_FAILED, "document-not-configured")
    );
    for _ in 0..2 {
        let reply = sent("Sync.PurchaseOrder", "m-1", deflated(order("OnError").as_bytes())).await;
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (StatusCode::PRECONDITION_FAILED, "document-not-configured")
        );
    }
    // What can't be unpacked was taken all the same: its sender learns of it in his own time.
    assert_eq!(sent("Acknowledge.PurchaseOrder", "m-2", b"not deflated".to_vec()).await.status, StatusCode::ACCEPTED);
    let doctype = format!("<!DOCTYPE x [<!ENTITY y \"z\">]>{}", order(""));
    assert_eq!(sent("Sync.PurchaseOrder", "m-3", deflated(doctype.as_bytes())).await.status, StatusCode::ACCEPTED);
    let useless = [b"no xml".to_vec(), accepted("").as_bytes()[..300].to_vec(), accepted("").into_bytes()];
    for (at, document) in useless.iter().enumerate() {
        let reply = sent("Confirm.BOD", &format!("c-{at}"), deflated(document)).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::BAD_REQUEST, "message-unreadable"), "{at}");
    }
    until("three are told", async || fabric.at_wms.named("Confirm.BOD").len() == 3).await;
    let codes = ["document-not-taken", "content-unreadable", "document-unreadable"];
    for ((head, told), code) in fabric.at_wms.named("Confirm.BOD").iter().zip(codes) {
        assert_eq!(element(told, "ReasonCode"), code, "in the order in which they came: {told}");
        assert_eq!((element(told, "ConfirmationCode"), text(head, "fromLogicalId")), ("Never", "lid://mi-gateway.m3"));
        assert_eq!(mi_gateway::bod::validate("ConfirmBOD", told), [], "{told}");
    }
    let (told, _) = fabric.at_wms.named("Confirm.BOD").remove(0);
    // It is shown like any other message, and nobody may answer it.
    let own = text(&told, "bodId");
    until("it is delivered", async || fabric.state(own).await == "delivered").await;
    assert_eq!(say(&fabric.wms, "m-9", WMS, &rejected(own, "I do not understand")).await.problem(), "not-its-document");
    let fresh = operate(&fabric.house, "/outbox/replay", &json!({ "id": own, "fresh": true })).await;
    assert_eq!(fresh.status, StatusCode::UNPROCESSABLE_ENTITY, "there is no record behind it: {}", fresh.text());
    let metrics = fabric.metrics().await;
    for (outcome, times) in [("not-taken", 2), ("useless", 2), ("again", 1), ("unreadable", 3), ("refused", 1)] {
        let line = format!("mi_gateway_inbound_messages_total{{outcome=\"{outcome}\"}} {times}");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_to_burst_or_to_confuse_is_refused_and_changes_nothing() {
    let fabric = Fabric::with(Answers::default(), |settings| settings.gateway.inbound.body = 64 * 1024).await;
    let good = head("Confirm.BOD", "m-1", WMS);
    let bomb = deflated(&vec![b' '; 32 * 1024 * 1024]);
    assert!(bomb.len() < 60_000, "{}", bomb.len());
    let cases = [
        (parts(&good, &bomb), StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
        (parts(&good, &vec![0; 70_000]), StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
        (Bytes::from_static(b"--frontier--\r\n"), StatusCode::BAD_REQUEST, "message-unreadable"),
        (Bytes::from_static(b"no parts at all"), StatusCode::BAD_REQUEST, "message-unreadable"),
        (parts(&good, b"x").slice(..200), StatusCode::BAD_REQUEST, "message-unreadable"),
        (parts(&json!({ "documentName": "Confirm.BOD" }), b"x"), StatusCode::BAD_REQUEST, "message-unreadable"),
        (parts(&json!([]), b"x"), StatusCode::BAD_REQUEST, "message-unreadable"),
    ];
    for (at, (body, status, code)) in cases.into_iter().enumerate() {
        let reply = posted(&fabric.wms, body).await;
        assert_eq!((reply.status, reply.problem().as_str()), (status, code), "{at}: {}", reply.text());
    }
    let twice = String::from_utf8(parts(&good, b"x").to_vec()).expect("text");
    let twice = twice.replacen("\"messageId\":", "\"messageId\":\"m-0\",\"messageId\":", 1);
    assert_eq!(posted(&fabric.wms, twice.into()).await.problem(), "message-unreadable", "a name twice");
    let elsewhere = json!({ "documentName": "Confirm.BOD", "messageId": "m-1", "fromLogicalId": WMS, "toLogicalId": "lid://infor.eam.x" });
    let reply = posted(&fabric.wms, parts(&elsewhere, b"x")).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::PRECONDITION_FAILED, "document-not-configured"));
    let form = fabric.wms.send(Method::POST, PARTS, &[("content-type", "text/plain"), TENANT], Bytes::new()).await;
    assert_eq!(form.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let packed =
        fabric.wms.send(Method::POST, PARTS, &[KIND, TENANT, ("content-encoding", "gzip")], Bytes::new()).await;
    assert_eq!(packed.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    fabric.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_tells_of_itself_and_is_not_there_where_nobody_answers() {
    let fabric = Fabric::start().await;
    let got = async |call: &str| fabric.wms.get(&format!("{SERVICE}/{call}")).await;
    assert_eq!(got("ping").await.json(), json!({ "status": "OK" }));
    assert_eq!(got("versions").await.json(), json!(["v2", "v3"]));
    assert_eq!(
        got("protocol").await.json(),
        json!({ "version": "v3", "messageMethod": "message", "hasDiscovery": false })
    );
    let discovery = fabric.wms.send(Method::POST, &format!("{SERVICE}/v3/discovery"), &[TENANT], Bytes::new()).await;
    assert_eq!(discovery.json()["logicalId"], "lid://mi-gateway.m3", "{}", discovery.text());
    assert_eq!(got("v3/message/multipart").await.header("allow"), "POST");
    let lacking = fabric.demo.get(&format!("{SERVICE}/ping")).await;
    assert_eq!(lacking.problem(), "scope-missing");
    let about = "/.well-known/oauth-protected-resource\"";
    let challenges = lacking.all("www-authenticate");
    assert!(
        challenges.iter().all(|one| one.contains("resource_metadata=\"https://") && one.contains(about)),
        "{challenges:?}"
    );
    assert!(
        challenges[0].starts_with("Bearer ")
            && challenges[0].contains("error=\"insufficient_scope\"")
            && challenges[0].contains("scope=\"bod\"")
    );
    assert!(challenges.len() == 2 && challenges[1].starts_with("DPoP "), "{challenges:?}");
    let elsewhere = fabric.wms.get("/OTHER_PRD/IONSERVICES/api/ion/messaging/service/ping").await;
    assert_eq!(elsewhere.problem(), "tenant-mismatch");
    fabric.house.stop().await;
    let alone = House::start().await;
    alone.running.add_client("wms", &["bod"], &["receivers"]).await.expect("a client");
    let nobody = alone.caller("wms").await.get("/service/ping").await;
    assert_eq!((nobody.status, nobody.problem().as_str()), (StatusCode::NOT_FOUND, "route-unknown"));
}
