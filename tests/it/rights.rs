//! Access reviews: who may do what where, and what a change of rules gives and takes. What isn't told here is signed for.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The command in a folder of its own, with settings that bind a client of another issuer to company 300.
fn policy(folder: &Path, words: &[&str]) -> Output {
    let settings = "[[issuers]]\nissuer = \"https://login.example.com/\"\naudience = \"https://m3.example.com\"\n\
        [[clients]]\nissuer = \"https://login.example.com/\"\nid = \"bound\"\nm3_user = \"WEBSHOP\"\ngroups = [\"sales\"]\n\
        companies = [300]\n";
    fs::write(folder.join("gateway.toml"), settings).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mi-gateway"));
    command.current_dir(folder).arg("policy").args(words).output().expect("the command can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn rules(folder: &Path, name: &str, text: &str) -> String {
    let at = folder.join(name);
    fs::create_dir_all(&at).expect("a folder");
    fs::write(at.join("a.cedar"), text).expect("a file");
    at.display().to_string()
}

fn who_can(text_of_rules: &str, what: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = rules(folder.path(), "rules", text_of_rules);
    let ended = policy(folder.path(), &["who-can", what, "--dir", &dir]);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    text(&ended.stdout).lines().skip(1).map(|line| format!("{line}\n")).collect()
}

/// Exit code and what is told.
fn diff(before: &str, after: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (before, after) = (rules(folder.path(), "before", before), rules(folder.path(), "after", after));
    let ended = policy(folder.path(), &["diff", &before, &after]);
    (ended.status.code(), text(&ended.stdout) + &text(&ended.stderr))
}

const ITEM: &str = "resource in Program::\"MMS200MI\"";
const READS: &str = "@id(\"reads\") permit (principal in Group::\"sales\", action in Action::\"read\", resource in Program::\"CRS610MI\");\n";

#[test]
fn whoever_says_no_place_is_asked_for_in_every_place_that_the_rules_tell_apart() {
    let rule = |company: &str| {
        format!(
            "@id(\"deletes\") permit (principal in Group::\"sales\", action == Action::\"MMS200MI/DltItm\", resource) {company};"
        )
    };
    let table = who_can(&rule(""), "MMS200MI/DltItm");
    assert_eq!(
        table,
        "(group sales),MMS200MI,DltItm,write,*,*,always,deletes,\n\
         bound@https://login.example.com/,MMS200MI,DltItm,write,300,,always,deletes,\n\
         bound@https://login.example.com/,MMS200MI,DltItm,write,300,*,always,deletes,\n",
        "a group of nobody's company, and a client that the settings bind to one"
    );
    let divided = rule("when { context.company == 200 && context.division == \"AAA\" }");
    let table = who_can(&divided.replace("DltItm", "UpdItmWhs"), "MMS200MI/UpdItmWhs");
    assert_eq!(table, "(group sales),MMS200MI,UpdItmWhs,write,200,AAA,sometimes,deletes,\n", "as its warehouse is");
    let table = who_can(&divided.replace("MMS200MI/DltItm", "CRS610MI/ChgFinancial"), "CRS610MI/ChgFinancial");
    assert_eq!(table, "(group sales),CRS610MI,ChgFinancial,write,200,AAA,always,deletes,\n");
    let table = who_can(&rule("when { context.company > 500 }"), "MMS200MI/DltItm");
    assert_eq!(
        table,
        "(group sales),MMS200MI,DltItm,write,*,*,sometimes,deletes,\n\
         (group sales),MMS200MI,DltItm,write,300,,never,deletes,\n\
         (group sales),MMS200MI,DltItm,write,300,*,never,deletes,\n",
        "in some of the others, and not where the other client is bound to"
    );
    let closed =
        "@id(\"closed\") forbid (principal, action in Action::\"write\", resource) when { context.company == 100 };";
    let table = who_can(&(rule("") + closed), "MMS200MI/DltItm");
    assert!(table.contains("(group sales),MMS200MI,DltItm,write,100,,never,closed deletes,\n"), "{table}");
    assert!(table.contains("(group sales),MMS200MI,DltItm,write,*,*,always,closed deletes,\n"), "{table}");
}

#[test]
fn a_division_that_a_transaction_does_not_carry_gives_nobody_a_right_over_it() {
    let own = "@id(\"own\") @owner(\"o\") permit (principal in Group::\"sales\", action in [Action::\"read\", Action::\"write\"], resource in Program::\"PPS200MI\") when { context.division == \"AAA\" };\n";
    // By the order, and by the warehouse where the call gives one; by the answer; by nothing at all.
    assert_eq!(who_can(own, "PPS200MI/ApprovePO"), "");
    let sometimes = who_can(own, "PPS200MI/GetDelPrevPrtNo");
    assert!(sometimes.contains("(group sales),PPS200MI,GetDelPrevPrtNo,read,*,AAA,sometimes,own,\n"), "{sometimes}");
    let head = who_can(own, "PPS200MI/GetHead");
    assert!(head.contains("(group sales),PPS200MI,GetHead,read,*,AAA,always,own,\n"), "{head}");
    let folder = tempfile::tempdir().expect("a folder");
    let dir = rules(folder.path(), "rules", own);
    fs::write(folder.path().join("rules/limits.toml"), "[default]\nrate = \"1/second\"\nburst = 1\n").expect("a file");
    let told = |words: &[&str]| {
        let ended = policy(folder.path(), &[words, &["--dir", &dir]].concat());
        (ended.status.code(), text(&ended.stdout) + &text(&ended.stderr))
    };
    let explain = ["explain", "--client", "x", "--group", "sales", "PPS200MI/ApprovePO;cono=100;divi=AAA?PUNO=1"];
    let (code, why) = told(&explain);
    assert_eq!(code, Some(1), "{why}");
    assert!(why.contains("carries no division that M3 would hold it to") && why.contains("own  a.cedar:1:1"), "{why}");
    let checked = policy(folder.path(), &["check", &dir, "--strict"]);
    let said = text(&checked.stdout) + &text(&checked.stderr);
    assert_eq!(checked.status.code(), Some(0), "a note is no fault: {said}");
    assert!(said.contains("note [division-not-carried] own: asks for the division"), "{said}");
    assert!(said.contains("PPS200MI/ApprovePO") && said.contains("0 errors, 0 warnings"), "{said}");
}

#[test]
fn an_access_review_and_an_explanation_know_what_a_client_is_bound_to() {
    let all = "@id(\"all\") @owner(\"o\") permit (principal in Group::\"sales\", action in [Action::\"read\", Action::\"write\"], resource);\n";
    let folder = tempfile::tempdir().expect("a folder");
    let dir = rules(folder.path(), "rules", all);
    let told = |client: &str, words: &[&str]| {
        let settings = format!(
            "[[issuers]]\nissuer = \"https://login.example.com/\"\naudience = \"https://m3.example.com\"\n\
             [[clients]]\nissuer = \"https://login.example.com/\"\nid = \"bound\"\nm3_user = \"WEBSHOP\"\n\
             groups = [\"sales\"]\ncompanies = [300]\n{client}\n"
        );
        fs::write(folder.path().join("gateway.toml"), settings).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_mi-gateway"));
        command.current_dir(folder.path()).arg("policy").args(words).args(["--dir", &dir]);
        let ended = command.output().expect("the command can be started");
        (ended.status.code(), text(&ended.stdout) + &text(&ended.stderr))
    };
    let may = |client: &str, what: &str| {
        let (_, table) = told(client, &["who-can", what, "--place", "300/AAA"]);
        let row = table.lines().find(|line| line.starts_with("bound@")).map(|line| line.split(',').nth(6));
        row.flatten().unwrap_or("never").to_owned()
    };
    let (branch, chief) = ("divisions = [\"AAA\"]", "divisions = [\"AAA\", \"company\"]");
    let calls = ["PPS200MI/ApprovePO", "MMS200MI/DltItmWhs", "PPS200MI/GetHead"];
    assert_eq!(calls.map(|call| may(branch, call)), ["never", "sometimes", "always"]);
    assert_eq!(calls.map(|call| may(chief, call)), ["always"; 3]);
    let explain = |client: &str| {
        told(
            client,
            &["explain", "--client", "bound@https://login.example.com/", "PPS200MI/ApprovePO;cono=300;divi=AAA?PUNO=1"],
        )
    };
    let (code, why) = explain(branch);
    assert_eq!(code, Some(1), "{why}");
    assert!(why.contains("REFUSED") && why.contains("may not work in company 300 as a whole"), "{why}");
    assert!(why.contains("permitted by"), "the rules are told all the same: {why}");
    assert_eq!(explain(chief).0, Some(0));
    // A bound that lost a word would be another.
    for lost in ["divisions = [\"\"]", "divisions = []", "divisions = [\"AAA\", \"\"]", "divisions = [\"COMPANY\"]"] {
        let (code, why) = explain(lost);
        assert!(code != Some(0) && why.contains("clients.0.divisions"), "{lost}: {why}");
    }
}

#[test]
fn what_a_group_gains_is_told_though_nobody_has_a_company() {
    let more =
        format!("{READS}@id(\"all\") permit (principal in Group::\"temps\", action in Action::\"write\", {ITEM});\n");
    let (code, told) = diff(READS, &more);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("+ (group temps): MMS200MI/DltItm in every place: never → always"), "{told}");
    let (code, told) = diff(READS, READS);
    assert!(code == Some(0) && told.contains("give every client the same"), "{told}");
}

