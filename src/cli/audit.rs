//! `audit`: is the log whole, and what does it say.

use super::args;
use super::door;
use super::failure::Failure;
use super::show;
use super::state::settings;
use super::stops::this_user;
use crate::app::shown_pruned;
use crate::audit::{Broken, Error, Filter, Head, Keep, Key, Log, Pruned, PublicKey, Record, Verified, find, verify};
use crate::config::Settings;
use crate::telemetry::Metrics;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

pub(super) async fn audit(config: Option<&Path>, words: args::Audit) -> Result<ExitCode, Failure> {
    let settings = settings(config)?;
    let words = match words {
        args::Audit::Prune { keep_days, keep_mib, by, json } => {
            return prune(&settings, keep_days, keep_mib, by, json).await;
        }
        args::Audit::Acknowledge { reason, by } => return acknowledge(&settings, &reason, by).await,
        words => words,
    };
    // Large files: never on a thread of the runtime.
    let done = tokio::task::spawn_blocking(move || match words {
        args::Audit::Verify { dir, key, head, json } => {
            verified(&settings, dir.as_deref(), key.as_deref(), head.as_deref(), json)
        }
        args::Audit::Find(words) => found(&settings, &words),
        args::Audit::Head => shown(&settings),
        // Above: they ask a running gateway.
        args::Audit::Prune { .. } | args::Audit::Acknowledge { .. } => Ok(ExitCode::SUCCESS),
    });
    done.await.map_err(|_| Failure::on_the_way("reading the audit log failed"))?
}

/// A log of many files is read whole before any of them goes.
const PRUNES: Duration = Duration::from_secs(3_600);

