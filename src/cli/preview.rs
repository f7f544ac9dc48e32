//! `bod preview`: the documents that a record of M3 becomes, as the relay would make them. Nothing is sent and nothing is
//! changed.

use super::args;
use super::failure::Failure;
use super::show;
use super::state::mock;
use crate::bod::{Deletes, Fault, Mapping, Source, shipped, validate};
use crate::catalog::{self, Catalog};
use crate::config::{Backend, Settings};
use crate::m3;
use crate::model::{Company, Division, Effect, Place, ProgramName, TransactionName};
use crate::relay::{self, NotShown, Preview, Previewed, Reader, Rule, verbs};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// A document that is to be shown.
struct Wanted {
    verb: &'static str,
    noun: String,
    /// The parts of its record's key.
    key: Vec<String>,
    by_division: bool,
    deletes: bool,
}

pub(super) async fn preview(settings: Settings, words: &args::BodPreview) -> Result<ExitCode, Failure> {
    let publish = publisher(&settings, words)?;
    let given: Vec<(&str, &str)> = words.fields.iter().filter_map(|field| field.split_once('=')).collect();
    if given.len() < words.fields.len() {
        return Err(Failure::begin("fields are given as FIELD=VALUE, like ITNO=A1"));
    }
    let wanted = wanted(&publish, &words.of, &given)?;
    let tasks = Tasks::new();
    let shown = read(&settings, publish, words, &wanted, &tasks).await;
    tasks.finish(Duration::from_secs(2)).await;
    shown?.iter().for_each(|document| show::document(document));
    Ok(ExitCode::SUCCESS)
}

