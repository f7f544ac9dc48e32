//! Rules over a record of M3: it is read before the decision, as the guard user and for nobody else, and what can't be
//! read refuses the call.

use crate::house::{Caller, House, Reply, over_rest};
use bytes::Bytes;
use http::{Method, StatusCode};
use mi_gateway::config::Settings;
use mi_gateway::model::{Division, M3User, Standing};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) const RULES: &str = r#"@id("approve-small") @owner("purchasing")
permit (principal in Group::"buyers", action == Action::"PPS200MI/ApprovePO", resource)
when { context.company == 100 && context.record.DIVI == "AAA" && context.record.NTAM.lessThan(decimal("10000.0")) };
@id("approve-own") @owner("purchasing")
permit (principal in Group::"chiefs", action == Action::"PPS200MI/ApprovePO", resource)
when { context.record.BUYE == "CHIEF" };
@id("chiefs-update") @owner("purchasing")
permit (principal in Group::"chiefs", action in Action::"write", resource == Transaction::"PPS200MI/UpdHead");
@id("lines-of-aaa") @owner("sales")
permit (principal in Group::"buyers", action == Action::"OIS100MI/ChgLineBatchEnt", resource)
when { context.record.DIVI == "AAA" };
@id("office-all") @owner("office")
permit (principal in Group::"office", action in [Action::"read", Action::"write"], resource);
"#;

pub(crate) const FACTS: &str = r#"# What a rule may ask of M3 before a call is decided.
[[fact]]
of = ["PPS200MI/ApprovePO"]
read = "PPS200MI/GetHead"
key = { PUNO = "PUNO" }
fields = ["DIVI", "NTAM", "BUYE"]

[[fact]]
of = ["OIS100MI/ChgLineBatchEnt"]
read = "OIS100MI/GetLine"
key = { ORNO = "ORNO", PONR = "PONR" }
fields = ["DIVI"]
"#;

const CASES: &str = r#"[[case]]
name = "a small order of AAA"
client = "somebody"
groups = ["buyers"]
call = "PPS200MI/ApprovePO;cono=100?PUNO=1"
record = { DIVI = "AAA", NTAM = "9999.99", BUYE = "" }
expect = "allow"
rule = "approve-small"
[[case]]
name = "a large one"
client = "somebody"
groups = ["buyers"]
call = "PPS200MI/ApprovePO;cono=100?PUNO=1"
record = { DIVI = "AAA", NTAM = "10000", BUYE = "" }
expect = "deny"
reason = "no-permit"
[[case]]
name = "an order that can't be read"
client = "somebody"
groups = ["buyers"]
call = "PPS200MI/ApprovePO;cono=100?PUNO=1"
expect = "deny"
reason = "fact-missing"
"#;

pub(crate) fn write(folder: &Path) {
    std::fs::create_dir_all(folder.join("tests")).expect("a folder");
    for (name, text) in [
        ("rules.cedar", RULES),
        ("facts.toml", FACTS),
        ("limits.toml", "[default]\nrate = \"1000/second\"\nburst = 2000\n"),
        ("tests/facts.toml", CASES),
    ] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
}

fn user(name: &str) -> M3User {
    M3User::parse(name).expect("a user of the mock")
}

pub(crate) struct Firm {
    pub(crate) house: House,
    pub(crate) buyer: Caller,
    pub(crate) chief: Caller,
    pub(crate) office: Caller,
}

