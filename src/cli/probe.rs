//! `check --probe`: whether M3 answers and as whom, whether the guard user may read what rules need, and whether clients
//! may work where M3 lets their users.
//!
//! Does not know: how a fault is shown.

use super::check::Found;
use crate::catalog::Catalog;
use crate::config::{Backend, Settings};
use crate::gateway::SITE_READS;
use crate::issuer::{Client, Clients};
use crate::m3;
use crate::model::{Company, Division, FieldKind, FieldName, M3User, Place, ProgramName, TransactionName};
use crate::policy::Set;
use crate::relay::{self, Reader};
use crate::store::Store;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const PROGRAM: &str = "MNS150MI";
const LIST: &str = "LstCmpDivi";
const USER: &str = "USID";

/// Companies that an M3 user has authority in, and the divisions of each.
type Places = BTreeMap<u16, BTreeSet<String>>;

pub(super) async fn probe(settings: &Settings, set: Option<&Set>, found: &mut Found) {
    let Backend::Real(client) = &settings.backend else {
        found.good.push("M3 is the mock of this process; there is nothing to probe".into());
        return;
    };
    let (metrics, tasks) = (Arc::new(Metrics::new()), Tasks::new());
    let m3 = match m3::Client::new((**client).clone(), metrics.clone(), tasks.clone()) {
        Ok(m3) => m3,
        Err(error) => return found.fault(client.address.clone(), "M3", error.to_string(), "see the keys of [m3]"),
    };
    match m3.probe().await {
        Ok(who) => {
            found.good.push(format!(
                "M3 at {} answers as {} in company {} division {:?}, build {}",
                client.address, who.user, who.place.company, who.place.division, who.build
            ));
            let catalog = Catalog::new(settings.catalog.clone(), m3.clone(), metrics.clone(), tasks).await;
            guard(settings, set, (&m3, &catalog, who.place), found).await;
            let reader = Reader::new(m3, catalog, who.user, metrics);
            clients(settings, reader, who.place, found).await;
        }
        Err(error) => found.fault(client.address.clone(), "M3", error.to_string(), "see the keys of [m3]"),
    }
}

/// Who reads records for rules has to be let in by M3, and to everything that is read as him.
async fn guard(settings: &Settings, set: Option<&Set>, of: (&m3::Client, &Catalog, Place), found: &mut Found) {
    let (Some(user), (m3, catalog, place)) = (&settings.guard_user, of) else { return };
    match m3.home(user).await {
        Ok(_) => found.good.push(format!("M3 lets the guard user {user} in")),
        Err(error) => {
            return found.fault(GUARD.0, GUARD.1, error.to_string(), "see [m3.users], and MNS150");
        }
    }
    let metrics = Arc::new(Metrics::new());
    let reader = Reader::new(m3.clone(), catalog.clone(), user.clone(), metrics);
    for (read, key, what_for) in asked_as_guard(set) {
        let name = format!("{}/{}", read.0, read.1);
        match tried(&reader, catalog, read, &key, place).await {
            Ok(()) => found.good.push(format!("the guard user {user} may read {name}, {what_for}")),
            Err(why) => {
                let message = format!("{user} may not read {name}, {what_for}: {why}");
                found.fault(GUARD.0, GUARD.1, message, "give him authority for it in M3, or name another user");
            }
        }
    }
}

const GUARD: (&str, &str) = ("check --probe", "policy.guard_user");

type Call = (ProgramName, TransactionName);

/// What the gateway asks of sites, and what the set declares to be read of records: each with its key and its use.
fn asked_as_guard(set: Option<&Set>) -> Vec<(Call, Vec<FieldName>, &'static str)> {
    let site = |(program, transaction, field)| {
        let call = (ProgramName::parse(program).ok()?, TransactionName::parse(transaction).ok()?);
        Some((call, vec![FieldName::parse(field).ok()?], "which tells the division of a site"))
    };
    let mut all: Vec<_> = SITE_READS.into_iter().filter_map(site).collect();
    for fact in set.into_iter().flat_map(Set::facts) {
        let key = fact.key.iter().map(|(to, _)| *to).collect();
        all.push(((fact.program, fact.transaction), key, "which facts.toml names"));
    }
    all.sort();
    all.dedup_by_key(|(call, ..)| *call);
    all
}

