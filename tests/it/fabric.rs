//! The vocabulary of documents and their receivers: a house that publishes to two of them, and a client that answers for each.

use crate::house::{Caller, House, Reply, send, text};
use crate::receiver::{Receiver, Says, ion};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use http::{Method, Request};
use http_body_util::Full;
use mi_gateway::bod::Filter;
use mi_gateway::config::Settings;
use mi_gateway::gateway::{InboundRole, InboundSender, InboundSettings};
use mi_gateway::points::{self, Answers, ImsPaths, ImsSettings, Target};
use mi_gateway::relay;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const WMS: &str = "lid://infor.wms.north";
pub(crate) const CRM: &str = "lid://infor.crm.one";
pub(crate) const SERVICE: &str = "/DEMO_TST/IONSERVICES/api/ion/messaging/service";
pub(crate) const PARTS: &str = "/DEMO_TST/IONSERVICES/api/ion/messaging/service/v3/message/multipart";
pub(crate) const ITEM: &str = "MMS200MI/AddItmViaItmTyp?ITTY=001&ITDS=Told&ITNO";

/// A house whose items and orders go to one receiver and whose customers go to another; a client answers for each.
pub(crate) struct Fabric {
    pub(crate) house: House,
    pub(crate) demo: Caller,
    pub(crate) wms: Caller,
    pub(crate) crm: Caller,
    pub(crate) scopeless: Caller,
    pub(crate) at_wms: Receiver,
    pub(crate) at_crm: Receiver,
}

pub(crate) fn point(name: &str, url: &str, documents: &[&str], answers: Answers) -> points::Settings {
    let mut filter = Filter::default();
    filter.documents = documents.iter().map(|name| (*name).to_owned()).collect();
    let ims = ImsSettings {
        url: format!("{url}/service"),
        paths: ImsPaths::V3,
        account: None,
        tenant: "DEMO_TST".into(),
        timeout: Duration::from_secs(20),
        allow_private: true,
        roots: Vec::new(),
    };
    let target = Target::Ims(Box::new(ims));
    points::Settings {
        name: name.into(),
        filter,
        mask: mi_gateway::bod::Mask::default(),
        most_bytes: 5_000_000,
        receiver: None,
        answers,
        target,
    }
}

pub(crate) fn sender(client: &str, logical_id: &str, point: &str) -> InboundSender {
    let logical_ids = vec![logical_id.to_owned()];
    InboundSender {
        client: client.to_owned(),
        issuer: None,
        logical_ids,
        role: InboundRole::AnswersFor(point.to_owned()),
    }
}

impl Fabric {
    pub(crate) async fn start() -> Self {
        Self::with(Answers::default(), |_| {}).await
    }

    pub(crate) async fn with(answers: Answers, change: impl FnOnce(&mut Settings)) -> Self {
        // Whose clients answer is set by their ids, which are known once they are made.
        let first = House::start().await;
        let url = first.running.addresses.public_url.clone();
        for (name, scopes) in [("wms", &["bod"][..]), ("crm", &["bod"]), ("scopeless", &[])] {
            first.running.add_client(name, scopes, &["receivers"]).await.expect("a client");
        }
        let ids = ["wms", "crm", "scopeless"].map(|name| text(&first.ionapi(name), "ci").to_owned());
        let state = first.stop().await;
        let good = |got: &crate::receiver::Got| ion(got).unwrap_or(Says::Status(202, None, ""));
        let (at_wms, at_crm) = (Receiver::start(good).await, Receiver::start(good).await);
        let of_items = ["Sync.ItemMaster", "Sync.PurchaseOrder", "Process.PurchaseOrder"];
        let points = vec![
            point("wms", &at_wms.url, &of_items, answers),
            point("crm", &at_crm.url, &["Sync.CustomerPartyMaster"], Answers::default()),
        ];
        let house = House::again(state, |settings| {
            settings.public_url = Some(url);
            settings.publish = relay::Settings { quiet: Duration::ZERO, ..relay::Settings::trial() };
            settings.publish.tenant = "DEMO_TST".into();
            settings.points = points;
            settings.gateway.inbound = InboundSettings {
                senders: vec![
                    sender(&ids[0], WMS, "wms"),
                    sender(&ids[1], "lid://infor.crm.*", "crm"),
                    sender(&ids[2], CRM, "crm"),
                ],
                tenant: "DEMO_TST".into(),
                logical_id: settings.publish.logical_id.clone(),
                ..InboundSettings::default()
            };
            change(settings);
        })
        .await;
        let (demo, wms) = (house.demo().await, house.caller("wms").await);
        let (crm, scopeless) = (house.caller("crm").await, house.caller("scopeless").await);
        Self { house, demo, wms, crm, scopeless, at_wms, at_crm }
    }

