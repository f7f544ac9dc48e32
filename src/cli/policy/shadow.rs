//! `policy shadow`: what the candidate beside a running gateway's policies would have decided otherwise.

use super::super::failure::Failure;
use super::super::show;
use super::versions::moment;
use crate::config::Settings;
use serde_json::Value;
use std::process::ExitCode;

const NOT_SET: &str = "no shadow set is asked for: name its folder as policy.shadow in the settings";

pub(super) fn shadow(settings: &Settings, as_json: bool) -> Result<ExitCode, Failure> {
    let path =
        settings.policy_shadow().and_then(|shadow| shadow.told).ok_or_else(|| Failure::begin(NOT_SET.to_owned()))?;
    let told = std::fs::read(&path).map_err(|error| {
        let hint = "a running gateway tells its counts there, once a second";
        Failure::begin(format!("{}: {error}; {hint}", path.display()))
    })?;
    let told: Value =
        serde_json::from_slice(&told).map_err(|error| Failure::begin(format!("{}: {error}", path.display())))?;
    let number = |of: &Value, name: &str| of[name].as_u64().unwrap_or_default();
    let otherwise = number(&told, "otherwise");
    if as_json {
        show::line(&told.to_string());
    } else {
        shown(&told, number);
    }
    Ok(if otherwise == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shown(told: &Value, number: impl Fn(&Value, &str) -> u64) {
    let text = |of: &Value, name: &str| of[name].as_str().unwrap_or_default().to_owned();
    let set = &told["set"];
    let which = match set.is_null() {
        true => format!("no shadow set in {}", text(told, "folder")),
        false => format!("{} version {}, {}", text(set, "name"), number(set, "version"), text(set, "hash")),
    };
    show::line(&format!("{}, as of {}", which.trim_start(), moment(number(told, "at"))));
    if let Some(trouble) = told["trouble"].as_str() {
        show::fault(&format!("the folder can't be used: {trouble}"));
    }
    let (same, otherwise, dropped) = (number(told, "same"), number(told, "otherwise"), number(told, "dropped"));
    show::line(&format!("{same} decisions as they were, {otherwise} otherwise, {dropped} not asked about"));
    let unread = number(told, "unread");
    if unread > 0 {
        show::line(&format!(
            "{unread} that hang on a record of M3 which nobody read: M3 is asked nothing for a shadow set"
        ));
    }
    for row in told["rows"].as_array().into_iter().flatten() {
        let (count, pair, rule, client) =
            (number(row, "count"), text(row, "pair"), text(row, "rule"), text(row, "client"));
        let (call, id) = (text(row, "last_call"), text(row, "last_decision"));
        show::line(&format!("{count:>8}  {pair:<10}  {rule}  {client}  last {call}, decision {id}"));
    }
}