/// Of a record that there hardly is: that M3 has none is answer enough.
async fn tried(reader: &Reader, catalog: &Catalog, call: Call, key: &[FieldName], place: Place) -> Result<(), String> {
    let layout = catalog.layout(call.0, call.1).await.map_err(|error| error.to_string())?;
    let given = key.iter().map(|name| {
        let date = layout.input.field(*name).is_some_and(|field| field.kind == FieldKind::Date);
        (*name, if date { "19700101" } else { "0" }.to_owned())
    });
    match reader.list(call, place, &given.collect::<Vec<_>>()).await {
        Ok(_) => Ok(()),
        // By XAU M3 numbers what it does not let a user do; whatever else it says no with, it looked.
        Err(relay::Error::Refused { id, .. }) if !id.is_empty() && !id.starts_with("XAU") => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Each client against M3's own list of what its user may do where.
async fn clients(settings: &Settings, reader: Reader, place: Place, found: &mut Found) {
    let mut asked: BTreeMap<String, Result<Places, String>> = BTreeMap::new();
    for client in known(settings, found).await {
        let of_group = || client.groups.iter().find_map(|group| settings.group_users.get(&**group));
        let Some(user) = client.standing.user.as_ref().or_else(of_group) else { continue };
        if !asked.contains_key(user.as_str()) {
            asked.insert(user.as_str().to_owned(), places(&reader, place, user).await);
        }
        let subject = format!("the client {}", client.name);
        match &asked[user.as_str()] {
            Ok(places) => compare(&client, user, places, found, &subject),
            Err(why) => {
                let message = format!("M3 does not tell where its user {user} may work: {why}");
                let hint = "give the gateway's own M3 user authority for MNS150MI/LstCmpDivi";
                found.warning("check --probe", &subject, message, hint);
            }
        }
    }
}

async fn known(settings: &Settings, found: &mut Found) -> Vec<Client> {
    let Some(own) = &settings.tokens else { return Vec::new() };
    // Looked at, never made.
    if !settings.state.join("gateway.db").exists() {
        return Vec::new();
    }
    let listed = async {
        let store = Store::open(&settings.state).await.map_err(|error| error.to_string())?;
        let clients = Clients::open(&store, own.hash_cost).await.map_err(|error| error.to_string())?;
        let listed = clients.list().await.map_err(|error| error.to_string());
        store.close().await;
        listed
    };
    match listed.await {
        Ok(clients) => clients.into_iter().filter(|client| client.revoked_at.is_none()).collect(),
        Err(why) => {
            found.fault(settings.state.display().to_string(), "the clients", why, "see state.dir");
            Vec::new()
        }
    }
}

async fn places(reader: &Reader, place: Place, user: &M3User) -> Result<Places, String> {
    let names = (ProgramName::parse(PROGRAM), TransactionName::parse(LIST), FieldName::parse(USER));
    let (Ok(program), Ok(transaction), Ok(field)) = names else { return Err("its name is none".to_owned()) };
    let given = [(field, user.as_str().to_owned())];
    let listed = reader.list((program, transaction), place, &given).await.map_err(|error| error.to_string())?;
    let mut places = Places::new();
    for row in listed {
        let value = |name: &str| row.get(name).map(|text| text.trim().to_owned()).unwrap_or_default();
        if let Ok(company) = Company::parse(&value("CONO")) {
            places.entry(company.number()).or_default().insert(value("DIVI"));
        }
    }
    Ok(places)
}

/// Where the client is let work, or works when it says nothing, and its user has no authority.
fn compare(client: &Client, user: &M3User, places: &Places, found: &mut Found, subject: &str) {
    let standing = &client.standing;
    let companies: BTreeSet<u16> = standing.companies.iter().chain(&standing.company).map(|c| c.number()).collect();
    let divisions: BTreeSet<&str> =
        standing.divisions.iter().chain(&standing.division).map(Division::as_str).filter(|d| !d.is_empty()).collect();
    let mut strange: Vec<String> = companies
        .iter()
        .filter(|number| !places.contains_key(number))
        .map(|number| format!("company {number}"))
        .collect();
    let within = places.iter().filter(|(number, _)| companies.is_empty() || companies.contains(number));
    let authorised: BTreeSet<&str> = within.flat_map(|(_, divisions)| divisions.iter().map(String::as_str)).collect();
    strange.extend(divisions.iter().filter(|d| !authorised.contains(*d)).map(|d| format!("division {d}")));
    if strange.is_empty() {
        let shown: Vec<String> = places.keys().map(u16::to_string).collect();
        found.good.push(format!("{subject}: its M3 user {user} may work in company {}", shown.join(", ")));
        return;
    }
    let message = format!("is set to work in {}, and its M3 user {user} has no authority there", strange.join(", "));
    found.warning(
        "check --probe",
        subject,
        message,
        "mend the client's companies and divisions, or the user's in MNS150",
    );
}
