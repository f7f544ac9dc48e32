//! What was decided can be proven afterwards: by an operator with the command, by a caller with an id.

use crate::house::{Caller, House};
use crate::stops::{ask, operator};
use http::StatusCode;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// The command over the log in this folder of state.
pub(crate) fn audit(state: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mi-gateway"))
        .current_dir(state)
        .env("MI_GATEWAY__STATE__DIR", state)
        .arg("audit")
        .args(words)
        .output()
        .expect("the command can be started")
}

pub(crate) fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn files(state: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(state.join("audit")).expect("the folder of the log");
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    found.sort();
    found
}

pub(crate) fn is_whole(state: &Path) -> Result<(), String> {
    let ended = audit(state, &["verify"]);
    match ended.status.code() {
        Some(0) => Ok(()),
        _ => Err(String::from_utf8_lossy(&ended.stderr).into_owned()),
    }
}

/// As Linux numbers it (O_NONBLOCK).
const NONBLOCK: i32 = 0o4000;

async fn add_item(caller: &Caller, item: &str) -> crate::house::Reply {
    caller.m3(&format!("MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO={item}&ITDS=First")).await
}

#[tokio::test]
async fn who_changed_an_item_and_what_became_of_it_is_found_by_the_item() {
    let house = House::start().await;
    let demo = house.demo().await;
    let began = Instant::now();
    let added = add_item(&demo, "AUDIT1").await;
    let took = began.elapsed().as_micros();
    assert_eq!(added.status, StatusCode::OK, "{}", added.text());
    let id = added.header("mi-decision").to_owned();
    let state = house.stop().await;
    let found = audit(state.path(), &["find", "--key", "ITNO=AUDIT1"]);
    let found = lines(&found);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        (&found[0]["id"], &found[0]["verdict"], &found[0]["rules"][0]),
        (&Value::from(id), &"allow".into(), &"demo-writes".into())
    );
    assert_eq!(
        (&found[0]["client"].is_string(), &found[0]["company"], &found[0]["step"]),
        (&true, &100.into(), &"values".into())
    );
    assert_eq!((&found[1]["kind"], &found[1]["outcome"]), (&"outcome".into(), &"done".into()));
    let micros = found[0]["micros"].as_u64().map(u128::from).unwrap_or_default();
    assert!((1..=took).contains(&micros), "{micros} µs until it was decided, {took} µs until it was answered");
    assert_eq!(is_whole(state.path()), Ok(()));
}

#[tokio::test]
async fn what_m3_refuses_is_told_as_refused() {
    let house = House::start().await;
    let demo = house.demo().await;
    let refused = demo.m3("CRS610MI/ChgBasicData?CUNO=NOBODY&CUNM=New").await;
    assert_eq!(refused.status, StatusCode::OK, "{}", refused.text());
    let id = refused.header("mi-decision").to_owned();
    let state = house.stop().await;
    let found = lines(&audit(state.path(), &["find", "--decision", &id]));
    assert_eq!(found.last().map(|line| line["outcome"].clone()), Some("refused".into()), "{found:?}");
}

#[tokio::test]
async fn a_refused_caller_and_the_operator_name_the_same_decision() {
    let house = House::start().await;
    let reader = house.reader().await;
    for call in ["CRS610MI/ChgBasicData?CUNO=C00001&CUNM=New", "MRS001MI/LstPrograms"] {
        let refused = reader.m3(call).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
        let id = refused.json()["decision_id"].as_str().expect("an id").to_owned();
        assert_eq!(refused.header("mi-decision"), id);
    }
    let state = house.stop().await;
    let found = lines(&audit(state.path(), &["find", "--verdict", "deny"]));
    assert!(found.len() >= 2 && found.iter().all(|line| line["verdict"] == "deny"), "{found:?}");
    assert!(found.iter().any(|line| line["program"] == "CRS610MI" && line["step"] == "names"), "{found:?}");
}

#[tokio::test]
async fn each_transaction_of_a_bulk_call_is_a_decision_of_its_own() {
    let house = House::start().await;
    let demo = house.demo().await;
    let body = r#"{"program":"CRS610MI","transactions":[
        {"transaction":"GetBasicData","record":{"CUNO":"C00001"}},{"transaction":"GetBasicData","record":{"CUNO":"C00002"}}]}"#;
    let headers = [("content-type", "application/json")];
    let path = "/DEMO_TST/M3/m3api-rest/v2/execute";
    let answer = demo.send(http::Method::POST, path, &headers, body.into()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let request = answer.header("x-request-id").to_owned();
    let state = house.stop().await;
    let found = lines(&audit(state.path(), &["find", "--request", &request]));
    let mut customers: Vec<&str> = found.iter().filter_map(|line| line["fields"]["CUNO"].as_str()).collect();
    customers.sort_unstable();
    assert_eq!(customers, ["C00001", "C00002"]);
}

