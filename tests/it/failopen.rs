//! A forbid that fails while it is asked lets nothing through: the call is refused, counted, logged and written down.

use crate::house::{Caller, House};
use http::StatusCode;
use serde_json::Value;
use std::time::Duration;

/// Everything is permitted. The forbid of the first fails in company 100 alone, where a sum is larger than there are
/// numbers; that of the second wherever a field is given.
const RULES: &str = r#"
@id("all") permit (principal, action in [Action::"read", Action::"write"], resource);
@id("too-large") forbid (principal, action, resource in Program::"CRS610MI")
when { context.company * 92233720368547759 == 0 };
@id("with-a-name") forbid (principal, action == Action::"CRS620MI/GetBasicData", resource)
when { context.fields has SUNO && -(context.company - 9223372036854775807) * 2 > 0 };
"#;

async fn house() -> (House, Caller) {
    let state = tempfile::tempdir().expect("a folder");
    let rules = state.path().join("rules");
    std::fs::create_dir(&rules).expect("a folder");
    std::fs::write(rules.join("rules.cedar"), RULES).expect("a file");
    std::fs::write(rules.join("limits.toml"), "[default]\nrate = \"1000/second\"\nburst = 1000\n").expect("a file");
    let house = House::again(state, |settings| settings.policies = rules).await;
    let demo = house.demo().await;
    (house, demo)
}

/// How often a rule has failed, as the metrics tell it.
async fn failures(house: &House) -> usize {
    let metrics = house.operations("/metrics").await.text();
    let line = "mi_gateway_policy_decisions_total{step=\"values\",verdict=\"failed\"} ";
    let told = metrics.lines().find_map(|told| told.strip_prefix(line));
    told.unwrap_or_else(|| panic!("{line} in {metrics}")).parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbid_that_fails_lets_nothing_through() {
    let (house, demo) = house().await;
    // Rules over fields hold once the catalog has learnt what those are; until then they refuse for that.
    let learnt = async {
        while !demo.m3("CRS620MI/GetBasicData?SUNO=S00001").await.text().contains("could not be evaluated") {
            crate::house::a_moment().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), learnt).await.expect("the layout is learnt");
    let before = failures(&house).await;
    let mut refused = Vec::new();
    for call in [
        "CRS610MI/GetBasicData?CUNO=C00001",
        "CRS610MI/GetBasicData?CUNO=C00001&cono=100",
        "CRS610MI/ChgBasicData?CUNO=C00007&CUNM=Other",
        "CRS610MI/LstByNumber?maxrecs=0",
        "CRS620MI/GetBasicData?SUNO=S00001",
    ] {
        for reply in [demo.m3(call).await, demo.m3(call).await, demo.v1(call).await] {
            assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "policy-denied"), "{call}");
            assert!(reply.text().contains("could not be evaluated"), "{}", reply.text());
            refused.push(reply.header("mi-decision").to_owned());
        }
    }
    let body = r#"{"program":"CRS610MI","transactions":[{"transaction":"GetBasicData","record":{"CUNO":"C00001"}}]}"#;
    let headers = [("content-type", "application/json")];
    let bulk = demo.send(http::Method::POST, "/m3api-rest/v2/execute", &headers, body.into()).await;
    assert!(bulk.text().contains("PolicyDenied"), "{}", bulk.text());
    assert_eq!(house.asked(), Vec::<String>::new());
    // A rule that speaks of another program is nobody's trouble.
    assert_eq!(demo.m3("MMS200MI/GetItmBasic?ITNO=A00001").await.status, StatusCode::OK);
    assert_eq!(failures(&house).await, before + refused.len() + 1);
    let state = house.stop().await;
    let files = std::fs::read_dir(state.path().join("audit")).expect("the log").flatten();
    let text: String = files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for id in refused {
        let line = lines.iter().find(|line| line["id"] == id.as_str()).unwrap_or_else(|| panic!("{id} in {text}"));
        assert_eq!((&line["verdict"], &line["reason"]), (&"deny".into(), &"evaluation-error".into()), "{line}");
        assert!(["too-large", "with-a-name"].iter().any(|rule| line["rules"][0] == **rule), "{line}");
    }
}
