//! A list is decided for one place, and what M3 puts into it from another is nobody's to see: withheld, counted, and
//! never described.

use crate::house::{Caller, House, Reply};
use bytes::Bytes;
use http::{Method, StatusCode};
use mi_gateway::config::{Backend, Settings};
use mi_gateway::mock_m3::Kill;
use mi_gateway::model::{Company, Division, M3User, Standing};
use serde_json::{Value, json};
use std::time::Duration;

/// Facilities A01 and B01, of the divisions AAA and BBB.
const FACILITIES: &str = "MMS200MI/LstFacByItem;divi=AAA?ITNO=A00001";
const CUSTOMERS: &str = "CRS610MI/LstByNumber";

/// A house whose `branch` is allowed what `when` says, and whose `office` everything.
pub(crate) async fn house(when: &str, change: impl FnOnce(&mut Settings)) -> (House, Caller, Caller) {
    let head = |id: &str, group: &str| {
        format!(
            "@id(\"{id}\")\n@owner(\"tests\")\npermit (principal in Group::\"{group}\", action in [Action::\"read\", Action::\"write\"], resource)"
        )
    };
    let text = format!("{} when {{ {when} }};\n{};\n", head("branch-own", "branch"), head("office-all", "office"));
    let state = tempfile::tempdir().expect("a temporary folder");
    let rules = state.path().join("rules");
    std::fs::create_dir_all(&rules).expect("a folder");
    std::fs::write(rules.join("rules.cedar"), text).expect("a file");
    std::fs::write(rules.join("limits.toml"), "[default]\nrate = \"1000/second\"\nburst = 2000\n").expect("a file");
    let house = House::again(state, |settings| {
        settings.policies = rules;
        for group in ["branch", "office"] {
            settings.group_users.insert(group.into(), M3User::parse("MIDEMO").expect("a user of the mock"));
        }
        change(settings);
    })
    .await;
    for name in ["branch", "office"] {
        house.running.add_client(name, &[], &[name]).await.expect("a client");
    }
    let (branch, office) = (house.caller("branch").await, house.caller("office").await);
    (house, branch, office)
}

pub(crate) const OF_AAA: &str = "context.division == \"AAA\"";

/// In the head of a short answer, in the trailers of a long one.
fn told<'a>(reply: &'a Reply, name: &str) -> &'a str {
    if reply.header(name).is_empty() { reply.trailer(name) } else { reply.header(name) }
}

/// Customers of another division, in the middle of the list.
async fn some_of_another_division(office: &Caller) -> [&'static str; 5] {
    let others = ["C00002", "C00003", "C00004", "C00008", "C00250"];
    for number in others {
        let moved = office.m3(&format!("CRS610MI/ChgFinancial?CONO=100&DIVI=BBB&CUNO={number}")).await;
        assert_eq!(moved.json()["nrOfSuccessfullTransactions"], 1, "{}", moved.text());
    }
    others
}

#[tokio::test]
async fn a_record_of_a_division_that_the_call_would_be_refused_for_is_withheld_on_every_dialect() {
    let (_house, branch, office) = house(OF_AAA, |_| {}).await;
    let all = office.m3(FACILITIES).await;
    assert_eq!((all.records().len(), told(&all, "mi-withheld")), (2, ""), "{}", all.text());
    let reply = branch.m3(FACILITIES).await;
    assert_eq!(reply.records().iter().map(|record| &record["FACI"]).collect::<Vec<_>>(), ["A01"]);
    assert_eq!((told(&reply, "mi-withheld"), told(&reply, "mi-truncated")), ("1", ""));
    let v1 = branch.v1(FACILITIES).await;
    assert_eq!((v1.json()["MIRecord"].as_array().map(Vec::len), told(&v1, "mi-withheld")), (Some(1), "1"));
    for (accept, of_it) in [("application/xml", "<MIRecord>"), ("application/x-ndjson", "\"FACI\"")] {
        let path = format!("/m3api-rest/execute/{FACILITIES}");
        let reply = branch.get_with(&path, &[("accept", accept)]).await;
        assert_eq!((reply.text().matches(of_it).count(), told(&reply, "mi-withheld")), (1, "1"), "{}", reply.text());
        assert!(!reply.text().contains("B01"), "{}", reply.text());
        if accept.ends_with("ndjson") {
            let last: Value = serde_json::from_str(reply.text().lines().last().expect("a line")).expect("JSON");
            assert_eq!(last["@end"], json!({ "records": 1, "withheld": 1 }));
        }
    }
    let body = json!({ "program": "MMS200MI", "divi": "AAA", "transactions": [
        { "transaction": "LstFacByItem", "record": { "ITNO": "A00001" } },
        { "transaction": "GetItmWhsBasic", "record": { "WHLO": "003", "ITNO": "A00001" } },
        { "transaction": "GetItmWhsBasic", "record": { "WHLO": "001", "ITNO": "A00001" } },
    ] });
    let headers = [("content-type", "application/json")];
    let bulk =
        branch.send(Method::POST, "/m3api-rest/v2/execute", &headers, Bytes::from(body.to_string())).await.json();
    let of = |at: usize| (bulk["results"][at]["records"].as_array().map(Vec::len), &bulk["results"][at]["withheld"]);
    assert_eq!([of(0), of(1), of(2)], [(Some(1), &json!(1)), (Some(0), &json!(1)), (Some(1), &Value::Null)], "{bulk}");
}

