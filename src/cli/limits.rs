//! `limits`: what clients have used, of a running gateway or as the last one left it.

use super::args;
use super::door;
use super::failure::Failure;
use super::policy::callers;
use super::show;
use super::state::{public_url, settings, store};
use crate::app::{Named, usage};
use crate::config::Settings;
use crate::limit::{Limits, Plan};
use crate::model::ClientId;
use crate::policies;
use crate::tasks::Tasks;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

pub(super) async fn limits(config: Option<&Path>, words: args::Limits) -> Result<ExitCode, Failure> {
    let settings = settings(config)?;
    match words {
        args::Limits::Usage { client, issuer, json } => {
            let order = json!({ "client": client, "issuer": issuer });
            let told = match door::ask(&settings, "/limits/usage", &order).await? {
                Some(told) => told,
                None => {
                    show::note(
                        "No gateway runs over this state: quotas are told as the last one left them, and rates are full.",
                    );
                    kept(&settings, client.as_deref(), issuer.as_deref()).await?
                }
            };
            tell(&told, client.is_some(), json);
        }
        args::Limits::Reset { client, issuer, per, by } => {
            let order = json!({ "client": client, "issuer": issuer, "per": per, "by": by });
            let Some(told) = door::ask(&settings, "/limits/reset", &order).await? else {
                return Err(Failure::begin(
                    "no gateway runs over this state: start it, and set its counters back then",
                ));
            };
            let was = told["was"].as_array().map(Vec::as_slice).unwrap_or_default();
            for row in was {
                let (per, since) = (word(row, "per"), word(row, "since"));
                show::line(&format!("{}  of the {per} since {since} were {} used", word(&told, "client"), row["used"]));
            }
            show::note(if was.is_empty() { "Nothing was counted of it." } else { "Nothing counts as used of it now." });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Without a gateway: the counts of the state, against the limits of the policy folder.
async fn kept(settings: &Settings, client: Option<&str>, issuer: Option<&str>) -> Result<Value, Failure> {
    if !settings.state.is_dir() {
        return Err(Failure::begin(format!(
            "there is no state in {} yet; start the gateway",
            settings.state.display()
        )));
    }
    let public_url = public_url(settings);
    let files = policies::read(&settings.policies).map_err(|error| Failure::begin(error.to_string()))?;
    let plan = Plan::parse(&files.limits.name, &files.limits.text, &public_url).map_err(|faults| {
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::begin(format!("the limits can't be used:\n{}", told.join("\n")))
    })?;
    let known = callers(settings, &public_url).await?;
    let store = store(settings).await?;
    let client = match client {
        None => None,
        Some(client) => {
            let named = Named::new(settings, &public_url, &store).client(client, issuer).await;
            Some(named.map_err(|error| Failure::begin(error.to_string()))?)
        }
    };
    let failed = |error: &dyn std::fmt::Display| Failure::on_the_way(error.to_string());
    let limits = Limits::kept(plan, &store, &Tasks::new()).await.map_err(|error| failed(&error))?;
    let groups = |client: &ClientId| {
        let found = known.iter().find(|one| one.client == *client);
        found.map(|one| one.groups.clone()).unwrap_or_default()
    };
    let told = usage(&limits, client.as_ref(), groups).await.map_err(|error| failed(&error))?;
    store.close().await;
    Ok(told)
}

const COLUMNS: [&str; 8] = ["CLIENT", "LIMIT", "OF", "ALLOWS", "USED", "LEFT", "RESETS AT", "PLACE"];

fn tell(told: &Value, one: bool, as_json: bool) {
    let lines = told["limits"].as_array().map(Vec::as_slice).unwrap_or_default();
    if as_json {
        lines.iter().for_each(|line| show::line(&line.to_string()));
    } else if !lines.is_empty() {
        let mut rows = vec![COLUMNS.map(str::to_owned)];
        rows.extend(lines.iter().map(row));
        table(&rows);
    }
    if lines.is_empty() && !one {
        show::note("Nothing is used of any limit. Name a client to see which limits it has.");
    }
    if told["more"] == true {
        show::note("There are more; name a client.");
    }
}

fn row(line: &Value) -> [String; 8] {
    let shadow = if line["shadow"] == true { " (shadow)" } else { "" };
    let limit = format!("{}{shadow}", word(line, "limit"));
    let (used, left) = (line["used"].to_string(), line["left"].to_string());
    let resets = word(line, "resets_at");
    [word(line, "client"), limit, word(line, "on"), word(line, "allows"), used, left, resets, word(line, "place")]
}

fn table(rows: &[[String; 8]]) {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        show::line(cells.join("  ").trim_end());
    }
}

fn word(of: &Value, name: &str) -> String {
    of[name].as_str().unwrap_or("").to_owned()
}
