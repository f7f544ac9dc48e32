//! A call says one division and names a site of another, or none at all: what M3 believes is what is decided.

use crate::audit::{audit, lines};
use crate::house::{Caller, House};
use crate::withheld::{OF_AAA, house};
use bytes::Bytes;
use http::{Method, StatusCode};
use mi_gateway::model::{Company, Division, M3User, Standing};
use serde_json::json;
use std::fs;
use std::time::Duration;

/// The warehouse 001 is of the division AAA, 003 of BBB.
fn moved(warehouse: &str) -> String {
    format!("MMS200MI/UpdItmWhs;cono=100;divi=AAA?WHLO={warehouse}&ITNO=A00001&STAT=20")
}

#[tokio::test]
async fn nobody_writes_to_a_site_of_a_division_that_he_would_be_refused_in() {
    let (house, branch, office) = house(OF_AAA, |_| {}).await;
    let standing = Standing {
        companies: vec![Company::new(100).expect("a company")],
        // And to what says no division: orders by their numbers.
        divisions: vec![Division::parse("AAA").expect("a division"), Division::BLANK],
        ..Standing::default()
    };
    house.running.add_client_with("bound", &[], &["office"], standing).await.expect("a client");
    let bound = house.caller("bound").await;
    let written = || house.asked().iter().filter(|call| call.contains("UpdItmWhs")).count();
    for (who, what) in [(&branch, "a rule over the division"), (&bound, "a bound of the client")] {
        for warehouse in ["003", "XYZ"] {
            let reply = who.m3(&moved(warehouse)).await;
            assert_eq!(
                (reply.status, reply.problem().as_str()),
                (StatusCode::FORBIDDEN, "policy-denied"),
                "{what}: {warehouse}"
            );
        }
        assert_eq!(written(), 0, "{what}: M3 was asked to write");
        let own = who.m3(&moved("001")).await;
        assert_eq!(own.json()["nrOfSuccessfullTransactions"], 1, "{what}: {}", own.text());
        house.m3().clear_calls();
    }
    let body = json!({ "program": "MMS200MI", "cono": 100, "divi": "AAA", "transactions": [
        { "transaction": "UpdItmWhs", "record": { "WHLO": "003", "ITNO": "A00001", "STAT": "20" } },
        { "transaction": "UpdItmWhs", "record": { "WHLO": "001", "ITNO": "A00001", "STAT": "20" } },
    ] });
    let headers = [("content-type", "application/json")];
    let bulk =
        branch.send(Method::POST, "/m3api-rest/v2/execute", &headers, Bytes::from(body.to_string())).await.json();
    assert_eq!(bulk["results"][0]["errorType"], "PolicyDenied", "{bulk}");
    assert_eq!(bulk["nrOfSuccessfullTransactions"], 1, "each is decided by itself: {bulk}");
    // Nor may goods come from there.
    let line = async |who: &Caller, from: &str| {
        let line = "OIS100MI/AddOrderLine;cono=100;divi=AAA?ORNO=1000001&ITNO=A00001&ORQT=1&WHLO=001";
        who.m3(&format!("{line}&FWHL={from}")).await
    };
    let reply = line(&bound, "003").await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"), "{}", reply.text());
    assert!(reply.text().contains("This FWHL is of a division"), "{}", reply.text());
    assert_ne!(line(&bound, "001").await.status, StatusCode::FORBIDDEN);
    let all = office.m3(&moved("003")).await;
    assert_eq!(
        all.json()["nrOfSuccessfullTransactions"],
        1,
        "who is let write everywhere is not asked: {}",
        all.text()
    );
    let lines: String = fs::read_dir(house.state.path().join("audit"))
        .expect("the log")
        .flatten()
        .filter_map(|file| fs::read_to_string(file.path()).ok())
        .collect();
    assert!(lines.contains("\"site-elsewhere\""), "the log says why");
}

#[tokio::test]
async fn a_site_that_a_read_takes_and_does_not_give_back_is_one_that_it_is_decided_for() {
    let (house, branch, office) = house(OF_AAA, |_| {}).await;
    // The answer says its warehouse, and nothing of the facility whose price it is.
    let price = |facility: &str| {
        format!("OIS320MI/GetPriceLine;cono=100;divi=AAA?CUNO=C00001&ITNO=A00001&WHLO=001&FACI={facility}")
    };
    let asked = || house.asked().iter().filter(|call| call.contains("GetPriceLine")).count();
    let reply = branch.m3(&price("B01")).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"), "{}", reply.text());
    assert!(reply.text().contains("This FACI is of a division"), "{}", reply.text());
    assert_eq!(asked(), 0, "M3 was asked for the price");
    assert_eq!(branch.m3(&price("A01")).await.status, StatusCode::OK);
    assert_eq!(office.m3(&price("B01")).await.status, StatusCode::OK);
    // The warehouse each record says by itself.
    let other = branch.m3("OIS320MI/GetPriceLine;cono=100;divi=AAA?CUNO=C00001&ITNO=A00001&WHLO=003").await;
    assert_eq!(other.status, StatusCode::OK, "{}", other.text());
}