#[test]
fn a_wider_value_a_longer_day_or_another_network_is_no_less_a_change() {
    let rule = |condition: &str, marks: &str| {
        format!(
            "@id(\"adds\") @owner(\"sales\") {marks} permit (principal in Group::\"sales\", action == Action::\"OIS100MI/AddOrderHead\", resource)
               when {{ {condition} }};"
        )
    };
    for (before, after) in [
        (
            "context.fields has CUNO && context.fields.CUNO == \"C1\"",
            "context.fields has CUNO && context.fields.CUNO like \"C*\"",
        ),
        ("context.address.isInRange(ip(\"10.0.0.0/24\"))", "context.address.isInRange(ip(\"10.0.0.0/8\"))"),
        ("context.minute < 600", "context.minute < 1200"),
    ] {
        let (code, told) = diff(&rule(before, ""), &rule(after, ""));
        assert_eq!(code, Some(1), "{after}: {told}");
        assert!(
            told.contains("~ (group sales): OIS100MI/AddOrderHead")
                && told.contains("sometimes on other terms (adds → adds)"),
            "{told}"
        );
    }
    let (code, told) = diff(&rule("true", "@expires(\"2099-01-01\")"), &rule("true", "@expires(\"2199-01-01\")"));
    assert!(code == Some(1) && told.contains("on other terms"), "a day more: {told}");
    // Another name for the same rule gives nobody anything.
    let (code, told) =
        diff(&rule("context.minute < 600", ""), &rule("context.minute < 600", "").replace("adds", "other"));
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn a_guardrail_that_a_permit_lifts_under_conditions_and_a_field_that_it_shows_are_told() {
    let guarded =
        format!("{READS}@id(\"no-deletes\") forbid (principal, action == Action::\"MMS200MI/DltItm\", resource);\n");
    let lifted = format!(
        "{guarded}@id(\"but-here\") @owner(\"o\") @expires(\"2099-01-01\") @lifts(\"no-deletes\") permit (principal in Group::\"sales\", \
         action == Action::\"MMS200MI/DltItm\", resource) when {{ context.address.isInRange(ip(\"10.0.0.0/8\")) }};\n"
    );
    let (code, told) = diff(&guarded, &lifted);
    assert!(
        code == Some(1) && told.contains("+ (group sales): MMS200MI/DltItm in every place: never → sometimes"),
        "{told}"
    );
    assert!(
        who_can(&lifted, "MMS200MI/DltItm").contains("sometimes,but-here no-deletes,"),
        "{}",
        who_can(&lifted, "MMS200MI/DltItm")
    );
    let supplier = |marks: &str| {
        format!(
            "@id(\"suppliers\") @owner(\"o\") {marks} permit (principal in Group::\"sales\", action == Action::\"CRS620MI/GetBasicData\", resource);"
        )
    };
    let (code, told) = diff(&supplier(""), &supplier("@reveals(\"PWMT\")"));
    assert!(code == Some(1) && told.contains("CRS620MI/GetBasicData in every place: always, shows +PWMT"), "{told}");
    let folder = tempfile::tempdir().expect("a folder");
    let dir = rules(folder.path(), "rules", &supplier("@reveals(\"PWMT\")"));
    let ended = policy(folder.path(), &["who-can", "CRS620MI/GetBasicData", "--dir", &dir, "--json"]);
    let line: Value = serde_json::from_str(text(&ended.stdout).lines().next().expect("a line")).expect("JSON");
    assert_eq!(
        (&line["reveals"][0], &line["company"], &line["may"]),
        (&"PWMT".into(), &Value::Null, &"always".into()),
        "{line}"
    );
}

#[test]
fn nothing_is_said_of_rights_where_no_layout_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = rules(folder.path(), "rules", READS);
    let m3 = [("BACKEND", "socket"), ("ADDRESS", "127.0.0.1:9"), ("USER", "MVX"), ("PASSWORD", "hush")];
    let ended = Command::new(env!("CARGO_BIN_EXE_mi-gateway"))
        .current_dir(folder.path())
        .envs(m3.map(|(key, value)| (format!("MI_GATEWAY__M3__{key}"), value)))
        .args(["policy", "diff", &dir, &dir])
        .output()
        .expect("the command can be started");
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "nothing known is not nothing changed: {said}");
    assert!(said.contains("knows no transaction") && said.contains("mi-gateway catalog pull"), "{said}");
}
