//! `policy`: what the rules of a folder decide, and why. Nothing is started, nothing is changed.

mod answer;
mod bundles;
mod cases;
mod check;
mod limited;
mod past;
mod rights;
mod shadow;
mod versions;

use super::args;
use super::failure::Failure;
use super::show;
use super::state::{issuer_failed, public_url, settings, store};
use crate::catalog::read_saved;
use crate::clock::unix_seconds;
use crate::config::{Backend, Settings};
use crate::issuer::Clients;
use crate::mock_m3::Metadata;
use crate::model::{
    Claim, ClaimKind, ClientId, Company, Division, Effect, FieldName, Place, ProgramName, Standing, TransactionLayout,
    TransactionName,
};
use crate::policies::{self, Answer, Caller, Files, Question, Wrong};
use crate::policy::{Set, Site};
use answer::{explained, missed, told};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

type Known = HashMap<(ProgramName, TransactionName), Arc<TransactionLayout>>;

/// What every command here begins with.
struct Bench {
    settings: Settings,
    site: Site,
    layouts: Known,
    callers: Vec<Caller>,
    /// Where each of them may work whatever the rules say.
    standings: HashMap<ClientId, Standing>,
}

pub(super) async fn policy(config: Option<&Path>, words: &args::Policy) -> Result<ExitCode, Failure> {
    let bench = || Bench::new(config);
    match words {
        args::Policy::Versions { json } => versions::versions(&settings(config)?, *json),
        args::Policy::Shadow { json } => shadow::shadow(&settings(config)?, *json),
        args::Policy::Rollback(words) => versions::rollback(&settings(config)?, words).await,
        args::Policy::Keygen { out } => bundles::keygen(out),
        args::Policy::Bundle(words) => bundles::bundle(&bench().await?, words),
        args::Policy::Sign(words) => bundles::sign(words),
        args::Policy::Verify(words) => bundles::verify_with(&settings(config)?.policy_trust, words),
        args::Policy::Resume { by } => versions::resume(&settings(config)?, &by.name()).await,
        args::Policy::Replay(words) => past::replay(&bench().await?, words),
        args::Policy::Check(words) => check::check(&bench().await?, words),
        args::Policy::Explain(words) => bench().await?.explain(words),
        args::Policy::Test { dir, json } => cases::test(&bench().await?, dir.as_deref(), *json),
        args::Policy::WhoCan(words) => bench().await?.who_can(words),
        args::Policy::Diff(words) => bench().await?.diff(words),
    }
}

impl Bench {
    async fn new(config: Option<&Path>) -> Result<Self, Failure> {
        let settings = settings(config)?;
        let site = settings.site(&public_url(&settings));
        let layouts = layouts(&settings).await?;
        let known = known(&settings, &site.issuer).await?;
        let standings = known.iter().map(|(caller, standing)| (caller.client.clone(), standing.clone())).collect();
        let callers = known.into_iter().map(|(caller, _)| caller).collect();
        Ok(Self { settings, site, layouts, callers, standings })
    }

    /// The set of a folder, or of the one in the settings.
    fn set(&self, dir: Option<&Path>) -> Result<(Set, Files), Failure> {
        let dir = dir.unwrap_or(&self.settings.policies);
        let files = policies::read(dir).map_err(|error| Failure::begin(error.to_string()))?;
        let set = Set::load(&files.rules(), &self.site, &|program, name| self.layout(program, name));
        let set = set.map_err(|faults| {
            let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Failure::begin(format!("the rules of {} can't be used:\n{}", dir.display(), told.join("\n")))
        })?;
        Ok((set, files))
    }

    /// Technical transactions are in every program and described in GENERAL alone.
    fn layout(&self, program: ProgramName, name: TransactionName) -> Option<Arc<TransactionLayout>> {
        layout(&self.layouts, program, name)
    }

    /// A client as it is registered, or one that is nobody yet.
    fn caller(&self, name: &str, groups: &[String], scopes: &[String]) -> Caller {
        let known = self.callers.iter().find(|one| one.name == name || &*one.client.id == name).cloned();
        let mut caller = known.unwrap_or_else(|| {
            let (id, issuer) = name.split_once('@').unwrap_or((name, &self.site.issuer));
            let client = ClientId { issuer: issuer.into(), id: id.into() };
            nobody(name, client)
        });
        caller.groups.extend(groups.iter().map(|group| group.as_str().into()));
        caller.scopes.extend(scopes.iter().map(|scope| scope.as_str().into()));
        if caller.user.is_none() {
            let map = &self.settings.group_users;
            caller.user = caller.groups.iter().find_map(|group| map.get(&**group)).cloned();
        }
        caller
    }