fn faulty(faults: &[Fault]) -> Failure {
    Failure::begin(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// With the mapping and the logical id that the caller gives.
fn publisher(settings: &Settings, words: &args::BodPreview) -> Result<relay::Settings, Failure> {
    let mut publish = relay::Settings { enabled: true, ..settings.publish.clone() };
    if let Some(file) = &words.mapping {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::begin(format!("{} can't be read: {error}", file.display())))?;
        let own = Source { name: file.display().to_string(), text };
        let shipped = shipped().map_err(|faults| faulty(&faults))?;
        let made = Mapping::parse_over(&own, &shipped).map_err(|faults| faulty(&faults))?;
        let mut all = publish.mappings.to_vec();
        all.retain(|known| known.noun() != made.noun());
        all.push(made);
        publish.mappings = Arc::new(all);
    }
    if let Some(lid) = &words.lid {
        publish.rules.push(Rule { logical_id: Some(lid.clone()), ..Rule::default() });
    }
    Ok(publish)
}

/// The documents of a write, or of a noun: `ItemMaster`, `Process.PurchaseOrder`.
fn wanted(publish: &relay::Settings, of: &str, given: &[(&str, &str)]) -> Result<Vec<Wanted>, Failure> {
    let key = |names: Vec<String>| -> Result<Vec<String>, Failure> {
        let value = |name: &String| {
            let value = given.iter().find(|(field, _)| field == name).map(|(_, value)| (*value).to_owned());
            value.ok_or_else(|| Failure::begin(format!("{name} is missing: it names the document; {name}=…")))
        };
        names.iter().map(value).collect()
    };
    let own = |mapping: &Mapping| mapping.key().iter().map(ToString::to_string).collect::<Vec<_>>();
    let one = |mapping: &Mapping, verb, key, deletes| Wanted {
        verb,
        noun: mapping.noun().to_owned(),
        key,
        by_division: mapping.is_named_by_division(),
        deletes,
    };
    let (verb, noun) = match of.split_once('.') {
        Some(("Process", noun)) => ("Process", noun),
        Some(("Sync", noun)) => ("Sync", noun),
        _ => ("Sync", of),
    };
    if let Some(mapping) = publish.mappings.iter().find(|mapping| mapping.noun() == noun) {
        return Ok(vec![one(mapping, verb, key(own(mapping))?, false)]);
    }
    let (program, transaction) = pair(of)?;
    let mut found = Vec::new();
    for mapping in publish.mappings.iter() {
        if let Some(write) = mapping.write(program, transaction) {
            let names: Vec<String> = write.key.iter().map(ToString::to_string).collect();
            for verb in verbs(program, transaction) {
                found.push(one(mapping, verb, key(names.clone())?, write.deletes == Deletes::Itself));
            }
        }
        // What is entered or handed over is told once M3 has created it: the caller names one that it has.
        let named = (program, transaction);
        let enters = mapping
            .watches()
            .iter()
            .any(|watch| (watch.program, watch.transaction) == named || watch.enters.contains(&named));
        if enters {
            found.push(one(mapping, "Sync", key(own(mapping))?, false));
        }
    }
    if !found.is_empty() {
        return Ok(found);
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

async fn read(
    settings: &Settings,
    publish: relay::Settings,
    words: &args::BodPreview,
    wanted: &[Wanted],
    tasks: &Tasks,
) -> Result<Vec<String>, Failure> {
    let metrics = Arc::new(Metrics::new());
    let failed = |error: m3::Error| Failure::on_the_way(error.to_string());
    let client = m3::Client::new(way(settings)?, metrics.clone(), tasks.clone()).map_err(failed)?;
    let user = publish.user.clone().unwrap_or_else(|| client.user());
    let place = place(words, client.home(&user).await.map_err(failed)?.place)?;
    let catalog = Catalog::new(catalog::Settings::default(), client.clone(), metrics.clone(), tasks.clone()).await;
    let preview = Preview::new(Reader::new(client.clone(), catalog, user, metrics.clone()), publish, metrics.clone());
    let (mut documents, mut none) = (Vec::new(), None);
    for one in wanted {
        // Of several documents of a write those that are switched off are as little shown as they are sent.
        let only = wanted.iter().all(|other| other.noun == one.noun && other.verb == one.verb);
        match document(&preview, one, place, words, only).await {
            Ok(found) => documents.extend(found),
            Err(NotShown::Off) => none = Some(format!("{}.{} is switched off here", one.verb, one.noun)),
            Err(NotShown::Unlike) => none = Some(format!("records like this one have no {}", one.noun)),
            Err(NotShown::Nothing(why)) => none = Some(format!("{}.{}: {why}", one.verb, one.noun)),
            Err(error) => return Err(Failure::on_the_way(error.to_string())),
        }
    }
    client.close();
    let replaced: u64 = wanted
        .iter()
        .map(|one| format!("{}.{}", one.verb, one.noun))
        .map(|name| metrics.publishing.documents.with_label_values(&[&name, "characters-replaced"]).get())
        .sum();
    if replaced > 0 {
        show::note("characters that XML can't hold were replaced");
    }
    match none {
        Some(why) if documents.is_empty() => Err(Failure::on_the_way(why)),
        _ => Ok(documents.iter().map(shown).collect()),
    }
}

async fn document(
    preview: &Preview,
    one: &Wanted,
    place: Place,
    words: &args::BodPreview,
    only: bool,
) -> Result<Vec<Previewed>, NotShown> {
    let mut record = one.key.clone();
    if one.by_division {
        record.push(place.division.as_str().to_owned());
    }
    let of = async |always| preview.of((one.verb, &one.noun), place, record.clone(), one.deletes, always).await;
    let mut found = match of(false).await {
        Err(NotShown::Off) if only => {
            show::note(&format!("{}.{} is switched off here: this is what it would be", one.verb, one.noun));
            of(true).await?
        }
        found => found?,
    };
    let by_division = found.iter().any(|one| one.division.is_some());
    if words.division.is_some() && by_division {
        found.retain(|one| one.division.as_deref() == Some(place.division.as_str()));
    }
    Ok(found)
}

fn shown(document: &Previewed) -> String {
    let flaws = validate("the document", &document.made.xml);
    flaws.iter().for_each(|flaw| show::note(&format!("warning: {flaw}")));
    indented(&document.made.xml)
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
