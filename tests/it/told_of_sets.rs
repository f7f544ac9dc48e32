//! What the workbench and the gateway tell of a set: which rules no case decides, what a strict check makes of warnings,
//! and the hash that metrics, readiness and the audit log share.

use crate::house::House;
use crate::workbench::{folder, policy, text};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Output;

const ONE: &str = "@id(\"one\") @owner(\"o\")\npermit (principal == Client::\"shop\", action in Action::\"read\", resource in Program::\"CRS610MI\");\n";
const TWO: &str = "@id(\"two\") @owner(\"o\")\npermit (principal == Client::\"shop\", action in Action::\"read\", resource in Program::\"MMS200MI\");\n";

fn write(rules: &Path, name: &str, text: &str) {
    let path = rules.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, text).expect("a file");
}

fn case(name: &str, call: &str, more: &str) -> String {
    format!("[[case]]\nname = \"{name}\"\nclient = \"shop\"\ncall = \"{call}\"\n{more}\n")
}

fn lines(ended: &Output) -> Vec<Value> {
    text(&ended.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_rule_that_no_case_decides_is_named() {
    let (folder, rules) = (folder(), folder());
    let dir = rules.path().display().to_string();
    write(rules.path(), "a.cedar", &(ONE.to_owned() + TWO));
    let first = case("first", "CRS610MI/GetBasicData;cono=100?CUNO=C1", "expect = \"allow\"\nrule = \"one\"");
    write(rules.path(), "tests/all.toml", &first);
    let tested = || policy(folder.path(), &["test", "--dir", &dir]);
    let ended = tested();
    assert_eq!(ended.status.code(), Some(0), "an undecided rule is no fault: {}", text(&ended.stderr));
    assert!(text(&ended.stdout).contains("1 of 2 rules decide some case"), "{}", text(&ended.stdout));
    assert!(text(&ended.stderr).contains("no case is decided by: two"), "{}", text(&ended.stderr));
    let told = lines(&policy(folder.path(), &["test", "--dir", &dir, "--json"]));
    let last = told.last().expect("a summary");
    assert_eq!((&last["rules"], &last["undecided"]), (&2.into(), &serde_json::json!(["two"])), "{told:?}");
    let second = case("second", "MMS200MI/GetItmBasic;cono=100?ITNO=A", "expect = \"allow\"");
    write(rules.path(), "tests/all.toml", &(first.clone() + &second));
    let ended = tested();
    assert!(text(&ended.stdout).contains("2 of 2 rules decide some case"), "{}", text(&ended.stdout));
    assert!(!text(&ended.stderr).contains("no case is decided"), "{}", text(&ended.stderr));
    // As refused as expected, and for another reason.
    let wrong = case("third", "PPS200MI/GetHead;cono=100?PUNO=1", "expect = \"deny\"\nreason = \"forbidden\"");
    write(rules.path(), "tests/all.toml", &(first + &wrong));
    let ended = tested();
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).contains("third: the reason is no-permit, not forbidden"), "{}", text(&ended.stderr));
}

#[test]
fn a_strict_check_makes_errors_of_warnings_and_limits_are_reviewed_with_the_rules() {
    let (folder, rules) = (folder(), folder());
    let dir = rules.path().display().to_string();
    write(rules.path(), "a.cedar", ONE);
    let first = case("first", "CRS610MI/GetBasicData;cono=100?CUNO=C1", "expect = \"allow\"");
    write(rules.path(), "tests/all.toml", &first);
    let limits = "[default]\nrate = \"10/second\"\nburst = 5\n";
    write(rules.path(), "limits.toml", limits);
    let strict = || policy(folder.path(), &["check", &dir, "--strict", "--json"]);
    assert_eq!(strict().status.code(), Some(0), "{}", text(&strict().stdout));
    let never = "[[quota]]\nper = \"day\"\nunits = 100\n[[quota]]\nper = \"month\"\nunits = 50\n";
    write(rules.path(), "limits.toml", &(limits.to_owned() + never));
    for (words, code, severity) in
        [(&["check", &dir, "--json"][..], 0, "warning"), (&["check", &dir, "--strict", "--json"], 1, "error")]
    {
        let ended = policy(folder.path(), words);
        assert_eq!(ended.status.code(), Some(code), "{words:?}: {}", text(&ended.stdout));
        let told = lines(&ended);
        let found = told.iter().find(|one| one["code"] == "limit-unreachable").unwrap_or_else(|| panic!("{told:?}"));
        assert_eq!((&found["severity"], &found["file"]), (&severity.into(), &"limits.toml".into()), "{told:?}");
        assert_eq!(found["line"], 5, "the day's: {told:?}");
        let last = told.last().expect("a summary");
        let count = |errors: u32, warnings: u32| (Value::from(errors), Value::from(warnings));
        let wanted = if code == 0 { count(0, 1) } else { count(1, 0) };
        assert_eq!((last["errors"].clone(), last["warnings"].clone()), wanted, "{told:?}");
    }
    write(rules.path(), "limits.toml", limits);
    write(rules.path(), "a.cedar", &ONE.replace(" @owner(\"o\")", ""));
    assert_eq!(policy(folder.path(), &["check", &dir]).status.code(), Some(0));
    assert_eq!(strict().status.code(), Some(1), "nobody answers for the rule");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hash_of_the_set_in_force_is_the_same_in_metrics_readiness_the_log_and_the_check() {
    let rules = folder();
    let all =
        "@id(\"all\") @owner(\"o\")\npermit (principal in Group::\"demo\", action in Action::\"read\", resource);\n";
    write(rules.path(), "a.cedar", all);
    write(rules.path(), "manifest.toml", "name = \"acme\"\nversion = 3\n");
    let dir = rules.path().to_owned();
    let house = House::with(move |settings| settings.policies = dir).await;
    let checked = {
        let (at, dir) = (house.state.path().to_owned(), rules.path().display().to_string());
        tokio::task::spawn_blocking(move || policy(&at, &["check", &dir, "--json"])).await.expect("it ends")
    };
    let summary = lines(&checked).last().and_then(|last| last["summary"].as_str().map(str::to_owned)).expect("a line");
    let hash = summary.rsplit(' ').next().expect("a hash").to_owned();
    assert!(hash.len() >= 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{summary}");
    let read = house.demo().await.m3("CRS610MI/GetBasicData?CUNO=C00001").await;
    assert_eq!(read.status.as_u16(), 200, "{}", read.text());
    let ready = house.operations("/readyz").await.text();
    assert!(ready.contains(&format!("acme version 3, {hash}")), "{hash} in {ready}");
    let metrics = house.operations("/metrics").await.text();
    let told: Vec<&str> = metrics.lines().filter(|line| line.starts_with("mi_gateway_policy_set{")).collect();
    assert!(
        told.len() == 1 && told[0].contains(&format!("hash=\"{hash}\"")) && told[0].contains("version=\"3\""),
        "{told:?}"
    );
    let state = house.stop().await;
    let id = read.header("mi-decision").to_owned();
    let found = crate::audit::lines(&crate::audit::audit(state.path(), &["find", "--decision", &id]));
    assert_eq!(found[0]["set"], hash.as_str(), "{found:?}");
}