#[tokio::test]
async fn a_single_answer_of_another_division_is_an_empty_one_that_says_so() {
    let (_house, branch, _) = house(OF_AAA, |_| {}).await;
    let reply = branch.m3("MMS200MI/GetItmWhsBasic;divi=AAA?WHLO=003&ITNO=A00001").await;
    // In the head, although the warehouse had to be looked up first: nobody looks for trailers of a single answer.
    assert_eq!((reply.status, reply.records().len(), reply.header("mi-withheld")), (StatusCode::OK, 0, "1"));
    assert!(!reply.text().contains("003"), "{}", reply.text());
}

#[tokio::test]
async fn a_walk_over_a_list_sees_every_record_of_ones_own_and_no_other() {
    let (_house, branch, office) = house(OF_AAA, |_| {}).await;
    let others = some_of_another_division(&office).await;
    let all = office.m3(&format!("{CUSTOMERS};cono=100;divi=AAA?maxrecs=0")).await;
    let mut expected: Vec<String> =
        all.records().iter().map(|record| record["CUNO"].as_str().expect("a number").to_owned()).collect();
    assert_eq!(expected.len(), 250);
    expected.retain(|number| !others.contains(&number.as_str()));
    for most in [1_usize, 3, 7, 249, 300] {
        let (mut seen, mut withheld, mut next) = (Vec::new(), 0, String::new());
        loop {
            let headers = [("mi-next", next.as_str())];
            let path = format!("/m3api-rest/v2/execute/{CUSTOMERS};cono=100;divi=AAA?maxrecs={most}");
            let reply = branch.get_with(&path, if next.is_empty() { &[] } else { &headers }).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            let records = reply.records();
            assert!(records.len() <= most);
            seen.extend(records.iter().map(|record| record["CUNO"].as_str().expect("a number").to_owned()));
            withheld += told(&reply, "mi-withheld").parse::<usize>().unwrap_or(0);
            if told(&reply, "mi-truncated").is_empty() {
                assert_eq!(told(&reply, "mi-next"), "");
                break;
            }
            next = told(&reply, "mi-next").to_owned();
            assert!(!next.is_empty());
        }
        assert_eq!(seen, expected, "by {most}");
        assert!(withheld >= others.len(), "by {most}: {withheld}");
    }
}

#[tokio::test]
async fn a_cursor_that_stands_at_a_withheld_record_goes_on_and_tells_nothing_of_it() {
    use base64::Engine;
    let (_house, branch, office) = house(OF_AAA, |_| {}).await;
    some_of_another_division(&office).await;
    // Of C00002 to C00004, all withheld.
    let path = format!("/m3api-rest/v2/execute/{CUSTOMERS};cono=100;divi=AAA?CUNO=C00002&maxrecs=2");
    let reply = branch.get_with(&path, &[]).await;
    assert_eq!((reply.records().len(), told(&reply, "mi-withheld"), told(&reply, "mi-truncated")), (0, "3", "true"));
    let cursor = told(&reply, "mi-next");
    let sealed = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(cursor).expect("a cursor is base64");
    assert!(!String::from_utf8_lossy(&sealed).contains("C00004"), "the key of a withheld record");
    let on = branch.get_with(&path, &[("mi-next", cursor)]).await;
    let numbers: Vec<Value> = on.records().iter().map(|record| record["CUNO"].clone()).collect();
    assert_eq!(numbers, ["C00005", "C00006"]);
}

