//! The workbench of rules: what they decide, why, for whom, and what changes between two sets.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const SHIPPED: &str = "policies";

/// The command in a folder of its own, with the rules of the repository.
fn policy(folder: &Path, words: &[&str]) -> Output {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join(SHIPPED);
    Command::new(env!("CARGO_BIN_EXE_mi-gateway"))
        .current_dir(folder)
        .env("MI_GATEWAY__POLICY__DIR", rules)
        .arg("policy")
        .args(words)
        .output()
        .expect("the command can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn the_shipped_rules_keep_their_own_promises() {
    let folder = folder();
    let ended = policy(folder.path(), &["test"]);
    assert_eq!(ended.status.code(), Some(0), "{}{}", text(&ended.stdout), text(&ended.stderr));
    assert!(text(&ended.stdout).contains("cases as expected"));
    assert!(fs::read_dir(folder.path()).expect("the folder").next().is_none(), "asking leaves nothing behind");
}

#[test]
fn a_case_that_is_otherwise_is_told_with_what_it_is() {
    let folder = folder();
    let rules = folder.path().join("rules");
    fs::create_dir_all(rules.join("tests")).expect("a folder");
    let rule = "@id(\"one\")\npermit (principal == Client::\"shop\", action in Action::\"read\", resource in Program::\"CRS610MI\");\n";
    fs::write(rules.join("a.cedar"), rule).expect("a file");
    let cases = r#"
[[case]]
name = "as it is"
client = "shop"
call = "CRS610MI/GetBasicData;cono=100?CUNO=C1"
expect = "allow"
rule = "one"
[[case]]
name = "as it is not"
client = "shop"
call = "CRS610MI/GetBasicData;cono=100?CUNO=C1"
expect = "deny"
"#;
    fs::write(rules.join("tests/all.toml"), cases).expect("a file");
    let dir = rules.display().to_string();
    let ended = policy(folder.path(), &["test", "--dir", &dir]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).contains("as it is not: it is allowed (allowed; one)"), "{}", text(&ended.stderr));
    assert!(text(&ended.stdout).contains("1 of 2 cases as expected"), "{}", text(&ended.stdout));
    fs::write(rules.join("tests/all.toml"), "[[case]]\nname = \"x\"\nclient = \"y\"\ncal = \"z\"\n").expect("a file");
    let ended = policy(folder.path(), &["test", "--dir", &dir]);
    assert_eq!(ended.status.code(), Some(2), "a misspelt word is no case that passes: {}", text(&ended.stderr));
}

#[test]
fn a_decision_is_explained_by_the_rule_or_by_what_was_missing() {
    let folder = folder();
    let explain = |words: &[&str]| {
        let ended = policy(folder.path(), &[&["explain", "--client", "someone", "--json"], words].concat());
        let shown: Value = serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("{}", text(&ended.stderr)));
        (ended.status.code(), shown)
    };
    let (code, allowed) = explain(&["--group", "demo", "CRS610MI/GetBasicData;cono=100?CUNO=C1"]);
    assert_eq!((code, &allowed["rules"][0]["rule"]), (Some(0), &"demo-reads".into()));
    assert!(
        allowed["rules"][0]["place"].as_str().is_some_and(|place| place.starts_with("10-demo.cedar:")),
        "{allowed}"
    );
    let (code, forbidden) = explain(&["--group", "demo", "MMS200MI/SndItmDesc;cono=100?LMDT=20260101"]);
    assert_eq!((code, &forbidden["reason"]), (Some(1), &"forbidden".into()));
    let (code, refused) = explain(&["--group", "demo", "CRS610MI/ChgBasicData;cono=200?CUNO=C1&CUNM=X"]);
    assert_eq!(
        (code, &refused["reason"], &refused["nearest"][0]["rule"]),
        (Some(1), &"no-permit".into(), &"demo-writes".into())
    );
    let miss = refused["nearest"][0]["miss"].as_str().unwrap_or_default();
    assert!(miss.contains("context.company == 100"), "{miss}");
    let (_, stranger) = explain(&["CRS610MI/GetBasicData;cono=100?CUNO=C1"]);
    assert!(stranger["nearest"][0]["miss"].as_str().is_some_and(|miss| miss.contains("other clients")), "{stranger}");
    let unreadable = policy(folder.path(), &["explain", "--client", "x", "CRS610MI;GetBasicData"]);
    assert_eq!(unreadable.status.code(), Some(2), "what can't be asked is neither allowed nor refused");
}

#[test]
fn an_access_review_is_a_table_and_a_change_of_rules_says_what_it_gives_and_takes() {
    let folder = folder();
    let table =
        text(&policy(folder.path(), &["who-can", "MMS200MI/DltItm", "--place", "100", "--place", "200"]).stdout);
    assert_eq!(
        table,
        "client,program,transaction,effect,company,division,may\n\
         (group demo),MMS200MI,DltItm,write,100,,always\n"
    );
    let after = folder.path().join("after");
    fs::create_dir(&after).expect("a folder");
    let rule = "@id(\"readers-read\")\npermit (principal in Group::\"readers\", action in Action::\"read\", resource in Program::\"CRS610MI\");\n@id(\"demo-early\")\npermit (principal in Group::\"demo\", action in Action::\"read\", resource in Program::\"MMS200MI\") when { context.minute < 60 };\n";
    fs::write(after.join("a.cedar"), rule).expect("a file");
    let before = Path::new(env!("CARGO_MANIFEST_DIR")).join(SHIPPED).display().to_string();
    let after = after.display().to_string();
    let ended = policy(folder.path(), &["diff", &before, &after, "--place", "100", "--place", "200"]);
    assert_eq!(ended.status.code(), Some(1));
    let told = text(&ended.stdout);
    assert!(told.contains("- (group demo): CRS610MI/Add in 100: always → never"), "{told}");
    assert!(told.contains("- (group demo): MMS200MI/GetItmBasic in 100: always → sometimes"), "{told}");
    assert!(told.contains("+ (group demo): MMS200MI/GetItmBasic in 200: never → sometimes"), "{told}");
    assert!(told.contains("+ (group readers): CRS610MI/GetBasicData in 200: never → always"), "{told}");
    let same = policy(folder.path(), &["diff", &before, &before, "--place", "100"]);
    assert_eq!((same.status.code(), text(&same.stdout).as_str()), (Some(0), ""));
}