    /// `NAME=VALUE`, as often as a set has texts.
    fn claims(&self, words: &[String]) -> Result<Vec<Claim>, Failure> {
        let wrong = |word: &str, why: &str| Failure::begin(format!("--claim {word}: {why}"));
        let mut given: BTreeMap<&str, Vec<Box<str>>> = BTreeMap::new();
        for word in words {
            let pair = self.site.claims.keys().find_map(|name| {
                let value = word.strip_prefix(&**name)?.strip_prefix('=')?;
                Some((&**name, value))
            });
            let hint = "no issuer's policy_claims in the settings has it; write NAME=VALUE";
            let (name, value) = pair.ok_or_else(|| wrong(word, hint))?;
            given.entry(name).or_default().push(value.into());
        }
        let claim = |(name, texts): (&str, Vec<Box<str>>)| {
            let kind = self.site.claims[name];
            if kind == ClaimKind::Text && texts.len() > 1 {
                return Err(wrong(name, "it is one text"));
            }
            Claim::new(name.into(), kind, texts).ok_or_else(|| wrong(name, "it is too long"))
        };
        given.into_iter().map(claim).collect()
    }

    /// `FIELD=VALUE`, once for each field; without any the record can't be read.
    fn record(words: &[String]) -> Result<Option<Vec<(FieldName, String)>>, Failure> {
        let field = |word: &String| {
            let wrong = |why: String| Failure::begin(format!("--record {word}: {why}"));
            let (name, value) = word.split_once('=').ok_or_else(|| wrong("write FIELD=VALUE".to_owned()))?;
            Ok((FieldName::parse(name).map_err(|fault| wrong(fault.to_string()))?, value.to_owned()))
        };
        let record = words.iter().map(field).collect::<Result<Vec<_>, Failure>>()?;
        Ok((!record.is_empty()).then_some(record))
    }

    fn ask(&self, set: &Set, question: &Question) -> Result<Answer, Wrong> {
        policies::ask(set, question, |program, name| self.layout(program, name))
    }

