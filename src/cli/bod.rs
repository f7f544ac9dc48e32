//! `bod`: what records of M3 become as documents. Nothing is sent and nothing is changed.

use super::args;
use super::failure::Failure;
use super::preview::preview;
use super::show;
use super::state::settings;
use crate::bod::{Difference, Inbound, Mapping, Proof, Secrets, Watch, compare, schema, shipped, validate};
use crate::catalog::read_saved;
use crate::config::{Backend, Settings};
use crate::mock_m3::Metadata;
use crate::model::{Effect, ProgramName, TransactionName};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

pub(super) async fn bod(config: Option<&Path>, words: &args::Bod) -> Result<ExitCode, Failure> {
    match words {
        args::Bod::Preview(words) => preview(settings(config)?, words).await,
        args::Bod::Validate { file, json } => check(file, *json),
        args::Bod::Compare { ours, theirs, json } => differ(&settings(config)?, ours, theirs, *json),
        args::Bod::Schema { noun } => {
            let nouns = || shipped().unwrap_or_default().iter().map(|one| one.noun().to_owned()).collect::<Vec<_>>();
            let Some(text) = schema(noun) else {
                return Err(Failure::begin(format!("{noun} is no noun; there are {}", nouns().join(", "))));
            };
            show::document(text.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        args::Bod::Coverage { program, json } => coverage(&settings(config)?, program.as_deref(), *json).await,
    }
}

fn contents(file: &Path) -> Result<(String, String), Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(MOST_DOCUMENT).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(MOST_DOCUMENT).read_to_string(&mut text))
    };
    let name = file.display().to_string();
    read.map_err(|error| Failure::begin(format!("{name} can't be read: {error}")))?;
    Ok((name, text))
}

/// Secret fields are hidden as the relay hides them.
fn differ(settings: &Settings, ours: &Path, theirs: &Path, as_json: bool) -> Result<ExitCode, Failure> {
    let ((one, ours), (other, theirs)) = (contents(ours)?, contents(theirs)?);
    let name = Inbound::read(&ours).map(|document| document.name).unwrap_or_default();
    let of =
        |mapping: &&Mapping| ["Sync", "Process"].iter().any(|verb| name.strip_prefix(verb) == Some(mapping.noun()));
    let mapping = settings.publish.mappings.iter().find(of);
    let secrets = Secrets::of(mapping, &settings.outbox.sensitive);
    let comparison = compare(&ours, &theirs, &secrets)
        .map_err(|error| Failure::begin(format!("{}: {error}", if error.ours { &one } else { &other })))?;
    if as_json {
        let first = comparison.first.iter();
        let first = first.map(|one| json!({ "path": one.path, "ours": one.ours, "theirs": one.theirs }));
        let (result, first) = (if comparison.is_same() { "same" } else { "different" }, first.collect::<Vec<_>>());
        show::line(&json!({ "result": result, "differences": comparison.many, "first": first }).to_string());
    } else {
        let said = |value: &Option<String>| value.as_ref().map_or("(nothing)".to_owned(), |text| format!("{text:?}"));
        for Difference { path, ours, theirs } in &comparison.first {
            show::line(&format!("{path}: {} | {}", said(ours), said(theirs)));
        }
        show::note(&match comparison.many {
            0 => "The documents say the same.".to_owned(),
            many => format!("They differ in {many} places."),
        });
    }
    Ok(if comparison.is_same() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(file: &Path, as_json: bool) -> Result<ExitCode, Failure> {
    let (name, text) = contents(file)?;
    let flaws = validate(&name, &text);
    for flaw in &flaws {
        if as_json {
            let (line, column) = (flaw.spot.line, flaw.spot.column);
            show::line(&json!({ "file": name, "line": line, "column": column, "message": flaw.message }).to_string());
        } else {
            show::line(&flaw.to_string());
        }
    }
    if flaws.is_empty() && !as_json {
        show::note("The document is valid.");
    }
    Ok(if flaws.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// More than any receiver takes.
const MOST_DOCUMENT: u64 = 64 * 1024 * 1024;

async fn coverage(settings: &Settings, program: Option<&str>, as_json: bool) -> Result<ExitCode, Failure> {
    let mappings = &settings.publish.mappings;
    let mut writes = BTreeSet::new();
    for mapping in mappings.iter() {
        writes.extend(mapping.writes().iter().map(|write| (write.program, write.transaction)));
        writes.extend(mapping.watches().iter().map(|watch| (watch.program, watch.transaction)));
    }
    writes.extend(known(settings).await?.into_iter().filter(|(p, t)| Effect::of(*p, *t).is_write()));
    let on = |mapping: &&Mapping| !settings.publish.is_off(&format!("Sync.{}", mapping.noun()));
    let (mut told, mut all) = (0, 0);
    for (of, name) in writes.into_iter().filter(|(of, _)| program.is_none_or(|program| of.as_str() == program)) {
        let nouns: Vec<&str> =
            mappings.iter().filter(on).filter(|mapping| tells(mapping, of, name)).map(Mapping::noun).collect();
        // As it is asked for: of all that tell of it the strictest.
        let proof =
            mappings.iter().filter(on).filter_map(|mapping| mapping.write(of, name)).map(|write| write.proof).min();
        let proof = proof.map(Proof::as_str);
        all += 1;
        told += usize::from(!nouns.is_empty());
        if as_json {
            let shown =
                json!({ "program": of.as_str(), "transaction": name.as_str(), "documents": nouns, "proof": proof });
            show::line(&shown.to_string());
        } else {
            let shown = if nouns.is_empty() { "-".to_owned() } else { nouns.join(", ") };
            let proof = proof.map(|proof| format!(" ({proof})")).unwrap_or_default();
            show::line(&format!("{of}/{name}: {shown}{proof}"));
        }
    }
    if !as_json {
        show::note(&format!("{told} of {all} writes are told by a document."));
    }
    Ok(ExitCode::SUCCESS)
}

fn tells(mapping: &Mapping, program: ProgramName, transaction: TransactionName) -> bool {
    let watches = |watch: &Watch| (watch.program, watch.transaction) == (program, transaction);
    mapping.write(program, transaction).is_some() || mapping.watches().iter().any(watches)
}

/// What the gateway has learnt of M3, or what the mock has.
async fn known(settings: &Settings) -> Result<Vec<(ProgramName, TransactionName)>, Failure> {
    let mut known = Vec::new();
    if let Backend::Mock { .. } = &settings.backend {
        for transaction in Metadata::shipped().programs().flat_map(|program| program.transactions.clone()) {
            known.extend(
                ProgramName::parse(&transaction.program).ok().zip(TransactionName::parse(&transaction.name).ok()),
            );
        }
    }
    if let Some(file) = &settings.catalog.file {
        let saved = read_saved(file).await;
        let saved = saved.map_err(|error| Failure::begin(format!("the saved catalog {}: {error}", file.display())))?;
        known.extend(saved.iter().map(|layout| (layout.program, layout.name)));
    }
    Ok(known)
}
