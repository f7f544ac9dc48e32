//! Quotas are kept, and operators see how the limits stand, set them back, and learn which line refused a call.

use crate::house::text;
use crate::limits::{READ, WRITE, command, left, limited, line, out, over, until_refused, usage, wide};
use crate::stops::{ask, operator};
use http::{Method, StatusCode};
use mi_gateway::store::Store;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_quota_is_kept_over_a_restart_and_an_operator_sets_it_back() {
    let tables = "[[quota]]\nper = \"day\"\nunits = 4\n[[quota]]\nper = \"month\"\nunits = 6\n";
    let house = over(tempfile::tempdir().expect("a folder"), &wide(tables)).await;
    let caller = house.caller("tester").await;
    assert_eq!((caller.m3(READ).await.status, caller.m3(READ).await.status), (StatusCode::OK, StatusCode::OK));
    let door = house.running.addresses.operations;
    let state = house.stop().await;
    // Somebody else has the port by now: he is not told the operator's token.
    let other = TcpListener::bind(door).await.expect("the port is free again");
    let shown = command(state.path(), &["limits", "usage", "tester", "--json"]).await;
    let asked = tokio::time::timeout(Duration::ZERO, other.accept()).await;
    assert!(asked.is_err(), "nobody is asked where no gateway runs");
    drop(other);
    let kept: Vec<Value> = out(&shown).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&line(&kept, "daily")["used"], &line(&kept, "monthly")["left"]), (&2.into(), &4.into()), "{kept:?}");
    let house = over(state, &wide(tables)).await;
    let caller = house.caller("tester").await;
    let (times, (name, rest, whole), refused) = until_refused(&caller, READ).await;
    assert_eq!((times, name.as_str(), rest), (2, "daily", 1));
    let (wait, whole): (u64, u64) = (refused.header("retry-after").parse().expect("seconds"), whole.expect("an end"));
    assert!(wait <= whole && whole <= 86_400 && wait > 0, "{wait} {whole}");
    assert_eq!((refused.problem().as_str(), left(&refused).1), ("quota-spent", 0));
    // Reset: at once, told, and of the day alone.
    let reset = command(house.state.path(), &["limits", "reset", "tester", "--per", "day", "--by", "anna"]).await;
    assert!(reset.status.success() && out(&reset).contains("4 used"), "{reset:?}");
    let (times, (name, ..), refused) = until_refused(&caller, READ).await;
    assert_eq!((times, name.as_str(), left(&refused).0.as_str()), (2, "monthly", "monthly"));
    let state = house.stop().await;
    let log = std::fs::read_dir(state.path().join("audit"))
        .expect("the log")
        .filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok());
    let log: String = log.collect();
    assert!(log.contains("\"kind\":\"quota-reset\"") && log.contains("\"by\":\"anna\""), "{log}");
}

#[tokio::test]
async fn a_shadow_is_counted_and_told_to_operators_and_refuses_nobody() {
    let tables = "[[quota]]\nper = \"day\"\nunits = 2\nshadow = true\n[[program]]\nprogram = \"CRS610MI\"\nrate = \"1/hour\"\nburst = 1\nshadow = true\n";
    let (house, caller) = limited(&wide(tables)).await;
    for _ in 0..4 {
        let reply = caller.m3(READ).await;
        assert_eq!((reply.status, left(&reply).0.as_str()), (StatusCode::OK, "client"), "nothing is told of shadows");
    }
    let metrics = house.operations("/metrics").await.text();
    for told in ["limit=\"daily\",mode=\"shadow\"} 2", "limit=\"program\",mode=\"shadow\"} 3"] {
        assert!(metrics.contains(told), "{told} in {metrics}");
    }
    let lines = usage(&house, Some("tester")).await;
    let daily = line(&lines, "daily");
    assert_eq!((&daily["shadow"], &daily["used"], &daily["left"]), (&true.into(), &4.into(), &0.into()));
    house.stop().await;
}

