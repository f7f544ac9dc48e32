//! Records that leave the filter of a receiver who has them.

use crate::house::{Caller, House};
use crate::publisher::{documents, documents_at, done, folder, listed, publishing, quiet, told};
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

fn rule(division: &str, mode: Mode) -> Rule {
    Rule { division: Some(division.into()), mode: Some(mode), ..Rule::default() }
}

/// A house where nothing of division BBB is sent, with a folder of this kind.
async fn leaving(on_leave: OnLeave, mode: Mode) -> (House, Caller) {
    publishing(|settings| {
        let mut filter = Filter::default();
        filter.on_leave = on_leave;
        settings.points = vec![folder("bods", &settings.state, filter)];
        settings.publish.rules = vec![rule("BBB", mode)];
    })
    .await
}

/// From now on M3 has this order in another division.
fn moves(house: &House, division: &str) {
    let moved = format!(r#"{{"PUNO":"2000001","DIVI":"{division}","WHLO":"777","SUNO":"S00001","CUCD":"EUR"}}"#);
    let answers = format!(r#""action":{{"answer":{{"records":[{moved}]}}}}"#);
    house.faults(&format!(r#"{{"rules":[{{"program":"PPS200MI","transaction":"GetHead",{answers}}}]}}"#));
}

async fn write(house: &House, caller: &Caller, name: &str) {
    done(caller, &format!("PPS200MI/UpdHead?PUNO=2000001&YRE1={name}")).await;
    quiet(house).await;
}

fn entity(document: &str) -> &str {
    let after = document.split("<AccountingEntityID>").nth(1).expect("an entity");
    after.split('<').next().expect("its end")
}

fn is_delete(document: &str) -> bool {
    document.contains("actionCode=\"Delete\"")
}

#[tokio::test]
async fn a_record_that_moves_to_a_division_that_is_off_or_in_shadow_leaves_those_who_have_it_in_their_own_way() {
    for mode in [Mode::Off, Mode::Shadow] {
        for (on_leave, expected) in [(OnLeave::Delete, 1), (OnLeave::SendOnce, 1), (OnLeave::Nothing, 0)] {
            let (house, caller) = leaving(on_leave, mode).await;
            write(&house, &caller, "Ours").await;
            told(&house, "2000001", 1).await;
            moves(&house, "BBB");
            for name in ["Theirs", "Again"] {
                write(&house, &caller, name).await;
            }
            let more = documents(&house, "2000001").split_off(1);
            assert_eq!(more.len(), expected, "{mode:?} {on_leave:?}: it is told once: {more:?}");
            let deletes = on_leave == OnLeave::Delete;
            let as_it_should = |one: &String| is_delete(one) == deletes && (entity(one) == "100_AAA") == deletes;
            assert!(more.iter().all(as_it_should), "{mode:?} {on_leave:?}: {more:?}");
            let compared = listed(&house).await.iter().filter(|entry| entry["compared"] == "shadow").count();
            assert_eq!(compared, if mode == Mode::Shadow { 2 } else { 0 }, "each is compared all the same");
            house.stop().await;
        }
    }
}

#[tokio::test]
async fn what_follows_a_move_to_where_a_document_is_off_is_told_from_where_the_record_is_now() {
    for mode in [Mode::Off, Mode::Shadow] {
        let (house, caller) = leaving(OnLeave::Delete, mode).await;
        write(&house, &caller, "Ours").await;
        moves(&house, "BBB");
        write(&house, &caller, "Theirs").await;
        assert!(is_delete(&told(&house, "2000001", 2).await[1]), "{mode:?}");
        // M3 can't show it any more, for a while: nothing is told from where it was.
        moves(&house, "");
        write(&house, &caller, "Nowhere").await;
        moves(&house, "CCC");
        write(&house, &caller, "Back").await;
        let last = documents(&house, "2000001").pop().expect("documents");
        assert!(!is_delete(&last) && entity(&last) == "100_CCC", "{mode:?}: {last}");
        moves(&house, "BBB");
        write(&house, &caller, "Gone").await;
        let all = documents(&house, "2000001");
        let last = all.last().expect("documents");
        assert!(is_delete(last) && entity(last) == "100_CCC", "{mode:?}: {last}");
        house.stop().await;
    }
}

#[tokio::test]
async fn a_record_that_was_deleted_where_its_document_is_off_is_told_to_who_kept_it_and_to_nobody_twice() {
    for mode in [Mode::Off, Mode::Shadow, Mode::Publish] {
        let (house, caller) = publishing(|settings| {
            let of = |on_leave| {
                let mut filter = Filter::default();
                (filter.divisions, filter.on_leave) = (vec!["AAA".into()], on_leave);
                filter
            };
            let points = [("bods", OnLeave::Delete), ("kept", OnLeave::Nothing)];
            settings.points = points.map(|(name, on_leave)| folder(name, &settings.state, of(on_leave))).into();
            settings.publish.rules = vec![rule("BBB", mode)];
        })
        .await;
        let order = "1000001";
        done(&caller, &format!("OIS100MI/AddOrderLine?ORNO={order}&ITNO=A00001&ORQT=1")).await;
        quiet(&house).await;
        let at = |name: &str| documents_at(&house, name, order);
        assert_eq!((at("bods").len(), at("kept").len()), (1, 1), "{mode:?}");
        let moved = format!(r#"{{"ORNO":"{order}","DIVI":"BBB","WHLO":"777","CUNO":"C00001","CUCD":"EUR"}}"#);
        let answers = format!(r#""action":{{"answer":{{"records":[{moved}]}}}}"#);
        house.faults(&format!(r#"{{"rules":[{{"program":"OIS100MI","transaction":"GetHead",{answers}}}]}}"#));
        done(&caller, &format!("OIS100MI/AddOrderLine?ORNO={order}&ITNO=A00001&ORQT=1")).await;
        quiet(&house).await;
        assert_eq!((at("bods").len(), at("kept").len()), (2, 1), "{mode:?}: one is told, and one keeps what he has");
        // It is looked at before, as it is in BBB, and then it is not there any more.
        let absent = r#"{"nok":{"id":"WOR0103","field":"ORNO","text":"The order does not exist"}}"#;
        let first = format!(r#"{{"program":"OIS100MI","transaction":"GetHead","times":1,{answers}}}"#);
        house.faults(&format!(
            r#"{{"rules":[{first},{{"program":"OIS100MI","transaction":"GetHead","action":{absent}}}]}}"#
        ));
        done(&caller, &format!("OIS100MI/DelHead?ORNO={order}")).await;
        quiet(&house).await;
        let (told, kept) = (at("bods"), at("kept"));
        assert_eq!((told.len(), kept.len()), (2, 2), "{mode:?}: {kept:?}");
        for gone in [&told[1], &kept[1]] {
            assert!(is_delete(gone) && entity(gone) == "100_AAA", "{mode:?}: from where they have it: {gone}");
        }
        house.stop().await;
    }
}

#[tokio::test]
async fn what_is_compared_from_now_on_where_it_was_sent_before_leaves_nobody() {
    let state = {
        let (house, caller) = leaving(OnLeave::Delete, Mode::Off).await;
        write(&house, &caller, "Ours").await;
        told(&house, "2000001", 1).await;
        house.stop().await
    };
    let (house, caller) = crate::publisher::publishing_again(state, |settings| {
        let mut filter = Filter::default();
        filter.on_leave = OnLeave::Delete;
        settings.points = vec![folder("bods", &settings.state, filter)];
        settings.publish.rules = vec![rule("AAA", Mode::Shadow)];
    })
    .await;
    write(&house, &caller, "Compared").await;
    assert_eq!(documents(&house, "2000001").len(), 1, "M3's own publisher tells those who have it");
}

#[tokio::test]
async fn a_record_of_a_whole_company_leaves_nobody_in_whatever_division_it_is_written() {
    for (mode, many) in [(Mode::Publish, 3), (Mode::Shadow, 2)] {
        for on_leave in [OnLeave::Delete, OnLeave::SendOnce] {
            let (house, caller) = leaving(on_leave, mode).await;
            for division in ["AAA", "BBB", "AAA"] {
                let item = format!("MMS200MI/UpdItmBasic;cono=100;divi={division}?ITNO=A00006&ITDS=Of%20{division}");
                done(&caller, &item).await;
                quiet(&house).await;
            }
            let told = documents(&house, "A00006");
            assert_eq!(told.len(), many, "{mode:?} {on_leave:?}: {told:?}");
            assert!(!told.iter().any(|one| is_delete(one)), "{mode:?} {on_leave:?}: it is there: {told:?}");
            house.stop().await;
        }
    }
}
