//! Sets that are no longer in force are kept: what they decided can be explained by what they said.

use crate::house::House;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const READS: &str =
    "@id(\"reads\") @owner(\"o\") permit (principal in Group::\"demo\", action in Action::\"read\", resource);\n";

fn explain(state: &Path, rules: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mi-gateway"));
    command.current_dir(state).env("MI_GATEWAY__STATE__DIR", state).env("MI_GATEWAY__POLICY__DIR", rules);
    command.args(["policy", "explain"]).args(words).output().expect("it runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_of_a_set_that_was_replaced_is_explained_with_the_places_of_that_set() {
    let rules = tempfile::tempdir().expect("a folder");
    fs::write(rules.path().join("a.cedar"), READS).expect("a file");
    fs::write(rules.path().join("manifest.toml"), "name = \"acme\"\nversion = 1\n").expect("a file");
    let dir = rules.path().to_owned();
    let house = House::with(move |settings| settings.policies = dir).await;
    let demo = house.demo().await;
    let read = demo.m3("CRS610MI/GetBasicData;cono=100?CUNO=C00001").await;
    let id = read.header("mi-decision").to_owned();
    assert_eq!((read.status.as_u16(), id.is_empty()), (200, false));

    // The same rule, three lines further down.
    fs::write(rules.path().join("a.cedar"), format!("//\n//\n//\n{READS}")).expect("a file");
    let replaced = async {
        while house.demo().await.m3("CRS610MI/GetBasicData;cono=100?CUNO=C00001").await.header("mi-decision").is_empty()
            || fs::read_dir(house.state.path().join("policies/sets")).map_or(0, Iterator::count) < 2
        {
            crate::house::a_moment().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), replaced).await.expect("it is in force");
    let state = house.stop().await;

    let told = explain(state.path(), rules.path(), &["--decision", &id, "--json"]);
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!((&told["rules"][0]["place"], &told["same_set"]), (&"a.cedar:1:1".into(), &false.into()), "{told}");
    assert_eq!((&told["kept_set"]["name"], &told["kept_set"]["version"]), (&"acme".into(), &1.into()), "{told}");
    let shown = explain(state.path(), rules.path(), &["--decision", &id]);
    let said = String::from_utf8_lossy(&shown.stderr).into_owned();
    assert!(said.contains("decided by version 1") && said.contains("which is kept"), "{said}");

    let named = rules.path().display().to_string();
    let told = explain(state.path(), rules.path(), &["--decision", &id, "--json", "--dir", &named]);
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(told["rules"][0]["place"], "a.cedar:4:1", "a folder that is named is what is asked: {told}");
}
