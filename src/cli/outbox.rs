//! `outbox`: writes whose outcome is open, documents on their way, and what an operator does about them.

use super::args;
use super::failure::Failure;
use super::show;
use super::state::settings;
use super::stops::this_user;
use crate::outbox::{Dropped, Error, Ledger, Operator, Resolution, Selection, Wanted};
use serde_json::Value;
use std::path::Path;
use std::process::ExitCode;

pub(super) async fn outbox(config: Option<&Path>, words: args::Outbox) -> Result<ExitCode, Failure> {
    let settings = settings(config)?;
    let ledger = Ledger::open(&settings.outbox).await.map_err(failed)?;
    let done = run(&ledger, words).await;
    ledger.close().await;
    done
}

fn at(time: Option<jiff::Timestamp>) -> Option<i64> {
    time.map(jiff::Timestamp::as_millisecond)
}

async fn run(ledger: &Ledger, words: args::Outbox) -> Result<ExitCode, Failure> {
    match words {
        args::Outbox::List { state, noun, key, since, until, limit, json } => {
            let wanted = Wanted { state, noun, key, since: at(since), until: at(until), most: limit };
            let found = ledger.list(&wanted).await.map_err(failed)?;
            found.iter().for_each(|one| show::line(&if json { one.to_string() } else { row(one) }));
            if found.is_empty() {
                show::note("There is nothing like that in the outbox.");
            }
        }
        args::Outbox::Show { id, json } => {
            let shown = ledger.show(&id).await.map_err(failed)?;
            if json {
                show::line(&shown.to_string());
                return Ok(ExitCode::SUCCESS);
            }
            if shown["kind"] == "message" {
                told(&shown).iter().for_each(|line| show::line(line));
                show::document(&word(&shown, "xml"));
            } else {
                show::lines(&serde_json::to_string_pretty(&shown).unwrap_or_default());
            }
        }
        args::Outbox::Replay { ids, noun, key, since, until, point, state, fresh, order } => {
            let who = operator(order, "");
            for id in &ids {
                ledger.replay(id, fresh, &who).await.map_err(failed)?;
            }
            let meant = Selection { noun, key, since: at(since), until: at(until), point, state };
            if !meant.is_empty() {
                let many = ledger.replay_all(&meant, fresh, &who).await.map_err(failed)?;
                show::note(&format!("{many} are sent again."));
            }
            show::note("A running gateway takes it up within a second.");
        }
        args::Outbox::Park { id, order } => {
            ledger.park(&id, &operator(order, "parked by an operator")).await.map_err(failed)?;
            show::note("Parked: nothing more is tried with it until it is replayed or resolved.");
        }
        args::Outbox::Drop { ids, point, order } => {
            let who = operator(order, "dropped by an operator");
            let ids = ids.into_iter().map(Dropped::One);
            let mut dropped = 0;
            for what in point.map(Dropped::Of).into_iter().chain(ids) {
                dropped += ledger.discard(&what, &who).await.map_err(failed)?;
            }
            show::note(&format!("{dropped} given up."));
        }
        args::Outbox::Resolve { id, outcome, key, no_document, order } => {
            let resolution = match outcome {
                args::OutboxOutcome::Committed if no_document => Resolution::Untold,
                args::OutboxOutcome::Committed => Resolution::Committed { key },
                args::OutboxOutcome::Refused => Resolution::Refused,
            };
            ledger.resolve(&id, &resolution, &operator(order, "")).await.map_err(failed)?;
            show::note("Settled; a running gateway takes it up within a second.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A message with where it stands at each point, and how it came there.
fn told(message: &Value) -> Vec<String> {
    let of = |name: &str| word(message, name);
    let mut lines = vec![
        format!("{}  {} {} {}", of("id"), of("document"), of("action"), of("document_id")),
        format!("entity {}  variation {}  made {}  cause {}", of("entity"), of("variation"), of("made"), of("cause")),
    ];
    let compared = &message["comparison"];
    if compared.is_object() {
        let of = |name: &str| word(compared, name);
        let (result, many) = (of("result"), of("differences"));
        lines.push(format!("shadow: {result}  {many} differ  {}  {} {}", of("at"), of("logical_id"), of("bod_id")));
        for one in compared["first"].as_array().into_iter().flatten() {
            let said = |name: &str| if one[name].is_null() { "(nothing)".to_owned() } else { one[name].to_string() };
            lines.push(format!("  {}: {} | {}", word(one, "path"), said("ours"), said("theirs")));
        }
    } else if message["shadow"] == true {
        lines.push("shadow: nothing of M3's own publisher was compared with it".to_owned());
    }
    for point in message["points"].as_array().into_iter().flatten() {
        let due = word(point, "answer_by");
        let due = if due.is_empty() { due } else { format!("  to be answered by {due}") };
        lines.push(format!("{}: {}{due}  {}", word(point, "point"), word(point, "state"), word(point, "reason")));
        for entry in point["history"].as_array().into_iter().flatten() {
            lines.push(format!("  {}  {:<9}  {}", word(entry, "at"), word(entry, "state"), word(entry, "words")));
        }
    }
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines
}

fn word(of: &Value, name: &str) -> String {
    match &of[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn row(one: &Value) -> String {
    let word = |name: &str| word(one, name);
    let what = if one["kind"] == "write" { word("call") } else { word("document") };
    let name = if one["kind"] == "document" { word("key") } else { word("document_id") };
    let state = if one["compared"].is_string() { word("compared") } else { word("state") };
    let (kind, id, since, point, company) = (word("kind"), word("id"), word("since"), word("point"), word("company"));
    let why = if one["reference"].is_string() { word("reference") } else { word("reason") };
    format!("{kind:<8}  {state:<9}  {id:<36}  {since}  {what} {name} {company}  {point}  {why}").trim_end().to_owned()
}

#[expect(clippy::needless_pass_by_value, reason = "where errors are mapped it is handed one of its own")]
fn failed(error: Error) -> Failure {
    if error.is_of_the_order() { Failure::begin(error.to_string()) } else { Failure::on_the_way(error.to_string()) }
}

fn operator(order: args::OutboxOrder, why: &str) -> Operator {
    let reason = if order.reason.is_empty() { why.to_owned() } else { order.reason };
    Operator { by: order.by.unwrap_or_else(this_user), reason }
}