#[tokio::test]
async fn where_no_rule_looks_at_the_division_nothing_is_withheld_and_nobody_is_asked_of_sites() {
    let (house, branch, office) = house("context.company == 100", |_| {}).await;
    some_of_another_division(&office).await;
    house.m3().clear_calls();
    assert_eq!(branch.m3(FACILITIES).await.records().len(), 2);
    let reply = branch.m3(&format!("{CUSTOMERS};cono=100;divi=AAA?maxrecs=0")).await;
    assert_eq!((reply.records().len(), told(&reply, "mi-withheld")), (250, ""));
    assert_eq!(house.asked().len(), 2, "{:?}", house.asked());
}

#[tokio::test]
async fn a_record_of_another_company_is_withheld_whatever_the_rules_allow() {
    let (house, _, office) = house(OF_AAA, |_| {}).await;
    house.faults(
        r#"{"rules":[{"transaction":"LstByNumber","action":{"answer":{"records":[{"CONO":"100","CUNO":"OURS"},{"CONO":"200","CUNO":"THEIRS"},{"CONO":"0","CUNO":"ZERO"},{"CUNO":"BLANK"}]}}}]}"#,
    );
    let reply = office.m3(&format!("{CUSTOMERS};cono=100;divi=AAA?maxrecs=0")).await;
    let numbers: Vec<Value> = reply.records().iter().map(|record| record["CUNO"].clone()).collect();
    assert_eq!((numbers, told(&reply, "mi-withheld")), (vec!["OURS".into(), "ZERO".into(), "BLANK".into()], "1"));
}

#[tokio::test]
async fn a_blank_division_is_everybodys_and_an_unreadable_one_nobodys() {
    let (house, branch, _) = house(OF_AAA, |_| {}).await;
    house.faults(
        r#"{"rules":[{"transaction":"LstByNumber","action":{"answer":{"records":[{"DIVI":"","CUNO":"CENTRAL"},{"DIVI":"A?A","CUNO":"ODD"},{"DIVI":"AAA","WHLO":"003","CUNO":"MIXED"}]}}}]}"#,
    );
    let reply = branch.m3(&format!("{CUSTOMERS};cono=100;divi=AAA?maxrecs=0")).await;
    let numbers: Vec<Value> = reply.records().iter().map(|record| record["CUNO"].clone()).collect();
    assert_eq!((numbers, told(&reply, "mi-withheld")), (vec!["CENTRAL".into()], "2"), "{}", reply.text());
}

#[tokio::test]
async fn a_record_of_no_site_is_the_companys_for_whoever_is_let_see_that_as_a_whole() {
    let (house, branch, office) = house(OF_AAA, |_| {}).await;
    let (company, aaa) = (Company::new(100).expect("a company"), Division::parse("AAA").expect("a division"));
    for (name, divisions) in [("bound", vec![aaa]), ("chief", vec![aaa, Division::BLANK])] {
        let standing = Standing { companies: vec![company], divisions, ..Standing::default() };
        house.running.add_client_with(name, &[], &["office"], standing).await.expect("a client");
    }
    let (bound, chief) = (house.caller("bound").await, house.caller("chief").await);
    house.faults(
        r#"{"rules":[{"transaction":"LstUserData","action":{"answer":{"records":[{"USID":"OURS","FACI":"A01","WHLO":"001"},{"USID":"THEIRS","WHLO":"003"},{"USID":"NOWHERE"}]}}},{"transaction":"LstInvHead","action":{"answer":{"records":[{"IVNO":"1","FACI":"A01"},{"IVNO":"2","FACI":"B01"},{"IVNO":"3"}]}}}]}"#,
    );
    for (who, seen, withheld) in [
        (&branch, &["OURS"][..], "2"),
        (&bound, &["OURS"], "2"),
        (&chief, &["OURS", "NOWHERE"], "1"),
        (&office, &["OURS", "THEIRS", "NOWHERE"], ""),
    ] {
        let reply = who.m3("MNS150MI/LstUserData;cono=100;divi=AAA").await;
        let users: Vec<Value> = reply.records().iter().map(|record| record["USID"].clone()).collect();
        assert_eq!(
            (&*users, told(&reply, "mi-withheld")),
            (&*seen.iter().map(|one| json!(one)).collect::<Vec<_>>(), withheld)
        );
    }
    // An invoice is found by the division that the call says, whatever it leaves blank.
    let reply = branch.m3("OIS350MI/LstInvHead;cono=100;divi=AAA?YEA4=2026").await;
    let numbers: Vec<Value> = reply.records().iter().map(|record| record["IVNO"].clone()).collect();
    assert_eq!((&*numbers, told(&reply, "mi-withheld")), (&[json!("1"), json!("3")][..], "1"), "{}", reply.text());
}

