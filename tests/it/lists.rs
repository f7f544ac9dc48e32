//! Lists that don't lie: a cut list says so, and where it can be taken up again it is, record for record.

use crate::house::{Caller, House, Reply};
use bytes::Bytes;
use http::{Method, StatusCode};
use mi_gateway::config::Backend;
use mi_gateway::mock_m3::Metadata;
use mi_gateway::translate::Continuation;
use serde_json::{Value, json};

const LIST: &str = "CRS610MI/LstByNumber";

fn big(settings: &mut mi_gateway::config::Settings) {
    if let Backend::Mock { mock, .. } = &mut settings.backend {
        mock.big_list = 5_000;
    }
}

async fn list(caller: &Caller, call: &str, headers: &[(&str, &str)]) -> Reply {
    caller.get_with(&format!("/m3api-rest/v2/execute/{call}"), headers).await
}

/// The values of one field, over a list and all its continuations.
async fn walked(caller: &Caller, call: &str, field: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut next = String::new();
    loop {
        let headers = [("mi-next", next.as_str())];
        let reply = list(caller, call, if next.is_empty() { &[] } else { &headers }).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let records = reply.records();
        values.extend(records.iter().map(|record| record[field].as_str().unwrap_or_default().to_owned()));
        // In the head of a short answer, in the trailers of a long one.
        let told = |name| if reply.header(name).is_empty() { reply.trailer(name) } else { reply.header(name) };
        match (told("mi-truncated"), told("mi-next")) {
            ("", "") => return values,
            ("true", cursor) if !cursor.is_empty() => next = cursor.to_owned(),
            other => panic!("{other:?} after {}", values.len()),
        }
    }
}

#[tokio::test]
async fn a_cut_list_and_its_continuations_are_the_whole_list() {
    let house = House::start().await;
    let demo = house.demo().await;
    for (call, field) in [
        ("CRS610MI/LstByNumber?x=1", "CUNO"),
        ("CRS620MI/LstByNumber?SUNO=S", "SUNO"),
        ("MMS200MI/LstItmByItm?ITNO=A", "ITNO"),
        ("MMS200MI/LstItmWhsByWhs?WHLO=001", "ITNO"),
        ("CRS630MI/LstAccountID?AITP=1", "AITM"),
    ] {
        let whole = list(&demo, &format!("{call}&maxrecs=0"), &[]).await;
        assert_eq!(whole.header("mi-truncated"), "", "{call}: all of them are all of them");
        let whole: Vec<_> =
            whole.records().iter().map(|record| record[field].as_str().unwrap_or_default().to_owned()).collect();
        assert!(!whole.is_empty(), "{call}");
        for most in [1, 7, whole.len() - 1, whole.len(), whole.len() + 1] {
            if most > 0 && whole.len() / most < 60 {
                assert_eq!(walked(&demo, &format!("{call}&maxrecs={most}"), field).await, whole, "{call} by {most}");
            }
        }
    }
}