    /// Adds an item; gives the BODID of the document that tells of it, once its receiver has it.
    pub(crate) async fn item(&self, name: &str) -> String {
        let added = self.demo.m3(&format!("{ITEM}={name}")).await;
        assert_eq!(added.json()["nrOfSuccessfullTransactions"], 1, "{}", added.text());
        let mut found = None;
        until("the item's document", async || {
            let all = self.at_wms.named("Sync.ItemMaster");
            found =
                all.iter().find(|(head, _)| head["documentId"] == name).map(|(head, _)| text(head, "bodId").to_owned());
            found.is_some()
        })
        .await;
        let bod_id = found.expect("it was found");
        let under_way = ["pending", "sent", "replayed"];
        until("it is delivered", async || !under_way.contains(&self.state(&bod_id).await.as_str())).await;
        bod_id
    }

    pub(crate) async fn shown(&self, bod_id: &str) -> Value {
        operate(&self.house, "/outbox/show", &json!({ "id": bod_id })).await.json()
    }

    pub(crate) async fn way(&self, bod_id: &str) -> Value {
        let shown = self.shown(bod_id).await;
        let ways = shown["points"].as_array().expect("points");
        ways.iter().find(|way| way["state"] != "filtered").expect("a point that wants it").clone()
    }

    pub(crate) async fn state(&self, bod_id: &str) -> String {
        text(&self.way(bod_id).await, "state").to_owned()
    }

    pub(crate) async fn metrics(&self) -> String {
        self.house.operations("/metrics").await.text()
    }
}

pub(crate) async fn operate(house: &House, path: &str, body: &Value) -> Reply {
    let token = std::fs::read_to_string(house.state.path().join("operator.token")).expect("the operator's token");
    let request = Request::post(format!("{}{path}", house.operations))
        .header("authorization", format!("Bearer {}", token.trim()))
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .expect("a request");
    send(&house.https, request).await
}

pub(crate) async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !look().await {
            crate::house::a_moment().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}"));
}

/// A document of a receiver's own, as the published schemas have it.
pub(crate) fn document(root: &str, code: &str, data: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><{root} xmlns=\"http://schema.infor.com/InforOAGIS/2\" releaseID=\"9.2\"><ApplicationArea>\
         <Sender><LogicalID>{WMS}</LogicalID><ConfirmationCode>{code}</ConfirmationCode></Sender>\
         <CreationDateTime>2026-03-01T12:00:00Z</CreationDateTime><BODID>of-wms-7</BODID></ApplicationArea>\
         <DataArea>{data}</DataArea></{root}>"
    )
}

pub(crate) fn about(bod_id: &str) -> String {
    format!(
        "<OriginalApplicationArea><Sender><LogicalID>lid://mi-gateway.m3</LogicalID></Sender>\
         <CreationDateTime>2026-03-01T11:00:00Z</CreationDateTime><BODID>{bod_id}</BODID></OriginalApplicationArea>"
    )
}

pub(crate) fn accepted(bod_id: &str) -> String {
    let about = about(bod_id);
    document("ConfirmBOD", "Never", &format!("<Confirm/><BOD>{about}<BODSuccessMessage></BODSuccessMessage></BOD>"))
}

pub(crate) fn rejected(bod_id: &str, why: &str) -> String {
    let message = format!(
        "<ErrorProcessMessage><Description>{why}</Description><ReasonCode>E7</ReasonCode></ErrorProcessMessage>"
    );
    let about = about(bod_id);
    let failed = format!("<Confirm/><BOD>{about}<BODFailureMessage>{message}</BODFailureMessage></BOD>");
    document("ConfirmBOD", "Never", &failed)
}

pub(crate) fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("packed")
}

pub(crate) fn head(name: &str, message: &str, from: &str) -> Value {
    json!({
        "documentName": name, "messageId": message, "fromLogicalId": from, "toLogicalId": "lid://default",
        "encoding": "DEFLATE", "characterSet": "UTF-8", "instances": 1,
    })
}

pub(crate) fn parts(head: &Value, payload: &[u8]) -> Bytes {
    let mut body = format!(
        "--frontier\r\nContent-Disposition: form-data; name=\"ParameterRequest\"\r\nContent-Type: application/json\r\n\r\n\
         {head}\r\n--frontier\r\nContent-Disposition: form-data; name=\"MessagePayload\"\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(payload);
    body.extend_from_slice(b"\r\n--frontier--\r\n");
    body.into()
}

pub(crate) const KIND: (&str, &str) = ("content-type", "multipart/form-data; boundary=frontier");
pub(crate) const TENANT: (&str, &str) = ("x-tenantid", "DEMO_TST");

pub(crate) async fn posted(caller: &Caller, body: Bytes) -> Reply {
    caller.send(Method::POST, PARTS, &[KIND, TENANT], body).await
}

/// As ION sends what a receiver says: in two parts, deflated.
pub(crate) async fn say(caller: &Caller, message: &str, from: &str, document: &str) -> Reply {
    posted(caller, parts(&head("Confirm.BOD", message, from), &deflated(document.as_bytes()))).await
}

pub(crate) fn states(way: &Value) -> String {
    let history = way["history"].as_array().expect("a history");
    history.iter().map(|entry| text(entry, "state")).collect::<Vec<_>>().join(" ")
}