/// A running gateway writes its log itself; without one it is opened here.
async fn prune(
    settings: &Settings,
    keep_days: Option<u64>,
    keep_mib: Option<u64>,
    by: Option<String>,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let by = by.unwrap_or_else(this_user);
    let order = json!({ "keep_days": keep_days, "keep_mib": keep_mib, "by": by });
    let told = match door::ask_for(settings, "/audit/prune", &order, PRUNES).await? {
        Some(told) => told,
        None => {
            let given = Keep { days: keep_days, bytes: keep_mib.map(|mib| mib.saturating_mul(1024 * 1024)) };
            let keep = if given.everything() { settings.audit.keep } else { given };
            if keep.everything() {
                let hint = "give --keep-days or --keep-mib, or set audit.keep_days or audit.keep_mib";
                return Err(Failure::begin(format!("it is not said what stays: {hint}")));
            }
            shown_pruned(&pruned(settings, keep, &by).await?)
        }
    };
    if as_json {
        show::line(&told.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let files = told["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    files.iter().filter_map(Value::as_str).for_each(show::line);
    show::note(&match files.len() {
        0 => "No file is old enough to go.".to_owned(),
        many => format!(
            "{many} files with lines {} to {} were removed, and a signed line says so.",
            told["first"], told["last"]
        ),
    });
    Ok(ExitCode::SUCCESS)
}

async fn pruned(settings: &Settings, keep: Keep, by: &str) -> Result<Pruned, Failure> {
    let log = opened("prune", settings)?;
    let pruned = log.prune(keep, by).await.map_err(|error| Failure::on_the_way(error.to_string()));
    closed(&log).await?;
    pruned
}

async fn acknowledge(settings: &Settings, reason: &str, by: Option<String>) -> Result<ExitCode, Failure> {
    if reason.trim().is_empty() {
        return Err(Failure::begin("say with --reason what came of looking into it"));
    }
    let by = by.unwrap_or_else(this_user);
    let order = json!({ "reason": reason, "by": by });
    let done = match door::ask(settings, "/audit/acknowledge", &order).await? {
        Some(told) => told["acknowledged"] == true,
        None => {
            let log = opened("acknowledge", settings)?;
            let done = log.acknowledge(&by, reason).await.map_err(|error| Failure::on_the_way(error.to_string()));
            closed(&log).await?;
            done?
        }
    };
    show::note(match done {
        true => "A signed line says so. What is gone stays gone, and `verify` goes on telling of it.",
        false => "No line is gone that waits for this.",
    });
    Ok(ExitCode::SUCCESS)
}

/// Only where no gateway has it.
fn opened(whom: &str, settings: &Settings) -> Result<Log, Failure> {
    if !settings.audit.dir.is_dir() {
        return Err(no_log(&settings.audit.dir));
    }
    Log::start_for(whom, settings.audit.clone(), &Metrics::new()).map_err(|error| unreadable(&error))
}

async fn closed(log: &Log) -> Result<(), Failure> {
    match log.close(Duration::from_secs(30)).await {
        true => Ok(()),
        false => Err(Failure::on_the_way("the end of the audit log could not be signed")),
    }
}

fn no_log(dir: &Path) -> Failure {
    Failure::begin(format!("there is no audit log in {}", dir.display()))
}

fn unreadable(error: &Error) -> Failure {
    Failure::begin(error.to_string())
}

fn public(settings: &Settings, given: Option<&str>) -> Result<PublicKey, Failure> {
    match given {
        Some(text) => PublicKey::parse(text)
            .ok_or_else(|| Failure::begin("--key is no public key: give the 64 hexadecimal digits of `audit head`")),
        None => Ok(Key::read(&settings.audit.key).map_err(|error| unreadable(&error))?.public()),
    }
}

fn verified(
    settings: &Settings,
    dir: Option<&Path>,
    key: Option<&str>,
    head: Option<&Path>,
    json: bool,
) -> Result<ExitCode, Failure> {
    let dir = dir.unwrap_or(&settings.audit.dir);
    let key = public(settings, key)?;
    let head = match head {
        None => Head::beside(dir),
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| Failure::begin(format!("{}: {error}", path.display())))?;
            let read = Head::parse(&text);
            Some(read.ok_or_else(|| Failure::begin(format!("{} is no head of an audit log", path.display())))?)
        }
    };
    let verified = verify(dir, key, head.as_ref()).map_err(|error| unreadable(&error))?;
    if head.is_none() && verified.as_ref().is_ok_and(|good| good.lines == 0) {
        return Err(no_log(dir));
    }
    if json {
        let told = match &verified {
            Ok(good) => json!({ "whole": true, "head": true, "found": good }),
            Err(broken) => json!({ "whole": false, "broken": broken }),
        };
        show::line(&told.to_string());
    }
    match verified {
        Ok(good) => {
            if !json {
                whole(&good);
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(_) if json => Ok(ExitCode::FAILURE),
        Err(Broken { file, line, what }) => {
            let place = if line == 0 { String::new() } else { format!(":{line}") };
            Err(Failure::on_the_way(format!("{}{place}: {what}; the log is not as it was written", file.display())))
        }
    }
}

fn whole(good: &Verified) {
    let Verified { files, lines, first, last, decisions, checkpoints, pruned, cuts, unsigned, lost, open_writes } =
        good;
    show::line(&format!("whole: lines {first} to {last} in {files} files, {decisions} decisions"));
    show::line(&format!("  {checkpoints} signatures; {unsigned} of {lines} lines are behind the last one"));
    if let Some(Record { last, time, by }) = pruned.as_ref().filter(|_| *first > 1) {
        show::line(&format!("  lines 1 to {} were pruned, the last up to {last} on {time} by {by}", first - 1));
    }
    if *lost > 0 {
        show::line(&format!("  {lost} lines could not be kept while the log was written"));
    }
    if *open_writes > 0 {
        show::line(&format!("  {open_writes} writes have no outcome: under way, or at M3 when a gateway was killed"));
    }
    for cut in cuts {
        let (by, reason) = (cut.by.as_deref().unwrap_or_default(), cut.reason.as_deref().unwrap_or_default());
        show::line(&format!(
            "  {} were gone on {} ({}); looked into by {by}: {reason}",
            cut.lines(),
            cut.time,
            cut.why
        ));
    }
}

fn found(settings: &Settings, words: &args::AuditFind) -> Result<ExitCode, Failure> {
    let key = match &words.key {
        None => None,
        Some(text) => {
            let pair = text.split_once('=');
            let pair = pair.ok_or_else(|| Failure::begin("--key is FIELD=VALUE, like ITNO=A1"))?;
            Some((pair.0.to_owned(), pair.1.to_owned()))
        }
    };
    let since = match &words.since {
        None => None,
        Some(text) => {
            let time: Timestamp = text
                .parse()
                .map_err(|error| Failure::begin(format!("--since is no time like 2026-01-31T08:00:00Z: {error}")))?;
            Some(format!("{time:.6}"))
        }
    };
    let (program, transaction) = match &words.call {
        None => (None, None),
        Some(call) => match call.split_once('/') {
            Some((program, transaction)) => (Some(program.to_owned()), Some(transaction.to_owned())),
            None => (Some(call.clone()), None),
        },
    };
    let filter = Filter {
        id: words.decision.clone(),
        call: words.request.clone(),
        client: words.client.clone(),
        program,
        transaction,
        verdict: words.verdict.clone(),
        key,
        since,
    };
    let dir = words.dir.as_deref().unwrap_or(&settings.audit.dir);
    // Without the key, values that stand in the log as hashes are not found; everything else is.
    let key = Key::read(&settings.audit.key).ok();
    let count = find(dir, &filter, key.as_ref(), |line: &Value| show::line(&line.to_string()))
        .map_err(|error| unreadable(&error))?;
    if count == 0 {
        show::note("No decision fits.");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(settings: &Settings) -> Result<ExitCode, Failure> {
    let key = public(settings, None)?;
    let head = Head::beside(&settings.audit.dir).ok_or_else(|| {
        Failure::begin(format!("{} has no head yet; start the gateway once", settings.audit.dir.display()))
    })?;
    show::line(&head.text());
    show::note(&format!("public key: {key}"));
    Ok(ExitCode::SUCCESS)
}