#[tokio::test]
async fn a_list_goes_on_behind_a_record_that_is_gone() {
    let house = House::start().await;
    let demo = house.demo().await;
    let first = list(&demo, &format!("{LIST}?maxrecs=3"), &[]).await;
    let gone = first.records()[2]["CUNO"].as_str().expect("a number").to_owned();
    let deleted = list(&demo, &format!("CRS610MI/Delete?CUNO={gone}"), &[]).await;
    assert_eq!(deleted.json()["nrOfSuccessfullTransactions"], 1, "{}", deleted.text());
    let cursor = first.header("mi-next").to_owned();
    let second = list(&demo, &format!("{LIST}?maxrecs=3&_cursor={cursor}"), &[]).await;
    assert_eq!(second.records().len(), 3, "{}", second.text());
    assert_eq!(second.records()[0]["CUNO"], "C00004");
    let same = list(&demo, &format!("{LIST}?maxrecs=3"), &[("positionkey", &cursor)]).await;
    assert_eq!(same.records(), second.records());
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_call_and_client_alone() {
    let house = House::start().await;
    let (demo, reader) = (house.demo().await, house.reader().await);
    let cursor = list(&demo, &format!("{LIST}?maxrecs=3"), &[]).await.header("mi-next").to_owned();
    let with = [("mi-next", cursor.as_str())];
    let refused = async |caller: &Caller, call: &str, headers: &[(&str, &str)]| {
        let reply = list(caller, call, headers).await;
        (reply.status, reply.problem())
    };
    let bad = (StatusCode::BAD_REQUEST, "cursor-invalid".to_owned());
    assert_eq!(refused(&reader, &format!("{LIST}?maxrecs=3"), &with).await, bad, "another client");
    assert_eq!(refused(&demo, "MMS200MI/LstItmByItm?ITNO=A&maxrecs=3", &with).await, bad, "another list");
    assert_eq!(refused(&demo, &format!("{LIST}?LMTS=1"), &with).await, bad, "other inputs");
    let mut changed = cursor.clone().into_bytes();
    changed[3] = if changed[3] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).expect("text");
    for forged in [changed.as_str(), "", "AAAA", &"A".repeat(5_000)] {
        assert_eq!(refused(&demo, LIST, &[("mi-next", forged)]).await, bad, "{forged}");
    }
    let none = (StatusCode::BAD_REQUEST, "cursor-not-possible".to_owned());
    assert_eq!(refused(&demo, "CRS610MI/LstByName?maxrecs=3", &with).await, none);
    let twice = refused(&demo, &format!("{LIST}?_cursor={cursor}"), &with).await;
    assert_eq!(twice, (StatusCode::BAD_REQUEST, "request-unreadable".to_owned()));
    let by_name = list(&demo, "CRS610MI/LstByName?maxrecs=3", &[]).await;
    assert_eq!((by_name.header("mi-truncated"), by_name.header("mi-next")), ("true", ""), "cut, and told so");
}

#[tokio::test]
async fn every_dialect_says_that_a_list_was_cut() {
    let house = House::with(big).await;
    let demo = house.demo().await;
    // Small: known before the head is written, so the body is as it always was.
    for accept in ["application/json", "application/xml"] {
        let path = format!("/m3api-rest/execute/{LIST};maxrecs=2");
        let reply = demo.get_with(&path, &[("accept", accept)]).await;
        assert_eq!(reply.header("mi-truncated"), "true", "{accept}");
        assert!(!reply.header("mi-next").is_empty() && !reply.text().contains("truncated"), "{}", reply.text());
    }
    let small = list(&demo, &format!("{LIST}?maxrecs=2"), &[]).await;
    assert_eq!(small.json()["results"][0].get("truncated"), None, "{}", small.text());
    // Large: the head is gone when it is known, so trailers and the body's end say it.
    let long = "MMS060MI/LstBalID?WHLO=001&maxrecs=3000";
    let reply = list(&demo, long, &[]).await;
    assert_eq!(reply.header("mi-truncated"), "");
    let result = &reply.json()["results"][0];
    assert_eq!((result["records"].as_array().map(Vec::len), &result["truncated"]), (Some(3_000), &json!(true)));
    assert_eq!(reply.trailer("mi-truncated"), "true");
    let v1 = demo.v1(&long.replace('?', ";maxrecs=3000?").replace("&maxrecs=3000", "")).await;
    assert_eq!((v1.json()["MIRecord"].as_array().map(Vec::len), &v1.json()["truncated"]), (Some(3_000), &json!(true)));
    let whole = list(&demo, "MMS060MI/LstBalID?WHLO=001&maxrecs=5000", &[]).await;
    assert_eq!((whole.json()["results"][0].get("truncated"), whole.trailer("mi-truncated")), (None, ""));
}

#[tokio::test]
async fn a_list_as_long_as_m3_ever_gives_is_told_to_be_cut_and_goes_on() {
    let house = House::with(|settings| {
        settings.gateway.exchange.list_ceiling = Some(100);
        if let Backend::Mock { mock, .. } = &mut settings.backend {
            mock.profile.ceiling = Some(100);
        }
    })
    .await;
    let demo = house.demo().await;
    for most in ["0", "100", "1000"] {
        let numbers = walked(&demo, &format!("{LIST}?maxrecs={most}"), "CUNO").await;
        assert_eq!((numbers.len(), numbers[249].as_str()), (250, "C00250"), "maxrecs={most}");
    }
}

