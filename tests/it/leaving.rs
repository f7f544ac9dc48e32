//! Records that leave the filter of a receiver who has them.

use crate::publisher::{documents, done, folder, publishing, quiet, told};
use mi_gateway::bod::{Filter, OnLeave};

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

#[tokio::test]
async fn a_receiver_whom_a_record_left_is_told_that_it_is_gone_from_where_it_was() {
    let (house, caller) = publishing(|settings| {
        let mut filter = Filter::default();
        (filter.divisions, filter.on_leave) = (vec!["AAA".into()], OnLeave::Delete);
        settings.points = vec![folder("bods", &settings.state, filter)];
    })
    .await;
    done(&caller, "PPS200MI/UpdHead?PUNO=2000001&YRE1=Ours").await;
    let ours = told(&house, "2000001", 1).await.remove(0);
    let place = |document: &str, name: &str| {
        let begin = document.find(&format!("<{name}>")).unwrap_or_else(|| panic!("{name}: {document}"));
        document[begin..].split('<').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(place(&ours, "AccountingEntityID"), "AccountingEntityID>100_AAA");
    let moved = r#"{"PUNO":"2000001","DIVI":"BBB","WHLO":"777","SUNO":"S00001","CUCD":"EUR"}"#;
    house.faults(&format!(
        r#"{{"rules":[{{"program":"PPS200MI","transaction":"GetHead","action":{{"answer":{{"records":[{moved}]}}}}}}]}}"#
    ));
    done(&caller, "PPS200MI/UpdHead?PUNO=2000001&YRE1=Theirs").await;
    let gone = told(&house, "2000001", 2).await.remove(1);
    assert!(gone.contains("actionCode=\"Delete\""), "{gone}");
    for name in ["AccountingEntityID", "LocationID"] {
        assert_eq!(place(&gone, name), place(&ours, name), "{gone}");
    }
    assert!(gone.contains("accountingEntity=\"100_AAA\"") && !gone.contains("100_BBB"), "{gone}");
    // From now on it is known where it is now.
    done(&caller, "PPS200MI/DltLine?PUNO=2000001&PNLI=1").await;
    quiet(&house).await;
    assert_eq!(documents(&house, "2000001").len(), 2, "it is told once");
}

#[tokio::test]
async fn whoever_has_a_record_is_told_that_it_was_deleted_though_nothing_is_left_for_his_filter() {
    let (house, caller) = publishing(|settings| {
        let filter = Filter::default().with("ItemMasterHeader/Description = 'Ours'").expect("a condition");
        settings.points = vec![folder("bods", &settings.state, filter)];
    })
    .await;
    done(&caller, "MMS200MI/UpdItmBasic?ITNO=A00006&ITDS=Ours").await;
    told(&house, "A00006", 1).await;
    // It can't be looked at before it is deleted: the document names it alone.
    let refused = r#"{"nok":{"id":"XAU0008","field":"","text":"No authority"}}"#;
    house
        .faults(&format!(r#"{{"rules":[{{"program":"MMS200MI","transaction":"Get","times":1,"action":{refused}}}]}}"#));
    done(&caller, "MMS200MI/DltItm?ITNO=A00006").await;
    let gone = told(&house, "A00006", 2).await.remove(1);
    assert!(gone.contains("actionCode=\"Delete\"") && !gone.contains("Ours"), "{gone}");
}