#[tokio::test]
async fn a_value_that_must_not_be_read_stands_there_as_a_hash_and_is_found_all_the_same() {
    let house = House::with(|settings| {
        settings.audit.fields = mi_gateway::audit::Fields::All;
        settings.audit.hashed = ["ITDS".to_owned()].into();
    })
    .await;
    let demo = house.demo().await;
    let added = demo.m3("MMS200MI/AddItmViaItmTyp?ITTY=001&ITNO=AUDIT2&ITDS=MarkedSecret").await;
    assert_eq!(added.status, StatusCode::OK, "{}", added.text());
    let state = house.stop().await;
    for file in files(state.path()) {
        let text = fs::read_to_string(&file).expect("a file of the log");
        assert!(text.contains("AUDIT2") && !text.contains("MarkedSecret"), "{text}");
    }
    let found = lines(&audit(state.path(), &["find", "--key", "ITDS=MarkedSecret"]));
    assert_eq!(found[0]["fields"]["ITNO"], "AUDIT2");
    assert_eq!(audit(state.path(), &["find", "--key", "ITDS=Other"]).status.code(), Some(1));
}

#[tokio::test]
async fn a_log_that_was_altered_is_said_to_be() {
    let house = House::start().await;
    let demo = house.demo().await;
    for customer in ["C00001", "C00002", "C00003"] {
        demo.m3(&format!("CRS610MI/GetBasicData?CUNO={customer}")).await;
    }
    let state = house.stop().await;
    assert_eq!(is_whole(state.path()), Ok(()));
    let file = files(state.path()).pop().expect("a file");
    let text = fs::read_to_string(&file).expect("text");
    fs::write(&file, text.replace("C00002", "C00009")).expect("written");
    let why = is_whole(state.path()).expect_err("it was altered");
    assert!(why.contains("does not hang on the one before it"), "{why}");
    let cut: Vec<&str> = text.lines().take(2).collect();
    fs::write(&file, cut.join("\n") + "\n").expect("written");
    let why = is_whole(state.path()).expect_err("its end was cut off");
    assert!(why.contains("was signed"), "{why}");
    fs::write(&file, text).expect("written");
    assert_eq!(is_whole(state.path()), Ok(()), "the same text is whole again");
    assert_eq!(audit(state.path(), &["verify", "--key", &"ab".repeat(32)]).status.code(), Some(1), "another's key");
}

#[tokio::test]
async fn a_write_that_cannot_be_written_down_is_refused_before_m3_and_a_read_is_not() {
    let house = House::start().await;
    let demo = house.demo().await;
    assert_eq!(add_item(&demo, "AUDIT3").await.status, StatusCode::OK);
    let (folder, aside) = (house.state.path().join("audit"), house.state.path().join("aside"));
    fs::rename(&folder, &aside).expect("moved");
    fs::write(&folder, b"no folder").expect("a file in its place");
    let refused = add_item(&demo, "AUDIT4").await;
    assert_eq!((refused.status, &*refused.problem()), (StatusCode::SERVICE_UNAVAILABLE, "audit-unavailable"));
    assert_eq!(demo.m3("CRS610MI/GetBasicData?CUNO=C00001").await.status, StatusCode::OK);
    assert_eq!(house.asked().iter().filter(|call| call.contains("AddItmViaItmTyp")).count(), 1);
    until_ready(&house, false).await;
    fs::remove_file(&folder).expect("removed");
    fs::rename(&aside, &folder).expect("back");
    until_ready(&house, true).await;
    assert_eq!(add_item(&demo, "AUDIT5").await.status, StatusCode::OK);
    let state = house.stop().await;
    let told = audit(state.path(), &["verify", "--json"]);
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(told["whole"], true, "{told}");
    assert!(told["found"]["lost"].as_u64() >= Some(1), "what could not be kept is counted: {told}");
}

