//! The workbench of rules: what they decide, why, for whom, and what changes between two sets.

use crate::house::House;
use crate::stops::{ask, operator};
use http::Method;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const SHIPPED: &str = "policies";

/// The command in a folder of its own, with the rules of the repository.
pub(crate) fn policy(folder: &Path, words: &[&str]) -> Output {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join(SHIPPED);
    Command::new(env!("CARGO_BIN_EXE_mi-gateway"))
        .current_dir(folder)
        .env("MI_GATEWAY__POLICY__DIR", rules)
        .arg("policy")
        .args(words)
        .output()
        .expect("the command can be started")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn folder() -> tempfile::TempDir {
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
        "client,program,transaction,effect,company,division,may,rules,reveals\n\
         (group demo),MMS200MI,DltItm,write,100,,always,demo-writes,\n"
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

#[test]
fn the_shipped_rules_stand_a_strict_check() {
    let folder = folder();
    let ended = policy(folder.path(), &["check", "--strict"]);
    assert_eq!(ended.status.code(), Some(0), "{}{}", text(&ended.stdout), text(&ended.stderr));
    assert!(text(&ended.stdout).contains("0 errors, 0 warnings"), "{}", text(&ended.stdout));
}

#[test]
fn a_check_tells_pipelines_what_is_wrong_and_where() {
    let folder = folder();
    let rules = folder.path().join("rules");
    fs::create_dir_all(rules.join("tests")).expect("a folder");
    let rule = "@id(\"one\")\npermit (principal == Client::\"shop\", action, resource);\n";
    fs::write(rules.join("a.cedar"), rule).expect("a file");
    fs::write(rules.join("limits.toml"), "[default]\nrate = \"often\"\nburst = 1\n").expect("a file");
    let cases = "[[case]]\nname = \"x\"\nclient = \"shop\"\ncall = \"CRS610MI/GetBasicData;cono=100\"\nexpect = \"deny\"\nrule = \"two\"\n";
    fs::write(rules.join("tests/a.toml"), cases).expect("a file");
    let dir = rules.display().to_string();
    let ended = policy(folder.path(), &["check", &dir, "--json"]);
    assert_eq!(ended.status.code(), Some(1), "{}", text(&ended.stderr));
    let told: Vec<Value> = text(&ended.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let code =
        |wanted: &str| told.iter().find(|one| one["code"] == wanted).unwrap_or_else(|| panic!("{wanted}: {told:?}"));
    assert_eq!((&code("write-wildcard")["severity"], &code("write-wildcard")["line"]), (&"warning".into(), &1.into()));
    assert_eq!((&code("limit")["file"], &code("limit")["line"]), (&"limits.toml".into(), &2.into()));
    assert_eq!(code("unknown-rule")["file"], "tests/a.toml");
    assert_eq!(code("test-fails")["severity"], "error");
    assert_eq!(code("no-owner")["hint"].as_str().map(|hint| hint.contains("@owner")), Some(true));
    assert_eq!(told.last().map(|last| last["errors"].clone()), Some(3.into()), "{told:?}");
    fs::write(rules.join("a.cedar"), "permit (").expect("a file");
    let ended = policy(folder.path(), &["check", &dir]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).contains("a.cedar:1:9: error [syntax]"), "{}", text(&ended.stderr));
}

const READS: &str =
    "@id(\"reads\") @owner(\"o\") permit (principal in Group::\"demo\", action in Action::\"read\", resource);\n";
const NOTHING: &str = "@id(\"nothing\") forbid (principal, action, resource);\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gateway_keeps_deciding_by_the_last_good_set_and_goes_back_to_an_earlier_one() {
    let rules = folder();
    let write = |name: &str, text: &str| fs::write(rules.path().join(name), text).expect("a file");
    let version = |number: u32| write("manifest.toml", &format!("name = \"acme\"\nversion = {number}\n"));
    write("a.cedar", READS);
    version(1);
    let dir = rules.path().to_owned();
    let house = House::with(move |settings| settings.policies = dir).await;
    let demo = house.demo().await;
    let read = || async { demo.m3("CRS610MI/GetBasicData;cono=100?CUNO=C00001").await.status.as_u16() };
    assert_eq!(read().await, 200);

    // A fault is told, and nobody waits or fails for it.
    write("b.cedar", "permit (");
    until(|| async { house.operations("/readyz").await.text().contains("the policy folder is not in force") }).await;
    assert_eq!(read().await, 200);
    assert!(house.operations("/metrics").await.text().contains("policy_trouble 1"));
    assert_eq!(house.operations("/readyz").await.status, 200, "callers are served");

    write("b.cedar", NOTHING);
    version(2);
    until(|| async { read().await == 403 }).await;
    until(|| async {
        let metrics = house.operations("/metrics").await.text();
        metrics.contains("name=\"acme\",version=\"2\"") && !metrics.contains("version=\"1\"")
    })
    .await;

    let state = house.state.path().to_owned();
    let ended = tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_mi-gateway"))
            .current_dir(&state)
            .env("MI_GATEWAY__STATE__DIR", &state)
            .args(["policy", "rollback"])
            .output()
            .expect("the command can be started")
    });
    let ended = ended.await.expect("it ends");
    assert!(text(&ended.stdout).contains("Back to version 1"), "{}", text(&ended.stderr));
    until(|| async { read().await == 200 }).await;
    until(|| async { house.operations("/readyz").await.text().contains("acme version 1") }).await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_of_the_past_are_explained_and_put_to_another_set() {
    let house = House::start().await;
    let demo = house.demo().await;
    assert_eq!(demo.m3("CRS610MI/GetBasicData;cono=100?CUNO=C00001").await.status, 200);
    assert_eq!(demo.m3("CRS610MI/ChgBasicData;cono=100?CUNO=C00001&CUNM=New").await.status, 200);
    let refused = demo.m3("CRS610MI/GetBasicData;cono=200?CUNO=C00001").await;
    assert_eq!(refused.status, 403);
    let id = refused.header("mi-decision").to_owned();
    assert!(!id.is_empty());
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join(SHIPPED);
    let state = house.stop().await;
    let ask = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mi-gateway"));
        command.current_dir(state.path()).env("MI_GATEWAY__STATE__DIR", state.path());
        command.env("MI_GATEWAY__POLICY__DIR", &rules).arg("policy").args(words).output().expect("it runs")
    };

    let ended = ask(&["explain", "--decision", &id]);
    assert_eq!(ended.status.code(), Some(1), "it was refused: {}", text(&ended.stderr));
    let shown = text(&ended.stdout);
    assert!(shown.contains("REFUSED") && shown.contains("(no-permit)"), "{shown}");
    assert!(shown.contains("near: demo-reads") && shown.contains("context.company"), "{shown}");
    let ended = ask(&["explain", "--decision", &id, "--json"]);
    let told: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    assert_eq!((&told["same_set"], &told["now"]["allowed"]), (&true.into(), &false.into()), "{told}");
    assert_eq!(ask(&["explain", "--decision", "nosuch"]).status.code(), Some(2));

    let same = ask(&["replay", &rules.display().to_string()]);
    assert_eq!(same.status.code(), Some(0), "{}{}", text(&same.stdout), text(&same.stderr));
    assert!(text(&same.stdout).contains("3 decisions as they were, 0 otherwise"), "{}", text(&same.stdout));

    let candidate = folder();
    let write = |rules: &str| fs::write(candidate.path().join("a.cedar"), rules).expect("a file");
    let dir = candidate.path().display().to_string();
    write(READS);
    let other = ask(&["replay", &dir, "--json"]);
    assert_eq!(other.status.code(), Some(1));
    let told: Vec<Value> = text(&other.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told[0]["call"], "CRS610MI/ChgBasicData", "{told:?}");
    assert_eq!((&told[0]["was"], &told[0]["would_be"]), (&"allowed".into(), &"refused".into()));
    assert_eq!(
        (&told[1]["was"], &told[1]["would_be"]),
        (&"refused".into(), &"allowed".into()),
        "company 200 is open there"
    );
    assert_eq!((&told[2]["same"], &told[2]["other"]), (&1.into(), &2.into()));

    // CUNM is no key: its value is not in the log, and what hangs on it is not guessed.
    write(
        "@id(\"name\") permit (principal in Group::\"demo\", action == Action::\"CRS610MI/ChgBasicData\", resource) \
         when { context.fields has CUNM && context.fields.CUNM == \"New\" };",
    );
    let other = ask(&["replay", &dir]);
    let shown = text(&other.stdout) + &text(&other.stderr);
    assert!(shown.contains("1 that can't be made again") && shown.contains("reads CUNM"), "{shown}");
}