#[tokio::test]
async fn a_site_that_can_not_be_placed_keeps_its_records_back_and_is_asked_of_again_by_the_next_call() {
    let (house, branch, _) = house(OF_AAA, |_| {}).await;
    house.faults(
        r#"{"rules":[{"program":"CRS008MI","transaction":"Get","action":{"nok":{"id":"XAU0008","field":"","text":"No authority"}}}]}"#,
    );
    let reply = branch.m3(FACILITIES).await;
    assert_eq!((reply.records().len(), told(&reply, "mi-withheld")), (0, "2"), "{}", reply.text());
    house.faults(r#"{"rules":[]}"#);
    assert_eq!(branch.m3(FACILITIES).await.records().len(), 1);
}

#[tokio::test]
async fn an_m3_that_says_nothing_of_sites_is_given_up_after_two_questions() {
    let (house, branch, _) = house(OF_AAA, |_| {}).await;
    house.faults(
        r#"{"rules":[{"program":"CRS008MI","transaction":"Get","action":"drop_before"},{"transaction":"LstFacByItem","action":{"answer":{"records":[{"FACI":"A01"},{"FACI":"B01"},{"FACI":"C01"},{"FACI":"D01"},{"FACI":"E01"}]}}}]}"#,
    );
    let reply = branch.m3(FACILITIES).await;
    assert_eq!((reply.records().len(), told(&reply, "mi-withheld")), (0, "5"), "{}", reply.text());
    let metrics = house.operations("/metrics").await.text();
    let asked = metrics.lines().filter(|line| line.contains("m3_calls_total") && line.contains("CRS008MI"));
    let asked: u32 = asked.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).sum();
    assert_eq!(asked, 2, "{metrics}");
}

#[tokio::test]
async fn an_m3_that_gives_more_than_it_was_asked_for_is_left_among_withheld_records_too() {
    let (house, branch, _) = house(OF_AAA, |settings| {
        if let Backend::Mock { mock, .. } = &mut settings.backend {
            mock.profile.heeds_most = false;
        }
    })
    .await;
    let records = vec![json!({ "DIVI": "BBB", "CUNO": "C00001" }); 2_000];
    let rule = json!({ "transaction": "LstByNumber", "action": { "answer": { "records": records } } });
    house.faults(&json!({ "rules": [rule] }).to_string());
    let reply = branch.m3(&format!("{CUSTOMERS};cono=100;divi=AAA?maxrecs=2")).await;
    assert_eq!((reply.records().len(), told(&reply, "mi-truncated")), (0, "true"));
    let read: u64 = told(&reply, "mi-withheld").parse().expect("a number");
    assert!((3..2_000).contains(&read), "{read}");
}

#[tokio::test]
async fn what_was_learnt_of_a_site_is_not_asked_again() {
    let (house, branch, _) = house(OF_AAA, |_| {}).await;
    for _ in 0..3 {
        assert_eq!(branch.m3(FACILITIES).await.records().len(), 1);
    }
    let asked = house.asked();
    let of_sites: Vec<_> = asked.iter().filter(|call| call.starts_with("CRS008MI")).collect();
    assert_eq!(of_sites, ["CRS008MI/Get CONO=100 FACI=A01", "CRS008MI/Get CONO=100 FACI=B01"], "{asked:?}");
}

#[tokio::test]
async fn an_upgrade_of_what_tells_whose_a_site_is_keeps_no_record_back() {
    let (house, branch, _) = house(OF_AAA, |_| {}).await;
    let at = |warehouse: &str| format!("MMS200MI/GetItmWhsBasic;divi=AAA?WHLO={warehouse}&ITNO=A00001");
    assert_eq!(branch.m3(&at("003")).await.records().len(), 0, "of BBB");
    house.m3().widen("MMS005MI", "GetWarehouse", "WHNM", 4);
    house.m3().kill_sessions(Kill::Fin);
    let reply = branch.m3(&at("001")).await;
    assert_eq!((reply.records().len(), told(&reply, "mi-withheld")), (1, ""), "{}", reply.text());
}