#[tokio::test]
async fn a_shadow_that_cannot_be_counted_refuses_nobody() {
    let (house, caller) = limited(&wide("[[quota]]\nper = \"day\"\nunits = 100\nshadow = true\n")).await;
    let beside = Store::open(house.state.path()).await.expect("the same store");
    let held = beside.write().await.expect("the pen");
    for _ in 0..3 {
        let reply = caller.m3(READ).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
    drop(held);
    beside.close().await;
    house.stop().await;
}

#[tokio::test]
async fn what_cannot_be_counted_is_refused_before_m3_and_goes_on_once_it_can() {
    let (house, caller) = limited(&wide("[[quota]]\nper = \"day\"\nunits = 100\n")).await;
    house.m3().clear_calls();
    let beside = Store::open(house.state.path()).await.expect("the same store");
    let held = beside.write().await.expect("the pen");
    let refused = caller.m3(WRITE).await;
    assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "quota-unavailable"));
    assert_ne!(refused.header("retry-after"), "");
    assert_eq!(house.asked(), Vec::<String>::new());
    drop(held);
    beside.close().await;
    let began = Instant::now();
    while caller.m3(WRITE).await.status != StatusCode::OK {
        assert!(began.elapsed() < Duration::from_secs(30), "it never counts again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    house.stop().await;
}

#[tokio::test]
async fn a_quota_is_not_set_back_before_the_order_is_written_down() {
    let (house, caller) = limited(&wide("[[quota]]\nper = \"day\"\nunits = 100\n")).await;
    assert_eq!(caller.m3(READ).await.status, StatusCode::OK);
    let (folder, aside) = (house.state.path().join("audit"), house.state.path().join("aside"));
    std::fs::rename(&folder, &aside).expect("moved");
    std::fs::write(&folder, b"no folder").expect("a file in its place");
    let order = json!({ "client": "tester", "by": "anna" });
    let token = operator(&house);
    let refused = ask(&house, Method::POST, "/limits/reset", &order, &token).await;
    assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", refused.text());
    assert!(text(&refused.json(), "detail").contains("audit log"), "the operator learns why: {}", refused.text());
    assert_eq!(line(&usage(&house, Some("tester")).await, "daily")["used"], 1);
    std::fs::remove_file(&folder).expect("removed");
    std::fs::rename(&aside, &folder).expect("back");
    let done = ask(&house, Method::POST, "/limits/reset", &order, &token).await;
    assert_eq!((done.status, &done.json()["was"][0]["used"]), (StatusCode::OK, &1.into()), "{}", done.text());
    let state = house.stop().await;
    let files = std::fs::read_dir(state.path().join("audit")).expect("the log");
    let log: String = files.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok()).collect();
    assert_eq!(log.matches("\"kind\":\"quota-reset\"").count(), 1, "{log}");
}

#[tokio::test]
async fn operators_see_what_is_used_and_which_line_refused_a_call() {
    let tables =
        "[[program]]\nprogram = \"CRS610MI\"\nrate = \"2/hour\"\nburst = 2\n[[quota]]\nper = \"day\"\nunits = 50\n";
    let (house, caller) = limited(&wide(tables)).await;
    let (_, _, refused) = until_refused(&caller, READ).await;
    let again = caller.m3(READ).await;
    let id = refused.header("mi-decision").to_owned();
    assert_eq!(again.header("mi-decision"), id, "one line tells of both");
    let at = house.state.path().to_owned();
    let shown = out(&command(&at, &["limits", "usage", "tester"]).await);
    let row = shown.lines().find(|line| line.contains("CRS610MI")).unwrap_or_else(|| panic!("{shown}"));
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert!(cells.starts_with(&[text(&house.ionapi("tester"), "ci"), "program", "CRS610MI", "2/hour,"]), "{row}");
    assert!(row.contains("  2     0     20") && row.ends_with("limits.toml:5"), "used, left, a time, the line: {row}");
    assert!(shown.contains("50 a day"), "{shown}");
    let nobody = command(&at, &["limits", "usage", "nobody"]).await;
    assert_eq!(nobody.status.code(), Some(2), "{nobody:?}");
    let stranger = ask(&house, Method::POST, "/limits/usage", &json!({}), "not-the-operators-token-at-all").await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    let state = house.stop().await;

    let told = command(state.path(), &["policy", "explain", "--decision", &id]).await;
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    let told = out(&told);
    for part in [
        "rate-limited",
        "limits.toml:5",
        "2/hour, at most 2 at once",
        "2 of 2 were used",
        "CRS610MI/GetBasicData",
        "2 calls",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let json = command(state.path(), &["policy", "explain", "--decision", &id, "--json"]).await;
    let json: Value = serde_json::from_str(out(&json).trim()).expect("JSON");
    assert_eq!((&json["place"], &json["used"], &json["times"]), (&"limits.toml:5".into(), &2.into(), &2.into()));
    // Another file than then: that it is another is said, and not made up for.
    std::fs::write(state.path().join("rules/limits.toml"), wide("")).expect("a file");
    let told = command(state.path(), &["policy", "explain", "--decision", &id]).await;
    assert!(String::from_utf8_lossy(&told.stderr).contains("have changed since"), "{told:?}");
    let rules = state.path().join("rules").display().to_string();
    let replayed = command(state.path(), &["policy", "replay", &rules]).await;
    assert!(replayed.status.success(), "{replayed:?}");
    assert!(String::from_utf8_lossy(&replayed.stderr).contains("2 calls that limits refused"), "{replayed:?}");
}