#[test]
fn an_access_review_tells_of_clients_of_other_issuers_with_the_scopes_that_their_tokens_must_have() {
    let folder = folder();
    let rules = folder.path().join("rules");
    fs::create_dir(&rules).expect("a folder");
    let rule = "@id(\"shop\")\npermit (principal in Group::\"shop\", action in Action::\"read\", resource in Program::\"CRS610MI\") when { context.scopes.contains(\"m3\") };\n";
    fs::write(rules.join("a.cedar"), rule).expect("a file");
    let settings = |scopes: &str| {
        let written = format!(
            "[[issuers]]\nissuer = \"https://login.example.com/\"\naudience = \"x\"\n{scopes}\n[[clients]]\nissuer = \"https://login.example.com/\"\n\
             id = \"web-shop\"\ngroups = [\"shop\"]\nm3_user = \"WEBSHOP\"\ncompany = 100\n"
        );
        fs::write(folder.path().join("gateway.toml"), written).expect("a file");
        let dir = rules.display().to_string();
        let ended = policy(folder.path(), &["who-can", "CRS610MI/GetBasicData", "--dir", &dir]);
        let table = text(&ended.stdout);
        let line = "web-shop@https://login.example.com/,CRS610MI,GetBasicData,read,*,*,sometimes,shop,";
        assert!(table.contains(line), "its tokens may bring the scope: {table}{}", text(&ended.stderr));
        let who = "web-shop@https://login.example.com/";
        let words = ["explain", "--client", who, "CRS610MI/GetBasicData?CUNO=C1", "--dir", &dir];
        policy(folder.path(), &words).status.code()
    };
    assert_eq!(settings("scopes = [\"m3\"]"), Some(0), "no token of it comes in without that scope");
    assert_eq!(settings(""), Some(1), "one may come in without it");
}