#[tokio::test]
async fn where_m3_does_not_say_whose_a_site_is_nothing_is_written_there() {
    let (house, branch, _) = house(OF_AAA, |_| {}).await;
    for action in [r#"{"nok":{"id":"X","field":"","text":"No"}}"#, "\"drop_before\""] {
        house.faults(&format!(
            r#"{{"rules":[{{"program":"MMS005MI","transaction":"GetWarehouse","action":{action}}}]}}"#
        ));
        let reply = branch.m3(&moved("001")).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"), "{action}");
    }
    assert!(!house.asked().iter().any(|call| call.contains("UpdItmWhs")), "{:?}", house.asked());
}

#[tokio::test]
async fn whoever_makes_up_sites_has_m3_asked_for_a_few_of_them() {
    let (house, branch, _) = house(OF_AAA, |_| {}).await;
    house.running.add_client("other", &[], &["branch"]).await.expect("a client");
    let other = house.caller("other").await;
    assert_eq!(branch.m3(&moved("001")).await.status, StatusCode::OK);
    let asked = || house.asked().iter().filter(|call| call.contains("GetWarehouse")).count();
    let before = asked();
    for _ in 0..2 {
        assert!(branch.m3(&moved("Q00")).await.text().contains("M3 tells of no WHLO like this one"));
    }
    assert_eq!(asked() - before, 1, "that there is none is remembered for a while");
    let names =
        (b'A'..=b'Z').flat_map(|one| (b'A'..=b'Z').map(move |two| format!("Z{}{}", char::from(one), char::from(two))));
    let mut held = None;
    for (at, name) in names.enumerate() {
        let reply = branch.m3(&moved(&name)).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"), "{name}");
        if reply.text().contains("has named too many sites that M3 doesn't know") {
            assert!(!reply.header("retry-after").is_empty());
            held = Some(at);
            break;
        }
    }
    let held = held.expect("it ends");
    assert!(held >= 29 && asked() - before <= 1 + held, "{held} were asked for, {} in all", asked() - before);
    // What is known is known to him as well, and nobody else has made anything up.
    assert_eq!(branch.m3(&moved("001")).await.status, StatusCode::OK);
    assert!(other.m3(&moved("Y00")).await.text().contains("M3 tells of no WHLO like this one"));
    assert_eq!(other.m3(&moved("002")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn many_calls_at_once_ask_m3_no_more_than_one_after_the_other() {
    let (house, branch, _) = house(OF_AAA, |_| {}).await;
    let asked = || house.asked().iter().filter(|call| call.contains("GetWarehouse")).count();
    let at_once = async |names: Vec<String>| {
        let calls = names.iter().map(|name| async { branch.m3(&moved(name)).await.status });
        futures_util::future::join_all(calls).await
    };
    // As many as have room for a read at a time, and the others find what those learnt.
    assert!(at_once(vec!["001".into(); 100]).await.iter().all(|status| *status == StatusCode::OK));
    assert!(asked() <= 16, "{}", asked());
    let before = asked();
    assert!(at_once(vec!["Q00".into(); 100]).await.iter().all(|status| *status == StatusCode::FORBIDDEN));
    assert!(asked() - before <= 16, "{}", asked() - before);
    // One wrong name is one, however often it was said at the same time.
    let refused = branch.m3(&moved("Q01")).await.text();
    assert!(refused.contains("M3 tells of no WHLO like this one"), "{refused}");
    let before = asked();
    at_once((100..300).map(|at| format!("Z{at}")).collect()).await;
    assert!(asked() - before <= 30 + 16, "{}", asked() - before);
}

#[tokio::test]
async fn a_rule_over_a_class_believes_no_division_that_nothing_holds_the_call_to() {
    let (house, branch, office) = house(OF_AAA, |_| {}).await;
    // Its order may be of any division, and M3 goes by the order.
    let approve = "PPS200MI/ApprovePO;cono=100;divi=AAA?PUNO=2000003";
    // The answer does not say of which warehouse the parcel is; the call names it.
    let printer =
        |warehouse: &str| format!("PPS200MI/GetDelPrevPrtNo;cono=100;divi=AAA?WHLO={warehouse}&ITNO=A00001&DSPN=1");
    let asked = |name: &str| house.asked().iter().filter(|call| call.contains(name)).count();
    let reply = branch.m3(approve).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"));
    assert!(reply.text().contains("PPS200MI/ApprovePO carries none that M3 would hold it to"), "{}", reply.text());
    let refused = reply.header("mi-decision").to_owned();
    assert_eq!(branch.m3(&printer("003")).await.status, StatusCode::FORBIDDEN);
    assert_eq!((asked("ApprovePO"), asked("GetDelPrevPrtNo")), (0, 0), "M3 was not asked");
    assert_ne!(branch.m3(&printer("001")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(asked("GetDelPrevPrtNo"), 1);
    // A line goes where its order is, wherever its goods are; a head is of its facility's division.
    let line = "OIS100MI/AddOrderLine;cono=100;divi=AAA?ORNO=1000001&ITNO=A00001&ORQT=1&WHLO=001";
    let head = |site: &str| format!("OIS100MI/AddOrderHead;cono=100;divi=AAA?CUNO=C00001&ORTP=001{site}");
    for (call, why) in [
        (line, "AddOrderLine carries none that M3 would hold it to (ORNO names the record, of whichever division"),
        (&*head("&WHLO=001"), "none that M3 would hold it to (it would to that of FACI)."),
        (&*head("&FACI=B01"), "This FACI is of a division for which"),
    ] {
        let reply = branch.m3(call).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"), "{call}");
        assert!(reply.text().contains(why), "{}", reply.text());
    }
    assert_eq!((asked("AddOrderLine"), asked("AddOrderHead")), (0, 0), "M3 was not asked");
    assert_ne!(branch.m3(&head("&FACI=A01")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(asked("AddOrderHead"), 1);
    // One whose answer says its division is decided by that.
    let head = branch.m3("PPS200MI/GetHead;cono=100;divi=AAA?PUNO=2000003").await;
    assert_eq!((head.status, head.records().len()), (StatusCode::OK, 1), "{}", head.text());
    let done = office.m3(approve).await;
    assert_eq!((done.status, asked("ApprovePO")), (StatusCode::OK, 1), "who is asked for no division: {}", done.text());
    let state = house.stop().await;
    let found = lines(&audit(state.path(), &["find", "--decision", &refused]));
    assert_eq!(
        (&found[0]["reason"], &found[0]["rules"]),
        (&json!("division-not-carried"), &json!(["branch-own"])),
        "{found:?}"
    );
}

/// One who may change what of a customer is one division's, by a rule over the field and the call's own division.
async fn by_field(condition: &str) -> (House, Caller) {
    let state = tempfile::tempdir().expect("a temporary folder");
    let rules = state.path().join("rules");
    fs::create_dir_all(&rules).expect("a folder");
    let text = format!(
        "@id(\"own\")\n@owner(\"tests\")\npermit (principal in Group::\"branch\", action == Action::\"CRS610MI/ChgOrderInfo\", resource) when {{ {condition} }};\n"
    );
    fs::write(rules.join("rules.cedar"), text).expect("a file");
    fs::write(rules.join("limits.toml"), "[default]\nrate = \"1000/second\"\nburst = 2000\n").expect("a file");
    let house = House::again(state, |settings| {
        settings.policies = rules;
        settings.group_users.insert("branch".into(), M3User::parse("MIDEMO").expect("a user of the mock"));
    })
    .await;
    house.running.add_client("branch", &[], &["branch"]).await.expect("a client");
    let branch = house.caller("branch").await;
    let learnt = async {
        while branch.m3("CRS610MI/ChgOrderInfo?CUNO=NONE").await.text().contains("was not known") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), learnt).await.expect("the layout is learnt");
    house.m3().clear_calls();
    (house, branch)
}

#[tokio::test]
async fn a_write_with_a_division_and_a_site_is_decided_for_both_whichever_a_rule_looks_at() {
    const FIELD: &str = "context.fields has DIVI && context.fields.DIVI == \"AAA\"";
    let both = format!("{OF_AAA} && {FIELD}");
    let wide = "[\"AAA\", \"BBB\"].contains(context.division)";
    for (condition, elsewhere) in [
        (OF_AAA.to_owned(), false),
        (FIELD.to_owned(), false),
        (both, false),
        (format!("{wide} && {FIELD}"), false),
        (format!("{wide} && context.fields has DIVI && [\"AAA\", \"BBB\"].contains(context.fields.DIVI)"), true),
    ] {
        let (house, branch) = by_field(&condition).await;
        let change = async |more: &str| {
            let reply = branch.m3(&format!("CRS610MI/ChgOrderInfo?CONO=100&DIVI=AAA&CUNO=C00001{more}")).await;
            assert!(reply.status == StatusCode::OK || reply.problem() == "policy-denied", "{}", reply.text());
            reply.status == StatusCode::OK
        };
        assert!(change("").await && change("&WHLO=001").await && change("&FACI=A01").await, "{condition}");
        assert!(change("&WHLO=001&FACI=A01").await, "{condition}");
        let before = house.asked().iter().filter(|call| call.contains("ChgOrderInfo")).count();
        for more in ["&WHLO=003", "&FACI=B01", "&WHLO=001&FACI=B01", "&WHLO=003&FACI=A01"] {
            assert_eq!(change(more).await, elsewhere, "{condition}: {more}");
        }
        let sent: Vec<String> = house.asked().into_iter().filter(|call| call.contains("ChgOrderInfo")).collect();
        assert_eq!(sent.len() - before, if elsewhere { 4 } else { 0 }, "{condition}: {sent:?}");
        assert!(sent.iter().all(|call| call.contains("DIVI=AAA")), "what is sent is what was said: {sent:?}");
        // Said in the option, and the field left out: M3 is told of it all the same.
        let option = branch.m3("CRS610MI/ChgOrderInfo;cono=100;divi=BBB?CUNO=C00001&WHLO=003").await;
        assert_eq!(option.status == StatusCode::OK, elsewhere, "{condition}: {}", option.text());
    }
}