/// `[audit]` `required`: whose line must be on the disk before M3 is asked.
#[tokio::test]
async fn who_waits_for_the_log_is_what_the_settings_say() {
    use mi_gateway::audit::Required;
    for (required, reads, writes) in
        [(Required::Writes, true, false), (Required::All, false, false), (Required::Nothing, true, true)]
    {
        let house = House::with(|settings| settings.audit.required = required).await;
        let demo = house.demo().await;
        let (folder, aside) = (house.state.path().join("audit"), house.state.path().join("aside"));
        fs::rename(&folder, &aside).expect("moved");
        fs::write(&folder, b"no folder").expect("a file in its place");
        for (reply, goes_on) in
            [(add_item(&demo, "AUDIT6").await, writes), (demo.m3("CRS610MI/GetBasicData?CUNO=C00001").await, reads)]
        {
            let told = if goes_on { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            assert_eq!(reply.status, told, "{required:?}: {}", reply.text());
            assert!(goes_on || reply.problem() == "audit-unavailable", "{required:?}");
        }
        let asked = house.asked();
        assert_eq!(asked.iter().any(|call| call.contains("AddItmViaItmTyp")), writes, "{required:?}: {asked:?}");
        assert_eq!(asked.iter().any(|call| call.contains("GetBasicData")), reads, "{required:?}: {asked:?}");
        until_ready(&house, required == Required::Nothing).await;
    }
}

async fn until_ready(house: &House, ready: bool) {
    let began = Instant::now();
    while house.operations("/readyz").await.status.is_success() != ready {
        assert!(began.elapsed() < Duration::from_secs(30), "readiness never said {ready}");
        crate::house::a_moment().await;
    }
}

#[tokio::test]
async fn a_second_gateway_does_not_write_the_same_log() {
    let house = House::start().await;
    let folder = house.state.path().join("audit");
    let key = house.state.path().join("audit.key");
    let settings = mi_gateway::audit::Settings::under(folder, key);
    let second = mi_gateway::audit::Log::start(settings, &house.running.metrics);
    let why = second.expect_err("two chains in one folder").to_string();
    assert!(why.contains("another gateway"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_files_go_when_they_are_asked_to_and_never_by_themselves() {
    let house = House::with(|settings| settings.audit.file_bytes = 1_000).await;
    let demo = house.demo().await;
    for item in ["PRUNE1", "PRUNE2", "PRUNE3", "PRUNE4"] {
        assert_eq!(add_item(&demo, item).await.status, StatusCode::OK);
    }
    let all = files(house.state.path());
    assert!(all.len() > 3, "{all:?}");
    let at = house.state.path().to_owned();
    let prune = move |words: &'static [&'static str]| {
        let (at, words) = (at.clone(), [&["prune"], words].concat());
        async move { tokio::task::spawn_blocking(move || audit(&at, &words)).await.expect("it ends") }
    };
    assert_eq!(prune(&[]).await.status.code(), Some(2), "nobody said what stays");
    assert!(all.iter().all(|file| file.exists()));
    let done = prune(&["--keep-days", "1", "--by", "anna", "--json"]).await;
    assert_eq!(lines(&done)[0]["files"], serde_json::json!([]), "{done:?}");
    // The running gateway's own: it writes the record, and goes on.
    let order = serde_json::json!({ "keep_mib": 0, "by": "anna" });
    let token = operator(&house);
    let done = ask(&house, http::Method::POST, "/audit/prune", &order, &token).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text());
    assert!(done.json()["files"].as_array().is_some_and(|gone| gone.len() >= 3), "{}", done.text());
    assert_eq!(add_item(&demo, "PRUNE5").await.status, StatusCode::OK);
    let state = house.stop().await;
    let told = audit(state.path(), &["verify"]);
    assert!(told.status.success() && String::from_utf8_lossy(&told.stdout).contains("by anna"), "{told:?}");
    assert!(!all[0].exists() && is_whole(state.path()).is_ok());
    // One more that nobody pruned.
    let oldest = files(state.path()).remove(0);
    let kept = fs::read(&oldest).expect("a file");
    fs::remove_file(&oldest).expect("removed");
    let why = is_whole(state.path()).expect_err("it is missed");
    assert!(why.contains("no signed record"), "{why}");
    fs::write(&oldest, kept).expect("put back");
    // The settings ask for it: at the start, and without a gateway.
    let before = files(state.path()).len();
    let house = House::again(state, |settings| {
        settings.audit.file_bytes = 1_000;
        settings.audit.keep.bytes = Some(1);
    })
    .await;
    let began = Instant::now();
    while files(house.state.path()).len() >= before {
        assert!(began.elapsed() < Duration::from_secs(30), "nothing is removed");
        crate::house::a_moment().await;
    }
    let state = house.stop().await;
    assert_eq!(is_whole(state.path()), Ok(()));
    let done = audit(state.path(), &["prune", "--keep-mib", "1"]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(is_whole(state.path()), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_over_a_log_that_was_cut_tells_of_it_until_an_operator_has_looked_into_it() {
    let house = House::start().await;
    let demo = house.demo().await;
    assert_eq!(add_item(&demo, "CUT1").await.status, StatusCode::OK);
    let state = house.stop().await;
    let file = files(state.path()).pop().expect("a file");
    let kept: String =
        fs::read_to_string(&file).expect("text").lines().take(3).map(|line| format!("{line}\n")).collect();
    fs::write(&file, kept).expect("cut");
    let house = House::again(state, |_| {}).await;
    let demo = house.demo().await;
    assert_eq!(add_item(&demo, "CUT2").await.status, StatusCode::OK, "callers are served");
    let ready = house.operations("/readyz").await;
    assert!(!ready.status.is_success() && ready.text().contains("audit acknowledge"), "{}", ready.text());
    assert!(house.operations("/metrics").await.text().contains("audit_cut 1"));
    let at = house.state.path().to_owned();
    let why = is_whole(&at).expect_err("what is gone is gone");
    assert!(why.contains("lines 4 to") && why.contains("audit acknowledge"), "{why}");
    // The running gateway's own log, and then without one.
    let words = ["acknowledge", "--reason", "the disk was restored", "--by", "anna"];
    let done = tokio::task::spawn_blocking(move || audit(&at, &words)).await.expect("it ends");
    assert!(done.status.success(), "{done:?}");
    until_ready(&house, true).await;
    let state = house.stop().await;
    let told = audit(state.path(), &["verify"]);
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success() && text.contains("looked into by anna: the disk was restored"), "{told:?}");
    fs::remove_file(&file).expect("all is gone");
    let done = audit(state.path(), &["acknowledge", "--reason", "a test", "--by", "anna"]);
    assert!(done.status.success() && is_whole(state.path()).is_ok(), "{done:?}");
    assert_eq!(audit(state.path(), &["acknowledge", "--reason", " "]).status.code(), Some(2), "say why");
    fs::remove_file(state.path().join("audit/head.json")).expect("removed");
    let why = is_whole(state.path()).expect_err("its end can't be known");
    assert!(why.contains("head.json"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_learns_what_keeps_the_log_from_being_pruned() {
    let house = House::with(|settings| settings.audit.file_bytes = 1_000).await;
    assert_eq!(add_item(&house.demo().await, "KEPT1").await.status, StatusCode::OK);
    let all = files(house.state.path());
    fs::create_dir(house.state.path().join("audit/decisions-000000000000.jsonl")).expect("no file of the log");
    let at = house.state.path().to_owned();
    let told = tokio::task::spawn_blocking(move || audit(&at, &["prune", "--keep-mib", "0"])).await.expect("it ends");
    let why = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(!told.status.success() && why.contains("decisions-000000000000.jsonl can't be read"), "{why}");
    assert!(all.iter().all(|file| file.exists()));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_goes_away_while_a_large_log_is_read_has_pruned_it_all_the_same() {
    let house = House::with(|settings| settings.audit.file_bytes = 1_000).await;
    let demo = house.demo().await;
    for item in ["GONE1", "GONE2"] {
        assert_eq!(add_item(&demo, item).await.status, StatusCode::OK);
    }
    let all = files(house.state.path());
    // A file that takes as long to read as the test wants.
    let slow = house.state.path().join("audit/decisions-000000000000.jsonl");
    assert!(Command::new("mkfifo").arg(&slow).status().is_ok_and(|made| made.success()));
    let (order, token) = (serde_json::json!({ "keep_mib": 0, "by": "anna" }), operator(&house));
    let open = || {
        let mut options = fs::OpenOptions::new();
        // Whoever opens it without waiting finds nobody until it is being read.
        options.write(true).custom_flags(NONBLOCK).open(&slow).ok()
    };
    let asked = async { drop(ask(&house, http::Method::POST, "/audit/prune", &order, &token).await) };
    let reads = async {
        loop {
            if let Some(pipe) = open() {
                return pipe;
            }
            crate::house::a_moment().await;
        }
    };
    let pipe = tokio::select! { () = asked => panic!("it does not answer"), pipe = reads => pipe };
    let doors = &house.running.metrics.connections_open;
    let began = Instant::now();
    while doors.with_label_values(&["operations"]).get() > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "the door has not seen that he went");
        crate::house::a_moment().await;
    }
    drop(pipe);
    while all[0].exists() {
        assert!(began.elapsed() < Duration::from_secs(30), "what was begun is not ended");
        crate::house::a_moment().await;
    }
    let state = house.stop().await;
    assert_eq!(is_whole(state.path()), Ok(()));
}