/// A house whose records are read by this user, once the layouts that its rules need are learnt.
pub(crate) async fn firm(guard: &str, change: impl FnOnce(&mut Settings)) -> Firm {
    let state = tempfile::tempdir().expect("a temporary folder");
    let rules = state.path().join("rules");
    write(&rules);
    let guard = (!guard.is_empty()).then(|| user(guard));
    let house = House::again(state, |settings| {
        (settings.policies, settings.guard_user) = (rules, guard);
        for group in ["buyers", "chiefs", "office"] {
            settings.group_users.insert(group.into(), user("MIDEMO"));
        }
        change(settings);
    })
    .await;
    for (name, group) in [("buyer", "buyers"), ("chief", "chiefs"), ("office", "office")] {
        house.running.add_client(name, &[], &[group]).await.expect("a client");
    }
    let (buyer, chief, office) =
        (house.caller("buyer").await, house.caller("chief").await, house.caller("office").await);
    let learnt = async {
        for call in ["PPS200MI/ApprovePO?PUNO=NONE", "OIS100MI/ChgLineBatchEnt?ORNO=NONE&PONR=1"] {
            while buyer.m3(call).await.text().contains("was not known") {
                crate::house::a_moment().await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), learnt).await.expect("the layouts are learnt");
    house.m3().clear_calls();
    Firm { house, buyer, chief, office }
}

impl Firm {
    pub(crate) async fn approve(&self, order: &str) -> Reply {
        self.buyer.m3(&format!("PPS200MI/ApprovePO;cono=100?PUNO={order}")).await
    }

    /// An order that waits for its approval, below the buyers' limit or above it.
    pub(crate) async fn order(&self, small: bool) -> String {
        for number in (2_000_003..2_000_060).step_by(3) {
            let head = self.office.m3(&format!("PPS200MI/GetHead;cono=100?PUNO={number}")).await;
            let amount = head.records()[0]["NTAM"].as_str().expect("an amount").parse::<f64>().expect("a number");
            if (amount < 10_000.0) == small {
                self.house.m3().clear_calls();
                return number.to_string();
            }
        }
        panic!("the mock has no such order");
    }

    fn answers(&self, transaction: &str, record: &Value) {
        let action = json!({ "answer": { "records": [record] } });
        self.house.faults(&json!({ "rules": [{ "transaction": transaction, "action": action }] }).to_string());
    }

    fn asked_of(&self, transaction: &str) -> Vec<String> {
        let calls = self.house.m3().calls();
        calls.iter().filter(|call| call.transaction == transaction).map(|call| call.user.clone()).collect()
    }

    async fn counted(&self, result: &str) -> bool {
        let line = format!("policy_fact_reads_total{{result=\"{result}\"}}");
        self.house.operations("/metrics").await.text().contains(&line)
    }
}

/// Refused for what could not be read, and nothing was written.
#[track_caller]
fn unread(firm: &Firm, reply: &Reply) {
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"), "{}", reply.text());
    assert!(reply.text().contains("could not be read before the decision"), "{}", reply.text());
    assert_eq!(firm.asked_of("ApprovePO"), [""; 0]);
}

#[tokio::test]
async fn an_approval_is_decided_by_what_m3_has_of_its_order() {
    let firm = firm("MIREAD", |_| {}).await;
    let (small, large) = (firm.order(true).await, firm.order(false).await);
    let reply = firm.approve(&small).await;
    assert_eq!(
        (reply.status, reply.records()[0]["PUNO"].as_str()),
        (StatusCode::OK, Some(&*small)),
        "{}",
        reply.text()
    );
    assert_eq!(firm.asked_of("GetHead"), ["MIREAD"], "once, and not as the caller's user");
    assert_eq!(firm.asked_of("ApprovePO"), ["MIDEMO"]);
    firm.house.m3().clear_calls();
    for refused in [firm.approve(&large).await, {
        firm.answers("GetHead", &json!({ "CONO": "100", "PUNO": small, "DIVI": "BBB", "NTAM": "1.00" }));
        firm.approve(&small).await
    }] {
        assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"));
        assert!(refused.text().contains("with these values"), "{}", refused.text());
    }
    assert_eq!(firm.asked_of("ApprovePO"), [""; 0], "nothing was written");
    // An amount that a rule can't compare is refused, not rounded.
    firm.answers("GetHead", &json!({ "CONO": "100", "PUNO": small, "DIVI": "AAA", "NTAM": "1.00001" }));
    assert_eq!(firm.approve(&small).await.problem(), "value-not-comparable");
    assert!(firm.counted("read").await);
}

#[tokio::test]
async fn what_can_not_be_read_refuses_the_call_and_m3s_words_are_nobodys() {
    let firm = firm("MIREAD", |_| {}).await;
    let small = firm.order(true).await;
    unread(&firm, &firm.approve("9999999").await);
    assert!(firm.counted("no-record").await);
    firm.house.faults(r#"{"rules":[{"transaction":"GetHead","action":{"nok":{"id":"XAU0008","field":"","text":"Secret supplier"}}}]}"#);
    let reply = firm.approve(&small).await;
    unread(&firm, &reply);
    assert!(!reply.text().contains("Secret") && !reply.text().contains("XAU0008"), "{}", reply.text());
    for another in [
        json!({ "CONO": "100", "PUNO": "7777777", "DIVI": "AAA", "NTAM": "1.00" }),
        json!({ "CONO": "200", "PUNO": small, "DIVI": "AAA", "NTAM": "1.00" }),
    ] {
        firm.answers("GetHead", &another);
        unread(&firm, &firm.approve(&small).await);
    }
    assert!(firm.counted("another-record").await);
    firm.answers("GetHead", &json!({ "CONO": "100", "PUNO": small, "DIVI": "AAA", "NTAM": "many" }));
    unread(&firm, &firm.approve(&small).await);
    assert!(firm.counted("unreadable").await);
    firm.house.faults(r#"{"rules":[{"transaction":"GetHead","action":"drop_before"}]}"#);
    unread(&firm, &firm.approve(&small).await);
    firm.house.faults(r#"{"rules":[]}"#);
    assert_eq!(firm.approve(&small).await.status, StatusCode::OK, "and none of it stays");
}

#[tokio::test]
async fn an_m3_that_takes_its_time_refuses_the_call_within_two_seconds() {
    let firm = firm("MIREAD", |_| {}).await;
    let small = firm.order(true).await;
    firm.house.faults(r#"{"rules":[{"transaction":"GetHead","latency_ms":30000}]}"#);
    let began = Instant::now();
    unread(&firm, &firm.approve(&small).await);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(firm.counted("timed-out").await);
    firm.house.faults(r#"{"rules":[]}"#);
    assert_eq!(firm.approve(&small).await.status, StatusCode::OK, "no session is out of step");
}

#[tokio::test]
async fn a_guard_user_without_authority_or_none_at_all_lets_nothing_through() {
    for guard in ["MINOAUT", ""] {
        let firm = firm(guard, |_| {}).await;
        let small = firm.order(true).await;
        unread(&firm, &firm.approve(&small).await);
        let word = match (guard, over_rest()) {
            ("", _) => "no-guard-user",
            (_, false) => "no-record",
            // There the account itself is turned away.
            (_, true) => "unavailable",
        };
        assert!(firm.counted(word).await, "{word}");
    }
}

#[tokio::test]
async fn where_no_rule_looks_at_the_record_m3_is_asked_nothing_more() {
    let firm = firm("MIREAD", |_| {}).await;
    let small = firm.order(true).await;
    let reply = firm.office.m3(&format!("PPS200MI/ApprovePO;cono=100?PUNO={small}")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(firm.house.asked(), [format!("PPS200MI/ApprovePO PUNO={small}")]);
    firm.house.m3().clear_calls();
    // The rule of the buyers is one of company 100: what M3 has in another is nothing that it looks at.
    let elsewhere = firm.buyer.m3(&format!("PPS200MI/ApprovePO;cono=200?PUNO={small}")).await;
    assert_eq!(elsewhere.status, StatusCode::FORBIDDEN);
    assert!(elsewhere.text().contains("with these values"), "{}", elsewhere.text());
    // Whoever is bound to another division has nothing read for him in this one.
    let divisions = vec![Division::parse("BBB").expect("a division")];
    let standing = Standing { divisions, user: Some(user("MIDEMO")), ..Standing::default() };
    firm.house.running.add_client_with("bound", &[], &["buyers"], standing).await.expect("a client");
    let bound = firm.house.caller("bound").await;
    let reply = bound.m3(&format!("PPS200MI/ApprovePO;cono=100;divi=AAA?PUNO={small}")).await;
    assert!(reply.text().contains("may not work in"), "{}", reply.text());
    assert_eq!(firm.house.asked(), [""; 0]);
}

#[tokio::test]
async fn each_transaction_of_a_bulk_call_is_decided_by_its_own_record_after_what_was_written_before() {
    let firm = firm("MIREAD", |_| {}).await;
    let (small, large) = (firm.order(true).await, firm.order(false).await);
    let send = async |caller: &Caller, transactions: Value| {
        let body = json!({ "program": "PPS200MI", "cono": 100, "transactions": transactions }).to_string();
        let headers = [("content-type", "application/json")];
        let path = "/DEMO_TST/M3/m3api-rest/v2/execute";
        caller.send(Method::POST, path, &headers, Bytes::from(body)).await.json()
    };
    let approve = |order: &str| json!({ "transaction": "ApprovePO", "record": { "PUNO": order } });
    let told = send(&firm.buyer, json!([approve(&large), approve(&small), approve("9999999")])).await;
    let of = |at: usize| told["results"][at]["errorType"].as_str().unwrap_or("done");
    assert_eq!([of(0), of(1), of(2)], ["PolicyDenied", "done", "PolicyDenied"], "{told}");
    assert_eq!(firm.asked_of("ApprovePO").len(), 1);
    // The buyer of an order is changed, and the record of what comes behind is read after that.
    let change = json!({ "transaction": "UpdHead", "record": { "PUNO": large, "BUYE": "CHIEF" } });
    let told = send(&firm.chief, json!([approve(&large), change, approve(&large)])).await;
    let of = |at: usize| told["results"][at]["errorType"].as_str().unwrap_or("done");
    assert_eq!([of(0), of(1), of(2)], ["PolicyDenied", "done", "done"], "{told}");
}

#[tokio::test]
async fn a_division_may_be_that_of_the_warehouse_and_is_looked_up_by_the_guard_user() {
    let firm = firm("MIREAD", |_| {}).await;
    let change = "OIS100MI/ChgLineBatchEnt;cono=100?ORNO=1000001&PONR=1&ORQA=2";
    let reply = firm.buyer.m3(change).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(firm.asked_of("GetWarehouse"), ["MIREAD"]);
    for (warehouse, detail) in [("003", "with these values"), ("ZZZ", "could not be read"), ("", "could not be read")] {
        firm.answers("GetLine", &json!({ "WHLO": warehouse }));
        let reply = firm.buyer.m3(change).await;
        assert!(
            reply.status == StatusCode::FORBIDDEN && reply.text().contains(detail),
            "{warehouse}: {}",
            reply.text()
        );
    }
    assert_eq!(firm.asked_of("ChgLineBatchEnt").len(), 1);
}

#[tokio::test]
async fn a_shadow_set_that_looks_at_a_record_makes_nobody_read_one() {
    let shadow = tempfile::tempdir().expect("a folder");
    write(shadow.path());
    let changed = RULES.to_owned()
        + "@id(\"office-small\") @owner(\"office\") forbid (principal in Group::\"office\", action == Action::\"PPS200MI/ApprovePO\", resource) when { context.record.BUYE == \"X\" };\n";
    std::fs::write(shadow.path().join("rules.cedar"), changed).expect("a file");
    let beside = shadow.path().to_owned();
    let firm = firm("MIREAD", move |settings| settings.shadow = Some(beside)).await;
    let small = firm.order(true).await;
    let counted = async {
        loop {
            let reply = firm.office.m3(&format!("PPS200MI/ApprovePO;cono=100?PUNO={small}")).await;
            assert!(reply.status == StatusCode::OK, "{}", reply.text());
            let metrics = firm.house.operations("/metrics").await.text();
            if metrics.contains("policy_shadow_decisions_total{result=\"unread\",step=\"values\"}") {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), counted).await.expect("it is counted apart");
    assert_eq!(firm.asked_of("GetHead"), [""; 0]);
    // What was read for the set in force serves the other too.
    assert_eq!(firm.approve(&small).await.status, StatusCode::OK);
    assert_eq!(firm.asked_of("GetHead").len(), 1);
}

#[tokio::test]
async fn a_layout_that_m3_does_not_tell_keeps_no_other_rule_waiting() {
    let state = tempfile::tempdir().expect("a temporary folder");
    let rules = state.path().join("rules");
    std::fs::create_dir_all(&rules).expect("a folder");
    let all =
        "@id(\"all\") @owner(\"o\") permit (principal in Group::\"buyers\", action in Action::\"write\", resource);";
    for (name, text) in [("rules.cedar", all), ("limits.toml", "[default]\nrate = \"1000/second\"\nburst = 2000\n")] {
        std::fs::write(rules.join(name), text).expect("a file");
    }
    let house = House::again(state, |settings| {
        (settings.policies, settings.guard_user) = (rules.clone(), Some(user("MIREAD")));
        settings.group_users.insert("buyers".into(), user("MIDEMO"));
    })
    .await;
    house.running.add_client("buyer", &[], &["buyers"]).await.expect("a client");
    let buyer = house.caller("buyer").await;
    let calls = ["PPS200MI/ApprovePO?PUNO=NONE", "OIS100MI/ChgLineBatchEnt?ORNO=NONE&PONR=1"];
    for call in calls {
        assert_ne!(buyer.m3(call).await.status, StatusCode::FORBIDDEN, "its layout is known now");
    }
    // Nobody but the rules of the next set needs the two reads.
    house.faults(r#"{"rules":[{"program":"MRS001MI","transaction":"LstFields","times":1,"action":"no_answer"}]}"#);
    write(&rules);
    let known = async |call: &str| {
        while !buyer.m3(call).await.text().contains("could not be read before the decision") {
            crate::house::a_moment().await;
        }
    };
    let either = async {
        tokio::select! { () = known(calls[0]) => {}, () = known(calls[1]) => {} }
    };
    tokio::time::timeout(Duration::from_secs(9), either).await.expect("before the other is given up");
}