/// Asks again until it is so; a promise that is not kept runs into the test's own end.
async fn until<F: Future<Output = bool>>(mut so: impl FnMut() -> F) {
    let kept = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), kept).await.expect("it comes to be so");
}

const CANDIDATE: &str = "@id(\"names\") @owner(\"o\") permit (principal in Group::\"demo\", action in Action::\"read\", resource in Program::\"CRS610MI\")\n  when { context.company == 100 };\n\
    @id(\"closed\") forbid (principal, action == Action::\"CRS610MI/GetBasicData\", resource) when { context.fields has CUNO && context.fields.CUNO == \"C00002\" };\n\
    @id(\"more\") @owner(\"o\") permit (principal in Group::\"demo\", action in Action::\"write\", resource in Program::\"CRS610MI\");\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_set_says_what_it_would_have_decided_and_decides_nothing() {
    let (rules, candidate) = (folder(), folder());
    fs::write(rules.path().join("a.cedar"), READS).expect("a file");
    fs::write(candidate.path().join("a.cedar"), CANDIDATE).expect("a file");
    let (dir, beside) = (rules.path().to_owned(), candidate.path().to_owned());
    let house = House::with(move |settings| (settings.policies, settings.shadow) = (dir, Some(beside))).await;
    let demo = house.demo().await;
    let read = |call: &'static str| async { demo.m3(call).await.status.as_u16() };
    assert_eq!(read("CRS610MI/GetBasicData;cono=100?CUNO=C00001").await, 200, "the catalog learns the layout");
    // The rule over a field is asked once its layout is known.
    until(|| async {
        read("CRS610MI/GetBasicData;cono=100?CUNO=C00002").await == 200
            && house.operations("/metrics").await.text().contains("pair=\"allow-deny\",rule=\"closed\"")
    })
    .await;
    assert_eq!(read("MMS200MI/GetItmBasic;cono=100?ITNO=A").await / 100, 2, "of no rule of the candidate's");
    let refused = demo.m3("CRS610MI/ChgBasicData;cono=100?CUNO=C00001&CUNM=New").await;
    assert_eq!(refused.status.as_u16(), 403, "the candidate's permit permits nothing");
    let bulk = r#"{"program":"CRS610MI","cono":100,"transactions":[
        {"transaction":"GetBasicData","record":{"CUNO":"C00001"}},{"transaction":"GetBasicData","record":{"CUNO":"C00002"}}]}"#;
    let path = "/DEMO_TST/M3/m3api-rest/v2/execute";
    let reply = demo.send(Method::POST, path, &[("content-type", "application/json")], bulk.into()).await;
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
    let id = refused.header("mi-decision").to_owned();
    let found = |told: &Value, pair: &str, rule: &str| {
        let rows = told["rows"].as_array().cloned().unwrap_or_default();
        rows.into_iter().find(|row| row["pair"] == pair && row["rule"] == rule).unwrap_or_default()
    };
    let told = || async {
        let token = operator(&house);
        ask(&house, Method::GET, "/policy/shadow", &Value::Null, &token).await.json()
    };
    until(|| async { found(&told().await, "deny-allow", "more")["count"] == 1 }).await;
    until(|| async { found(&told().await, "allow-deny", "reads")["last_call"] == "MMS200MI/GetItmBasic" }).await;
    let told = told().await;
    assert_eq!(found(&told, "deny-allow", "more")["last_decision"], id.as_str(), "{told}");
    assert_eq!(told["dropped"], 0);

    // A fault in it is told, and harms nobody.
    fs::write(candidate.path().join("b.cedar"), "permit (").expect("a file");
    until(|| async { house.operations("/readyz").await.text().contains("the folder can't be used") }).await;
    assert!(house.operations("/metrics").await.text().contains("policy_shadow_trouble 1"));
    assert_eq!(read("CRS610MI/GetBasicData;cono=100?CUNO=C00002").await, 200);
    assert_eq!(house.operations("/readyz").await.status, 200);
    fs::remove_file(candidate.path().join("b.cedar")).expect("the file");
    until(|| async { house.operations("/metrics").await.text().contains("policy_shadow_trouble 0") }).await;

    let (state, beside) = (house.state.path().to_owned(), candidate.path().to_owned());
    let shown = move |json: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mi-gateway"));
        command.current_dir(&state).env("MI_GATEWAY__STATE__DIR", &state).env("MI_GATEWAY__POLICY__SHADOW", &beside);
        let ended = command.args(["policy", "shadow"]).args(json.then_some("--json")).output().expect("it runs");
        assert_eq!(ended.status.code(), Some(1), "something is otherwise: {}", text(&ended.stderr));
        text(&ended.stdout)
    };
    let shown = |json| {
        let shown = shown.clone();
        async move { tokio::task::spawn_blocking(move || shown(json)).await.expect("it ends") }
    };
    until(|| async { shown(false).await.contains("allow-deny  closed") }).await;
    let told: Value = serde_json::from_str(&shown(true).await).expect("JSON");
    assert_eq!(found(&told, "deny-allow", "more")["count"], 1, "{told}");
    house.stop().await;
}
