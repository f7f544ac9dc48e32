//! `bod`: what records of M3 become as documents. Nothing is sent and nothing is changed.

use super::args;
use super::failure::Failure;
use super::show;
use super::state::{mock, settings};
use crate::bod::{
    Action, Bound, Deletes, Difference, Envelope, Fault, Inbound, Mapping, Proof, Rows, Secrets, Source, Verb, Watch,
    compare, schema, shipped, validate,
};
use crate::catalog::{self, Catalog, read_saved};
use crate::config::{Backend, Settings};
use crate::m3;
use crate::mock_m3::Metadata;
use crate::model::{Company, Division, Effect, Place, ProgramName, TransactionName};
use crate::relay::{self, Divisions, Mode, Plan, Reader};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

pub(super) async fn bod(config: Option<&Path>, words: &args::Bod) -> Result<ExitCode, Failure> {
    match words {
        args::Bod::Preview(words) => preview(&settings(config)?, words).await,
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

fn faulty(faults: &[Fault]) -> Failure {
    Failure::begin(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// The mapping that a preview is of, and the name of each key field in what the caller gave.
fn chosen(settings: &Settings, words: &args::BodPreview) -> Result<(Mapping, Vec<String>, Action), Failure> {
    let mut all = settings.publish.mappings.to_vec();
    if let Some(file) = &words.mapping {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::begin(format!("{} can't be read: {error}", file.display())))?;
        let own = Source { name: file.display().to_string(), text };
        let shipped = shipped().map_err(|faults| faulty(&faults))?;
        let made = Mapping::parse_over(&own, &shipped).map_err(|faults| faulty(&faults))?;
        all.retain(|known| known.noun() != made.noun());
        all.push(made);
    }
    let by_name = |mapping: &Mapping| mapping.key().iter().map(ToString::to_string).collect::<Vec<_>>();
    if let Some(at) = all.iter().position(|mapping| mapping.noun() == words.of) {
        let mapping = all.swap_remove(at);
        let key = by_name(&mapping);
        return Ok((mapping, key, Action::Replace));
    }
    let (program, transaction) = pair(&words.of)?;
    for mapping in all {
        if let Some(write) = mapping.write(program, transaction) {
            let key = write.key.iter().map(ToString::to_string).collect();
            let action = if write.deletes == Deletes::Itself { Action::Delete } else { Action::Replace };
            return Ok((mapping, key, action));
        }
    }
    let why = match Effect::of(program, transaction) {
        Effect::Read | Effect::Session => "it changes nothing",
        Effect::Write | Effect::Raw => "no mapping names it; see `mi-gateway bod coverage`",
    };
    Err(Failure::begin(format!("{program}/{transaction} makes no document: {why}")))
}

fn pair(text: &str) -> Result<(ProgramName, TransactionName), Failure> {
    let parts = text.split_once('/');
    let parsed = parts.and_then(|(p, t)| ProgramName::parse(p).ok().zip(TransactionName::parse(t).ok()));
    parsed.ok_or_else(|| Failure::begin(format!("{text}: name a write (MMS200MI/UpdItmBasic) or a noun (ItemMaster)")))
}

async fn preview(settings: &Settings, words: &args::BodPreview) -> Result<ExitCode, Failure> {
    let (mapping, names, action) = chosen(settings, words)?;
    let given: Vec<(&str, &str)> = words.fields.iter().filter_map(|field| field.split_once('=')).collect();
    if given.len() < words.fields.len() {
        return Err(Failure::begin("fields are given as FIELD=VALUE, like ITNO=A1"));
    }
    let mut key = Vec::new();
    for name in &names {
        let value = given.iter().find(|(field, _)| field == name).map(|(_, value)| *value);
        key.push(value.ok_or_else(|| Failure::begin(format!("{name} is missing: it names the document; {name}=…")))?);
    }
    let tasks = Tasks::new();
    let shown = read(settings, words, &mapping, &key, action, &tasks).await;
    tasks.finish(Duration::from_secs(2)).await;
    shown?.iter().for_each(|document| show::document(document));
    Ok(ExitCode::SUCCESS)
}

async fn read(
    settings: &Settings,
    words: &args::BodPreview,
    mapping: &Mapping,
    key: &[&str],
    action: Action,
    tasks: &Tasks,
) -> Result<Vec<String>, Failure> {
    let metrics = Arc::new(Metrics::new());
    let failed = |error: m3::Error| Failure::on_the_way(error.to_string());
    let client = m3::Client::new(way(settings)?, metrics.clone(), tasks.clone()).map_err(failed)?;
    let user = client.user();
    let home = client.home(&user).await.map_err(failed)?.place;
    let place = place(words, home)?;
    let catalog = Catalog::new(catalog::Settings::default(), client.clone(), metrics, tasks.clone()).await;
    let reader = Reader::new(client.clone(), catalog, user);
    let failed = |error: relay::Error| Failure::on_the_way(error.to_string());
    let layouts = reader.layouts(mapping).await.map_err(failed)?;
    let known: Vec<_> = layouts.iter().map(Option::as_deref).collect();
    let bound = mapping.bind(&known).map_err(|faults| faulty(&faults))?;
    let back = reader.read(&bound, &layouts, place, key).await.map_err(failed)?;
    let every = settings.publish.is_of_every_division(mapping, &format!("Sync.{}", mapping.noun()), place.company);
    let listed = if every && !mapping.has_division() {
        Divisions::new(reader).of(place).await.map_err(failed)?.to_vec()
    } else {
        Vec::new()
    };
    client.close();
    let rows = back.rows();
    if !bound.has_document(key, &rows) {
        return Err(Failure::on_the_way(format!("records like this one have no {}", mapping.noun())));
    }
    let publish = &settings.publish;
    let name = format!("Sync.{}", mapping.noun());
    // Of a record that says its division there is one document, in whatever division it was written.
    let mut editions =
        if mapping.has_division() { Vec::new() } else { publish.editions(mapping, &name, place, &listed) };
    let company_alone = editions.iter().all(|(division, _)| division.is_none());
    if let (Some(_), false) = (&words.division, company_alone) {
        editions.retain(|(division, _)| division.as_deref() == Some(place.division.as_str()));
    }
    if editions.is_empty() {
        editions.push((None, publish.plan(&name, place.company, place.division.as_str())));
    }
    if editions.iter().all(|(_, plan)| plan.mode == Mode::Off) {
        show::note(&format!("{name} is switched off here: this is what it would be"));
    }
    let shown = |(division, plan): &(Option<String>, Plan)| {
        let said = bound.division(key, &rows);
        let said = if said.is_empty() { place.division.as_str() } else { &said };
        let division = division.as_deref().unwrap_or(said);
        let company = place.company.to_string();
        let by_division = plan.is_by_division(mapping) && !division.is_empty();
        let entity = if by_division { format!("{company}_{division}") } else { company.clone() };
        document(&bound, &rows, key, action, &words.lid, (&entity, &company, division))
    };
    Ok(editions.iter().map(shown).collect())
}

fn document(
    bound: &Bound<'_>,
    rows: &[Rows<'_>],
    key: &[&str],
    action: Action,
    logical_id: &str,
    (entity, company, division): (&str, &str, &str),
) -> String {
    let now = Timestamp::now();
    let (created, id) = (format!("{now:.3}"), Uuid::now_v7().to_string());
    let envelope = Envelope {
        verb: Verb::Sync,
        action,
        tenant: "",
        entity,
        company,
        division,
        location: &bound.location(key, rows),
        logical_id,
        component: "mi-gateway",
        reference: "",
        confirmation: "OnError",
        created: &created,
        bod_id: &id,
        variation: u64::try_from(now.as_millisecond()).unwrap_or_default(),
        key,
    };
    let composed = bound.compose(&envelope, rows);
    let flaws = validate("the document", &composed.xml);
    flaws.iter().for_each(|flaw| show::note(&format!("warning: {flaw}")));
    if composed.replaced > 0 {
        show::note(&format!("{} characters that XML can't hold were replaced", composed.replaced));
    }
    indented(&composed.xml)
}

/// The way to M3 of the settings; to the mock of a gateway that runs.
fn way(settings: &Settings) -> Result<m3::Settings, Failure> {
    match &settings.backend {
        Backend::Real(client) => Ok((**client).clone()),
        Backend::Mock { client, .. } => {
            let running = mock(settings).ok_or_else(|| {
                Failure::begin("M3 is the mock here, and it lives in the gateway: start the gateway first")
            })?;
            let mut client = (**client).clone();
            client.address = running.to_string();
            client.rest = None;
            Ok(client)
        }
    }
}

fn place(words: &args::BodPreview, home: Place) -> Result<Place, Failure> {
    let wrong = |what: &str, error: &dyn std::fmt::Display| Failure::begin(format!("--{what}: {error}"));
    let company = words.company.as_deref().map(|text| Company::parse(text).map_err(|error| wrong("company", &error)));
    let division =
        words.division.as_deref().map(|text| Division::parse(text).map_err(|error| wrong("division", &error)));
    Ok(Place {
        company: company.transpose()?.unwrap_or(home.company),
        division: division.transpose()?.unwrap_or(home.division),
    })
}

/// One element a line: what goes over a wire stands in one.
fn indented(xml: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    let mut rest = xml;
    while let Some(begin) = rest.find('<') {
        let text = &rest[..begin];
        let end = rest[begin..].find('>').map_or(rest.len(), |end| begin + end + 1);
        let tag = &rest[begin..end];
        let closes = tag.starts_with("</");
        depth = depth.saturating_sub(usize::from(closes));
        out.push_str(text);
        if (text.is_empty() || !closes) && !out.is_empty() {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        }
        out.push_str(tag);
        depth += usize::from(!closes && !tag.ends_with("/>") && !tag.starts_with("<?"));
        rest = &rest[end..];
    }
    out
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
