//! Fields that a site calls secret are secret everywhere.

use crate::house::{House, text};
use mi_gateway::model::{FieldName, Sensitive};
use mi_gateway::outbox::{self, Ledger};

const MARK: &str = "Hush%20Ltd";

#[tokio::test]
async fn what_a_site_calls_secret_is_in_no_answer_no_outbox_and_no_log() {
    let house = House::with(|settings| {
        let name = FieldName::parse("CUNM").expect("a field");
        settings.outbox.sensitive = Sensitive::with([name]);
        settings.audit.hashed.insert(name.to_string());
    })
    .await;
    let demo = house.demo().await;
    let change =
        format!("/DEMO_TST/M3/m3api-rest/v2/execute/CRS610MI/ChgBasicData?CUNO=C00001&CUNM={MARK}&CUA1=Street");
    let changed = demo.get_with(&change, &[("idempotency-key", "one")]).await;
    assert_eq!(changed.json()["nrOfSuccessfullTransactions"], 1, "{}", changed.text());
    let read = demo.m3("CRS610MI/GetBasicData?CUNO=C00001").await;
    let record = &read.records()[0];
    assert!(record.get("CUNM").is_none() && text(record, "CUNO") == "C00001", "{}", read.text());
    let asked = demo.m3("CRS610MI/GetBasicData;returncols=CUNM?CUNO=C00001").await;
    assert!(!asked.text().contains("Hush"), "{}", asked.text());
    let ledger = Ledger::open(&outbox::Settings::under(house.state.path().join("outbox"))).await.expect("the outbox");
    let write = ledger.show(changed.header("x-request-id")).await.expect("its intent");
    ledger.close().await;
    assert!(!write.to_string().contains("Hush"), "{write}");
    let log = house.state.path().join("audit");
    let lines: String = std::fs::read_dir(log)
        .expect("the log")
        .flatten()
        .filter_map(|file| std::fs::read_to_string(file.path()).ok())
        .collect();
    assert!(lines.contains("ChgBasicData") && !lines.contains("Hush"), "{lines}");
}