#[tokio::test]
async fn a_client_that_operators_bound_to_divisions_sees_records_of_those_alone() {
    let (house, _, _) = house(OF_AAA, |_| {}).await;
    let standing = Standing {
        companies: vec![Company::new(100).expect("a company")],
        divisions: vec![Division::parse("BBB").expect("a division")],
        ..Standing::default()
    };
    house.running.add_client_with("bound", &[], &["office"], standing).await.expect("a client");
    let bound = house.caller("bound").await;
    let reply = bound.m3("MMS200MI/LstFacByItem;cono=100;divi=BBB?ITNO=A00001").await;
    assert_eq!(reply.records().iter().map(|record| &record["FACI"]).collect::<Vec<_>>(), ["B01"], "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_on_the_field_is_asked_with_the_records_own_division() {
    let state = tempfile::tempdir().expect("a temporary folder");
    let rules = state.path().join("rules");
    std::fs::create_dir_all(&rules).expect("a folder");
    let text = "@id(\"own\")\n@owner(\"tests\")\npermit (principal in Group::\"branch\", action == Action::\"CRS610MI/GetOrderInfo\", resource) when { context.fields has DIVI && context.fields.DIVI == \"AAA\" };\n";
    std::fs::write(rules.join("rules.cedar"), text).expect("a file");
    std::fs::write(rules.join("limits.toml"), "[default]\nrate = \"1000/second\"\nburst = 2000\n").expect("a file");
    let house = House::again(state, |settings| {
        settings.policies = rules;
        settings.group_users.insert("branch".into(), M3User::parse("MIDEMO").expect("a user of the mock"));
    })
    .await;
    house.running.add_client("branch", &[], &["branch"]).await.expect("a client");
    let branch = house.caller("branch").await;
    let call = "CRS610MI/GetOrderInfo?CONO=100&DIVI=AAA&CUNO=C00001";
    // Rules over fields hold once the catalog has learnt what those are; until then they refuse for that.
    let learnt = async {
        while branch.m3(call).await.status != StatusCode::OK {
            crate::house::a_moment().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), learnt).await.expect("the layout is learnt");
    assert_eq!(branch.m3(call).await.records().len(), 1);
    house.faults(
        r#"{"rules":[{"transaction":"GetOrderInfo","action":{"answer":{"records":[{"DIVI":"BBB","CUNO":"C00001"}]}}}]}"#,
    );
    let reply = branch.m3(call).await;
    assert_eq!((reply.records().len(), told(&reply, "mi-withheld")), (0, "1"), "{}", reply.text());
}

#[tokio::test]
async fn what_was_withheld_is_counted_and_stands_in_the_log_under_its_decision_without_a_word_of_it() {
    let (house, branch, _) = house(OF_AAA, |_| {}).await;
    let reply = branch.m3(FACILITIES).await;
    let id = reply.header("mi-decision").to_owned();
    let metrics = house.operations("/metrics").await.text();
    let expected = "mi_gateway_rows_withheld_total{program=\"MMS200MI\",transaction=\"LstFacByItem\"} 1";
    assert!(metrics.contains(expected), "{metrics}");
    let state = house.stop().await;
    let found = crate::audit::lines(&crate::audit::audit(state.path(), &["find", "--decision", &id]));
    let told: Vec<_> = found.iter().filter(|line| line["kind"] == "withheld").collect();
    assert_eq!(told.len(), 1, "{found:?}");
    assert_eq!((&told[0]["id"], &told[0]["rows"]), (&json!(id), &json!(1)));
    assert!(!told[0].to_string().contains("B01"));
    assert_eq!(crate::audit::is_whole(state.path()), Ok(()));
}

#[tokio::test]
async fn a_long_list_says_at_its_end_what_was_withheld() {
    let (_house, branch, _) = house(OF_AAA, |settings| {
        if let Backend::Mock { mock, .. } = &mut settings.backend {
            mock.big_list = 20_000;
        }
    })
    .await;
    // Every generated record is of the warehouse that was asked for: 003 is of BBB.
    let reply = branch.m3("MMS060MI/LstBalID;cono=100;divi=AAA?WHLO=003&maxrecs=3000").await;
    assert_eq!((reply.records().len(), told(&reply, "mi-withheld"), told(&reply, "mi-truncated")), (0, "3001", "true"));
    let reply = branch.m3("MMS060MI/LstBalID;cono=100;divi=AAA?WHLO=001&maxrecs=3000").await;
    assert_eq!((reply.records().len(), told(&reply, "mi-withheld"), told(&reply, "mi-truncated")), (3_000, "", "true"));
}
