//! Records that leave the filter of a receiver who has them.

use crate::publisher::{documents, done, folder, publishing, quiet, told};
use mi_gateway::bod::{Filter, OnLeave};
use mi_gateway::relay::{Mode, Rule};

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

#[tokio::test]
async fn a_record_that_moves_to_a_division_that_is_off_leaves_those_who_have_it_in_their_own_way() {
    for (on_leave, expected) in [(OnLeave::Delete, 1), (OnLeave::SendOnce, 1), (OnLeave::Nothing, 0)] {
        let (house, caller) = publishing(|settings| {
            let mut filter = Filter::default();
            filter.on_leave = on_leave;
            settings.points = vec![folder("bods", &settings.state, filter)];
            let off = Rule { division: Some("BBB".into()), mode: Some(Mode::Off), ..Rule::default() };
            settings.publish.rules = vec![off];
        })
        .await;
        done(&caller, "PPS200MI/UpdHead?PUNO=2000001&YRE1=Ours").await;
        told(&house, "2000001", 1).await;
        let moved = r#"{"PUNO":"2000001","DIVI":"BBB","WHLO":"777","SUNO":"S00001","CUCD":"EUR"}"#;
        house.faults(&format!(
            r#"{{"rules":[{{"program":"PPS200MI","transaction":"GetHead","action":{{"answer":{{"records":[{moved}]}}}}}}]}}"#
        ));
        for name in ["Theirs", "Again"] {
            done(&caller, &format!("PPS200MI/UpdHead?PUNO=2000001&YRE1={name}")).await;
            quiet(&house).await;
        }
        let more = documents(&house, "2000001").split_off(1);
        assert_eq!(more.len(), expected, "{on_leave:?}: it is told once: {more:?}");
        let of_old = |document: &String| document.contains("<AccountingEntityID>100_AAA<");
        let deleted = |document: &String| document.contains("actionCode=\"Delete\"");
        let is_delete = on_leave == OnLeave::Delete;
        assert!(more.iter().all(|one| deleted(one) == is_delete && of_old(one) == is_delete), "{on_leave:?}: {more:?}");
        house.stop().await;
    }
}