#[tokio::test]
async fn lines_are_one_record_each_and_the_last_says_how_it_ended() {
    let house = House::start().await;
    let demo = house.demo().await;
    let accept = [("accept", "application/x-ndjson")];
    let reply = list(&demo, &format!("{LIST}?maxrecs=2&returncols=CUNO"), &accept).await;
    assert_eq!(reply.header("content-type"), "application/x-ndjson; charset=UTF-8");
    let lines: Vec<Value> =
        reply.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(lines[..2], [json!({ "CUNO": "C00001" }), json!({ "CUNO": "C00002" })]);
    let end = &lines[2]["@end"];
    assert_eq!((&end["records"], &end["truncated"]), (&json!(2), &json!(true)));
    assert_eq!(end["next"], reply.header("mi-next"));
    house.faults(
        r#"{"rules":[{"transaction":"LstByNumber","action":{"nok_after":{"records":1,"id":"XX00001","field":"CUNO","text":"Broken"}}}]}"#,
    );
    let broken = list(&demo, &format!("{LIST}?returncols=CUNO"), &accept).await.text();
    let end: Value = serde_json::from_str(broken.lines().last().expect("a last line")).expect("JSON");
    assert_eq!((&end["@end"]["records"], &end["@end"]["errorCode"]), (&json!(1), &json!("XX00001")));
}

#[tokio::test]
async fn results_of_a_bulk_call_say_it_each_for_itself() {
    let house = House::start().await;
    let demo = house.demo().await;
    let one = json!({ "transaction": "LstByNumber", "selectedColumns": ["CUNO"] });
    let post = async |transactions: Value| {
        let body = json!({ "program": "CRS610MI", "maxReturnedRecords": 2, "transactions": transactions });
        let headers = [("content-type", "application/json")];
        demo.send(Method::POST, "/m3api-rest/v2/execute", &headers, Bytes::from(body.to_string())).await.json()
    };
    let first = post(json!([one, { "transaction": "GetBasicData", "record": { "CUNO": "C00001" } }])).await;
    let result = &first["results"][0];
    assert_eq!((&result["truncated"], &result["next"]), (&json!(true), &result["positionKey"]));
    assert_eq!(first["results"][1].get("truncated"), None);
    let second =
        json!({ "transaction": "LstByNumber", "record": { "_cursor": result["next"] }, "selectedColumns": ["CUNO"] });
    assert_eq!(
        post(json!([second])).await["results"][0]["records"],
        json!([{ "CUNO": "C00003" }, { "CUNO": "C00004" }])
    );
}

#[test]
fn every_list_of_the_table_has_its_fields_on_both_sides() {
    let metadata = Metadata::shipped();
    for (program, name, fields) in Continuation::all() {
        let transactions = &metadata.program(program).expect("a program").transactions;
        let found = transactions.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("{program}/{name}"));
        for field in fields {
            assert!(found.input.iter().any(|one| one.name == *field), "{program}/{name}: {field} is no input");
            assert!(found.output.iter().any(|one| one.name == *field), "{program}/{name}: {field} is no output");
        }
    }
}

#[tokio::test]
async fn a_list_of_more_records_than_anybody_has_costs_what_all_of_them_cost() {
    let limits = "rate = \"1/hour\"\nburst = 60\n[[cost]]\nprogram = \"CRS610MI\"\nunits = 2\nall = 50";
    let (_house, caller) = House::open_to_all("MIDEMO", limits, |_| {}).await;
    let ask = async |most: &str| caller.m3(&format!("CRS610MI/LstByNumber?maxrecs={most}")).await.status;
    assert_eq!(ask("10000").await, StatusCode::OK, "2 of 60");
    assert_eq!(ask("4294967295").await, StatusCode::OK, "52 of 60");
    assert_eq!(ask("4294967295").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(ask("10").await, StatusCode::OK, "54 of 60");
}
