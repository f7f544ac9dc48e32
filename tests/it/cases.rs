//! The contract, case by case: a folder of `tests/cases` is a request, what M3 is asked for it, what M3 answers, and the
//! answer that the contract wants.
//!
//! `request`: a line with method and path, headers, a blank line, the body. `calls`: company, user and call, a line each.
//! `reply.json`: M3's answer, as the mock's faults have it. `response`: status and headers. `body.json` is compared as
//! JSON, where `"*"` is anything; `body.xml` and `body.txt` byte by byte.

use crate::house::{Caller, House, Reply};
use http::Method;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A case answered otherwise, in words.
type Differs = String;

#[tokio::test]
async fn every_case_of_the_contract_is_answered_as_it_says() {
    let (house, caller) = House::open_to_all("MIDEMO", "rate = \"10000/second\"\nburst = 10000", |_| {}).await;
    let mut folders: Vec<_> = fs::read_dir("tests/cases").expect("the cases").flatten().map(|one| one.path()).collect();
    folders.sort();
    assert!(folders.len() >= 150, "only {} cases are there", folders.len());
    let mut wrong = Vec::new();
    for folder in &folders {
        if let Err(differs) = run(&house, &caller, folder).await {
            wrong.push(format!("{}:\n{differs}", folder.display()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases differ\n{}", wrong.len(), folders.len(), wrong.join("\n"));
}

fn text(folder: &Path, name: &str) -> Option<String> {
    fs::read_to_string(folder.join(name)).ok()
}

async fn run(house: &House, caller: &Caller, folder: &Path) -> Result<(), Differs> {
    house.m3().clear_calls();
    house.faults(&text(folder, "reply.json").unwrap_or_else(|| "{}".to_owned()));
    let request = text(folder, "request").ok_or("no request")?;
    let reply = send(caller, &request).await;
    let expected = text(folder, "response").ok_or("no response")?;
    let mut lines = expected.lines();
    let status = lines.next().unwrap_or_default();
    same("status", reply.status.as_str(), status).map_err(|differs| format!("{differs}\n{}", reply.text()))?;
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").ok_or("a header without a value")?;
        same(name, reply.header(name), value)?;
    }
    compare(folder, &reply)?;
    let asked = house.m3().calls();
    let asked = asked.iter().filter(|call| !call.technical && call.program != "MRS001MI");
    let asked: String = asked.map(|call| format!("{} {} {call}\n", call.company, call.user)).collect();
    same("calls", &asked, &text(folder, "calls").unwrap_or_default())
}

async fn send(caller: &Caller, request: &str) -> Reply {
    let (head, body) = request.trim_end_matches('\n').split_once("\n\n").unwrap_or((request.trim_end(), ""));
    let mut lines = head.lines();
    let (method, path) = lines.next().and_then(|line| line.split_once(' ')).expect("a method and a path");
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
    caller.send(method, path, &headers, body.to_owned().into()).await
}

fn same(what: &str, got: &str, wanted: &str) -> Result<(), Differs> {
    if got == wanted { Ok(()) } else { Err(format!("  {what} is   {got}\n  {what} wants {wanted}")) }
}

fn compare(folder: &Path, reply: &Reply) -> Result<(), Differs> {
    for name in ["body.xml", "body.txt"] {
        if let Some(wanted) = text(folder, name) {
            return same("body", &reply.text(), &wanted);
        }
    }
    match text(folder, "body.json") {
        None => same("body", &reply.text(), ""),
        // An answer to HEAD has none.
        Some(_) if reply.body.is_empty() && text(folder, "request").is_some_and(|text| text.starts_with("HEAD")) => {
            Ok(())
        }
        Some(wanted) => {
            let wanted: Value = serde_json::from_str(&wanted).map_err(|error| error.to_string())?;
            let got: Value =
                serde_json::from_slice(&reply.body).map_err(|error| format!("{error}: {}", reply.text()))?;
            alike("", &got, &wanted)
        }
    }
}

/// Equal in every member and in the order of members; `"*"` is anything.
fn alike(at: &str, got: &Value, wanted: &Value) -> Result<(), Differs> {
    match (got, wanted) {
        (_, Value::String(any)) if any == "*" => Ok(()),
        (Value::Object(got), Value::Object(wanted)) => {
            let names = |of: &serde_json::Map<String, Value>| of.keys().cloned().collect::<Vec<_>>().join(" ");
            same(&format!("members of {at}/"), &names(got), &names(wanted))?;
            got.iter()
                .zip(wanted.values())
                .try_for_each(|((name, got), wanted)| alike(&format!("{at}/{name}"), got, wanted))
        }
        (Value::Array(got), Value::Array(wanted)) if got.len() == wanted.len() => got
            .iter()
            .zip(wanted)
            .enumerate()
            .try_for_each(|(n, (got, wanted))| alike(&format!("{at}/{n}"), got, wanted)),
        _ => same(at, &got.to_string(), &wanted.to_string()),
    }
}
