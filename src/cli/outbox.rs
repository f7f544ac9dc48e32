//! `outbox`: writes whose outcome is open, documents on their way, and what an operator does about them.

use super::args;
use super::failure::Failure;
use super::show;
use super::state::settings;
use crate::outbox::{Error, Ledger, Resolution, Wanted};
use serde_json::Value;
use std::path::Path;
use std::process::ExitCode;

pub(super) async fn outbox(config: Option<&Path>, words: args::Outbox) -> Result<ExitCode, Failure> {
    let settings = settings(config)?;
    let ledger = Ledger::open(&settings.outbox.folder).await.map_err(failed)?;
    let done = run(&ledger, words).await;
    ledger.close().await;
    done
}

async fn run(ledger: &Ledger, words: args::Outbox) -> Result<ExitCode, Failure> {
    match words {
        args::Outbox::List { state, noun, key, limit, json } => {
            let wanted = Wanted { state, noun, key, most: limit };
            let found = ledger.list(&wanted).await.map_err(failed)?;
            found.iter().for_each(|one| show::line(&if json { one.to_string() } else { row(one) }));
            if found.is_empty() {
                show::note("There is nothing like that in the outbox.");
            }
        }
        args::Outbox::Show { id, json } => {
            let mut shown = ledger.show(&id).await.map_err(failed)?;
            if json {
                show::line(&shown.to_string());
                return Ok(ExitCode::SUCCESS);
            }
            let xml = shown.as_object_mut().and_then(|members| members.remove("xml"));
            show::line(&serde_json::to_string_pretty(&shown).unwrap_or_default());
            if let Some(xml) = xml.as_ref().and_then(Value::as_str) {
                show::line(xml);
            }
        }
        args::Outbox::Replay { ids, fresh } => {
            for id in &ids {
                ledger.replay(id, fresh).await.map_err(failed)?;
            }
            show::note("A running gateway takes it up within a second.");
        }
        args::Outbox::Park { id, reason } => {
            ledger.park(&id, &reason).await.map_err(failed)?;
            show::note("Parked: nothing more is tried with it until it is replayed or resolved.");
        }
        args::Outbox::Resolve { id, outcome } => {
            let resolution = match outcome {
                args::OutboxOutcome::Committed => Resolution::Committed,
                args::OutboxOutcome::Refused => Resolution::Refused,
            };
            ledger.resolve(&id, resolution).await.map_err(failed)?;
            show::note("Settled; a running gateway takes it up within a second.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(one: &Value) -> String {
    let word = |name: &str| match &one[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let what = if one["kind"] == "write" { word("call") } else { word("document") };
    let name = if one["kind"] == "document" { word("key") } else { word("document_id") };
    let (kind, state, id, since, point, company) =
        (word("kind"), word("state"), word("id"), word("since"), word("point"), word("company"));
    let why = if one["reference"].is_string() { word("reference") } else { word("reason") };
    format!("{kind:<8}  {state:<9}  {id:<36}  {since}  {what} {name} {company}  {point}  {why}").trim_end().to_owned()
}

fn failed(error: Error) -> Failure {
    match error {
        Error::Unknown { .. } => Failure::begin(error.to_string()),
        error => Failure::on_the_way(error.to_string()),
    }
}
