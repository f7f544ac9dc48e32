//! `audit`: is the log whole, and what does it say.

use super::args;
use super::failure::Failure;
use super::show;
use super::state::settings;
use crate::audit::{Broken, Error, Filter, Head, Key, PublicKey, Verified, find, verify};
use crate::config::Settings;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

pub(super) async fn audit(config: Option<&Path>, words: args::Audit) -> Result<ExitCode, Failure> {
    let settings = settings(config)?;
    // Large files: never on a thread of the runtime.
    let done = tokio::task::spawn_blocking(move || match words {
        args::Audit::Verify { dir, key, head, json } => {
            verified(&settings, dir.as_deref(), key.as_deref(), head.as_deref(), json)
        }
        args::Audit::Find(words) => found(&settings, &words),
        args::Audit::Head => shown(&settings),
    });
    done.await.map_err(|_| Failure::on_the_way("reading the audit log failed"))?
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
    if json {
        let told = match &verified {
            Ok(good) => json!({ "whole": true, "head": head.is_some(), "found": good }),
            Err(broken) => json!({ "whole": false, "broken": broken }),
        };
        show::line(&told.to_string());
    }
    match verified {
        Ok(good) => {
            if !json {
                whole(&good, head.is_some());
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

fn whole(good: &Verified, head: bool) {
    let Verified { files, lines, first, last, decisions, checkpoints, unsigned, lost, open_writes } = good;
    show::line(&format!("whole: lines {first} to {last} in {files} files, {decisions} decisions"));
    show::line(&format!("  {checkpoints} signatures; {unsigned} of {lines} lines are behind the last one"));
    if *first > 1 {
        show::line(&format!("  lines 1 to {} are not here", first - 1));
    }
    if *lost > 0 {
        show::line(&format!("  {lost} lines could not be kept while the log was written"));
    }
    if *open_writes > 0 {
        show::line(&format!("  {open_writes} writes have no outcome: under way, or at M3 when a gateway was killed"));
    }
    if !head {
        show::note("head.json is missing: lines that were cut off the end can't be noticed.");
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
