//! `catalog pull`: the layouts of programs, learnt before anybody calls them, so that rules and mappings over them can be
//! checked. A running gateway is asked to do it, for it keeps the file; else it is done here.

use super::args;
use super::door;
use super::failure::Failure;
use super::show;
use super::state::{operations, settings};
use crate::catalog::Catalog;
use crate::config::{Backend, Settings};
use crate::m3;
use crate::model::ProgramName;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// A program of hundreds of transactions, over a slow line.
const WAIT: Duration = Duration::from_secs(600);

/// Whom M3 is asked through.
enum Through {
    /// The gateway that runs over this state.
    Door,
    Here(Box<Catalog>),
}

pub(super) async fn catalog(config: Option<&Path>, words: args::Catalog) -> Result<ExitCode, Failure> {
    let args::Catalog::Pull { programs, json } = words;
    let settings = settings(config)?;
    let (through, wanted) = begin(&settings, programs).await?;
    let (all, mut known, mut missing, mut gave_up) = (wanted.len(), 0, 0, None);
    for (at, program) in wanted.into_iter().enumerate() {
        let told = match one(&settings, &through, program).await {
            Ok(told) => told,
            // What was learnt before is kept all the same.
            Err(failure) => {
                gave_up = Some(failure);
                break;
            }
        };
        let failed = told["failed"].as_array().map_or(0, Vec::len);
        known += told["transactions"].as_u64().unwrap_or_default();
        missing += failed;
        if json {
            show::line(&told.to_string());
            continue;
        }
        show::note(&format!("{}/{all} {program}: {} transactions", at + 1, told["transactions"]));
        for fault in told["failed"].as_array().into_iter().flatten() {
            let word = |name: &str| fault[name].as_str().unwrap_or_default().to_owned();
            show::note(&format!("  {}: {}", word("transaction"), word("error")));
        }
        if told["transactions"] == 0 && failed == 0 {
            show::note("  M3 lists nothing of it: is the name spelt as M3 spells it?");
        }
    }
    if let Through::Here(catalog) = &through {
        let failed = |error: std::io::Error| Failure::on_the_way(format!("the catalog can't be saved: {error}"));
        catalog.save().await.map_err(failed)?;
    }
    if let Some(failure) = gave_up {
        return Err(failure);
    }
    if !json {
        show::note(&format!("The catalog knows {known} transactions of {all} programs more or anew."));
    }
    Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// With the programs that were named, or every one that M3 lists.
async fn begin(settings: &Settings, named: Vec<ProgramName>) -> Result<(Through, Vec<ProgramName>), Failure> {
    if !named.is_empty() && operations(settings).is_some() {
        return Ok((Through::Door, named));
    }
    if let Some(told) = door::ask_for(settings, "/catalog/programs", &json!({}), WAIT).await? {
        let names = told["programs"].as_array().into_iter().flatten().filter_map(Value::as_str);
        return Ok((Through::Door, names.filter_map(|name| ProgramName::parse(name).ok()).collect()));
    }
    let Backend::Real(client) = &settings.backend else {
        let why = "M3 is the mock, which lives in the gateway: start that first";
        return Err(Failure::begin(why.to_owned()));
    };
    if settings.catalog.file.is_none() {
        return Err(Failure::begin("the settings keep no catalog on the disk: see catalog.file".to_owned()));
    }
    let (metrics, tasks) = (Arc::new(Metrics::new()), Tasks::new());
    let m3 = m3::Client::new((**client).clone(), metrics.clone(), tasks.clone())
        .map_err(|error| Failure::begin(error.to_string()))?;
    let catalog = Catalog::new(settings.catalog.clone(), m3, metrics, tasks).await;
    if !named.is_empty() {
        return Ok((Through::Here(Box::new(catalog)), named));
    }
    let programs = catalog.programs().await.map_err(|error| Failure::on_the_way(error.to_string()))?;
    let names = programs.iter().map(|facts| facts.name).collect();
    Ok((Through::Here(Box::new(catalog)), names))
}

async fn one(settings: &Settings, through: &Through, program: ProgramName) -> Result<Value, Failure> {
    let told = match through {
        Through::Door => {
            let order = json!({ "program": program.as_str() });
            let told = door::ask_for(settings, "/catalog/pull", &order, WAIT).await?;
            return told.ok_or_else(|| Failure::on_the_way("the gateway has gone away meanwhile".to_owned()));
        }
        Through::Here(catalog) => catalog.pull(program).await,
    };
    Ok(told.map_err(|error| Failure::on_the_way(format!("{program}: {error}")))?.shown(program))
}