    fn explain(&self, words: &args::PolicyExplain) -> Result<ExitCode, Failure> {
        if let Some(id) = &words.decision {
            return past::explain(self, id, words);
        }
        let (set, _) = self.set(words.dir.as_deref())?;
        let call = words.call.as_deref().unwrap_or_default();
        let asked = policies::read_call(call).map_err(|wrong| Failure::begin(wrong.to_string()))?;
        let unix_seconds = match &words.at {
            None => unix_seconds(),
            Some(text) => moment(text)?,
        };
        let mut caller = self.caller(words.client.as_deref().unwrap_or_default(), &words.group, &words.scope);
        caller.claims = self.claims(&words.claim)?;
        let record = Self::record(&words.record)?;
        let question = Question { caller, asked, record, address: words.address.unwrap_or(HERE), unix_seconds };
        let answer = self.ask(&set, &question).map_err(|wrong| Failure::begin(wrong.to_string()))?;
        let bounds = self.standings.get(&question.caller.client).cloned().unwrap_or_default();
        let beyond = policies::beyond(&bounds, &question, |program, name| self.layout(program, name));
        let beyond = beyond.map_err(|wrong| Failure::begin(wrong.to_string()))?;
        if words.json {
            show::line(&told(&set, &answer, beyond).to_string());
        } else {
            explained(&set, &question, &answer, beyond);
        }
        // For scripts: 0 allowed, 1 refused.
        let allowed = answer.decision.allowed && beyond.is_none();
        Ok(if allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn layout(known: &Known, program: ProgramName, name: TransactionName) -> Option<Arc<TransactionLayout>> {
    known.get(&(program, name)).cloned().or_else(|| {
        let general = ProgramName::parse("GENERAL").ok().filter(|_| Effect::is_technical(name))?;
        let layout = known.get(&(general, name))?;
        Some(Arc::new(TransactionLayout { program, ..TransactionLayout::clone(layout) }))
    })
}

fn nobody(name: &str, client: ClientId) -> Caller {
    let (groups, scopes, claims) = (Vec::new(), Vec::new(), Vec::new());
    let (name, more_scopes) = (name.to_owned(), false);
    Caller { name, client, groups, scopes, more_scopes, claims, user: None, company: None, division: None }
}

/// A cell of a table with commas. A spreadsheet would run what begins like a formula.
fn quoted(cell: &str) -> String {
    let guarded = if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell.to_owned() };
    if guarded.contains([',', '"', '\n', '\r']) { format!("\"{}\"", guarded.replace('"', "\"\"")) } else { guarded }
}

fn moment(text: &str) -> Result<u64, Failure> {
    let at: Timestamp = text.parse().map_err(|error| Failure::begin(format!("--at {text}: {error}")))?;
    u64::try_from(at.as_second()).map_err(|_| Failure::begin(format!("--at {text}: before 1970")))
}

/// `100` or `100/AAA`.
fn places(words: &[String]) -> Result<Vec<Place>, Failure> {
    let place = |word: &String| {
        let (company, division) = word.split_once('/').unwrap_or((word, ""));
        let wrong = |fault: &dyn Display| Failure::begin(format!("--place {word}: {fault}"));
        let company = Company::parse(company).map_err(|fault| wrong(&fault))?;
        let division = Division::parse(division).map_err(|fault| wrong(&fault))?;
        Ok(Place { company, division })
    };
    words.iter().map(place).collect()
}

/// What the gateway has learnt; with the mock, what the mock has.
async fn layouts(settings: &Settings) -> Result<Known, Failure> {
    let mut layouts = HashMap::new();
    if let Backend::Mock { .. } = &settings.backend {
        let metadata = Metadata::shipped();
        for transaction in metadata.programs().flat_map(|program| &program.transactions) {
            let layout = metadata.layout(&transaction.program, &transaction.name);
            layouts.extend(layout.map(|layout| ((layout.program, layout.name), Arc::new(layout))));
        }
    }
    if let Some(file) = &settings.catalog.file {
        let saved = read_saved(file).await;
        let saved = saved.map_err(|error| Failure::begin(format!("the saved catalog {}: {error}", file.display())))?;
        layouts.extend(saved.into_iter().map(|layout| ((layout.program, layout.name), Arc::new(layout))));
    }
    Ok(layouts)
}

fn required(settings: &Settings, issuer: &str) -> Vec<Box<str>> {
    let of = settings.issuers.iter().find(|foreign| foreign.issuer == issuer);
    of.map(|foreign| foreign.scopes.iter().map(|scope| scope.as_str().into()).collect()).unwrap_or_default()
}

pub(super) async fn callers(settings: &Settings, issuer: &str) -> Result<Vec<Caller>, Failure> {
    Ok(known(settings, issuer).await?.into_iter().map(|(caller, _)| caller).collect())
}

/// The clients that are registered here, and those of other issuers that the settings know.
async fn known(settings: &Settings, issuer: &str) -> Result<Vec<(Caller, Standing)>, Failure> {
    let mut known = Vec::new();
    let caller = |name: String, client: ClientId, groups: Vec<Box<str>>, standing: &Standing| Caller {
        name,
        client,
        groups,
        scopes: Vec::new(),
        more_scopes: false,
        claims: Vec::new(),
        user: standing.user.clone(),
        company: standing.company,
        division: standing.division,
    };
    // Asking must not make a store where there is none.
    if let Some(own) = settings.tokens.as_ref().filter(|_| settings.state.is_dir()) {
        let store = store(settings).await?;
        let clients = Clients::open(&store, own.hash_cost).await.map_err(issuer_failed)?;
        for client in clients.list().await.map_err(issuer_failed)?.iter().filter(|client| !client.revoked()) {
            let id = ClientId { issuer: issuer.into(), id: client.id.clone() };
            let one = caller(client.name.clone(), id, client.groups.to_vec(), &client.standing);
            known.push((Caller { scopes: client.scopes.to_vec(), ..one }, Standing::clone(&client.standing)));
        }
    }
    for foreign in &settings.clients {
        let name = format!("{}@{}", foreign.client.id, foreign.client.issuer);
        let groups = foreign.groups.iter().map(|group| group.as_str().into()).collect();
        let one = caller(name, foreign.client.clone(), groups, &foreign.standing);
        // Without those that its issuer's tokens must have it gets nowhere.
        let scopes = required(settings, &foreign.client.issuer);
        known.push((Caller { scopes, more_scopes: true, ..one }, Standing::clone(&foreign.standing)));
    }
    Ok(known)
}
